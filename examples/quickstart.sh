#!/usr/bin/env bash
# netform in a minute: everything happens in a sandbox, so nothing of this machine changes and no root is needed
# (only for installing nftables and iproute2, when they are missing).
set -euo pipefail
cd "$(dirname "$0")/.."
. examples/requirements.sh
require nft nftables
require ip iproute2
require ping iputils-ping
require python3 python3-minimal
require cc gcc
install_required

cargo build --release --locked --quiet
netform=${CARGO_TARGET_DIR:-target}/release/netform
say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
export -f say
export NETFORM="$(realpath "$netform")" MANIFEST=examples/shop.yaml

say "The manifest is checked: places, names, addresses"
"$NETFORM" validate "$MANIFEST"

# An empty sandbox: a network of its own, in which the rest is tried.
"$NETFORM" sandbox --empty -- bash -euo pipefail <<'TOUR'
say "What would change? (netform plan)"
"$NETFORM" plan "$MANIFEST"

say "Do it (netform apply)"
"$NETFORM" apply --yes "$MANIFEST" | tail -n 2

say "web serves port 80; from the host, the published port 8080 leads there"
"$NETFORM" exec --manifest "$MANIFEST" web -- python3 -c '
import http.server
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"hello from web\n")
    def log_message(self, *args): pass
http.server.HTTPServer(("", 80), Hello).serve_forever()' &
server=$!
fetch() { python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=3).read().decode(), end="")' "$1"; }
for _ in $(seq 50); do fetch http://127.0.0.1:8080/ 2>/dev/null && break || sleep 0.1; done

say "web reaches db by its private name \`database\`"
"$NETFORM" exec --manifest "$MANIFEST" web -- ping -c 1 -W 2 database | sed -n 1,2p

say "Somebody breaks it; the plan says what and why, apply repairs exactly that"
ip link set br-front mtu 1400
"$NETFORM" plan "$MANIFEST"
"$NETFORM" apply --yes "$MANIFEST" | tail -n 1

say "And away with it"
kill "$server"; wait "$server" 2>/dev/null || true
"$NETFORM" destroy --yes "$MANIFEST" | tail -n 2
ip -brief link
TOUR
