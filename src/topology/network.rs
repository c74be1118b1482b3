//! Networks, put together.

use super::interface::Interfaces;
use super::parent::parent;
use super::resolve::Asker;
use super::scene::{Net, Scene};
use super::subnet::Ground;
use super::{Dns, Driver, Egress, Network, Shim, Subnet, existing, proxy, vlans, vswitch};
use crate::manifest::problem::Problem;
use crate::manifest::{self, At, Ingress, OtherEnd, Place};
use crate::names::{IfName, Mac, Mtu};
use crate::resource::sysctl::Family;

/// What is known of all networks before they are put together, each list by index into the scene's networks.
pub(super) struct Parts<'p, 'a> {
    pub(super) grounds: &'p [Option<Vec<Ground<'a>>>],
    pub(super) interfaces: &'p Interfaces,
    pub(super) macs: &'p [Mac],
}

impl Network {
    /// Returns the link of the host that the network is or stands on; between two containers there is none.
    pub fn on_host(&self) -> Option<&IfName> {
        (!matches!(self.driver, Driver::Veth(OtherEnd::Container) | Driver::Physical))
            .then_some(&self.interface)
    }

    /// Tells whether containers may be in VLANs of it.
    pub(super) fn may_have_vlans(&self) -> bool {
        self.external || self.filtering.is_some() || matches!(self.driver, Driver::OpenVswitch(_))
    }
}

/// Returns the networks.
pub(super) fn assemble(
    scene: &Scene<'_>,
    parts: &Parts<'_, '_>,
    origin: Asker<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Network> {
    let Parts { grounds, interfaces, macs } = parts;
    let mut networks = vec![];
    let all = scene.nets.iter().zip(*grounds).zip(&interfaces.bridges).zip(&interfaces.shims).zip(*macs);
    for ((((net, grounds), interface), shim), mac) in all {
        let manifest::Network {
            driver,
            bridge,
            host,
            subnets: _,
            families: _,
            internal,
            icc,
            mtu: _,
            interface: _,
            egress,
            ndp_proxy: _,
            ingress,
            external,
            dns,
            prevent_destroy,
            ignore,
        } = net.spec;
        let grounds = grounds.as_deref().unwrap_or_default();
        let (vlan, waits) = parent(scene, net).ok().flatten().map_or((None, false), |it| (it.vlan, it.waits));
        networks.push(Network {
            name: net.name.clone(),
            origin: origin(net.place),
            interface: interface.clone(),
            mac: *mac,
            external: external.is_some(),
            vlan,
            shim: shim.clone().map(|link| Shim { link, addresses: host.iter().map(|at| at.value).collect() }),
            waits: waits || existing::waits(scene, net),
            driver: match &driver {
                manifest::Driver::Bridge => Driver::Bridge,
                manifest::Driver::Macvlan { parent: _, mode } => Driver::Macvlan(*mode),
                manifest::Driver::Ipvlan { parent: _, mode, flag } => Driver::Ipvlan(*mode, *flag),
                manifest::Driver::Veth(other) => Driver::Veth(*other),
                manifest::Driver::OpenVswitch(switch) => Driver::OpenVswitch(*switch),
                manifest::Driver::Physical => Driver::Physical,
            },
            stp: bridge.stp,
            hairpin: bridge.hairpin.as_ref().map(|at| at.value),
            filtering: vlans::filtering(scene, net),
            subnets: grounds.iter().map(|g| Subnet { cidr: g.cidr, gateway: g.gateway }).collect(),
            internal: *internal,
            icc: icc.as_ref().is_none_or(|at| at.value),
            mtu: mtu(scene, net, grounds, problems),
            egress: match egress.as_ref().map(|at| &at.value) {
                // Somebody else's bridge has its own way out, which is not changed without being asked.
                None if external.is_some() => Egress::Routed,
                None | Some(manifest::Egress::Masquerade) => Egress::Masquerade,
                Some(manifest::Egress::Routed) => Egress::Routed,
                Some(manifest::Egress::Snat(to)) => Egress::Snat(to.iter().map(|at| at.value).collect()),
            },
            proxy: proxy::proxy(scene, net),
            ingress: ingress.as_ref().map_or(Ingress::Published, |at| at.value),
            dns: names(dns),
            prevent_destroy: *prevent_destroy,
            ignore: ignore.iter().map(|at| at.value.clone()).collect(),
        });
    }
    networks
}

fn names(dns: &manifest::Dns) -> Dns {
    let manifest::Dns { upstream, alias_policy, ttl } = dns;
    let silence = Dns::default();
    Dns {
        upstream: upstream.iter().map(|at| at.value).collect(),
        alias_policy: alias_policy.as_ref().map_or(silence.alias_policy, |at| at.value),
        ttl: ttl.as_ref().map_or(silence.ttl, |at| at.value),
    }
}

fn mtu(scene: &Scene<'_>, net: &Net<'_>, grounds: &[Ground<'_>], problems: &mut Vec<Problem>) -> Mtu {
    let v6 = grounds.iter().find(|ground| Family::of(ground.cidr.addr()) == Family::Ipv6);
    let least = Mtu::LEAST_FOR_IPV6;
    let (mtu, place, label) = if let Some(At { value, place }) = net.spec.mtu {
        problems.extend(above_parent(scene, net, (value, place)));
        (value, place, format!("less than {least}"))
    } else {
        let external = vswitch::external(scene, net).map(|bridge| bridge.mtu).zip(net.spec.external.as_ref());
        let on = parent(scene, net).ok().flatten().map(|parent| parent.link.mtu);
        match external.or(on.zip(net.spec.driver.parent())) {
            Some((mtu, at)) => (mtu, at.place, format!("`{}` has {mtu}", at.value)),
            None => {
                let uplink = scene.facts.uplink_mtu.unwrap_or(Mtu::ETHERNET);
                return if v6.is_some() { uplink.max(least) } else { uplink };
            }
        }
    };
    if mtu.carries_ipv6() {
        return mtu;
    }
    problems.extend(v6.map(|ground| Problem {
        message: format!("MTU {mtu} is too small for IPv6, which network `{}` has", net.name),
        code: "topology::mtu_too_small",
        labels: vec![(place, label.clone()), (ground.place, "an IPv6 subnet".to_owned())],
        help: Some(format!("use at least {least}, or no IPv6 subnet")),
    }));
    let sysctls = scene.on(net).flat_map(|(_, member)| &member.spec.sysctls);
    let sysctls = sysctls.filter(|at| at.value.family == Family::Ipv6);
    problems.extend(sysctls.map(|at| Problem {
        message: format!("MTU {mtu} is too small for IPv6, of which a kernel parameter is set"),
        code: "topology::mtu_too_small",
        labels: vec![(place, label.clone()), (at.place, "a parameter of IPv6".to_owned())],
        help: Some(format!("use at least {least}, or leave the parameter out")),
    }));
    mtu
}

fn above_parent(scene: &Scene<'_>, net: &Net<'_>, (value, place): (Mtu, Place)) -> Option<Problem> {
    let (Ok(Some(parent)), Some(at)) = (parent(scene, net), net.spec.driver.parent()) else { return None };
    (parent.link.mtu < value).then(|| Problem {
        message: format!("MTU {value} is more than its parent `{}` carries", at.value),
        code: "topology::mtu_above_parent",
        labels: vec![(place, format!("more than {}", parent.link.mtu)), (at.place, "the parent".to_owned())],
        help: Some(format!("use at most {}, or leave it out", parent.link.mtu)),
    })
}
