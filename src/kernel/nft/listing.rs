//! What nft prints for a table, and the elements that the kernel holds, become entries again; what is not known is passed over.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::elements::{self, Elements};
use crate::resource::Resource;
use crate::resource::nft::{NftTable, NftTableId};
use crate::resource::owner::Owner;
use crate::resource::state::Entry;

/// How the name of the chain begins that says which rules were asked for.
const SKELETON: &str = "skeleton-";
/// How the name of the chain begins that says how nft printed them.
pub(super) const PRINTED: &str = "printed-";

/// A table as nft prints it, without elements.
#[derive(Debug)]
pub(super) struct Listing {
    id: NftTableId,
    skeleton: Option<String>,
    remembered: Option<String>,
    printed: String,
}

impl Listing {
    /// Reads the document `{"nftables": [...]}`.
    pub(super) fn parse(id: NftTableId, document: Map<String, Value>) -> Self {
        let mut listing = Self { id, skeleton: None, remembered: None, printed: String::new() };
        let mut hash = Sha256::new();
        let objects = document.into_iter().filter(|(name, _)| name == "nftables").map(|(_, value)| value);
        for object in objects.flat_map(|value| if let Value::Array(all) = value { all } else { vec![] }) {
            let Value::Object(object) = object else { continue };
            for (kind, mut value) in object {
                if kind == "metainfo" || listing.is_seal(&kind, &value) {
                    continue;
                }
                canonicalise(&mut value);
                hash.update(format!("{kind} {value}\n"));
            }
        }
        listing.printed = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        listing
    }

    /// Returns the digest of the table as it is printed, without elements.
    pub(super) fn printed(&self) -> &str {
        &self.printed
    }

    /// Returns the table and its elements.
    pub(super) fn entries(self, elements: Vec<Elements>) -> Vec<Entry> {
        let Self { id, skeleton, remembered, printed } = self;
        let strange = elements.iter().any(|(_, all)| all.iter().any(Option::is_none));
        let intact = remembered.is_some_and(|remembered| remembered == printed) && !strange;
        let body = vec![];
        let table = NftTable { id: id.clone(), digest: skeleton.unwrap_or_default(), intact, body };
        let table = Entry {
            resource: Resource::NftTable(table),
            owner: Owner::Project,
            origin: None,
            ignore: vec![],
        };
        [table].into_iter().chain(elements::entries(&id, elements)).collect()
    }

    /// Notes what a chain of ours remembers; tells whether it is the one that is not part of what it remembers.
    fn is_seal(&mut self, kind: &str, value: &Value) -> bool {
        let name = value.get("name").and_then(Value::as_str).filter(|_| kind == "chain");
        let Some(name) = name else { return false };
        if let Some(digest) = name.strip_prefix(SKELETON) {
            self.skeleton = Some(digest.to_owned());
        }
        let remembered = name.strip_prefix(PRINTED);
        self.remembered = remembered.map(str::to_owned).or(self.remembered.take());
        remembered.is_some()
    }
}

/// Takes out what differs between two tables of the same rules: handles and counts, and the order of anonymous sets.
fn canonicalise(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["handle", "packets", "bytes"] {
                fields.remove(name);
            }
            for name in ["set", "flags"] {
                if let Some(Value::Array(items)) = fields.get_mut(name) {
                    items.sort_by_key(ToString::to_string);
                }
            }
            fields.values_mut().for_each(canonicalise);
        }
        Value::Array(items) => items.iter_mut().for_each(canonicalise),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
