//! The firewall's table: a skeleton of rules that does not grow, and the elements of its sets and maps.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::ResourceId;

impl ResourceId {
    /// Tells whether the object judges packets or leads them elsewhere.
    pub fn is_of_firewall(&self) -> bool {
        match self {
            Self::NftTable(_) | Self::NftElement(..) | Self::Passage(..) => true,
            Self::Netns(_)
            | Self::Link(..)
            | Self::Address(..)
            | Self::Route(..)
            | Self::Sysctl(..)
            | Self::Neighbour(..)
            | Self::Qdisc(..)
            | Self::File(_) => false,
        }
    }
}

/// The address family of an nft table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NftFamily {
    /// IPv4 and IPv6 together.
    Inet,
    /// Frames that a bridge forwards between its ports.
    Bridge,
}

impl NftFamily {
    /// Returns the name as nft writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Bridge => "bridge",
        }
    }
}

/// Which table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NftTableId {
    /// Its address family.
    pub family: NftFamily,
    /// Its name: `netform-PROJECT`.
    pub name: SmolStr,
}

/// A table without the elements of its sets and maps: chains, rules, set declarations.
///
/// Two tables are equal when their digests are: what nft prints for a rule changes between its versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NftTable {
    /// Which table.
    pub id: NftTableId,
    /// The digest of the skeleton that was asked for; in the kernel it is kept as the name of an empty chain.
    pub digest: String,
    /// Whether nobody has edited it since: what is there now is what was there right after it was made.
    pub intact: bool,
    /// The skeleton as nft's JSON commands, for whoever has to make it; empty when read from the kernel.
    #[serde(default)]
    pub body: Vec<serde_json::Value>,
}

impl PartialEq for NftTable {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, &self.digest, self.intact) == (&other.id, &other.digest, other.intact)
    }
}

impl Eq for NftTable {}

/// An element of a set or a map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NftElement {
    /// The table that the set is in.
    pub table: NftTableId,
    /// The set or map.
    pub set: SmolStr,
    /// The key's parts in canonical text: `172.25.0.5`, `tcp`, `8080`, `10.7.0.0/24`, `9000-9010`, `br-front`.
    pub key: Vec<SmolStr>,
    /// What a map holds under the key; `None` in a set.
    pub data: Option<SmolStr>,
    /// When it comes and goes in an apply.
    pub stance: Stance,
}

/// Whether an element lets packets through or holds them back; decides when it comes and goes.
///
/// What restricts comes before the links that it restricts and goes after them; what allows comes after what it leads to
/// and goes before it. So at no moment of an apply is anything allowed that neither the old nor the new manifest allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stance {
    /// Packets are refused or hidden because of it.
    Restricts,
    /// Packets pass because of it.
    Allows,
}
