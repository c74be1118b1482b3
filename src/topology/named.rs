//! Links of the host that the manifest names, where nothing else than the host's own will do.

use foldhash::HashMap;

use super::interface::Interfaces;
use super::scene::{Net, Scene};
use crate::manifest::problem::Problem;
use crate::manifest::{At, Driver, OtherEnd, Place, Uplink};
use crate::names::IfName;

/// The links that the manifest has netform make on the host: what each is for, and where the manifest says so.
pub(super) struct Made<'i>(HashMap<&'i IfName, (String, Place)>);

impl<'i> Made<'i> {
    /// Collects them, when the manifest names links that must not be among them.
    pub(super) fn of(scene: &Scene<'_>, interfaces: &'i Interfaces) -> Self {
        let mut made = HashMap::default();
        let names_one = |uplink: &At<Uplink>| matches!(uplink.value, Uplink::Named(_));
        let is_asked = scene.members.iter().any(|member| member.spec.device.is_some())
            || scene.manifest.own_external.iter().chain(proxies(scene)).any(names_one);
        if !is_asked {
            return Self(made);
        }
        let Interfaces { bridges, hosts, shims, links: _, detours } = interfaces;
        for ((net, bridge), shim) in scene.nets.iter().zip(bridges).zip(shims) {
            let what = format!("network `{}`", net.name);
            let place = net.spec.interface.as_ref().map_or(net.place, |at| at.place);
            made.extend(is_made(net).then(|| (bridge, (what.clone(), place))));
            let host = net.spec.host.first().map_or(net.place, |at| at.place);
            made.extend(shim.as_ref().map(|shim| (shim, (what, host))));
        }
        for ((member, host), detour) in scene.members.iter().zip(hosts).zip(detours) {
            for link in host.iter().chain(detour) {
                made.entry(link).or_insert_with(|| (format!("`{}`", member.container), member.place));
            }
        }
        Self(made)
    }

    /// Says that a link is one of these; `why` is what it is named for, as a label.
    pub(super) fn refusal(&self, name: &IfName, (place, why): (Place, &str)) -> Option<Problem> {
        let (what, there) = self.0.get(name)?;
        Some(Problem {
            message: format!("`{name}` is no link of the host's own: netform makes it for {what}"),
            code: "topology::link_of_our_own",
            labels: vec![(place, why.to_owned()), (*there, format!("`{name}` is made for this"))],
            help: Some("name a link that is there without netform; `ip link` lists them".to_owned()),
        })
    }
}

fn is_made(net: &Net<'_>) -> bool {
    match &net.spec.driver {
        Driver::Bridge | Driver::OpenVswitch(_) => net.spec.external.is_none(),
        Driver::Veth(OtherEnd::Host) => true,
        Driver::Veth(OtherEnd::Container)
        | Driver::Macvlan { .. }
        | Driver::Ipvlan { .. }
        | Driver::Physical => false,
    }
}

/// Says that a link is named by a further name: objects are known by the name that the kernel shows first.
pub(super) fn further(scene: &Scene<'_>, name: &IfName, (place, why): (Place, &str)) -> Option<Problem> {
    let link = scene.facts.altnames.get(name)?;
    Some(Problem {
        message: format!("`{name}` is a further name of `{link}`"),
        code: "topology::further_name",
        labels: vec![(place, why.to_owned())],
        help: Some(format!("write `{link}`, the name that `ip link` shows first")),
    })
}

/// Returns the links that answer for containers.
fn proxies<'s>(scene: &'s Scene<'_>) -> impl Iterator<Item = &'s At<Uplink>> {
    scene.nets.iter().filter_map(|net| net.spec.ndp_proxy.as_ref())
}

/// Checks the link that has the external addresses, and those that answer for containers.
pub(super) fn check(scene: &Scene<'_>, made: &Made<'_>, problems: &mut Vec<Problem>) {
    let external = scene.manifest.own_external.iter().map(|at| (at, "it is to have the external addresses"));
    let proxies = proxies(scene).map(|at| (at, "it is to answer for containers"));
    for (At { value, place }, why) in external.chain(proxies) {
        let Uplink::Named(name) = value else { continue };
        let at = (*place, why);
        problems.extend(made.refusal(name, at).or_else(|| further(scene, name, at)));
    }
}
