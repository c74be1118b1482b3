//! The VLANs of bridges and their ports: when they are looked at, and how they are changed.
//!
//! Whether a bridge keeps VLANs apart comes with every link, which VLANs a port has does not. That is asked for only where
//! it matters: a bridge of ours does, or the manifest or the last apply names a VLAN.

use std::collections::BTreeMap;

use super::answer::{LinkAnswer, each, short_at, short_of, u32_at, value_of};
use super::links::{Outcome, channel, found, send, send_unless};
use super::live::Live;
use super::message::{self, VlanVerb};
use super::netlink::{Blocking, Refusal};
use super::{OpError, Scope};
use crate::names::ProjectName;
use crate::resource::link::{Link, LinkKind};
use crate::resource::vlan::{Filtering, PortVlans, VlanId};

/// A VLAN of a bridge, or of a port of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VlanEntry {
    /// Which one.
    pub(crate) id: u16,
    /// Whether what comes without a tag is in it: `BRIDGE_VLAN_INFO_PVID`.
    pub(crate) is_own: bool,
    /// Whether what leaves has no tag: `BRIDGE_VLAN_INFO_UNTAGGED`.
    pub(crate) is_untagged: bool,
}

/// Reads some of the VLANs of a link, by its index; `None` for anything else. Behind `struct br_vlan_msg` is a
/// `BRIDGE_VLANDB_ENTRY` for each, or for a range of them: `include/uapi/linux/if_bridge.h`.
pub(super) fn read_answer(kind: u16, body: &[u8]) -> Option<(u32, Vec<VlanEntry>)> {
    const RTM_NEWVLAN: u16 = 112;
    let (header, attributes) = body.split_at_checked(8).filter(|_| kind == RTM_NEWVLAN)?;
    let mut entries = vec![];
    each(attributes, |kind, entry| {
        // `BRIDGE_VLANDB_ENTRY_INFO` is `struct bridge_vlan_info`, `_RANGE` the last one of a range.
        let info = value_of(entry, 1).filter(|_| kind == 1).unwrap_or_default();
        let (Some(flags), Some(first)) = (short_at(&info, 0), short_at(&info, 2)) else { return };
        let last = short_of(entry, 2).unwrap_or(first);
        let (is_own, is_untagged) = (flags & 2 != 0, flags & 4 != 0);
        entries.extend((first..=last).map(|id| VlanEntry { id, is_own, is_untagged }));
    });
    Some((u32_at(header, 4)?, entries))
}

/// What has to be known to tell whose VLANs matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Those of bridges of ours that keep them apart.
    Ours,
    /// Those of all bridges that keep them apart.
    Apart,
    /// Those of all bridges and ports.
    All,
}

impl Asked {
    pub(super) fn by(scope: &Scope) -> Self {
        if scope.vlans { Self::All } else { Self::Ours }
    }
}

/// Notes on the links of a namespace which VLANs they have, as far as that matters.
pub(super) fn read(
    socket: &mut Blocking,
    links: &mut [LinkAnswer],
    (asked, is_whole): (Asked, bool),
    project: Option<&ProjectName>,
) -> Result<(), Refusal> {
    let matters = |bridge: &&LinkAnswer| {
        bridge.kind == "bridge"
            && match asked {
                Asked::All => true,
                Asked::Apart => bridge.filters,
                Asked::Ours => {
                    bridge.filters && bridge.mark().is_some_and(|mark| Some(&mark.project) == project)
                }
            }
    };
    let bridges: Vec<u32> = links.iter().filter(matters).map(|bridge| bridge.index).collect();
    if bridges.is_empty() {
        return Ok(());
    }
    let is_meant = |link: &LinkAnswer| {
        bridges.contains(&link.index) || link.master.is_some_and(|master| bridges.contains(&master))
    };
    let mut known = BTreeMap::<u32, Vec<VlanEntry>>::new();
    let indexes: Vec<u32> = links.iter().filter(|link| is_meant(link)).map(|link| link.index).collect();
    for index in if is_whole { vec![0] } else { indexes } {
        for (index, entries) in socket.vlans(index)? {
            known.entry(index).or_default().extend(entries);
        }
    }
    for link in links.iter_mut().filter(|link| is_meant(link)) {
        link.vlans = Some(known.remove(&link.index).unwrap_or_default());
    }
    Ok(())
}

/// Returns how a bridge keeps VLANs apart, when it does.
pub(super) fn filtering(link: &LinkAnswer) -> Option<Filtering> {
    let filters = link.kind == "bridge" && link.filters;
    filters.then_some(Filtering { default: link.default_vlan })
}

/// Returns the VLANs of a port of a bridge, or of a bridge itself, when they were asked for and are not what the bridge gives
/// every port; the bridge is among `links`.
pub(super) fn of(link: &LinkAnswer, links: &[LinkAnswer]) -> Option<PortVlans> {
    let entries = link.vlans.as_ref()?;
    let index = link.master.unwrap_or(link.index);
    let bridge = links.iter().find(|bridge| bridge.index == index && bridge.kind == "bridge")?;
    // Without any, the kernel has none at all, or the bridge gives none.
    let is_bare = entries.is_empty() && bridge.default_vlan.is_none();
    let vlans = port_vlans(entries);
    (!is_bare && !vlans.is_usual(bridge.default_vlan)).then_some(vlans)
}

/// Returns the VLANs of a port.
pub(super) fn port_vlans(entries: &[VlanEntry]) -> PortVlans {
    let mut vlans = PortVlans { vlan: None, trunks: vec![], intact: true };
    for VlanEntry { id, is_own, is_untagged } in entries {
        match (VlanId::try_from(*id), is_own, is_untagged) {
            (Ok(id), true, true) => vlans.vlan = Some(id),
            (Ok(id), false, false) => vlans.trunks.push(id),
            _ => vlans.intact = false,
        }
    }
    vlans.trunks.sort_unstable();
    vlans
}

/// Gives a port of a bridge, or a bridge itself, its VLANs, in the place of whichever it has. What it shall not have goes
/// first, so that it is never in both.
pub(super) async fn set(live: &Live, link: &Link) -> Outcome {
    let here = channel(live, &link.ns)?;
    let is_bridge = link.kind == LinkKind::Bridge;
    let index = found(here, &link.name)?;
    let wanted = match (&link.vlans, &link.master) {
        (Some(vlans), _) => entries(vlans),
        (None, None) => usual(Filtering::OURS.default),
        // What it is given by a bridge of others is up to them, and may have changed since that was looked at.
        (None, Some(master)) => {
            here.forget_indexes();
            usual(here.link(master).map_err(OpError::from)?.default_vlan)
        }
    };
    let there = here.vlans(index).map_err(OpError::from)?;
    let has = |entry: &VlanEntry| wanted.iter().any(|it| it.id == entry.id);
    let gone: Vec<VlanEntry> = there.iter().filter(|entry| !has(entry)).copied().collect();
    let come: Vec<VlanEntry> = wanted.iter().filter(|entry| !there.contains(entry)).copied().collect();
    if !gone.is_empty() {
        send_unless(here, message::vlans((index, is_bridge), VlanVerb::Remove, &gone), &[]).await?;
    }
    if !come.is_empty() {
        send(here, message::vlans((index, is_bridge), VlanVerb::Put, &come), 0).await?;
    }
    Ok(())
}

fn usual(default: Option<VlanId>) -> Vec<VlanEntry> {
    let own = |id: VlanId| VlanEntry { id: id.number(), is_own: true, is_untagged: true };
    default.into_iter().map(own).collect()
}

fn entries(vlans: &PortVlans) -> Vec<VlanEntry> {
    let tagged = |id: &VlanId| VlanEntry { id: id.number(), is_own: false, is_untagged: false };
    vlans.trunks.iter().map(tagged).chain(usual(vlans.vlan)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attribute of two numbers.
    fn attribute(kind: u16, numbers: &[u16]) -> Vec<u8> {
        let length = 4 + 2 * numbers.len() as u16;
        let mut bytes: Vec<u8> =
            [length, kind].iter().chain(numbers).flat_map(|it| it.to_ne_bytes()).collect();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn entry(parts: &[Vec<u8>]) -> Vec<u8> {
        let body = parts.concat();
        [(body.len() as u16 + 4).to_ne_bytes(), 1_u16.to_ne_bytes()]
            .concat()
            .into_iter()
            .chain(body)
            .collect()
    }

    #[test]
    fn what_the_kernel_tells_of_a_port_is_one_vlan_and_those_with_tags() {
        let head = [[7, 0, 0, 0], 9_u32.to_ne_bytes()].concat();
        let own = entry(&[attribute(1, &[6, 10])]);
        let range = entry(&[attribute(1, &[0, 20]), attribute(2, &[22])]);
        let (index, entries) = read_answer(112, &[head, own, range].concat()).unwrap();

        let ids: Vec<u16> = entries.iter().map(|entry| entry.id).collect();
        assert_eq!((index, ids.as_slice()), (9, [10, 20, 21, 22].as_slice()));
        let PortVlans { vlan, trunks, intact } = port_vlans(&entries);
        assert_eq!((vlan.map(VlanId::number), trunks.len(), intact), (Some(10), 3, true));
    }

    #[test]
    fn what_is_taken_otherwise_than_it_is_given_is_nobodys_wish() {
        let odd = |is_own, is_untagged| port_vlans(&[VlanEntry { id: 10, is_own, is_untagged }]).intact;
        assert!(odd(true, true) && odd(false, false) && !odd(true, false) && !odd(false, true));
    }
}
