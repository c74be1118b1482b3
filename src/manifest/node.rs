//! A YAML value in which each node knows its place.

use smol_str::SmolStr;

use super::Place;

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it stands; the key's place when there is no text, as in `front:`.
    pub(crate) place: Place,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Nothing, `null` or `~`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits.
    Integer(i64),
    /// Any other number, as YAML writes it.
    Number(String),
    /// Text.
    Text(SmolStr),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text.
    Map(Vec<Entry>),
    /// Something that has a problem already, and must not get another one.
    Refused,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: SmolStr,
    /// Where the key stands.
    pub(crate) at: Place,
    /// The value.
    pub(crate) value: Node,
}

impl Kind {
    /// Returns what users call it, as in "this is a list".
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Bool(_) => "`true` or `false`",
            Self::Integer(_) | Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Refused => "not readable",
        }
    }
}
