//! What the host's limits say of a topology before anything is made: what would fail half-way, or work badly.

use super::facts::Limits;
use super::{Runtime, Topology, veth};

/// Returns a sentence for each limit that the topology goes beyond, with the cure.
///
/// A full bridge is not here: no setting cures it, so it is an error of the manifest. Nor are open files: sockets are
/// opened as many at a time as the limit lets us.
pub fn warnings(topology: &Topology, limits: &Limits) -> Vec<String> {
    let Limits { neighbours4, neighbours6, namespaces } = limits;
    let made = topology.containers.iter().filter(|container| container.runtime == Runtime::Netform).count();
    let mut warnings = veth::lonely(topology);
    if let Some(limit) = namespaces.filter(|limit| made as u64 > *limit) {
        warnings.push(format!(
            "{made} containers need a network namespace each, and this user may make {limit}: \
             raise it by `sysctl -w user.max_net_namespaces={}`",
            (made * 2).next_power_of_two()
        ));
    }
    for (limit, ipv4, family, name) in
        [(neighbours4, true, "IPv4", "ipv4"), (neighbours6, false, "IPv6", "ipv6")]
    {
        let needed = neighbours(topology, ipv4);
        if let Some(limit) = limit.filter(|limit| needed > u64::from(*limit)) {
            warnings.push(format!(
                "the host remembers {limit} neighbours over {family}, and these containers and their gateways are \
                 {needed}: packets get lost when the table is full; raise it by \
                 `sysctl -w net.{name}.neigh.default.gc_thresh3={}`",
                (needed * 2).next_power_of_two()
            ));
        }
    }
    warnings
}

/// Returns how many neighbours are known when every container talks to its gateway alone: the bridge knows the container,
/// and the container the bridge. The table is one for all namespaces: `neigh_alloc()` in Linux `net/core/neighbour.c`.
fn neighbours(topology: &Topology, ipv4: bool) -> u64 {
    let attachments = topology.containers.iter().flat_map(|container| &container.attachments);
    let addresses = attachments.flat_map(|attachment| &attachment.addresses);
    2 * addresses.filter(|address| address.addr().is_ipv4() == ipv4).count() as u64
}
