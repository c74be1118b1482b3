//! What a text means, its places and its layout aside.

use serde_yaml::{Mapping, Value};

use super::super::node::{Entry, Kind, Node};
use super::super::report::Report;
use super::super::sources::Sources;
use super::super::yaml;

/// Returns what a text means to netform's own reader, merge keys and aliases followed; `None` when it cannot be read.
pub fn meaning(text: &str) -> Option<Value> {
    let mut sources = Sources::default();
    let file = sources.add("", text);
    let mut report = Report::default();
    let node = yaml::read(file, sources.get(file)?, &mut report)?;
    if report.is_empty() { value(&node) } else { None }
}

fn value(node: &Node) -> Option<Value> {
    Some(match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(flag) => Value::Bool(*flag),
        Kind::Integer(number) => Value::Number((*number).into()),
        // Numbers that do not fit 64 bits, and fractions: no manifest has a use for them, they only have to stay.
        Kind::Number(text) => serde_yaml::from_str(text).ok()?,
        Kind::Text(text) => Value::String(text.to_string()),
        Kind::List(items) => Value::Sequence(items.iter().map(value).collect::<Option<_>>()?),
        Kind::Map(entries) => {
            let entry = |Entry { key, at: _, value: node }: &Entry| {
                Some((Value::String(key.to_string()), value(node)?))
            };
            Value::Mapping(entries.iter().map(entry).collect::<Option<Mapping>>()?)
        }
        Kind::Refused => return None,
    })
}

/// Tells whether two values are the same, in the same order: that of keys is the order of interfaces.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Mapping(one), Value::Mapping(other)) => {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len()
                && pairs.all(|((key, value), (other_key, other))| key == other_key && same(value, other))
        }
        (Value::Sequence(one), Value::Sequence(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (one, other) => one == other,
    }
}
