#!/usr/bin/env bash
# Installs what the tests need and is missing, then runs all of them. Works as root and as an ordinary user; only the
# installing needs root or sudo. Docker and Podman are started for root alone: elsewhere the tests with them say that they
# are skipped. Arguments go to `cargo test`; without any, those tests that need another kernel are run in a virtual machine.
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
# What is promised here fails rather than skips.
promised=live
if [ "$(id -u)" -eq 0 ]; then
  require dockerd docker.io
  require containerd containerd
  require podman podman
  require busybox busybox-static
  require ovs-vswitchd openvswitch-switch
  promised=live,root,docker,podman,ovs
fi
install_required
NETFORM_TEST_REQUIRE="${NETFORM_TEST_REQUIRE:-$promised}" cargo test --locked "$@"
[ "$#" -gt 0 ] || bash tests/vm.sh
