//! What nft prints for a table becomes the table and its elements again; what is not known is passed over.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::wire::{self, Decoded};
use crate::resource::Resource;
use crate::resource::nft::{NftElement, NftTable, NftTableId};
use crate::resource::nft_set;
use crate::resource::owner::Owner;
use crate::resource::state::Entry;

/// How the name of the chain begins that says which rules were asked for.
const SKELETON: &str = "skeleton-";
/// How the name of the chain begins that says how nft printed them.
pub(super) const PRINTED: &str = "printed-";

/// A table as nft prints it.
#[derive(Debug)]
pub(super) struct Listing {
    id: NftTableId,
    skeleton: Option<String>,
    remembered: Option<String>,
    printed: String,
    elements: Vec<Entry>,
    /// Whether it holds an element that is none of ours.
    strange: bool,
}

impl Listing {
    /// Reads the document `{"nftables": [...]}`.
    pub(super) fn parse(id: NftTableId, document: Map<String, Value>) -> Self {
        let mut listing = Self {
            id,
            skeleton: None,
            remembered: None,
            printed: String::new(),
            elements: vec![],
            strange: false,
        };
        let mut hash = Sha256::new();
        let objects = document.into_iter().filter(|(name, _)| name == "nftables").map(|(_, value)| value);
        for object in objects.flat_map(|value| if let Value::Array(all) = value { all } else { vec![] }) {
            let Value::Object(object) = object else { continue };
            for (kind, mut value) in object {
                if kind == "metainfo" || listing.is_seal(&kind, &value) {
                    continue;
                }
                if kind == "set" || kind == "map" {
                    listing.take_elements(&mut value);
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
    pub(super) fn entries(self) -> Vec<Entry> {
        let Self { id, skeleton, remembered, printed, elements, strange } = self;
        let intact = remembered.is_some_and(|remembered| remembered == printed) && !strange;
        let table = NftTable { id, digest: skeleton.unwrap_or_default(), intact, body: vec![] };
        let table = Entry {
            resource: Resource::NftTable(table),
            owner: Owner::Project,
            origin: None,
            ignore: vec![],
        };
        [table].into_iter().chain(elements).collect()
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

    fn take_elements(&mut self, set: &mut Value) {
        let Value::Object(set) = set else { return };
        let Some(Value::Array(elements)) = set.remove("elem") else { return };
        let name = set.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(spec) = nft_set::find(self.id.family, name) else {
            // The set of an older netform, or of somebody's hand: the digest says so.
            return;
        };
        for element in elements {
            let Some(Decoded { key, data, comment }) = wire::decode(spec, &element) else {
                self.strange = true;
                continue;
            };
            let (table, set) = (self.id.clone(), spec.name.into());
            let element = NftElement { table, set, key, data, stance: spec.stance };
            let owner = comment.and_then(|comment| Owner::try_from(comment).ok()).unwrap_or(Owner::Project);
            let resource = Resource::NftElement(element);
            self.elements.push(Entry { resource, owner, origin: None, ignore: vec![] });
        }
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
