//! Changes of a manifest's text that leave its comments, order and style as they are.
//!
//! Who changes something says what the text shall mean; [`rewritten`] finds the single changes that lead there. After
//! each of them the text is read again by netform's own reader: it must mean what was meant and nothing else, and every
//! comment that is not about what goes must still be there. A change that cannot be made so is refused.

mod comments;
mod format;
mod meaning;
pub mod path;
mod render;
mod splice;
#[cfg(test)]
mod tests;

use std::ops::Range;

use serde_yaml::{Mapping, Value};
use thiserror::Error;

pub use format::formatted;
pub use meaning::{meaning, same};
use path::Path;
use splice::Places;

/// Why a text was left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// It is no YAML, or says something twice.
    #[error("the text cannot be read")]
    Unreadable,
    /// The place stands for others, too, or comes from elsewhere.
    #[error("`{path}` cannot be changed alone: an anchor, an alias or a merge key has a part in it")]
    Shared {
        /// What was to be changed.
        path: Path,
    },
    /// No change does what is meant and nothing else.
    #[error("`{path}` cannot be changed without touching something else, such as a comment inside of it")]
    Stuck {
        /// What was to be changed.
        path: Path,
    },
    /// A new layout would mean something else.
    #[error("the text cannot be laid out anew without changing what it says")]
    Layout,
}

/// Returns a value on one line, as YAML.
pub fn one_line(value: &Value) -> String {
    render::flow(value, render::Dialect::Yaml)
}

/// Returns the text that means `want`, as near to `text` as can be.
///
/// # Errors
///
/// What cannot be changed; nothing is changed then.
pub fn rewritten(text: &str, want: &Value) -> Result<String, EditError> {
    let meant = meaning(text).ok_or(EditError::Unreadable)?;
    let mut editor = Editor { text: text.to_owned(), meant };
    let old = editor.meant.clone();
    editor.change(&Path::default(), &old, want)?;
    if same(&editor.meant, want) { Ok(editor.text) } else { Err(EditError::Stuck { path: Path::default() }) }
}

/// Returns the comments that a text has lost, in order.
pub fn lost_comments(before: &str, after: &str) -> Vec<String> {
    let mut left = words(after, None);
    let mut lost = words(before, None);
    lost.retain(|comment| match left.iter().position(|other| other == comment) {
        Some(at) => {
            left.remove(at);
            false
        }
        None => true,
    });
    lost
}

/// A way to make a change: the text that it leads to, where it leads anywhere.
type Way<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A text on its way, and what it means at the moment.
struct Editor {
    text: String,
    meant: Value,
}

impl Editor {
    /// Makes what is at a path `new`.
    fn change(&mut self, path: &Path, old: &Value, new: &Value) -> Result<(), EditError> {
        if same(old, new) {
            return Ok(());
        }
        match (old, new) {
            (Value::Mapping(before), Value::Mapping(after)) if may_grow(before, after) => {
                self.change_map(path, before, after)
            }
            (Value::Sequence(before), Value::Sequence(after)) if !before.is_empty() && !after.is_empty() => {
                self.change_list(path, before, after)
            }
            (Value::Sequence(names), Value::Mapping(after)) => {
                let map = Value::Mapping(names.iter().map(|name| (name.clone(), Value::Null)).collect());
                match self.make(path, &map, None, &[&|text| splice::list_to_map(text, path)]) {
                    Ok(()) => self.change(path, &map, &Value::Mapping(after.clone())),
                    Err(_) => self.replace(path, new),
                }
            }
            (_, _) => self.replace(path, new),
        }
    }

    fn change_map(&mut self, path: &Path, before: &Mapping, after: &Mapping) -> Result<(), EditError> {
        for (key, _) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
            self.remove(&path.key(key.as_str().unwrap_or_default()))?;
        }
        for (key, new) in after {
            let name = key.as_str().unwrap_or_default();
            match before.get(key) {
                Some(old) => self.change(&path.key(name), old, new)?,
                None => self.insert(path, name, new)?,
            }
        }
        Ok(())
    }

    fn change_list(&mut self, path: &Path, before: &[Value], after: &[Value]) -> Result<(), EditError> {
        if let Some(gone) = left_out(before, after) {
            return gone.into_iter().rev().try_for_each(|index| self.remove(&path.item(index)));
        }
        for (index, (old, new)) in before.iter().zip(after).enumerate() {
            self.change(&path.item(index), old, new)?;
        }
        for index in (after.len()..before.len()).rev() {
            self.remove(&path.item(index))?;
        }
        after.iter().skip(before.len()).try_for_each(|new| self.push(path, new))
    }

    fn replace(&mut self, path: &Path, new: &Value) -> Result<(), EditError> {
        if path.0.is_empty() {
            return Err(self.refusal(path));
        }
        let gone = Places::of(&self.text).and_then(|places| places.whole_value(path));
        let by_hand: Way<'_> = &|text| splice::replace(text, path, new);
        let ways: [Way<'_>; 2] = match new {
            Value::Mapping(_) | Value::Sequence(_) => [by_hand, &|text| splice::set(text, path, new)],
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => {
                [&|text| splice::set(text, path, new), by_hand]
            }
        };
        self.make(path, new, gone, &ways)
    }

    fn insert(&mut self, path: &Path, key: &str, new: &Value) -> Result<(), EditError> {
        self.make(
            &path.key(key),
            new,
            None,
            &[
                &|text| splice::insert(text, path, key, new),
                &|text| splice::extend(text, path, Some(key), new),
                &|text| splice::append(text, path, key, new),
            ],
        )
    }

    fn push(&mut self, path: &Path, new: &Value) -> Result<(), EditError> {
        let length = path.get(&self.meant).ok().and_then(Value::as_sequence).map_or(0, Vec::len);
        self.make(
            &path.item(length),
            new,
            None,
            &[&|text| splice::push(text, path, new), &|text| splice::extend(text, path, None, new)],
        )
    }

    fn remove(&mut self, path: &Path) -> Result<(), EditError> {
        let mut want = self.meant.clone();
        path.unset(&mut want).map_err(|_| EditError::Stuck { path: path.clone() })?;
        let gone = Places::of(&self.text).and_then(|places| places.whole_entry(path));
        let above = path.split().map(|(above, _)| above).unwrap_or_default();
        let rest = above.get(&want).cloned().unwrap_or(Value::Null);
        let ways: [Way<'_>; 2] = [&|text| splice::remove(text, path), &|text| splice::cut(text, path)];
        if self.take(&want, gone.as_ref(), &ways) {
            return Ok(());
        }
        // The editor leaves no good place for what is empty, and cannot take everything out of brackets.
        let empty =
            rest.as_mapping().is_some_and(Mapping::is_empty) || rest.as_sequence().is_some_and(Vec::is_empty);
        let places = Places::of(&self.text);
        let brackets = places.as_ref().is_some_and(|places| places.is_in_brackets(&above));
        if above.0.is_empty() || !(empty || brackets) {
            return Err(self.refusal(path));
        }
        let spared = if empty { places.and_then(|places| places.whole_value(&above)) } else { gone };
        let taken = self.take(&want, spared.as_ref(), &[&|text| splice::replace(text, &above, &rest)]);
        if taken { Ok(()) } else { Err(self.refusal(path)) }
    }

    /// Goes the first way that makes what is at a path `new`, and changes nothing else; comments at `gone` may go.
    fn make(
        &mut self,
        path: &Path,
        new: &Value,
        gone: Option<Range<usize>>,
        ways: &[Way<'_>],
    ) -> Result<(), EditError> {
        let mut want = self.meant.clone();
        path.set(&mut want, new.clone()).map_err(|_| EditError::Stuck { path: path.clone() })?;
        if self.take(&want, gone.as_ref(), ways) { Ok(()) } else { Err(self.refusal(path)) }
    }

    /// Goes the first way that leads to a text which means `want` and has all comments but those at `gone`.
    fn take(&mut self, want: &Value, gone: Option<&Range<usize>>, ways: &[Way<'_>]) -> bool {
        let stay = words(&self.text, gone);
        for way in ways {
            let Some(text) = way(&self.text) else { continue };
            let is_right = meaning(&text).is_some_and(|meant| same(&meant, want));
            if is_right && keeps(&words(&text, None), &stay) {
                (self.text, self.meant) = (text, want.clone());
                return true;
            }
        }
        false
    }

    fn refusal(&self, path: &Path) -> EditError {
        let shared = ["<<:", "&", "*"].iter().any(|sign| self.text.contains(sign));
        if shared {
            EditError::Shared { path: path.clone() }
        } else {
            EditError::Stuck { path: path.clone() }
        }
    }
}

/// Tells whether one map becomes the other when keys go and others come last.
fn may_grow(before: &Mapping, after: &Mapping) -> bool {
    let stay = before.keys().filter(|key| after.contains_key(*key));
    let come = after.keys().filter(|key| !before.contains_key(*key));
    let some_stay = before.keys().any(|key| after.contains_key(key));
    some_stay && stay.chain(come).eq(after.keys())
}

/// Returns the items that `after` leaves out of `before`; `None` when it does more than that.
fn left_out(before: &[Value], after: &[Value]) -> Option<Vec<usize>> {
    let mut rest = after.iter().peekable();
    let mut gone = vec![];
    for (index, item) in before.iter().enumerate() {
        match rest.next_if(|next| same(next, item)) {
            Some(_) => {}
            None => gone.push(index),
        }
    }
    (rest.peek().is_none() && !gone.is_empty()).then_some(gone)
}

/// Returns what the comments of a text say, those at `gone` left out.
fn words(text: &str, gone: Option<&Range<usize>>) -> Vec<String> {
    let Some(places) = Places::of(text) else { return vec![] };
    let Some(source) = places.source() else { return vec![] };
    let stays =
        |range: &Range<usize>| gone.is_none_or(|gone| range.start < gone.start || range.start > gone.end);
    let all = comments::comments(source).into_iter().filter(stays);
    all.filter_map(|range| text.get(range).map(|words| words.trim_end().to_owned())).collect()
}

/// Tells whether all of `stay` are among `left`, in this order.
fn keeps(left: &[String], stay: &[String]) -> bool {
    let mut left = left.iter();
    stay.iter().all(|comment| left.any(|one| one == comment))
}
