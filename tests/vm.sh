#!/usr/bin/env bash
# Runs the live tests that need of the kernel what this host's may lack (`live::vm`) on Debian's kernel, in a virtual
# machine: ipvlan, VLANs, bridges that keep them apart, the datapath of Open vSwitch, and NICs that a namespace gives back when it dies. Root is needed for nothing but installing. Says so and skips where that cannot be,
# which is a failure where NETFORM_TEST_REQUIRE has `vm`. Arguments go to the test program, in place of `live::vm`.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
  case ",${NETFORM_TEST_REQUIRE:-}," in
    *,vm,*) echo "tests of the kind \`vm\` are promised, but $1" >&2; exit 1 ;;
    *) echo "SKIPPED (vm): $1" >&2; exit 0 ;;
  esac
}

[ "$(uname -m)" = x86_64 ] || skip "this is no x86_64 machine"
command -v apt-get >/dev/null || skip "there is no apt-get to get Debian's kernel with"
. examples/requirements.sh
require qemu-system-x86_64 qemu-system-x86
require busybox busybox-static
require cpio cpio
require depmod kmod
require strip binutils
require nft nftables
require ip iproute2
require ping iputils-ping
require ovs-vswitchd openvswitch-switch
(install_required) || skip "what it needs cannot be installed"

it=$(cargo test --locked --test it --no-run 2>&1 | sed -n 's/^ *Executable .*(\(.*\))$/\1/p')
[ -n "$it" ] || { cargo test --locked --test it --no-run; exit 1; }
case $it in /*) ;; *) it=$PWD/$it ;; esac
# Where the tests have it from: `CARGO_BIN_EXE_netform`.
netform=$(dirname "$(dirname "$it")")/netform
cache=$(dirname "$(dirname "$(dirname "$it")")")/vm
mkdir -p "$cache"

# The kernel: the newest that apt knows of, or else one that was got before.
newest=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
if [ -n "$newest" ] && [ ! -e "$cache/$newest/boot" ]; then
  rm -rf "$cache/$newest.part"
  mkdir "$cache/$newest.part"
  if (cd "$cache/$newest.part" && apt-get download -qq "$newest" && dpkg -x ./*.deb . && rm ./*.deb); then
    rm -rf "${cache:?}/$newest"
    mv "$cache/$newest.part" "$cache/$newest"
  fi
fi
[ -n "$newest" ] && [ -e "$cache/$newest/boot" ] || newest=$(cd "$cache" && ls -d linux-image-*[0-9a-z] 2>/dev/null | grep -v '\.part$' | sort -V | tail -n 1)
[ -n "$newest" ] || skip "Debian's kernel cannot be downloaded: apt-get download linux-image-amd64"
kernel=$cache/$newest
version=${newest#linux-image-}
modules=$kernel
[ -d "$kernel/lib/modules" ] || modules=$kernel/usr
[ -e "$modules/lib/modules/$version/modules.dep.bin" ] || depmod -b "$modules" "$version"

# The machine's files: programs with their libraries, modules in their order, and what runs first.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,etc/netns,dev,proc,sys,run,tmp,var/lib,modules}

put() {
  mkdir -p "$root$(dirname "$2")"
  cp -L "$1" "$root$2"
  local library
  for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
    [ -e "$root$library" ] || { mkdir -p "$root$(dirname "$library")" && cp -L "$library" "$root$library"; }
  done
}
for program in nft ip bridge ping unshare mount nsenter ovs-vsctl ovs-vswitchd ovsdb-server ovsdb-tool; do
  put "$(command -v "$program")" "/usr/bin/$program"
done
put "$(command -v busybox)" /bin/busybox
# That of busybox takes its own commands for those of the path.
put "$(command -v sh)" /bin/sh
for program in "$it" "$netform"; do
  strip -o "$work/stripped" "$program"
  put "$work/stripped" "$program"
done
mkdir -p "$root/usr/share/openvswitch"
cp /usr/share/openvswitch/vswitch.ovsschema "$root/usr/share/openvswitch/"
cp /etc/protocols "$root/etc/" 2>/dev/null || true
echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"

number=100
for module in virtio_pci virtio_net overlay veth bridge br_netfilter macvlan ipvlan 8021q dummy openvswitch nf_tables nft_ct nft_fib_inet nft_nat \
  nft_chain_nat nft_masq nft_redir nft_reject_inet nft_reject_bridge nft_meta_bridge nf_conntrack_netlink \
  xfrm_interface; do
  while read -r command file _; do
    [ "$command" = insmod ] || continue
    name=$(basename "${file%.xz}")
    ls "$root"/modules/*-"$name" >/dev/null 2>&1 && continue
    number=$((number + 1))
    case $file in
      *.xz) busybox unxz -c "$file" >"$root/modules/$number-$name" ;;
      *) cp "$file" "$root/modules/$number-$name" ;;
    esac
  done < <(modprobe -d "$modules" -S "$version" --show-depends "$module" 2>/dev/null || true)
done

cat >"$root/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/ TERM=dumb NETFORM_TEST_REQUIRE=live,ipvlan,vlan,xfrm,bridge-vlans,openvswitch,ovs,vm NETFORM_TEST_MACHINE=1
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin; ln -s /run /var/run
# The programs stand where they were built, which may be below /tmp.
mount -t tmpfs run /run; ip link set lo up
for module in /modules/*; do insmod "\$module" 2>/dev/null; done
$it ${*:-live::vm} --test-threads=2
echo "the tests ended with \$?"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd"

echo "     Running tests/it/main.rs on Linux $version in a virtual machine" >&2
status=0
# Without a terminal of its own, qemu would take ours.
timeout --foreground "${NETFORM_TEST_VM_SECONDS:-600}" qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -m 1024 -nodefaults \
  -display none -no-reboot -serial stdio -kernel "$kernel/boot/vmlinuz-$version" -initrd "$work/initrd" \
  -netdev hubport,id=one,hubid=0 -device virtio-net-pci,netdev=one,mac=52:54:00:00:00:01,romfile= \
  -netdev hubport,id=two,hubid=0 -device virtio-net-pci,netdev=two,mac=52:54:00:00:00:02,romfile= \
  -append "console=ttyS0 quiet loglevel=1 panic=-1" </dev/null 2>"$work/qemu" |
  tr -d '\r' | tee "$work/output" | sed -u '/^the tests ended with/d; /reboot: Power down/d' || status=$?
if grep -q '^the tests ended with 0$' "$work/output"; then
  exit 0
fi
[ "$status" -ne 124 ] || echo "the virtual machine was ended: it took too long" >&2
cat "$work/qemu" >&2
echo "the tests in the virtual machine failed" >&2
exit 1
