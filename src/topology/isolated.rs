//! What containers ask of their ports of a bridge: whether there is one, and what speaks against keeping them apart.

use super::scene::{Member, Net, Scene};
use crate::manifest::problem::Problem;
use crate::manifest::{Driver, OtherEnd, Place};

/// Checks that there is a bridge to keep containers apart, and that no link asks for what that forbids.
pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for member in &scene.members {
        let Some(net) = scene.net(member) else { continue };
        let hairpin = member.spec.hairpin.as_ref().map(|at| (at.place, "hairpin", "no port to switch"));
        let isolated = member.spec.isolated.map(|place| (place, "isolated", "nothing to keep it apart"));
        let asked = hairpin.into_iter().chain(isolated);
        problems.extend(asked.filter_map(|asked| without_a_bridge(member, net, asked)));
        problems.extend(member.spec.isolated.and_then(|_| linked(scene, member, net)));
    }
}

fn without_a_bridge(
    member: &Member<'_>,
    net: &Net<'_>,
    (place, key, why_not): (Place, &str, &str),
) -> Option<Problem> {
    let (why, help) = match net.spec.driver {
        Driver::Bridge => return None,
        Driver::Macvlan { .. } => {
            ("a macvlan network", "or write `options: {mode: private}` for the network")
        }
        Driver::Ipvlan { .. } => ("an ipvlan network", "or write `options: {flag: private}` for the network"),
        Driver::OpenVswitch(_) => ("on Open vSwitch", "or give each a `vlan`"),
        Driver::Physical => ("the one behind a link of the host", "or use `driver: bridge`"),
        Driver::Veth(OtherEnd::Container) => ("a pair of two containers", "or take one of them off it"),
        Driver::Veth(OtherEnd::Host) => ("a pair of the host and one container", "who is alone on it"),
    };
    Some(Problem {
        message: format!(
            "`{}` cannot be `{key}` on network `{}`: it has no bridge",
            member.container, net.name
        ),
        code: "topology::no_bridge",
        labels: vec![(place, why_not.to_owned()), (net.place, format!("it is {why}"))],
        help: Some(format!(
            "leave `{key}` out{}",
            if key == "isolated" { format!(", {help}") } else { String::new() }
        )),
    })
}

/// Refuses a link between two that are kept apart: a name that leads nowhere helps nobody.
fn linked(scene: &Scene<'_>, member: &Member<'_>, net: &Net<'_>) -> Option<Problem> {
    // Few link, and each of them looks at all who are on the network.
    if member.spec.links.is_empty() {
        return None;
    }
    let apart = scene.on(net).map(|(_, other)| other).filter(|other| other.spec.isolated.is_some());
    let (alias, other, place) = apart.into_iter().find_map(|other| {
        let mut links = member.spec.links.iter();
        let (alias, _) = links.find(|(_, target)| target.value == *other.container)?;
        Some((alias, other, other.spec.isolated?))
    })?;
    Some(Problem {
        message: format!(
            "`{}` links to `{}` on network `{}`, and both are `isolated` there",
            member.container, other.container, net.name
        ),
        code: "topology::isolated_link",
        labels: vec![
            (alias.place, "this link".to_owned()),
            (member.spec.isolated?, "kept apart from others that are".to_owned()),
            (place, "as this one is".to_owned()),
        ],
        help: Some("leave `isolated` out for one of them, or the link".to_owned()),
    })
}
