//! The values of a YAML text, read by `serde_yaml` and joined with their places on the way.

use std::collections::HashSet;
use std::fmt;

use serde::de::{
    Deserialize as _, DeserializeSeed, Deserializer, EnumAccess, Error as _, IgnoredAny, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use smol_str::SmolStr;

use super::Place;
use super::node::{Entry, Kind, Node};
use super::problem::Problem;
use super::report::Report;
use super::sources::Source;
use super::spans::{Id, Spans};

/// What `serde_yaml` makes of a text.
pub(super) struct Documents<'t> {
    all: serde_yaml::Deserializer<'t>,
    first: Option<serde_yaml::Deserializer<'t>>,
}

impl<'t> Documents<'t> {
    pub(super) fn of(source: &'t Source) -> Self {
        Self { all: serde_yaml::Deserializer::from_str(&source.text), first: None }
    }

    /// Follows the text to the end of its first document, which is most of the work.
    pub(super) fn begin(&mut self) {
        self.first = self.all.next();
    }
}

/// Returns the value of a text. Tags and keys that are not text are reported.
///
/// # Errors
///
/// What `serde_yaml` says of a text that is no YAML, or of one with several documents.
pub(super) fn read(
    (file, source): (usize, &Source),
    mut documents: Documents<'_>,
    spans: &Spans,
    report: &mut Report,
) -> Result<Node, serde_yaml::Error> {
    if documents.first.is_none() {
        documents.begin();
    }
    let Documents { mut all, first } = documents;
    let mut reading = Reading { file, text: &source.text, spans, report };
    let above = Place { file, start: 0, end: 0 };
    let value = Value { reading: &mut reading, id: spans.root, above };
    let Some(first) = first else { return value.deserialize(all) };
    let node = value.deserialize(first)?;
    match all.next() {
        None => Ok(node),
        // It says itself that it is one too many.
        Some(_) => IgnoredAny::deserialize(all).map(|_| node),
    }
}

/// What a value needs to find its place.
struct Reading<'r> {
    file: usize,
    text: &'r str,
    spans: &'r Spans,
    report: &'r mut Report,
}

impl Reading<'_> {
    fn place(&self, id: Option<Id>) -> Option<Place> {
        let range = self.spans.range(id?)?;
        (!range.is_empty()).then_some(Place { file: self.file, start: range.start, end: range.end })
    }

    /// Returns the place of a key, unless the two looks at the text disagree.
    fn key_place(&self, id: Option<Id>, key: &Kind) -> Option<Place> {
        let place = self.place(id)?;
        let text = self.text.get(place.start..place.end)?;
        let as_written = match key {
            Kind::Text(key) => text == key || text.starts_with(['"', '\'', '&', '*', '!', '|', '>']),
            Kind::Null
            | Kind::Bool(_)
            | Kind::Integer(_)
            | Kind::Number(_)
            | Kind::List(_)
            | Kind::Map(_)
            | Kind::Refused => true,
        };
        as_written.then_some(place)
    }
}

/// A value that is about to be read, the node that it may be at, and the place of its key or of the node that it is in.
struct Value<'v, 'r> {
    reading: &'v mut Reading<'r>,
    id: Option<Id>,
    above: Place,
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let place = self.reading.place(self.id).unwrap_or(self.above);
        let kind = deserializer.deserialize_any(Content { reading: self.reading, id: self.id, place })?;
        Ok(Node { place, kind })
    }
}

/// What is at a place.
struct Content<'v, 'r> {
    reading: &'v mut Reading<'r>,
    id: Option<Id>,
    place: Place,
}

impl<'de> Visitor<'de> for Content<'_, '_> {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Kind, E> {
        Ok(Kind::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Kind, E> {
        Ok(i64::try_from(number).map_or_else(|_| Kind::Number(number.to_string()), Kind::Integer))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Kind, E> {
        Ok(Kind::Number(number.to_string()))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Kind, E> {
        Ok(Kind::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Kind, E> {
        // As YAML writes it: `.inf`, `1.0`.
        Ok(Kind::Number(serde_yaml::Number::from(number).to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
        Ok(Kind::Text(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Kind, E> {
        Ok(Kind::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let Self { reading, id, place } = self;
        let spans = reading.spans;
        let mut ids = id.map_or(&[][..], |id| spans.items(id)).iter().copied();
        let mut list = vec![];
        while let Some(item) = items.next_element_seed(Value { reading, id: ids.next(), above: place })? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let Self { reading, id, place } = self;
        let spans = reading.spans;
        let mut ids = id.map_or(&[][..], |id| spans.entries(id)).iter().copied();
        let mut entries = vec![];
        let mut merged = vec![];
        loop {
            let (key_id, value_id) = ids.next().unzip();
            let Some(key) = map.next_key_seed(Value { reading, id: key_id, above: place })? else { break };
            let key_place = reading.key_place(key_id, &key.kind);
            let at = key_place.unwrap_or(place);
            let value_id = value_id.filter(|_| key_place.is_some());
            let value = map.next_value_seed(Value { reading, id: value_id, above: at })?;
            match key.kind {
                // A key beside a merge key wins over what is merged, wherever it stands.
                Kind::Text(key) if key == "<<" => merged.push(value),
                Kind::Text(key) => entries.push(Entry { key, at, value }),
                Kind::Refused => {}
                Kind::Null
                | Kind::Bool(_)
                | Kind::Integer(_)
                | Kind::Number(_)
                | Kind::List(_)
                | Kind::Map(_) => reading.report.add(key_not_text(&key.kind, at)),
            }
        }
        if id.is_none() || !merged.is_empty() {
            let mut known = HashSet::new();
            // Where there are places, they have shown that no key is there twice.
            if let Some(twice) = entries.iter().find(|entry| !known.insert(entry.key.clone())) {
                return Err(A::Error::custom(format_args!("the key `{}` is there twice", twice.key)));
            }
            for value in merged {
                reading.merge(value, &mut entries, &mut known);
            }
        }
        Ok(Kind::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Kind, A::Error> {
        let (tag, content) = data.variant::<String>()?;
        content.newtype_variant::<IgnoredAny>()?;
        let tag = super::fields::shortened(&tag);
        let message = format!("the YAML tag `!{}` is not supported", tag.trim_start_matches('!'));
        let problem = Problem::new("manifest::tag", message, self.place, "this value has a tag");
        self.reading.report.add(problem.help("leave the tag out"));
        Ok(Kind::Refused)
    }
}

fn key_not_text(kind: &Kind, at: Place) -> Problem {
    let message = format!("a key is text, and this is {}", kind.describe());
    Problem::new("manifest::key_not_text", message, at, "must be text").help("write it in quotes")
}

impl Reading<'_> {
    /// Merges `<<: *defaults` or `<<: [*one, *other]`, of which the first that has a key wins.
    /// Source: the merge key of YAML 1.1, <https://yaml.org/type/merge.html>.
    fn merge(&mut self, value: Node, entries: &mut Vec<Entry>, known: &mut HashSet<SmolStr>) {
        match value.kind {
            Kind::Map(merged) => {
                entries.extend(merged.into_iter().filter(|entry| known.insert(entry.key.clone())));
            }
            Kind::List(items) => {
                for item in items {
                    self.merge(item, entries, known);
                }
            }
            Kind::Refused => {}
            Kind::Null | Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Text(_) => {
                self.report.add(
                    Problem::new(
                        "manifest::merge",
                        "`<<` merges maps, and this is none",
                        value.place,
                        "not a map",
                    )
                    .help("write `<<: *NAME`, where `&NAME` stands before a map"),
                );
            }
        }
    }
}
