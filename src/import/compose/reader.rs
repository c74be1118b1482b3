//! Reads the values of a Compose file leniently, as Compose does, and keeps what is wrong and what has no equivalent.

use std::collections::{BTreeMap, BTreeSet};

use super::variables::{self, Variables};
use crate::import::Item;
use crate::manifest::{Entry, Kind, Node, Place, Problem, Report};

/// What is noted while a file is read.
pub(super) struct Reader<'a> {
    variables: &'a Variables,
    /// What is wrong.
    pub(super) report: Report,
    /// What has no equivalent.
    pub(super) notes: Vec<(Place, String)>,
    /// The variables that were replaced, with what by, and where that comes from.
    pub(super) used: BTreeMap<String, (String, &'static str)>,
    /// Those that are not set.
    pub(super) unset: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(variables: &'a Variables) -> Self {
        let (notes, used, unset) = (vec![], BTreeMap::new(), BTreeSet::new());
        Self { variables, report: Report::default(), notes, used, unset }
    }

    /// Says that something is wrong with the file.
    pub(super) fn wrong(&mut self, place: Place, message: impl Into<String>, label: &str) {
        self.report.add(Problem::new("compose::invalid", message, place, label));
    }

    /// Notes what has no equivalent: at its item, and in the list.
    pub(super) fn note(&mut self, item: &mut Item, place: Place, (what, why): (&str, &str)) {
        item.notes.push(format!("{what}: {why}"));
        let name = item.name.as_deref().unwrap_or_default();
        let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
        self.notes.push((place, format!("{name}{what}: {why}")));
    }

    /// Returns a text, variables replaced; a number or truth value is one, too. Nothing is `None`.
    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Null | Kind::Refused => None,
            Kind::Bool(value) => Some(value.to_string()),
            Kind::Integer(number) => Some(number.to_string()),
            Kind::Number(number) => Some(number.clone()),
            Kind::Text(text) => self.replaced(text, node.place),
            Kind::List(_) | Kind::Map(_) => {
                let message = format!("a single value is wanted here, and this is {}", node.kind.describe());
                self.wrong(node.place, message, "not a single value");
                None
            }
        }
    }

    fn replaced(&mut self, text: &str, place: Place) -> Option<String> {
        match variables::replace(text, self.variables) {
            Ok(replaced) => {
                self.used.extend(replaced.used.into_iter().map(|(name, value, from)| (name, (value, from))));
                self.unset.extend(replaced.unset);
                Some(replaced.text)
            }
            Err(why) => {
                self.wrong(place, why, "not understood");
                None
            }
        }
    }

    /// Returns a truth value.
    pub(super) fn flag(&mut self, node: &Node) -> Option<bool> {
        let text = self.text(node)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "1" => Some(true),
            "false" | "no" | "off" | "n" | "0" => Some(false),
            _ => {
                self.wrong(node.place, format!("`{text}` is neither true nor false"), "not a truth value");
                None
            }
        }
    }

    /// Returns a text that is of a kind, such as an address.
    pub(super) fn parsed<T>(
        &mut self,
        node: &Node,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(node)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.wrong(node.place, format!("`{text}` is not {what}"), &format!("not {what}"));
        }
        parsed
    }

    /// Returns the entries of a map, those of extensions (`x-`) left out; nothing is an empty one.
    pub(super) fn map<'n>(&mut self, node: &'n Node) -> Vec<&'n Entry> {
        match &node.kind {
            Kind::Map(entries) => entries.iter().filter(|entry| !entry.key.starts_with("x-")).collect(),
            Kind::Null | Kind::Refused => vec![],
            Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
                let message = format!("a map is wanted here, and this is {}", node.kind.describe());
                self.wrong(node.place, message, "not a map");
                vec![]
            }
        }
    }

    /// Returns the items of a list; nothing is an empty one, and a single value is a list of one.
    pub(super) fn list<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) => items,
            Kind::Null | Kind::Refused => &[],
            Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Text(_) => std::slice::from_ref(node),
            Kind::Map(_) => {
                self.wrong(node.place, "a list is wanted here, and this is a map", "not a list");
                &[]
            }
        }
    }

    /// Returns the items of a list as texts, each with its place.
    pub(super) fn texts(&mut self, node: &Node) -> Vec<(String, Place)> {
        let items = self.list(node);
        items.iter().filter_map(|item| Some((self.text(item)?, item.place))).collect()
    }

    /// Returns pairs that are written as a map, or as a list of `KEY=VALUE`.
    pub(super) fn pairs(&mut self, node: &Node) -> Vec<(String, String, Place)> {
        match &node.kind {
            Kind::Map(entries) => {
                let pair = |entry: &Entry| {
                    Some((entry.key.to_string(), self.text(&entry.value).unwrap_or_default(), entry.at))
                };
                entries.iter().filter_map(pair).collect()
            }
            Kind::List(_)
            | Kind::Null
            | Kind::Refused
            | Kind::Bool(_)
            | Kind::Integer(_)
            | Kind::Number(_)
            | Kind::Text(_) => {
                let texts = self.texts(node).into_iter();
                let pair = |(text, place): (String, Place)| match text.split_once('=') {
                    Some((key, value)) => (key.to_owned(), value.to_owned(), place),
                    None => (text, String::new(), place),
                };
                texts.map(pair).collect()
            }
        }
    }
}
