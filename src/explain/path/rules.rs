//! A ruleset as `nft -j list ruleset` prints it, as far as verdicts depend on it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::explain::ruleset;

/// What stands for nothing in JSON.
static NULL: Value = Value::Null;

/// The rules of a namespace.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Chains by family, table and name.
    chains: BTreeMap<Place, Chain>,
    /// Sets and maps by family, table and name.
    sets: BTreeMap<Place, Vec<(Value, Option<Value>)>>,
    /// What is written beside the elements of sets, in the same order.
    beside: BTreeMap<Place, Vec<Option<String>>>,
    /// The texts of rules, by family, table and handle.
    texts: BTreeMap<(String, String, u64), String>,
}

/// Family, table and name.
pub(super) type Place = (String, String, String);

/// A chain.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Where packets come to it; `None` when they come from other chains only.
    pub(super) base: Option<Base>,
    /// Its rules, in order.
    pub(super) rules: Vec<Rule>,
}

/// Where packets come to a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// Whether it translates addresses.
    pub(super) translates: bool,
    /// The hook: `forward`.
    pub(super) hook: String,
    /// Its place among the chains of the hook.
    pub(super) priority: i64,
    /// Whether it drops what no rule decides.
    pub(super) drops: bool,
}

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its number in the table.
    pub(super) handle: u64,
    /// What its owner wrote beside it.
    pub(super) comment: Option<String>,
    /// Its conditions and actions.
    pub(super) parts: Vec<Value>,
}

impl Rules {
    /// Reads a ruleset and its listing; `None` when that is no ruleset.
    pub(super) fn parse(json: &str, listing: &str) -> Option<Self> {
        let document: Value = serde_json::from_str(json).ok()?;
        let mut rules = Self::default();
        for object in document.get("nftables")?.as_array()? {
            rules.read(object);
        }
        for table in ruleset::parse(listing) {
            for (handle, text) in table.chains.into_iter().flat_map(|chain| chain.rules) {
                rules.texts.insert((table.family.clone(), table.name.clone(), handle), text);
            }
        }
        Some(rules)
    }

    fn read(&mut self, object: &Value) -> Option<()> {
        let (kind, fields) = object.as_object()?.iter().next()?;
        let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
        let place = |name: &str| Some((text("family")?, text("table")?, text(name)?));
        match kind.as_str() {
            "chain" => {
                let base = text("hook").map(|hook| Base {
                    translates: text("type").is_some_and(|kind| kind == "nat"),
                    hook,
                    priority: fields.get("prio").and_then(Value::as_i64).unwrap_or(0),
                    drops: text("policy").is_some_and(|policy| policy == "drop"),
                });
                self.chains.entry(place("name")?).or_default().base = base;
            }
            "rule" => {
                let rule = Rule {
                    handle: fields.get("handle").and_then(Value::as_u64)?,
                    comment: text("comment"),
                    parts: fields.get("expr")?.as_array()?.clone(),
                };
                self.chains.entry(place("chain")?).or_default().rules.push(rule);
            }
            "set" | "map" => {
                let all = fields.get("elem").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                self.sets.insert(place("name")?, all.iter().map(element).collect());
                self.beside.insert(place("name")?, all.iter().map(comment).collect());
            }
            _ => {}
        }
        Some(())
    }

    /// Returns a chain.
    pub(super) fn chain(&self, place: &Place) -> Option<&Chain> {
        self.chains.get(place)
    }

    /// Returns the chains that packets come to at a hook in one of these families, in the order in which they do. All that
    /// translate stand where the kernel's own translation does, whatever their priority (`nf_nat_inet_fn()`).
    pub(super) fn base(&self, hook: &str, families: &[&str]) -> Vec<(&Place, &Chain, &Base)> {
        let here = |base: &Base, family: &str| base.hook == hook && families.contains(&family);
        let mut all: Vec<_> = self
            .chains
            .iter()
            .filter_map(|(place, chain)| Some((place, chain, chain.base.as_ref()?)))
            .filter(|(place, _, base)| here(base, &place.0))
            .collect();
        all.sort_by_key(|(_, _, base)| match (base.translates, hook) {
            (true, "prerouting" | "output") => (-100, base.priority),
            (true, _) => (100, base.priority),
            (false, _) => (base.priority, 0),
        });
        all
    }

    /// Returns the elements of a set or a map, with what a map holds.
    pub(super) fn set(&self, place: &Place) -> Option<&[(Value, Option<Value>)]> {
        self.sets.get(place).map(Vec::as_slice)
    }

    /// Returns what is written beside an element of a set, by its place among them.
    pub(super) fn beside(&self, set: &Place, element: usize) -> Option<&str> {
        self.beside.get(set)?.get(element)?.as_deref()
    }

    /// Returns the text of a rule.
    pub(super) fn text(&self, (family, table, _): &Place, handle: u64) -> Option<&str> {
        self.texts.get(&(family.clone(), table.clone(), handle)).map(String::as_str)
    }

    /// Tells whether any rule is kept in a family.
    pub(super) fn has(&self, family: &str) -> bool {
        self.chains.iter().any(|((other, _, _), chain)| other == family && !chain.rules.is_empty())
    }
}

/// Returns the key of an element, and what a map holds under it: `{"elem": {"val": KEY}}`, `[KEY, DATA]` or the bare key.
pub(super) fn element(element: &Value) -> (Value, Option<Value>) {
    match element.as_array().map(Vec::as_slice) {
        Some([key, data]) => (bare(key), Some(data.clone())),
        Some(_) | None => (bare(element), None),
    }
}

/// Returns what is written beside an element.
fn comment(element: &Value) -> Option<String> {
    field(field(element, "elem"), "comment").as_str().map(str::to_owned)
}

fn bare(key: &Value) -> Value {
    key.get("elem").and_then(|elem| elem.get("val")).unwrap_or(key).clone()
}

/// Returns a field of an object; nothing when it has none.
pub(super) fn field<'v>(value: &'v Value, key: &str) -> &'v Value {
    value.get(key).unwrap_or(&NULL)
}
