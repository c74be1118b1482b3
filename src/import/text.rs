//! A sketch as text.

use std::fmt::Write as _;

use super::{Item, Sketch, Value};

/// The longest comment, in characters.
const LONGEST: usize = 400;

impl Sketch {
    /// Returns the manifest.
    pub fn text(&self) -> String {
        let Self { head, project, networks, containers, notes: _ } = self;
        let mut text = String::new();
        for line in head {
            comment(&mut text, "", line);
        }
        let _ = writeln!(text, "netform: 1\nproject: {}", quoted(project));
        section(&mut text, "networks", networks);
        section(&mut text, "containers", containers);
        text
    }
}

fn section(text: &mut String, key: &str, items: &[Item]) {
    if items.is_empty() {
        return;
    }
    // Comments alone are no map.
    let is_told_only = items.iter().all(|item| item.name.is_none());
    let _ = writeln!(text, "\n{}{key}:", if is_told_only { "# " } else { "" });
    for Item { name, notes, fields } in items {
        notes.iter().for_each(|note| comment(text, "  ", note));
        let Some(name) = name else { continue };
        if fields.is_empty() {
            let _ = writeln!(text, "  {}: {{}}", quoted(name));
            continue;
        }
        let _ = writeln!(text, "  {}:", quoted(name));
        for (key, value) in fields {
            field(text, key, value);
        }
    }
}

/// Writes a key with its value; a map of maps and a list of maps have a line for each.
fn field(text: &mut String, key: &str, value: &Value) {
    match value {
        Value::Map(entries) if entries.iter().any(|(_, value)| matches!(value, Value::Map(_))) => {
            let _ = writeln!(text, "    {key}:");
            for (key, value) in entries {
                let _ = writeln!(text, "      {}: {}", quoted(key), flow(value));
            }
        }
        Value::List(items) if items.iter().any(|item| matches!(item, Value::Map(_))) => {
            let _ = writeln!(text, "    {key}:");
            for item in items {
                let _ = writeln!(text, "      - {}", flow(item));
            }
        }
        Value::Text(_) | Value::Plain(_) | Value::List(_) | Value::Map(_) => {
            let _ = writeln!(text, "    {key}: {}", flow(value));
        }
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Plain(plain) => plain.clone(),
        Value::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", quoted(key), flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Returns a text as YAML reads it back: as it is where it can be nothing else, or else in double quotes, whose escapes
/// are those of JSON.
fn quoted(text: &str) -> String {
    let is_harmless = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '/' | '-' | '_');
    let is_text =
        || matches!(serde_yaml::from_str(text), Ok(serde_yaml::Value::String(read)) if read == text);
    // Readers of YAML 1.1 take these for truth values.
    let is_old_word = matches!(text.to_ascii_lowercase().as_str(), "y" | "n" | "yes" | "no" | "on" | "off");
    if text.starts_with(|char: char| char.is_ascii_alphanumeric())
        && text.chars().all(is_harmless)
        && !is_old_word
        && is_text()
    {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

/// Writes a comment, in which nothing can end the line.
fn comment(text: &mut String, indent: &str, line: &str) {
    let shown: String =
        line.chars().map(|char| if char.is_control() { ' ' } else { char }).take(LONGEST).collect();
    let _ = writeln!(text, "{}", format!("{indent}# {shown}").trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_where_yaml_would_read_something_else() {
        for plain in ["front", "10.7.0.0/24", "172.25.3.3", "br-front", "shop_default"] {
            assert_eq!(quoted(plain), plain);
        }
        for other in [
            "80",
            "8080:80",
            "true",
            "no",
            "1.5",
            "1e3",
            "~",
            "",
            "- x",
            "a: b",
            "a #b",
            "\u{e9}",
            "x\ny",
            "fd00::/64",
            "0x10",
        ] {
            assert_eq!(quoted(other), serde_json::Value::from(other).to_string());
        }
    }

    #[test]
    fn a_comment_cannot_end_its_line() {
        let item = Item { notes: vec!["x\nprivileged: true\u{85}".to_owned()], ..Item::named("a") };
        let sketch = Sketch { project: "shop".to_owned(), networks: vec![item], ..Sketch::default() };

        assert_eq!(
            sketch.text(),
            "netform: 1\nproject: shop\n\nnetworks:\n  # x privileged: true\n  a: {}\n"
        );
    }
}
