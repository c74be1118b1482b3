//! From what the user wrote to what the user means.

use super::facts::Facts;
use super::scene::{Silence, bind};
use super::{
    Topology, attach, bandwidth, coexist, device, external, hosts, interface, ipam, isolated, mac, named,
    network, parent, policy, ports, proxy, routes, shim, strangers, subnet, veth, vlans,
};
use crate::halves::both;
use crate::manifest::problem::Problem;
use crate::manifest::{Manifest, Place};
use crate::resource::owner::Origin;

/// Tells the line and column of a place.
pub(super) type Asker<'o> = &'o dyn Fn(Place) -> Origin;

/// Returns the manifest resolved: references bound, and every address, MAC and interface name decided.
///
/// It is a function of its arguments alone. What is live or remembered in `facts` stays as it is wherever the manifest
/// lets it.
///
/// # Errors
///
/// Every problem that involves more than one value of the manifest, or the host, in the order of their places.
pub fn resolve(manifest: &Manifest, facts: &Facts, origin: Asker<'_>) -> Result<Topology, Vec<Problem>> {
    let mut problems = vec![];
    let silence = Silence::new();
    let scene = bind(manifest, facts, &silence, &mut problems);

    parent::check(&scene, &mut problems);
    veth::check(&scene, &mut problems);
    vlans::check(&scene, &mut problems);
    isolated::check(&scene, &mut problems);
    let grounds = subnet::assign(&scene, &mut problems);
    shim::check(&scene, &grounds, &mut problems);
    proxy::check(&scene, &grounds, &mut problems);
    let ((interfaces, found), (addresses, more)) = both(
        scene.members.len(),
        || with_problems(|problems| interface::assign(&scene, problems)),
        || with_problems(|problems| ipam::assign(&scene, &grounds, problems)),
    );
    problems.extend(found.into_iter().chain(more));
    let made = named::Made::of(&scene, &interfaces);
    named::check(&scene, &made, &mut problems);
    device::check(&scene, &made, &mut problems);
    veth::check_gateways(&scene, &grounds, &addresses, &mut problems);
    let (bridge_macs, macs) = mac::assign(&scene, &addresses, &mut problems);

    let parts = network::Parts { grounds: &grounds, interfaces: &interfaces, macs: &bridge_macs };
    let networks = network::assemble(&scene, &parts, origin, &mut problems);
    let devices: Vec<_> = scene.members.iter().map(|member| device::device(&scene, member)).collect();
    let limits = bandwidth::assign(&scene, &interfaces, &networks, origin, &mut problems);
    let vlans = vlans::assign(&scene, &networks);
    let parts = attach::Parts {
        interfaces: &interfaces,
        macs: &macs,
        addresses: &addresses,
        limits: &limits,
        networks: &networks,
        devices: &devices,
        vlans: &vlans,
    };
    let mut containers = attach::assemble(&scene, &parts, origin);
    routes::assign(&scene, &mut containers, origin, &mut problems);
    external::assign(&scene, &networks, (&grounds, &mut containers), origin, &mut problems);
    let shut = ports::publish(&scene, &networks, &mut containers, origin, &mut problems);
    external::check(&scene, &containers, &mut problems);
    let policies = policy::resolve(manifest, (&networks, &containers), origin, &mut problems);
    vlans::guarded(&scene, &policies, &mut problems);

    if problems.is_empty() {
        hosts::fill(&networks, &silence.name, &mut containers);
        let project = &manifest.project;
        let wanted = manifest.coexist.docker.as_ref().is_some_and(|docker| docker.value);
        let passages = if wanted { coexist::passages(&networks, facts) } else { vec![] };
        let notes = [strangers::warnings(&scene, &addresses, origin), shut].concat();
        let (origin, project) = (origin(project.place), project.value.clone());
        let heard = proxy::heard(&scene, &networks);
        Ok(Topology { project, origin, networks, containers, passages, policies, heard, notes })
    } else {
        problems.sort_by_key(|problem| problem.labels.first().map(|(place, _)| *place));
        Err(problems)
    }
}

/// Does something that finds problems, and returns them, too.
fn with_problems<T>(work: impl FnOnce(&mut Vec<Problem>) -> T) -> (T, Vec<Problem>) {
    let mut problems = vec![];
    let done = work(&mut problems);
    (done, problems)
}
