//! What the host will have again with links that containers had for themselves and nobody asks for any more. Nothing here asks
//! the kernel.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::super::Scope;
use super::super::facts::is_everybodys;
use super::super::reading::Reading;
use super::fact;
use super::was::NO_ROUTE;
use crate::names::IfName;
use crate::resource::device::{Before, Device, Held, Led};
use crate::topology::facts::Facts;

/// Adds it to what is known of the host, since a plan has to be right for a host that has it.
pub(in super::super) fn with_returning(facts: Facts, reading: &Reading, scope: &Scope) -> Facts {
    let goes_back = |device: &Device| !scope.devices.contains(&device.name);
    fact::all_taken(reading, scope).filter(goes_back).fold(facts, with)
}

fn with(mut facts: Facts, device: Device) -> Facts {
    let Device { name, before } = device;
    let Some(before) = before else { return facts };
    let Before { up, mtu: _, mac: _, alias: _, addresses, routes } = *before;
    let on_link: BTreeSet<IpNet> = addresses.iter().map(|held| held.addr.trunc()).filter(is_subnet).collect();
    let made = addresses.iter().filter_map(made);
    let led: BTreeSet<IpNet> = routes.iter().map(|Led { dest, .. }| dest.trunc()).filter(is_route).collect();
    // A link that is down has addresses, and leads nowhere.
    let leads: BTreeSet<IpNet> = if up { made.chain(led.iter().copied()).collect() } else { BTreeSet::new() };
    let addressed = addresses.iter().map(|held| held.addr.addr()).filter(|addr| !is_everybodys(*addr));
    keep(&mut facts.addresses, addressed, &name);
    keep(&mut facts.connected, on_link.iter().copied(), &name);
    facts.led.extend(led.into_iter().filter(|dest| up && !on_link.contains(dest)));
    facts.routes.extend(&leads);
    keep(&mut facts.returning, leads.into_iter(), &name);
    facts
}

/// Notes that a link has these, where none has yet.
fn keep<K: Ord>(known: &mut BTreeMap<K, IfName>, new: impl Iterator<Item = K>, link: &IfName) {
    for key in new {
        known.entry(key).or_insert_with(|| link.clone());
    }
}

/// Returns where the route leads that the kernel makes with an address: `fib_add_ifaddr()` in Linux
/// `net/ipv4/fib_frontend.c`, `inet6_addr_add()` in `net/ipv6/addrconf.c`.
fn made(held: &Held) -> Option<IpNet> {
    let Held { addr, peer, flags, .. } = held;
    let dest = IpNet::new(peer.unwrap_or(addr.addr()), addr.prefix_len()).ok()?.trunc();
    let is_alone = addr.addr().is_ipv4() && peer.is_none() && addr.prefix_len() == addr.max_prefix_len();
    (flags & NO_ROUTE == 0 && !is_alone && is_route(&dest)).then_some(dest)
}

fn is_route(dest: &IpNet) -> bool {
    dest.prefix_len() > 0 && !is_everybodys(dest.addr())
}

fn is_subnet(dest: &IpNet) -> bool {
    is_route(dest) && dest.prefix_len() < dest.max_prefix_len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Mtu;

    fn held(addr: &str, peer: Option<&str>, flags: u32) -> Held {
        Held {
            addr: addr.parse().unwrap(),
            peer: peer.map(|it| it.parse().unwrap()),
            broadcast: None,
            scope: 0,
            flags,
            protocol: 0,
            metric: 0,
            label: "".into(),
        }
    }

    #[track_caller]
    fn check(up: bool, addresses: Vec<Held>, leads: &[&str], on: &[&str]) {
        let routes = vec![];
        let before = Before { up, mtu: Mtu::ETHERNET, mac: None, alias: "".into(), addresses, routes };
        let name = IfName::try_from("eth2").unwrap();
        let facts = with(Facts::default(), Device { name, before: Some(Box::new(before)) });
        let words = |of: Vec<&IpNet>| of.into_iter().map(IpNet::to_string).collect::<Vec<_>>();
        assert_eq!(words(facts.routes.iter().collect()), leads);
        assert_eq!(words(facts.returning.keys().collect()), leads);
        assert_eq!(words(facts.connected.keys().collect()), on);
    }

    #[test]
    fn an_address_that_comes_back_leads_where_the_kernel_makes_a_route() {
        check(true, vec![held("10.7.0.5/24", None, 0)], &["10.7.0.0/24"], &["10.7.0.0/24"]);
        check(false, vec![held("10.7.0.5/24", None, 0)], &[], &["10.7.0.0/24"]);
        check(true, vec![held("10.7.0.5/24", None, NO_ROUTE)], &[], &["10.7.0.0/24"]);
        check(true, vec![held("10.7.0.5/32", None, 0)], &[], &[]);
        check(true, vec![held("10.7.0.5/32", Some("10.8.0.1"), 0)], &["10.8.0.1/32"], &[]);
        check(true, vec![held("fd00::5/128", None, 0), held("fe80::5/64", None, 0)], &["fd00::5/128"], &[]);
    }
}
