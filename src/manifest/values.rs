//! The values of a YAML text, read by `serde_yaml` and joined with their places on the way.

use std::fmt;
use std::iter;

use foldhash::HashSet;
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
    text: &'t str,
    all: serde_yaml::Deserializer<'t>,
    first: Option<serde_yaml::Deserializer<'t>>,
    /// The value of the only document, of which only the places are not known yet.
    bare: Option<Node>,
}

impl<'t> Documents<'t> {
    pub(super) fn of(source: &'t Source) -> Self {
        let text: &str = &source.text;
        Self { text, all: serde_yaml::Deserializer::from_str(text), first: None, bare: None }
    }

    /// Reads the text as far as that needs no places: mostly to its end.
    pub(super) fn begin(&mut self) {
        self.follow();
        // What aliases stand for may be too much, which is known with the places.
        if !self.text.contains(['&', '*']) {
            self.bare = self.read_bare();
        }
    }

    /// Follows the text to the end of its first document.
    fn follow(&mut self) {
        self.first = self.all.next();
    }

    /// Returns the value of the only document without places, unless there is something that is to be said at its place.
    fn read_bare(&mut self) -> Option<Node> {
        let (spans, mut report) = (Spans::default(), Report::default());
        let mut reading =
            Reading { file: 0, text: self.text, spans: &spans, knows_places: false, report: &mut report };
        let above = Place { file: 0, start: 0, end: 0 };
        let value = Value { reading: &mut reading, id: None, above };
        let node = value.deserialize(self.first.take()?).ok();
        let is_only = self.all.next().is_none();
        node.filter(|_| is_only && report.is_empty())
    }
}

/// Returns the value of a text. Tags and keys that are not text are reported.
///
/// # Errors
///
/// What `serde_yaml` says of a text that is no YAML, or of one with several documents.
pub(super) fn read<'t>(
    (file, source): (usize, &'t Source),
    mut documents: Documents<'t>,
    spans: &Spans,
    report: &mut Report,
) -> Result<Node, serde_yaml::Error> {
    let mut reading = Reading { file, text: &source.text, spans, knows_places: true, report };
    let above = Place { file, start: 0, end: 0 };
    if let Some(mut node) = documents.bare.take()
        && reading.locate(&mut node, spans.root, above)
    {
        return Ok(node);
    }
    if documents.first.is_none() {
        documents = Documents::of(source);
        documents.follow();
    }
    let Documents { mut all, first, .. } = documents;
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
    /// Whether `spans` has them.
    knows_places: bool,
    report: &'r mut Report,
}

impl Reading<'_> {
    /// Says of a value that was read without places where all in it stands; tells whether that is known.
    fn locate(&self, node: &mut Node, id: Option<Id>, above: Place) -> bool {
        node.place = self.place(id).unwrap_or(above);
        let place = node.place;
        match &mut node.kind {
            Kind::List(items) => {
                let ids = id.map_or(&[][..], |id| self.spans.items(id));
                let ids = ids.iter().copied().map(Some).chain(iter::repeat(None));
                items.iter_mut().zip(ids).all(|(item, id)| self.locate(item, id, place))
            }
            // That no key is there twice is known by the places.
            Kind::Map(entries) => id.is_some_and(|id| {
                let ids = self.spans.entries(id).iter().copied().map(Some).chain(iter::repeat(None));
                entries.iter_mut().zip(ids).all(|(entry, ids)| {
                    let (key_id, value_id) = ids.unzip();
                    let key_place = self.key_place(key_id, &entry.key);
                    entry.at = key_place.unwrap_or(place);
                    self.locate(&mut entry.value, value_id.filter(|_| key_place.is_some()), entry.at)
                })
            }),
            Kind::Null
            | Kind::Bool(_)
            | Kind::Integer(_)
            | Kind::Number(_)
            | Kind::Text(_)
            | Kind::Refused => true,
        }
    }

    fn place(&self, id: Option<Id>) -> Option<Place> {
        let range = self.spans.range(id?)?;
        (!range.is_empty()).then_some(Place { file: self.file, start: range.start, end: range.end })
    }

    /// Returns the place of a key, unless the two looks at the text disagree.
    fn key_place(&self, id: Option<Id>, key: &str) -> Option<Place> {
        let place = self.place(id)?;
        let text = self.text.get(place.start..place.end)?;
        (text == key || text.starts_with(['"', '\'', '&', '*', '!', '|', '>'])).then_some(place)
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
        let mut list = Vec::with_capacity(ids.len());
        while let Some(item) = items.next_element_seed(Value { reading, id: ids.next(), above: place })? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let Self { reading, id, place } = self;
        let spans = reading.spans;
        let mut ids = id.map_or(&[][..], |id| spans.entries(id)).iter().copied();
        let mut entries = Vec::with_capacity(ids.len());
        let mut merged = vec![];
        loop {
            let (key_id, value_id) = ids.next().unzip();
            let Some(key) = map.next_key_seed(Value { reading, id: key_id, above: place })? else { break };
            let key_place = match &key.kind {
                Kind::Text(key) => reading.key_place(key_id, key),
                Kind::Null
                | Kind::Bool(_)
                | Kind::Integer(_)
                | Kind::Number(_)
                | Kind::List(_)
                | Kind::Map(_)
                | Kind::Refused => reading.place(key_id),
            };
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
        if !reading.knows_places {
            return if merged.is_empty() { Ok(Kind::Map(entries)) } else { Err(A::Error::custom("merges")) };
        }
        if id.is_none() || !merged.is_empty() {
            let mut known = HashSet::default();
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

#[cfg(test)]
mod tests {
    use super::super::sources::Sources;
    use super::super::spans::index;
    use super::*;

    /// Checks that a text says the same, at the same places, when its values are read before the places are known.
    #[track_caller]
    fn check(text: &str, is_bare: bool) {
        let mut sources = Sources::default();
        sources.add("shop.yaml", text);
        let source = &sources.files()[0];
        let spans = index(source).unwrap_or_default();
        let said = |documents: Documents<'_>| {
            let mut report = Report::default();
            let node = read((0, source), documents, &spans, &mut report);
            format!("{:?} {:?}", node.map_err(|error| error.to_string()), report.problems)
        };
        let (mut bare, mut placed) = (Documents::of(source), Documents::of(source));
        bare.begin();
        placed.follow();
        assert_eq!(bare.bare.is_some(), is_bare, "{text}");
        assert_eq!(said(bare), said(placed), "{text}");
    }

    #[test]
    fn a_text_says_the_same_with_and_without_places() {
        check("a: 1\nb: [x, {y: z}]\n'c':\n  - ~\n  - {}\n", true);
        check("ä: {ö: ü} # ß\n? k\n: v\nempty:\n", true);
        check("a: 1\na: 2\n", true);
        check("a: !tag 1\n", false);
        check("1: a\n[x]: b\n", false);
        check("a: {<<: {b: 1}, c: 2}\n", false);
        check("a: &x {b: 1}\nc: *x\n", false);
        check("a: 1\n---\nb: 2\n", false);
        check("a: [1\n", false);
        check("", true);
    }

    #[test]
    fn the_manifests_of_the_tests_say_the_same_with_and_without_places() {
        let all = ["valid", "invalid"]
            .map(|kind| format!("{}/testdata/manifests/{kind}", env!("CARGO_MANIFEST_DIR")));
        let files = all.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap());
        let texts = files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok());
        let mut bare = 0;
        for text in texts {
            let mut sources = Sources::default();
            sources.add("shop.yaml", text.as_str());
            let mut documents = Documents::of(&sources.files()[0]);
            documents.begin();
            let is_bare = documents.bare.is_some();
            bare += usize::from(is_bare);
            check(&text, is_bare);
        }
        assert!(bare > 100, "most are read so: {bare}");
    }
}
