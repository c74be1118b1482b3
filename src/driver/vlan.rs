//! The VLAN that a network stands on, where nobody has made it: `parent: eth0.10` on a host with `eth0`.
//!
//! It belongs to the first network that stands on it, and goes with the last. It is up whatever its parent is, so that a
//! parent that is down is no drift of ours.

use foldhash::HashSet;

use super::{AltNames, entry};
use crate::names::IfName;
use crate::resource::Resource;
use crate::resource::link::{Link, LinkKind};
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::topology::Network;

/// Returns the VLAN of a network, unless another one of `made` has it, or it is somebody else's.
pub(super) fn link<'t>(
    network: &'t Network,
    made: &mut HashSet<&'t IfName>,
    names: &mut AltNames<'_>,
) -> Option<Entry> {
    let (vlan, mtu) = network.vlan.as_ref().filter(|_| made.insert(&network.interface))?;
    let link = Resource::from(Link {
        altname: names.give(&[network.name.as_str()]),
        ..Link::alone(NsRef::Host, network.interface.clone(), *mtu, LinkKind::Vlan(vlan.clone()))
    });
    Some(entry(link, &Owner::Network(network.name.clone()), &network.origin))
}
