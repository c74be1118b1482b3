//! Stories that need of the kernel what not every host has. Where it is missing they are skipped, each by its kind;
//! `tests/vm.sh` runs all of them on Debian's kernel.

mod bridge;
mod ipvlan;
mod nic;
mod openvswitch;
mod tunnel;
mod vlan;

use super::world::{World, skip};

/// What a kernel may lack.
#[derive(Clone, Copy)]
enum Feature {
    /// Links on a link of the host, with its address.
    Ipvlan,
    /// 802.1Q tags.
    Vlan,
    /// Tunnels by IPsec.
    Xfrm,
    /// Bridges that keep VLANs apart.
    Filtering,
    /// The datapath of Open vSwitch.
    Openvswitch,
}

/// Tells whether the kernel has it, and says so when it has not: `NETFORM_TEST_REQUIRE` may promise it by its name.
fn has(world: &World, feature: Feature) -> bool {
    let (kind, link) = match feature {
        Feature::Ipvlan => ("ipvlan", "ipvlan"),
        Feature::Vlan => ("vlan", "vlan id 9"),
        Feature::Xfrm => ("xfrm", "xfrm if_id 9"),
        Feature::Filtering => {
            let tried = world.try_sh("ip link add probe type bridge vlan_filtering 1 && ip link del probe");
            if tried.code != 0 {
                world.try_sh("ip link del probe");
                skip(
                    "bridge-vlans",
                    &format!("bridges of this kernel keep no VLANs apart: {}", tried.stderr.trim()),
                );
            }
            return tried.code == 0;
        }
        Feature::Openvswitch => {
            let is_there = world.try_sh("grep -q '^openvswitch ' /proc/modules").code == 0;
            if !is_there {
                skip("openvswitch", "this kernel has no module openvswitch loaded");
            }
            return is_there;
        }
    };
    let tried = world.try_sh(&format!(
        "ip netns add probe; ip -n probe link add p0 type veth peer name p1
         ip -n probe link add link p0 name p2 type {link} || {{ ip netns del probe; exit 1; }}; ip netns del probe"
    ));
    if tried.code != 0 {
        skip(kind, &format!("this kernel has no {kind}: {}", tried.stderr.trim()));
    }
    tried.code == 0
}

/// Makes a host whose `eth0` leads to `peer`, which is 192.168.9.1 and knows 203.0.113.5.
fn wired(world: &World) {
    world.sh("ip netns add peer; ip link add eth0 type veth peer name p0 netns peer; ip link set eth0 up
         ip addr add 192.168.9.10/24 dev eth0; ip -n peer link set p0 up; ip -n peer link set lo up
         ip -n peer addr add 192.168.9.1/24 dev p0; ip -n peer addr add fd00:9::1/64 dev p0 nodad
         ip -n peer addr add 203.0.113.5/32 dev lo");
}
