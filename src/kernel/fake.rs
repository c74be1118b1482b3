//! A kernel that lives in memory, is stricter than Linux, and fails or dies on demand. It is for tests.
//!
//! It refuses to make what has nothing to stand on or whose place is taken, takes along what the kernel takes along, and
//! carries out a wave in whichever order it was told, since a wave promises none.

mod sets;

use std::collections::BTreeMap;
use std::sync::Arc;

use sets::{fits, refused, transaction_rank};
use smol_str::SmolStr;
use tokio::sync::Notify;

use super::{Glance, Kernel, ObserveError, Op, OpError, Scope};
use crate::names::{IfName, Mac, NetnsName};
use crate::resource::link::{LinkKind, Peer};
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::qdisc::QdiscKind;
use crate::resource::route::Route;
use crate::resource::state::{Entry, Foreign, Observed, State};
use crate::resource::sysctl::{Sysctl, SysctlKey};
use crate::resource::{Bond, Resource, ResourceId, Slot};

/// In which order a wave is carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaveOrder {
    /// As given.
    #[default]
    Forward,
    /// The last first.
    Backward,
}

/// A kernel in memory.
#[derive(Debug, Clone, Default)]
pub struct Fake {
    /// What is there of ours, and what is nobody's: with an owner that says so.
    pub own: State,
    /// What is there of others; it never changes.
    pub foreign: BTreeMap<Slot, Foreign>,
    /// In which order a wave is carried out.
    pub order: WaveOrder,
    /// Operations that fail, counted from 0 over the whole life.
    pub fails_at: Vec<usize>,
    /// The operation before which the process is killed: `execute` never returns, and `dead` is notified.
    pub dies_at: Option<usize>,
    /// Told when `dies_at` was reached.
    pub dead: Arc<Notify>,
    /// How many more times `observe` still shows the host end of a veth pair whose namespace was deleted.
    pub lingers: usize,
    /// How many operations were begun.
    pub begun: usize,
    /// Every operation that succeeded, in order.
    pub log: Vec<Op>,
    dying: BTreeMap<ResourceId, usize>,
}

impl Kernel for Fake {
    async fn observe(&mut self, scope: &Scope) -> Result<Observed, ObserveError> {
        self.bury();
        let hidden =
            |entry: &Entry| entry.owner.is_unmarked() && !scope.unmarked.contains(&entry.resource.id());
        let mut own: State = self
            .own
            .iter()
            .filter(|(_, entry)| !hidden(entry))
            .filter_map(|(_, entry)| seen(entry))
            .collect();
        let mut foreign = self.foreign.clone();
        for (id, entry) in self.own.iter().filter(|(_, entry)| hidden(entry)) {
            let slots = entry.resource.provides().into_iter().filter(|slot| !slot.is_for_many());
            foreign
                .extend(slots.map(|slot| {
                    (slot, Foreign { what: id.to_string(), owner: None, on: None, bears: None })
                }));
        }
        for (ns, key) in &scope.sysctls {
            if let Some(value) = self.parameter(ns, key) {
                let resource = Resource::Sysctl(Sysctl { ns: ns.clone(), key: key.clone(), value });
                own.insert(Entry { resource, owner: Owner::Project, origin: None, ignore: vec![] });
            }
        }
        Ok(Observed { own, foreign })
    }

    async fn glance(&mut self, scope: &Scope, _: &Glance) -> Result<Observed, ObserveError> {
        self.observe(scope).await
    }

    async fn execute(&mut self, wave: &[Op]) -> Vec<Result<(), OpError>> {
        let mut order: Vec<usize> = (0..wave.len()).collect();
        if self.order == WaveOrder::Backward {
            order.reverse();
        }
        let ranked = |at: usize| wave.get(at).map(|op| (transaction_rank(op), at, op));
        let (mut transaction, others): (Vec<_>, Vec<_>) =
            order.into_iter().filter_map(ranked).partition(|(rank, _, _)| rank.is_some());
        transaction.sort_by_key(|(rank, _, _)| *rank);
        let mut results = BTreeMap::new();
        if self.dies_at.is_some_and(|at| (self.begun..self.begun + transaction.len()).contains(&at)) {
            self.die().await;
        }
        let (before, logged) = (self.own.clone(), self.log.len());
        let mut failed = None;
        for (_, _, op) in &transaction {
            failed = failed.or(self.step(op).err());
        }
        if failed.is_some() {
            self.own = before;
            self.log.truncate(logged);
        }
        results.extend(transaction.iter().map(|(_, at, _)| (*at, failed.clone().map_or(Ok(()), Err))));
        for (_, at, op) in others {
            if self.dies_at == Some(self.begun) {
                self.die().await;
            }
            results.insert(at, self.step(op));
        }
        results.into_values().collect()
    }

    async fn execute_in_order(&mut self, ops: &[&Op]) -> Vec<Option<Result<(), OpError>>> {
        let is_firewall = |op: &&&Op| transaction_rank(op).is_some();
        let firewall: Vec<Op> = ops.iter().take_while(is_firewall).copied().cloned().collect();
        let mut results: Vec<_> = self.execute(&firewall).await.into_iter().map(Some).collect();
        let refused = results.iter().flatten().any(Result::is_err);
        for op in ops.get(firewall.len()..).into_iter().flatten().take_while(|_| !refused) {
            if self.dies_at == Some(self.begun) {
                self.die().await;
            }
            results.push(Some(self.step(op)));
            if let Some(Some(Err(_))) = results.last() {
                break;
            }
        }
        results.resize(ops.len(), None);
        results
    }

    async fn end_flows(&mut self, _: &[Op]) {}

    async fn revive(&mut self, _: &[(NetnsName, Owner)]) -> bool {
        false
    }

    fn let_go(&mut self) {}
}

/// Returns an object as the kernel tells it: without its place in the manifest, and a table without its commands.
fn seen(entry: &Entry) -> Option<Entry> {
    let mut resource = entry.resource.clone();
    match &mut resource {
        Resource::Sysctl(_) => return None,
        Resource::NftTable(table) => table.body.clear(),
        Resource::Netns(_)
        | Resource::Link(_)
        | Resource::Address(_)
        | Resource::Route(_)
        | Resource::NftElement(_)
        | Resource::Passage(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::File(_) => {}
    }
    Some(Entry { resource, owner: entry.owner.clone(), origin: None, ignore: vec![] })
}

impl Fake {
    /// Removes an object by hand, as somebody else would, with all that goes with it.
    pub fn vanish(&mut self, id: &ResourceId) {
        if let Some(entry) = self.own.remove(id) {
            self.cascade(&entry.resource);
        }
    }

    /// Returns a kernel parameter; its place exists as long as its namespace and link do.
    pub fn parameter(&self, ns: &NsRef, key: &SysctlKey) -> Option<SmolStr> {
        let id = ResourceId::Sysctl(ns.clone(), key.clone());
        if let Some(Resource::Sysctl(Sysctl { value, .. })) = self.own.get(&id).map(|entry| &entry.resource) {
            return Some(value.clone());
        }
        let link = key.link().map(|link| Slot::Ifname(ns.clone(), link.clone()));
        let there = self.is_filled(&Slot::Ns(ns.clone())) && link.is_none_or(|slot| self.is_filled(&slot));
        there.then(|| SmolStr::new_static("0"))
    }

    async fn die(&self) {
        self.dead.notify_one();
        std::future::pending::<()>().await;
    }

    fn step(&mut self, op: &Op) -> Result<(), OpError> {
        let number = self.begun;
        self.begun += 1;
        if self.fails_at.contains(&number) {
            return Err(refused(format!("operation {number} was told to fail")));
        }
        match op {
            Op::Create(entry) => self.create(entry),
            Op::Update { from, to } => self.update(from, to),
            Op::Delete(entry) => self.delete(entry),
        }?;
        self.log.push(op.clone());
        Ok(())
    }

    fn create(&mut self, entry: &Entry) -> Result<(), OpError> {
        let id = entry.resource.id();
        match (&entry.resource, self.own.get(&id)) {
            (Resource::Sysctl(_), _) | (_, None) => {}
            (_, Some(_)) => return Err(refused(format!("{id}: File exists"))),
        }
        if let Some(parent) = self.is_received_by_others(entry) {
            return Err(refused(format!("{id}: {parent}: Device or resource busy")));
        }
        let taken = entry.resource.provides().into_iter().filter(|slot| !slot.is_for_many());
        let sysctl = matches!(entry.resource, Resource::Sysctl(_));
        if let Some(slot) = taken.into_iter().find(|slot| !sysctl && self.is_filled(slot)) {
            return Err(refused(format!("{id}: File exists: {slot:?}")));
        }
        self.stands(&entry.resource)?;
        fits(&entry.resource, &self.own)?;
        let mut entry = entry.clone();
        if let Resource::Link(link) = &mut entry.resource {
            // The kernel chooses an address of its own.
            link.mac.get_or_insert(Mac([0x0a, 0, 0, 0, 0, 1]));
        }
        self.own.insert(entry);
        Ok(())
    }

    fn update(&mut self, from: &Entry, to: &Entry) -> Result<(), OpError> {
        let id = to.resource.id();
        if let Resource::Sysctl(Sysctl { ns, key, value: _ }) = &to.resource {
            self.parameter(ns, key).ok_or_else(|| refused(format!("{id}: No such file or directory")))?;
            self.own.insert(to.clone());
            return Ok(());
        }
        let there = self.own.get(&id).ok_or_else(|| refused(format!("{id}: No such device")))?;
        there.resource.can_become(&to.resource).map_err(|why| refused(format!("{id}: {why}")))?;
        if matches!(there.resource, Resource::Link(_)) && there.resource != from.resource {
            return Err(refused(format!("{id}: it is not as the plan says")));
        }
        self.stands(&to.resource)?;
        if let Resource::NftTable(table) = &to.resource {
            self.cascade_slot(&Slot::Object(ResourceId::NftTable(table.id.clone())));
        }
        self.own.insert(to.clone());
        Ok(())
    }

    fn delete(&mut self, entry: &Entry) -> Result<(), OpError> {
        let id = entry.resource.id();
        if matches!(entry.resource, Resource::Sysctl(_)) {
            return Err(refused(format!("{id}: a parameter cannot be deleted")));
        }
        self.dying.remove(&id);
        let Some(gone) = self.own.remove(&id) else { return Ok(()) };
        if let (Resource::Netns(netns), true) = (&gone.resource, self.lingers > 0) {
            let ns = NsRef::Named(netns.name.clone());
            let host_ends = self.own.iter().filter(|(_, entry)| {
                entry.resource.link().is_some_and(
                    |link| matches!(&link.kind, LinkKind::Veth(peer) if peer.ns == ns && link.ns != ns),
                )
            });
            self.dying.extend(host_ends.map(|(id, _)| (id.clone(), self.lingers)).collect::<Vec<_>>());
        }
        self.cascade(&gone.resource);
        Ok(())
    }

    /// Counts down for what the kernel is still removing.
    fn bury(&mut self) {
        let mut dead = vec![];
        for (id, left) in &mut self.dying {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => dead.push(id.clone()),
            }
        }
        for id in dead {
            self.dying.remove(&id);
            self.vanish(&id);
        }
    }

    /// Removes all that stood on an object that is gone.
    fn cascade(&mut self, gone: &Resource) {
        for slot in gone.provides() {
            if !slot.is_for_many() || !self.is_filled(&slot) {
                self.cascade_slot(&slot);
            }
        }
    }

    fn cascade_slot(&mut self, slot: &Slot) {
        let standing = self.own.iter().flat_map(|(id, entry)| {
            let needs = entry.resource.requires().into_iter().filter(|need| need.slot == *slot);
            needs.map(|need| (id.clone(), need.bond))
        });
        for (id, bond) in standing.collect::<Vec<_>>() {
            match bond {
                Bond::Dies if self.dying.contains_key(&id) => {}
                Bond::Dies => self.vanish(&id),
                Bond::Stays => {
                    if let Some(mut entry) = self.own.remove(&id) {
                        if let Resource::Link(link) = &mut entry.resource {
                            (link.master, link.hairpin, link.isolated) = (None, false, false);
                            (link.vlans, link.port) = (None, None);
                        }
                        if let Resource::Qdisc(qdisc) = &mut entry.resource {
                            qdisc.kind = QdiscKind::Diversion(None);
                        }
                        self.own.insert(entry);
                    }
                }
            }
        }
    }

    /// Checks that what an object stands on is there, that a route's link is up, and that only a bridge's port has
    /// hairpin mode and VLANs.
    fn stands(&self, resource: &Resource) -> Result<(), OpError> {
        for need in resource.requires() {
            if !self.is_filled(&need.slot) {
                return Err(refused(format!("{}: No such device: {:?}", resource.id(), need.slot)));
            }
        }
        match resource {
            Resource::Route(route) if self.is_down(route) => {
                Err(refused(format!("{}: Network is down", resource.id())))
            }
            Resource::Link(link)
                if link.master.is_none()
                    && (link.hairpin
                        || link.isolated
                        || (link.vlans.is_some() && link.kind != LinkKind::Bridge)) =>
            {
                Err(refused(format!("{}: Operation not supported", resource.id())))
            }
            Resource::Netns(_)
            | Resource::Link(_)
            | Resource::Address(_)
            | Resource::Route(_)
            | Resource::Sysctl(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_)
            | Resource::Neighbour(_)
            | Resource::Qdisc(_)
            | Resource::File(_) => Ok(()),
        }
    }

    fn is_down(&self, route: &Route) -> bool {
        let Some((by, _)) = route.leaves_by() else { return false };
        let mut links = self.own.iter().filter_map(|(_, entry)| entry.resource.link());
        links.any(|link| {
            let here = link.ns == route.ns && link.name == *by && !link.up;
            let is_there = |peer: &Peer| peer.ns == route.ns && peer.name == *by && !peer.up;
            here || link.kind.peer().is_some_and(is_there)
        })
    }

    /// Returns the link that an object would share with links of another kind.
    fn is_received_by_others<'e>(&self, entry: &'e Entry) -> Option<&'e IfName> {
        let kind = &entry.resource.link()?.kind;
        let parent = kind.shares()?;
        let differs = |other: &LinkKind| {
            let alike = std::mem::discriminant(other) == std::mem::discriminant(kind);
            other.shares() == Some(parent) && !alike
        };
        let mut others = self.own.iter().filter_map(|(_, entry)| entry.resource.link());
        others.any(|other| differs(&other.kind)).then_some(parent)
    }

    fn is_filled(&self, slot: &Slot) -> bool {
        match slot {
            Slot::Ns(NsRef::Host | NsRef::Path(_) | NsRef::Process(_)) => true,
            Slot::Ns(NsRef::Named(_))
            | Slot::Ifname(..)
            | Slot::Addressed(..)
            | Slot::Shared(_)
            | Slot::Altname(..)
            | Slot::Device(_)
            | Slot::Filtered(_)
            | Slot::Object(_) => {
                self.foreign.contains_key(slot)
                    || self.own.iter().any(|(_, entry)| entry.resource.provides().contains(slot))
            }
        }
    }
}
