//! External addresses as addresses of the host's uplink, so that its neighbours find them there.
//!
//! The link is somebody else's, and only the address is ours: its mark is the protocol number, and that our firewall has it
//! in a set, which is there before the address and goes after it. It is alone in its prefix, so that no route comes with it,
//! and an IPv6 one is deprecated from the beginning: the host itself begins nothing with it (RFC 6724 section 5, rule 3).

use ipnet::IpNet;

use super::entry;
use crate::resource::Resource;
use crate::resource::address::Address;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::topology::{Container, External, Seat};

/// Returns the addresses that the host has for a container.
pub(super) fn of_container(container: &Container) -> Vec<Entry> {
    let there = container.attachments.iter().filter(|attachment| !attachment.waits());
    let all = there.flat_map(|attachment| &attachment.external);
    let address = |External { origin, address, target: _, seat }: &External| {
        let link = match seat {
            Seat::On(link) => link.clone(),
            Seat::Others | Seat::Waits(_) => return None,
        };
        let resource = Resource::Address(Address::new(NsRef::Host, link, IpNet::from(*address)));
        Some(entry(resource, &Owner::External(*address), origin))
    };
    all.filter_map(address).collect()
}
