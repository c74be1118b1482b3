//! What is ours and what is others', as it comes to light.

use std::collections::BTreeMap;

use crate::resource::owner::Owner;
use crate::resource::state::{Entry, Foreign, Observed, Placed};
use crate::resource::{Resource, ResourceId, Slot};

/// What was seen of a part of what is there.
#[derive(Default)]
pub(crate) struct Sight {
    own: Vec<Placed>,
    /// What of it is in the firewall, tables and elements, in order.
    elements: Vec<Placed>,
    pub(super) foreign: BTreeMap<Slot, Foreign>,
}

impl Sight {
    /// Begins with what is in the firewall.
    pub(super) fn of(elements: Vec<Placed>, foreign: BTreeMap<Slot, Foreign>) -> Self {
        Self { own: vec![], elements: Placed::in_order(elements), foreign }
    }

    /// Notes an object of ours; of those with the same id the last one counts.
    pub(super) fn insert(&mut self, resource: Resource, owner: Owner) {
        self.own.push(Entry { resource, owner, origin: None, ignore: vec![] }.into());
    }

    /// Tells whether the firewall has this element.
    pub(super) fn has_element(&self, id: &ResourceId) -> bool {
        self.elements.binary_search_by(|element| element.id().cmp(id)).is_ok()
    }

    /// Puts all in order.
    pub(super) fn in_order(self) -> Self {
        Self { own: Placed::in_order(self.own), ..self }
    }

    /// Returns what is ours, the firewall aside.
    pub(super) fn own(&self) -> &[Placed] {
        &self.own
    }

    /// Returns what was seen of two parts.
    pub(super) fn and(self, other: Self) -> Observed {
        let Self { mut own, elements, mut foreign } = self;
        let parts = [other.own, elements, other.elements];
        own.reserve(parts.iter().map(Vec::len).sum());
        parts.into_iter().for_each(|part| own.extend(part));
        foreign.extend(other.foreign);
        Observed { own: own.into(), foreign }
    }
}
