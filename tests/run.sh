#!/usr/bin/env bash
# Installs what the tests need and is missing, then runs all of them. Works as root and as an ordinary user; only the
# installing needs root or sudo. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."
. examples/requirements.sh
require nft nftables
require ip iproute2
require ping iputils-ping
require unshare util-linux
require python3 python3-minimal
require dig bind9-dnsutils
require cc gcc
install_required
# The live tests are promised here: without private namespaces they fail rather than skip.
NETFORM_TEST_REQUIRE="${NETFORM_TEST_REQUIRE:-live}" exec cargo test --locked "$@"
