//! Variables in a Compose file: `$NAME`, `${NAME}`, `${NAME:-default}` and the like, and files of variables.
//!
//! Source: `interpolation.md` and `12-interpolation.md` of the Compose specification.

use std::collections::BTreeMap;

/// What variables are set to, each with where that comes from.
pub type Variables = BTreeMap<String, (String, &'static str)>;

/// A text in which variables are replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Replaced {
    /// The text.
    pub(super) text: String,
    /// Those that were set, with their values and where these come from.
    pub(super) used: Vec<(String, String, &'static str)>,
    /// Those that were not set, and for which nothing stands in.
    pub(super) unset: Vec<String>,
}

/// How deep defaults may stand in defaults.
const DEEPEST: usize = 20;

/// Replaces the variables of a text.
///
/// # Errors
///
/// What is wrong with it: a brace that is not closed, no name, or what `${NAME:?message}` says.
pub(super) fn replace(text: &str, variables: &Variables) -> Result<Replaced, String> {
    let mut replaced = Replaced::default();
    replaced.text = expand(text, variables, DEEPEST, &mut replaced)?;
    Ok(replaced)
}

fn expand(text: &str, variables: &Variables, depth: usize, told: &mut Replaced) -> Result<String, String> {
    if depth == 0 {
        return Err("variables stand in variables too deep".to_owned());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let end = closing(after).ok_or_else(|| format!("`${{{after}` is not closed by a brace"))?;
            let (inside, after) = after.split_at(end);
            out.push_str(&braced(inside, variables, depth, told)?);
            rest = after.strip_prefix('}').unwrap_or(after);
        } else {
            let (name, after) = named(after);
            if name.is_empty() {
                return Err("a `$` stands before no name; `$$` is the sign itself".to_owned());
            }
            out.push_str(&value(name, variables, told));
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Returns where the brace is that closes what is open.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    text.char_indices().find_map(|(at, char)| {
        match char {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    })
}

/// Splits off the name that a text begins with.
fn named(text: &str) -> (&str, &str) {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let starts_well = text.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
    let end = text.find(|char| !is_part(char)).unwrap_or(text.len());
    text.split_at(if starts_well { end } else { 0 })
}

fn braced(inside: &str, variables: &Variables, depth: usize, told: &mut Replaced) -> Result<String, String> {
    let (name, rest) = named(inside);
    if name.is_empty() {
        return Err(format!("`${{{inside}}}` names no variable"));
    }
    let set = variables.get(name).map(|(value, _)| value.as_str());
    let (also_empty, rest) = rest.strip_prefix(':').map_or((false, rest), |rest| (true, rest));
    let is_there = set.is_some_and(|value| !(also_empty && value.is_empty()));
    let other = |text: &str, told: &mut Replaced| expand(text, variables, depth - 1, told);
    match rest.chars().next() {
        None if !also_empty => Ok(value(name, variables, told)),
        Some('-') if is_there => Ok(value(name, variables, told)),
        Some('-') => other(rest.get(1..).unwrap_or_default(), told),
        Some('?') if is_there => Ok(value(name, variables, told)),
        Some('?') => {
            let why = other(rest.get(1..).unwrap_or_default(), told)?;
            Err(if why.is_empty() {
                format!("the variable `{name}` has to be set")
            } else {
                format!("`{name}`: {why}")
            })
        }
        Some('+') if is_there => other(rest.get(1..).unwrap_or_default(), told),
        Some('+') => Ok(String::new()),
        Some(_) | None => Err(format!("`${{{inside}}}` is not understood")),
    }
}

fn value(name: &str, variables: &Variables, told: &mut Replaced) -> String {
    match variables.get(name) {
        Some((value, from)) => {
            told.used.push((name.to_owned(), value.clone(), from));
            value.clone()
        }
        None => {
            told.unset.push(name.to_owned());
            String::new()
        }
    }
}

/// Returns the variables of a file such as `.env`: `NAME=VALUE`, a line each; comments, quotes and `export` as in a shell.
pub fn of_file(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        let (name, value) = (name.trim(), value.trim());
        let within =
            |quote: char| value.strip_prefix(quote)?.split_once(quote).map(|(value, _)| value.to_owned());
        let bare = || value.split(" #").next().unwrap_or_default().trim_end().to_owned();
        let value = within('"').or_else(|| within('\'')).unwrap_or_else(bare);
        (!name.is_empty() && named(name).1.is_empty()).then(|| (name.to_owned(), value))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, &str>) {
        let variables =
            [("SET", "x"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), (value.to_owned(), "here")));
        let got = replace(text, &variables.into());
        assert_eq!(got.as_ref().map(|it| it.text.as_str()).map_err(String::as_str), want, "{text}");
    }

    #[test]
    fn a_variable_is_replaced_as_compose_does() {
        check("a", Ok("a"));
        check("$SET-${SET}", Ok("x-x"));
        check("$$SET ${NONE}", Ok("$SET "));
        check("${NONE:-y} ${EMPTY:-y} ${EMPTY-y} ${SET:-y}", Ok("y y  x"));
        check("${NONE:-${SET}} ${NONE:-${OTHER:-z}}", Ok("x z"));
        check("${SET:+y} ${EMPTY:+y} ${EMPTY+y} ${NONE+y}", Ok("y  y "));
        check("${SET:?why}", Ok("x"));
        check("${EMPTY:?why}", Err("`EMPTY`: why"));
        check("${NONE?}", Err("the variable `NONE` has to be set"));
        check("${SET", Err("`${SET` is not closed by a brace"));
        check("${}", Err("`${}` names no variable"));
        check("$ 5", Err("a `$` stands before no name; `$$` is the sign itself"));
        check(
            &format!("{}x{}", "${A:-".repeat(50), "}".repeat(50)),
            Err("variables stand in variables too deep"),
        );
    }

    #[test]
    fn a_file_of_variables_is_read_as_shells_do() {
        let text = "# no\nA=1\nexport B = two words # and a comment\nC=\"x # y\"\nD='z'\nnot a variable\n1E=2\n=3\nF=\n";
        let read =
            of_file(text).into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        assert_eq!(read, ["A=1", "B=two words", "C=x # y", "D=z", "F="]);
    }
}
