//! The firewall: a topology becomes one table of rules that do not grow, and elements that do.
//!
//! - [`skeleton`]: the rules, in the order in which a packet meets them;
//! - [`elements`]: what each network and each link between containers puts into the sets;
//! - [`ports`]: what each published port puts into them;
//! - [`external`]: what external addresses do, when there are any: rules and elements;
//! - [`tags`]: what keeps containers from sending tags of VLANs that are not theirs, where there are VLANs;
//! - [`walls`], [`policies`]: the rules that judge by policies, when there are any, and what each policy puts into the sets.
//!
//! What an element does, and when it comes and goes in an apply, is written in [`crate::resource::nft_set::SETS`].

mod body;
mod elements;
mod external;
mod isolated;
mod policies;
mod ports;
mod skeleton;
mod tags;
mod terms;
#[cfg(test)]
mod tests;
mod walls;

use std::net::IpAddr;

use foldhash::HashSet;
use ipnet::IpNet;
use smol_str::{SmolStr, format_smolstr};

use crate::names::{NetName, ProjectName};
use crate::resource::nft::{NftElement, NftFamily, NftTable, NftTableId};
use crate::resource::nft_set::{self, Part};
use crate::resource::owner::{Origin, Owner};
use crate::resource::passage::Passage;
use crate::resource::state::Entry;
use crate::resource::{Resource, ResourceId};
use crate::topology::Topology;
use body::Body;

/// Returns the tables of a project's firewall and the elements of their sets.
///
/// The table of the IP layer is always there; that of the bridges only when a network says `icc: false`, a
/// container is isolated, or in a VLAN of its network, or there are policies.
pub fn lower(topology: &Topology) -> Vec<Entry> {
    let mut out = Elements::new(&topology.project);
    elements::add(topology, &mut out);
    ports::add(topology, &mut out);
    external::add(topology, &mut out);
    isolated::add(topology, &mut out);
    policies::add(topology, &mut out);
    tags::add(topology, &mut out);

    let passages = passages(topology);
    let Elements { project, entries, taken: _ } = out;
    let isolates = isolated::networks(topology).next().is_some();
    let (has_policies, has_tags) = (!topology.policies.all.is_empty(), tags::are_asked(topology));
    let asked = [
        (true, Part::Core),
        (external::of(topology).next().is_some(), Part::External),
        (isolates, Part::Isolation),
        (has_policies, Part::Policies),
        (has_tags, Part::Vlans),
    ];
    let parts: Vec<Part> = asked.into_iter().filter(|(asked, _)| *asked).map(|(_, part)| part).collect();
    let mut inet = Body::new(table_id(&project, NftFamily::Inet), parts.clone());
    skeleton::inet(&mut inet);
    let mut tables = vec![inet.finish()];
    let apart = topology.networks.iter().any(|network| !network.icc && !network.external);
    if apart || isolates || has_policies || has_tags {
        let mut bridge = Body::new(table_id(&project, NftFamily::Bridge), parts);
        skeleton::bridge(&mut bridge);
        tables.push(bridge.finish());
    }
    let origin = &topology.origin;
    tables.into_iter().map(|table| table_entry(table, origin)).chain(entries).chain(passages).collect()
}

/// Returns what lets packets pass the firewall of Docker.
fn passages(topology: &Topology) -> Vec<Entry> {
    let entry = |(name, passage): &(NetName, Passage)| {
        let network = topology.networks.iter().find(|network| network.name == *name);
        Entry {
            resource: Resource::Passage(passage.clone()),
            owner: Owner::Network(name.clone()),
            origin: network.map(|network| network.origin.clone()),
            ignore: vec![],
        }
    };
    topology.passages.iter().map(entry).collect()
}

/// Returns the id of a project's table.
pub fn table_id(project: &ProjectName, family: NftFamily) -> NftTableId {
    NftTableId { family, name: format_smolstr!("netform-{project}") }
}

fn table_entry(table: NftTable, origin: &Origin) -> Entry {
    Entry {
        resource: Resource::NftTable(table),
        owner: Owner::Project,
        origin: Some(origin.clone()),
        ignore: vec![],
    }
}

/// The elements so far, each key of each set once: the first who asks for it owns it.
struct Elements {
    project: ProjectName,
    entries: Vec<Entry>,
    taken: HashSet<ResourceId>,
}

impl Elements {
    fn new(project: &ProjectName) -> Self {
        Self { project: project.clone(), entries: vec![], taken: HashSet::default() }
    }

    /// Puts an element into a set (`data` is `None`) or a map.
    fn put(&mut self, set: &str, key: Vec<String>, data: Option<String>, asked: &Asked<'_>) {
        let families = [NftFamily::Inet, NftFamily::Bridge];
        let spec = families.into_iter().find_map(|family| nft_set::find(family, set));
        #[expect(
            clippy::expect_used,
            reason = "the sets are named by literals of this module; a test puts into each"
        )]
        let spec = spec.expect("the set is declared");
        let table = table_id(&self.project, spec.family);
        let element = NftElement {
            table,
            set: spec.name.into(),
            key: key.into_iter().map(SmolStr::from).collect(),
            data: data.map(SmolStr::from),
            stance: spec.stance,
        };
        let resource = Resource::NftElement(element);
        if self.taken.insert(resource.id()) {
            let (owner, origin) = (asked.owner.clone(), Some(asked.origin.clone()));
            self.entries.push(Entry { resource, owner, origin, ignore: vec![] });
        }
    }
}

/// Who asks for an element, and where.
struct Asked<'a> {
    owner: Owner,
    origin: &'a Origin,
}

/// Returns a prefix as nft writes it: that of a single address without its length.
fn prefix_text(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.trunc().to_string() }
}

/// Returns the name of the set of the family of `addr`: `target` becomes `target4` or `target6`.
fn of_family(set: &str, addr: IpAddr) -> String {
    format!("{set}{}", if addr.is_ipv4() { 4 } else { 6 })
}

/// Joins ranges that overlap, since an interval set takes none that do. The result is in order.
fn union(mut ranges: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    ranges.sort_unstable();
    let mut union: Vec<(u16, u16)> = vec![];
    for (first, last) in ranges {
        match union.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            Some(_) | None => union.push((first, last)),
        }
    }
    union
}

/// Returns a port or a range of ports as nft writes it.
fn ports_text((first, last): (u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}
