//! A pair of links, and nothing else: between two containers, or between the host and one.
//!
//! Between two containers neither end is on the host, whose firewall and routes have no say. The pair is known by the end
//! of the container whose name comes first in the alphabet, which does not change with the order of the manifest. Each end
//! carries the mark of its own attachment: whoever of the two is gone, the other's end says whose it was. The pair is made
//! when both containers are there.
//!
//! Between the host and a container, the host's end is what a bridge is elsewhere: it has the gateway's addresses and the
//! parameters that are explained in [`super::bridge`], and the firewall knows the network by it. It comes and goes with the
//! container.

use foldhash::HashMap;

use super::bridge::{self, Wants};
use super::{AltNames, entry};
use crate::manifest::OtherEnd;
use crate::names::NetName;
use crate::resource::Resource;
use crate::resource::link::{Link, LinkKind, Peer, Tag};
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::topology::{Attachment, Container, Driver, Network, Runtime, Topology};

/// A container that is there, with its end.
type Holder<'t> = (&'t Container, &'t Attachment);

/// The pairs between two containers that are both there, by network.
pub(super) struct Pairs<'t>(HashMap<&'t NetName, [Holder<'t>; 2]>);

/// What of a pair between two containers belongs to an attachment.
pub(super) enum End<'t> {
    /// Nothing: the other container is not there.
    None,
    /// The end by which the pair is known, with the other.
    First(Holder<'t>),
    /// The other end.
    Second,
}

impl<'t> Pairs<'t> {
    /// Returns the pairs of a topology.
    pub(super) fn of(topology: &'t Topology) -> Self {
        let direct = |network: &&Network| network.driver == Driver::Veth(OtherEnd::Container);
        let mut holders: HashMap<&NetName, Vec<Holder<'t>>> =
            topology.networks.iter().filter(direct).map(|network| (&network.name, vec![])).collect();
        if holders.is_empty() {
            return Self(HashMap::default());
        }
        for container in &topology.containers {
            match container.runtime {
                Runtime::Netform | Runtime::Given => {}
                Runtime::Waiting | Runtime::Shared => continue,
            }
            for attachment in &container.attachments {
                if let Some(holders) = holders.get_mut(&attachment.network) {
                    holders.push((container, attachment));
                }
            }
        }
        let both = holders.into_iter().filter_map(|(name, mut holders)| {
            holders.sort_by_key(|(container, _)| &container.name);
            Some((name, holders.try_into().ok()?))
        });
        Self(both.collect())
    }

    /// Returns what belongs to an attachment.
    pub(super) fn end(&self, container: &Container, attachment: &Attachment) -> End<'t> {
        match self.0.get(&attachment.network) {
            None => End::None,
            Some([(first, _), second]) if first.name == container.name => End::First(*second),
            Some(_) => End::Second,
        }
    }
}

/// Returns the pair between two containers, by its first end.
pub(super) fn pair(
    (container, attachment): Holder<'_>,
    other: Holder<'_>,
    names: &mut AltNames<'_>,
) -> Entry {
    let Attachment { network, origin, link, mac, mtu, .. } = attachment;
    let owner = |container: &Container| Owner::Attachment {
        container: container.name.clone(),
        network: network.clone(),
    };
    let mut altname = |container: &Container| names.give(&[container.name.as_str(), network.as_str()]);
    let (there, end) = other;
    let link = Link {
        mac: Some(*mac),
        altname: altname(container),
        ..Link::alone(
            container.ns.clone(),
            link.clone(),
            *mtu,
            LinkKind::Veth(Peer {
                ns: there.ns.clone(),
                name: end.link.clone(),
                mac: end.mac,
                mtu: *mtu,
                up: true,
                tag: Some(Tag { owner: owner(there), altname: altname(there) }),
            }),
        )
    };
    entry(Resource::from(link), &owner(container), origin)
}

/// Returns the pair between the host and a container, with what stands on the host's end.
pub(super) fn with_host(
    (container, attachment): Holder<'_>,
    network: &Network,
    wants: &Wants<'_>,
    names: &mut AltNames<'_>,
) -> Vec<Entry> {
    let pair = bridge::attachment(container, attachment, network, names);
    pair.into_iter().chain(bridge::on_host(network, wants)).collect()
}
