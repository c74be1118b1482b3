//! Operations become nft's commands.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use smol_str::SmolStr;

use super::wire;
use crate::kernel::{FailureKind, Op, OpError};
use crate::resource::nft::{NftElement, NftTable, NftTableId};
use crate::resource::nft_set::{self, SETS, SetSpec};
use crate::resource::state::Entry;
use crate::resource::{Resource, ResourceId};

/// What is done in one go: deletions, then tables, then additions.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    deletions: BTreeMap<Place, Vec<(ResourceId, Value)>>,
    /// Tables with the commands that make them; the whole of an old one goes first.
    made: BTreeMap<NftTableId, Vec<Value>>,
    /// Those among them that are not there before.
    first: BTreeSet<NftTableId>,
    gone: BTreeSet<NftTableId>,
    additions: BTreeMap<Place, Vec<Value>>,
}

/// A set or map: its table, and its place in [`SETS`], so that what holds packets back is written first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    table: NftTableId,
    index: usize,
    set: SmolStr,
}

impl Transaction {
    /// Sorts operations on tables and elements.
    ///
    /// # Errors
    ///
    /// When a table shall be made whose rules are not known: an empty one would let everything through.
    pub(super) fn of(ops: &[&Op]) -> Result<Self, OpError> {
        let mut transaction = Self::default();
        for op in ops {
            match op {
                Op::Create(entry) => transaction.add(entry)?,
                Op::Delete(entry) => transaction.delete(entry),
                Op::Update { from, to } => {
                    // A table is swapped whole: its new commands begin with the old one's deletion.
                    if let Resource::NftElement(_) = from.resource {
                        transaction.delete(from);
                    }
                    transaction.add(to)?;
                }
            }
        }
        let Self { deletions, made, first: _, gone, additions: _ } = &mut transaction;
        gone.retain(|id| !made.contains_key(id));
        // The elements of a table go with it.
        deletions.retain(|place, _| !made.contains_key(&place.table) && !gone.contains(&place.table));
        Ok(transaction)
    }

    fn add(&mut self, entry: &Entry) -> Result<(), OpError> {
        match &entry.resource {
            Resource::NftTable(NftTable { id, body, digest, intact: _ }) => {
                if body.is_empty() {
                    let message = format!("the rules of digest {digest} are not known");
                    return Err(OpError { kind: FailureKind::Other, message });
                }
                self.made.insert(id.clone(), body.clone());
            }
            Resource::NftElement(element) => {
                // A set of an older netform is not in a table of today: there is nothing to hold.
                if let Some((place, spec)) = place(element) {
                    let command = wire::encode(spec, element, &entry.owner);
                    self.additions.entry(place).or_default().push(command);
                }
            }
            Resource::Netns(_)
            | Resource::Link(_)
            | Resource::Address(_)
            | Resource::Route(_)
            | Resource::Sysctl(_)
            | Resource::Passage(_)
            | Resource::Neighbour(_)
            | Resource::Qdisc(_)
            | Resource::File(_) => {}
        }
        Ok(())
    }

    fn delete(&mut self, entry: &Entry) {
        match &entry.resource {
            Resource::NftTable(table) => {
                self.gone.insert(table.id.clone());
            }
            Resource::NftElement(element) => {
                if let Some((place, spec)) = place(element) {
                    let key = wire::encode_key(spec, &element.key);
                    self.deletions.entry(place).or_default().push((entry.resource.id(), key));
                }
            }
            Resource::Netns(_)
            | Resource::Link(_)
            | Resource::Address(_)
            | Resource::Route(_)
            | Resource::Sysctl(_)
            | Resource::Passage(_)
            | Resource::Neighbour(_)
            | Resource::Qdisc(_)
            | Resource::File(_) => {}
        }
    }

    pub(super) fn deletes_elements(&self) -> bool {
        !self.deletions.is_empty()
    }

    pub(super) fn tables_with_deletions(&self) -> BTreeSet<NftTableId> {
        self.deletions.keys().map(|place| place.table.clone()).collect()
    }

    /// Gives up the deletions of what is not there.
    pub(super) fn keep_deletions(&mut self, there: &BTreeSet<ResourceId>) {
        for keys in self.deletions.values_mut() {
            keys.retain(|(id, _)| there.contains(id));
        }
        self.deletions.retain(|_, keys| !keys.is_empty());
    }

    pub(super) fn makes_tables(&self) -> bool {
        !self.made.is_empty()
    }

    /// Notes which tables are there, so that of the others nothing goes first: the kernel waits some 10 ms after a
    /// transaction that deletes something (`nf_tables_commit_release()`, `net/netfilter/nf_tables_api.c`).
    pub(super) fn know(&mut self, there: &BTreeSet<NftTableId>) {
        self.first = self.made.keys().filter(|id| !there.contains(id)).cloned().collect();
    }

    /// Returns the tables that are made.
    pub(super) fn made(&self) -> impl Iterator<Item = &NftTableId> {
        self.made.keys()
    }

    /// Returns all commands, those for the elements of one set as one.
    pub(super) fn commands(&self) -> Vec<Value> {
        self.pieces(usize::MAX).into_iter().flatten().collect()
    }

    /// Returns all commands in pieces with at most so many elements each. Restricting elements of a new table stand first,
    /// so that they are in the same piece.
    pub(super) fn pieces(&self, limit: usize) -> Vec<Vec<Value>> {
        let mut pieces = Pieces { limit, done: vec![], current: vec![], room: limit };
        for (place, keys) in &self.deletions {
            let keys: Vec<&Value> = keys.iter().map(|(_, key)| key).collect();
            pieces.elements("delete", place, &keys);
        }
        for id in self.gone.iter().chain(self.made.keys()) {
            let table = json!({"table": {"family": id.family.as_str(), "name": id.name}});
            if self.first.contains(id) {
                // Unlike `add`, it fails when somebody has made one in the meantime.
                pieces.current.push(json!({"create": table}));
            } else {
                // `delete` alone fails when there is no table, and nft 1.0.6 knows no `destroy`.
                pieces.current.extend([json!({"add": table}), json!({"delete": table})]);
            }
        }
        pieces.current.extend(self.made.values().flatten().cloned());
        for (place, elements) in &self.additions {
            pieces.elements("add", place, &elements.iter().collect::<Vec<_>>());
        }
        pieces.done.push(pieces.current);
        pieces.done.retain(|piece| !piece.is_empty());
        pieces.done
    }
}

struct Pieces {
    limit: usize,
    done: Vec<Vec<Value>>,
    current: Vec<Value>,
    room: usize,
}

impl Pieces {
    fn elements(&mut self, verb: &str, place: &Place, mut elements: &[&Value]) {
        let Place { table, index: _, set } = place;
        while !elements.is_empty() {
            if self.room == 0 {
                self.done.push(std::mem::take(&mut self.current));
                self.room = self.limit;
            }
            let (now, later) = elements.split_at(elements.len().min(self.room));
            self.room -= now.len();
            elements = later;
            let (family, name) = (table.family.as_str(), &table.name);
            let element = json!({"family": family, "table": name, "name": set, "elem": now});
            self.current.push(json!({verb: {"element": element}}));
        }
    }
}

fn place(element: &NftElement) -> Option<(Place, &'static SetSpec)> {
    let spec = nft_set::find(element.table.family, &element.set)?;
    let index = SETS.iter().position(|set| set == spec)?;
    Some((Place { table: element.table.clone(), index, set: element.set.clone() }, spec))
}
