//! What others have written down or made, as a manifest: a Compose file, the networks of a Docker host.
//!
//! Each source becomes a [`Sketch`]: items with their fields, and notes about what has no equivalent. A note stands twice:
//! as a comment at its place in the manifest, and in a list with its place in the source. Nothing is left out silently.

pub mod compose;
pub mod docker;
mod text;

use crate::resource::owner::Origin;

/// A manifest to be written, with what it could not take over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketch {
    /// What the reader should know first, a line each.
    pub head: Vec<String>,
    /// The project.
    pub project: String,
    /// The networks.
    pub networks: Vec<Item>,
    /// The containers.
    pub containers: Vec<Item>,
    /// What has no equivalent.
    pub notes: Vec<Note>,
}

/// A network or a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// Its name; an item that is only told of has none.
    pub name: Option<String>,
    /// What stands before it as comments.
    pub notes: Vec<String>,
    /// Its keys with their values.
    pub fields: Vec<(&'static str, Value)>,
}

/// A value of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, which is quoted where YAML would take it for something else.
    Text(String),
    /// A number or a truth value.
    Plain(String),
    /// A list.
    List(Vec<Value>),
    /// A map.
    Map(Vec<(String, Value)>),
}

/// Something that has no equivalent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where it stands; `None` when it is in no file.
    pub origin: Option<Origin>,
    /// What it is, and what becomes of it.
    pub text: String,
}

impl Item {
    /// Returns an item of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// Adds a key with its value, unless that is empty.
    pub fn put(&mut self, key: &'static str, value: Value) {
        let is_empty = match &value {
            Value::Text(_) | Value::Plain(_) => false,
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
        };
        if !is_empty {
            self.fields.push((key, value));
        }
    }
}

impl Value {
    /// Returns a text.
    pub fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    /// Returns a number or a truth value.
    pub fn plain(value: impl ToString) -> Self {
        Self::Plain(value.to_string())
    }

    /// Returns a list of texts.
    pub fn texts<T: ToString>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }
}
