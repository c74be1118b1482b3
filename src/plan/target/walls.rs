//! What of the firewall cannot be changed in part: policies, and the table when it loses sets that are in use.

use std::collections::{BTreeMap, BTreeSet};

use super::{Part, SelectError};
use crate::resource::nft::NftTableId;
use crate::resource::owner::Owner;
use crate::resource::state::{Desired, Entry};
use crate::resource::{Resource, ResourceId};

/// Has a part hold all policies, or none: which of them decides depends on those before it, and what they decide may not
/// overlap.
pub(super) fn together(part: &mut Part, known: &BTreeSet<Owner>) -> Result<(), SelectError> {
    let is_policy = |owner: &&Owner| matches!(owner, Owner::Policy(_));
    let excluded = part.excludes.iter().find(is_policy);
    match (part.targets.iter().find(is_policy), excluded) {
        (Some(target), Some(needs)) => {
            return Err(SelectError::Needs { target: target.clone(), needs: needs.clone() });
        }
        (_, Some(_)) => part.chosen.retain(|owner| !is_policy(&owner)),
        (_, None) if part.chosen.iter().any(|owner| is_policy(&owner)) => {
            part.chosen.extend(known.iter().filter(is_policy).cloned());
        }
        (_, None) => {}
    }
    Ok(())
}

/// The sets of the tables that shall be there.
pub(super) struct Declared<'d>(BTreeMap<&'d NftTableId, BTreeSet<&'d str>>);

impl<'d> Declared<'d> {
    pub(super) fn by(desired: &'d Desired) -> Self {
        let mut declared = BTreeMap::new();
        for entry in desired.0.iter().map(|(_, entry)| entry) {
            if let Resource::NftTable(table) = &entry.resource {
                let name = |command: &'d serde_json::Value| {
                    let add = command.get("add")?;
                    add.get("set").or(add.get("map"))?.get("name")?.as_str()
                };
                declared.insert(&table.id, table.body.iter().filter_map(name).collect::<BTreeSet<_>>());
            }
        }
        Self(declared)
    }

    /// Returns the table that shall have no such set any more.
    pub(super) fn without(&self, entry: &Entry) -> Option<ResourceId> {
        let element = entry.resource.element()?;
        let sets = self.0.get(&element.table).filter(|sets| !sets.is_empty())?;
        let gone = !sets.contains(element.set.as_str());
        gone.then(|| ResourceId::NftTable(element.table.clone()))
    }
}
