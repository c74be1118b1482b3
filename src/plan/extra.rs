//! What a plan shows that no state holds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::target;
use crate::names::{ContainerName, IfName};
use crate::resource::owner::{Origin, Owner};

/// What a plan shows that no state holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// Containers whose namespace is not there yet, with their place in the manifest.
    #[serde(default)]
    pub waiting: Vec<(ContainerName, Option<Origin>)>,
    /// What else is declared and has nothing on the host meanwhile, since what it needs is not there.
    #[serde(default)]
    pub idle: Vec<Owner>,
    /// Sentences that the user should read before agreeing.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Whether the manifest declares nothing at all.
    #[serde(default)]
    pub manifest_empty: bool,
    /// Links that a default route of the host leaves by, and that containers are to have for themselves.
    #[serde(default)]
    pub uplinks: BTreeSet<IfName>,
    /// What the creation of a resource means where that is less than its name says, in words.
    #[serde(default)]
    pub effects: BTreeMap<String, String>,
    /// Those of the warnings that say what other projects keep from containers on bridges of theirs.
    #[serde(default)]
    pub joined: Vec<String>,
    /// Which resources the plan is about; `None` is all of them.
    #[serde(default)]
    pub part: Option<target::Part>,
}

impl Extra {
    /// Tells whether a resource waits for what is not there.
    pub fn waits(&self, owner: &Owner) -> bool {
        self.lacks_its_container(owner) || self.idle.contains(owner)
    }

    /// Tells whether a resource is of a container that waits.
    pub fn lacks_its_container(&self, owner: &Owner) -> bool {
        match owner {
            Owner::Container(name) | Owner::Attachment { container: name, network: _ } => {
                self.waiting.iter().any(|(waiting, _)| waiting == name)
            }
            Owner::Project
            | Owner::Network(_)
            | Owner::Port(_)
            | Owner::Policy(_)
            | Owner::External(_)
            | Owner::Unmarked(_) => false,
        }
    }
}
