//! Link-layer addresses: pinned, so that the same manifest gives the same network and neighbours' caches stay right.

use std::net::IpAddr;

use foldhash::HashMap;
use ipnet::IpNet;

use super::device;
use super::parent::parent;
use super::scene::{Member, Net, Scene};
use super::text::digest;
use crate::manifest::problem::Problem;
use crate::manifest::{At, Driver, Place};
use crate::names::Mac;

/// Returns the address of each bridge, and of each attachment in its container.
pub(super) fn assign(
    scene: &Scene<'_>,
    addresses: &[Vec<IpNet>],
    problems: &mut Vec<Problem>,
) -> (Vec<Mac>, Vec<Mac>) {
    let bridges: Vec<_> =
        scene.nets.iter().map(|net| hashed(scene, &["bridge", net.name.as_str()])).collect();
    let mut macs: Vec<Mac> = scene.members.iter().map(|_| Mac([0; 6])).collect();
    for (net, bridge) in scene.nets.iter().zip(&bridges) {
        if net.spec.driver == Driver::Physical {
            for (index, member) in scene.on(net) {
                macs.get_mut(index).into_iter().for_each(|mac| *mac = device::mac(scene, member));
            }
            continue;
        }
        if let Some(parents) = of_parent(scene, net, problems) {
            for (index, _) in scene.on(net) {
                macs.get_mut(index).into_iter().for_each(|mac| *mac = parents);
            }
            continue;
        }
        let mut taken: HashMap<Mac, (String, Place)> = HashMap::default();
        taken.insert(*bridge, (format!("the bridge of `{}`", net.name), net.place));
        // Given ones come first, so that a derived one keeps clear of them where it can.
        for (index, member) in scene.on(net) {
            if let Some(At { value, place }) = member.spec.mac {
                claim(net, member, (value, place), &mut taken, problems);
                if let Some(mac) = macs.get_mut(index) {
                    *mac = value;
                }
            }
        }
        for (index, member) in scene.on(net).filter(|(_, member)| member.spec.mac.is_none()) {
            let v4 = addresses.get(index).into_iter().flatten().find_map(|net| match net.addr() {
                IpAddr::V4(addr) => Some(addr.octets()),
                IpAddr::V6(_) => None,
            });
            let value = match v4 {
                Some(octets) => local(octets),
                None => free_hash(scene, net, member, &taken),
            };
            claim(net, member, (value, member.place), &mut taken, problems);
            if let Some(mac) = macs.get_mut(index) {
                *mac = value;
            }
        }
    }
    (bridges, macs)
}

/// Returns the address that all attachments of a network share with its parent, where they do; one of their own that the
/// manifest gives them becomes a problem.
fn of_parent(scene: &Scene<'_>, net: &Net<'_>, problems: &mut Vec<Problem>) -> Option<Mac> {
    let Driver::Ipvlan { parent: at, mode: _, flag: _ } = &net.spec.driver else { return None };
    for (_, member) in scene.on(net) {
        problems.extend(member.spec.mac.as_ref().map(|mac| Problem {
            message: format!(
                "`{}` cannot have a link-layer address of its own on `{}`",
                member.container, net.name
            ),
            code: "topology::ipvlan_mac",
            labels: vec![
                (mac.place, "given here".to_owned()),
                (at.place, "every ipvlan link has its parent's".to_owned()),
            ],
            help: Some("leave `mac` out, or use `driver: macvlan`".to_owned()),
        }));
    }
    let known = parent(scene, net).ok().flatten().and_then(|parent| parent.link.mac);
    Some(known.unwrap_or(Mac([0; 6])))
}

/// Returns Docker's locally administered address of four bytes of one's own.
fn local([a, b, c, d]: [u8; 4]) -> Mac {
    Mac([0x02, 0x42, a, b, c, d])
}

fn hashed(scene: &Scene<'_>, parts: &[&str]) -> Mac {
    local(digest(&[&[scene.manifest.project.value.as_str()], parts].concat()).0)
}

fn free_hash(
    scene: &Scene<'_>,
    net: &Net<'_>,
    member: &Member<'_>,
    taken: &HashMap<Mac, (String, Place)>,
) -> Mac {
    let hash = |count: u64| {
        hashed(scene, &["mac", member.container.as_str(), net.name.as_str(), &count.to_string()])
    };
    #[expect(clippy::expect_used, reason = "there are 2^32 addresses for the 1,023 ports of a bridge")]
    (0..).map(hash).find(|mac| !taken.contains_key(mac)).expect("a link-layer address is free")
}

fn claim(
    net: &Net<'_>,
    member: &Member<'_>,
    (mac, place): (Mac, Place),
    taken: &mut HashMap<Mac, (String, Place)>,
    problems: &mut Vec<Problem>,
) {
    let who = format!("`{}`", member.container);
    match taken.get(&mac) {
        None => drop(taken.insert(mac, (who, place))),
        Some((other, there)) => problems.push(Problem {
            message: format!("{other} and {who} have the same MAC address {mac} on network `{}`", net.name),
            code: "topology::mac_taken",
            labels: vec![(place, format!("{who} has it, too")), (*there, format!("{other} has it"))],
            help: Some("give another `mac`, or leave it out, and one is derived from the address".to_owned()),
        }),
    }
}
