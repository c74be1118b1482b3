//! Kinds of interfaces in words, and names by which makers of interfaces are known.

use crate::kernel::ovsdb::SWITCH;

/// Returns what an interface of this kind is; `None` when the kind is not known here.
///
/// Source: `IFLA_INFO_KIND`, as each `struct rtnl_link_ops` in Linux names it.
pub(super) fn in_words(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "" => "a network card",
        "bridge" => "a bridge",
        SWITCH => "a bridge of Open vSwitch",
        "veth" => "an end of a veth pair",
        "macvlan" => "a macvlan interface",
        "macvtap" => "a macvtap interface, the network card of a virtual machine",
        "ipvlan" => "an ipvlan interface",
        "ipvtap" => "an ipvtap interface, the network card of a virtual machine",
        "vlan" => "a VLAN of another interface",
        "vxlan" => "a VXLAN tunnel, an end of an overlay network between hosts",
        "geneve" => "a GENEVE tunnel, an end of an overlay network between hosts",
        "tun" => "a tun or tap interface, whose packets a program on this host reads and writes",
        "wireguard" => "a WireGuard tunnel",
        "dummy" => "a dummy interface, which leads nowhere and carries addresses",
        "bond" => "a bond of several interfaces",
        "team" => "a team of several interfaces",
        "vrf" => "a VRF, a routing domain of its own",
        "ifb" => "an intermediate functional block, for traffic shaping",
        "sit" => "a tunnel of IPv6 in IPv4",
        "ipip" => "a tunnel of IPv4 in IPv4",
        "ip6tnl" => "a tunnel in IPv6",
        "gre" | "gretap" | "erspan" => "a GRE tunnel",
        "ip6gre" | "ip6gretap" | "ip6erspan" => "a GRE tunnel over IPv6",
        "vti" | "vti6" | "xfrm" => "an IPsec tunnel",
        "openvswitch" => "an interface of an Open vSwitch",
        "bareudp" => "a tunnel over UDP",
        "netdevsim" => "a simulated network card",
        "nlmon" => "a monitor of netlink messages",
        "vcan" | "vxcan" | "can" => "an interface of a CAN bus",
        "netkit" => "an end of a netkit pair",
        _ => return None,
    })
}

/// How a maker names its interfaces.
struct Habit {
    /// How the name begins.
    prefix: &'static str,
    /// What follows.
    rest: Rest,
    /// Of which kind it is; `None` is any.
    kind: Option<&'static str>,
    /// Whose it is.
    maker: &'static str,
}

enum Rest {
    Nothing,
    Digits,
    Anything,
}

const fn habit(prefix: &'static str, rest: Rest, kind: Option<&'static str>, maker: &'static str) -> Habit {
    Habit { prefix, rest, kind, maker }
}

use Rest::{Anything, Digits, Nothing};

/// The names that are known; those of the bridges of Docker, Podman and libvirt are known to the kernel's side, too,
/// which goes before.
const HABITS: &[Habit] = &[
    habit("docker0", Nothing, None, "Docker"),
    habit("docker_gwbridge", Nothing, None, "Docker"),
    habit("vx-", Anything, Some("vxlan"), "Docker"),
    habit("podman", Digits, Some("bridge"), "Podman"),
    habit("cni-podman", Digits, Some("bridge"), "Podman"),
    habit("virbr", Digits, None, "libvirt"),
    habit("vnet", Digits, Some("tun"), "libvirt"),
    habit("cni", Digits, Some("bridge"), "CNI"),
    habit("flannel.", Anything, None, "flannel"),
    habit("flannel-wg", Anything, None, "flannel"),
    habit("cali", Anything, Some("veth"), "Calico"),
    habit("vxlan.calico", Nothing, None, "Calico"),
    habit("tunl0", Nothing, None, "the kernel"),
    habit("cilium_", Anything, None, "Cilium"),
    habit("lxc_health", Nothing, None, "Cilium"),
    habit("kube-ipvs", Digits, None, "kube-proxy"),
    habit("kube-bridge", Nothing, None, "kube-router"),
    habit("nodelocaldns", Nothing, None, "Kubernetes"),
    habit("weave", Nothing, None, "Weave Net"),
    habit("lxcbr", Digits, None, "LXC"),
    habit("lxdbr", Digits, None, "LXD"),
    habit("incusbr", Digits, None, "Incus"),
    habit("ovs-system", Nothing, None, "Open vSwitch"),
    habit("tailscale", Digits, None, "Tailscale"),
    habit("zt", Anything, Some("tun"), "ZeroTier"),
    habit("vmnet", Digits, None, "VMware"),
    habit("vboxnet", Digits, None, "VirtualBox"),
    habit("sit0", Nothing, None, "the kernel"),
    habit("gre0", Nothing, None, "the kernel"),
    habit("gretap0", Nothing, None, "the kernel"),
    habit("erspan0", Nothing, None, "the kernel"),
    habit("ip6tnl0", Nothing, None, "the kernel"),
    habit("ip6gre0", Nothing, None, "the kernel"),
    habit("ip_vti0", Nothing, None, "the kernel"),
    habit("ip6_vti0", Nothing, None, "the kernel"),
    habit("lo", Nothing, None, "the kernel"),
];

/// Returns whose names look like this one; the kind is `None` when it is not known.
pub(super) fn maker(name: &str, kind: Option<&str>) -> Option<&'static str> {
    let fits = |habit: &&Habit| {
        let same_kind = habit.kind.is_none() || kind.is_none() || habit.kind == kind;
        same_kind
            && name.strip_prefix(habit.prefix).is_some_and(|rest| match habit.rest {
                Nothing => rest.is_empty(),
                Digits => !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()),
                Anything => !rest.is_empty(),
            })
    };
    let docker = docker_id(name).filter(|_| kind.is_none_or(|kind| kind == "bridge")).map(|_| "Docker");
    docker.or_else(|| HABITS.iter().find(fits).map(|habit| habit.maker))
}

/// Tells whether a name is that of a bridge which Docker makes for a network of its own: `br-` and 12 digits of the id.
pub(super) fn docker_id(name: &str) -> Option<&str> {
    name.strip_prefix("br-").filter(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
