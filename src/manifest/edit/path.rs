//! Where something is in a manifest: `networks.front.subnets[0]`.

use std::fmt;

use serde_yaml::{Mapping, Value};
use thiserror::Error;

/// A step from a map or a list into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To the value of a key.
    Key(String),
    /// To an item, counted from 0.
    Item(usize),
}

/// A way from the top of a manifest to something in it; the empty one is the whole.
///
/// Keys are separated by dots, items are counted in brackets from 0. A key that holds a dot or a bracket stands in double
/// quotes: `containers."db.internal".networks[0]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a path: {why}")]
pub struct PathError {
    text: String,
    why: &'static str,
}

/// Why a value is not where a path leads.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoWay {
    /// There is nothing of that name or number.
    #[error("there is no `{0}`")]
    Missing(Path),
    /// The path goes on where there is neither a map nor a list, or the other of the two.
    #[error("`{0}` is no {1}")]
    Not(Path, &'static str),
}

impl Path {
    /// Returns the path to the value of a key that is at this one.
    pub fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// Returns the path to an item of the list at this one.
    pub fn item(&self, index: usize) -> Self {
        self.with(Step::Item(index))
    }

    fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// Returns the path to what holds this one, and the last step; `None` for the whole.
    pub fn split(&self) -> Option<(Self, &Step)> {
        let (last, above) = self.0.split_last()?;
        Some((Self(above.to_vec()), last))
    }

    /// Returns how many steps lead to something that is there.
    pub fn reaches(&self, root: &Value) -> usize {
        let mut at = Some(root);
        let steps = self.0.iter().take_while(|step| {
            at = at.and_then(|value| inside(value, step));
            at.is_some()
        });
        steps.count()
    }

    /// Returns what is there.
    ///
    /// # Errors
    ///
    /// How far the path leads.
    pub fn get<'v>(&self, root: &'v Value) -> Result<&'v Value, NoWay> {
        let (mut at, mut way) = (root, Self::default());
        for step in &self.0 {
            at = inside(at, step).ok_or_else(|| no_way(at, &way, step))?;
            way = way.with(step.clone());
        }
        Ok(at)
    }

    /// Puts a value there; maps on the way are made where there is nothing, and the item behind a list's last is added.
    ///
    /// # Errors
    ///
    /// Where the path leads nowhere.
    pub fn set(&self, root: &mut Value, value: Value) -> Result<(), NoWay> {
        let (mut at, mut way) = (root, Self::default());
        for step in &self.0 {
            if at.is_null() {
                *at = match step {
                    Step::Key(_) => Value::Mapping(Mapping::new()),
                    Step::Item(_) => Value::Sequence(vec![]),
                };
            }
            at = match (at, step) {
                (Value::Mapping(map), Step::Key(key)) => {
                    map.entry(Value::String(key.clone())).or_insert(Value::Null)
                }
                (Value::Sequence(list), Step::Item(index)) => {
                    if *index == list.len() {
                        list.push(Value::Null);
                    }
                    list.get_mut(*index).ok_or_else(|| NoWay::Missing(way.with(step.clone())))?
                }
                (other, step) => return Err(no_way(other, &way, step)),
            };
            way = way.with(step.clone());
        }
        *at = value;
        Ok(())
    }

    /// Takes away what is there.
    ///
    /// # Errors
    ///
    /// How far the path leads.
    pub fn unset(&self, root: &mut Value) -> Result<(), NoWay> {
        self.get(root)?;
        let Some((above, last)) = self.split() else {
            *root = Value::Null;
            return Ok(());
        };
        let mut at = root;
        for step in &above.0 {
            at = match step {
                Step::Key(key) => at.get_mut(key.as_str()),
                Step::Item(index) => at.get_mut(*index),
            }
            .ok_or_else(|| NoWay::Missing(self.clone()))?;
        }
        match (at, last) {
            (Value::Mapping(map), Step::Key(key)) => drop(map.shift_remove(key.as_str())),
            (Value::Sequence(list), Step::Item(index)) => drop(list.remove(*index)),
            _ => return Err(NoWay::Missing(self.clone())),
        }
        Ok(())
    }
}

fn inside<'v>(value: &'v Value, step: &Step) -> Option<&'v Value> {
    match step {
        Step::Key(key) => value.as_mapping()?.get(key.as_str()),
        Step::Item(index) => value.as_sequence()?.get(*index),
    }
}

fn no_way(at: &Value, way: &Path, step: &Step) -> NoWay {
    match (at, step) {
        (Value::Mapping(_), Step::Key(_)) | (Value::Sequence(_), Step::Item(_)) | (Value::Null, _) => {
            NoWay::Missing(way.with(step.clone()))
        }
        (_, Step::Key(_)) => NoWay::Not(way.clone(), "map"),
        (_, Step::Item(_)) => NoWay::Not(way.clone(), "list"),
    }
}

impl TryFrom<&str> for Path {
    type Error = PathError;

    fn try_from(text: &str) -> Result<Self, PathError> {
        let wrong = |why| PathError { text: super::super::fields::shortened(text), why };
        let mut steps = vec![];
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let (number, behind) = inside.split_once(']').ok_or_else(|| wrong("`[` without `]`"))?;
                let number = number.parse().map_err(|_| wrong("write the number of an item in brackets"))?;
                steps.push(Step::Item(number));
                rest = behind;
                continue;
            }
            if !steps.is_empty() {
                rest = rest.strip_prefix('.').ok_or_else(|| wrong("write a dot between keys"))?;
            }
            let (key, behind) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or_else(|| wrong("a quote is not closed"))?,
                None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
            };
            if key.is_empty() {
                return Err(wrong("a key is missing"));
            }
            steps.push(Step::Key(key.to_owned()));
            rest = behind;
        }
        Ok(Self(steps))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    let dot = if at == 0 { "" } else { "." };
                    let quote = if key.contains(['.', '[', ']', '"']) { "\"" } else { "" };
                    write!(f, "{dot}{quote}{key}{quote}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn a_path_is_keys_with_dots_and_items_in_brackets() {
        for text in ["networks.front.subnets[0]", "containers.\"db.internal\".networks[2].x", "a[0][1]", ""] {
            assert_eq!(Path::try_from(text).unwrap().to_string(), text);
        }
        for text in ["a..b", ".a", "a.", "a[x]", "a[0", "a[0]b", "a.\"b", "[-1]"] {
            assert!(Path::try_from(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_made_on_the_way() {
        let mut root = value("networks: {front: }");

        Path::try_from("networks.front.mtu").unwrap().set(&mut root, value("1400")).unwrap();
        Path::try_from("networks.front.subnets[0]").unwrap().set(&mut root, value("10.7.0.0/24")).unwrap();

        assert_eq!(root, value("networks: {front: {mtu: 1400, subnets: [10.7.0.0/24]}}"));
    }

    #[test]
    fn a_path_that_leads_nowhere_says_how_far_it_led() {
        let root = value("networks: {front: {mtu: 1400, subnets: [10.7.0.0/24]}}");
        for (path, why) in [
            ("networks.frnot.mtu", "there is no `networks.frnot`"),
            ("networks.front.mtu.x", "`networks.front.mtu` is no map"),
            ("networks[0]", "`networks` is no list"),
            ("networks.front.subnets[1]", "there is no `networks.front.subnets[1]`"),
        ] {
            assert_eq!(Path::try_from(path).unwrap().get(&root).unwrap_err().to_string(), why);
            assert!(Path::try_from(path).unwrap().unset(&mut root.clone()).is_err());
        }
    }
}
