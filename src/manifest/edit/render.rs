//! Values as YAML on one line, or with a line for each key.

use serde_yaml::Value;

/// Which of YAML's spellings a text uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// YAML, quotes only where they are needed.
    Yaml,
    /// A text that is JSON stays JSON.
    Json,
}

impl Dialect {
    /// Returns the spelling of a text.
    pub(super) fn of(text: &str) -> Self {
        match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Self::Json,
            Err(_) => Self::Yaml,
        }
    }
}

/// Returns a value on one line.
pub(super) fn flow(value: &Value, dialect: Dialect) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => scalar(text, dialect),
        Value::Sequence(items) => {
            let items: Vec<_> = items.iter().map(|item| flow(item, dialect)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Mapping(map) => {
            let entries =
                map.iter().map(|(key, value)| format!("{}: {}", flow(key, dialect), flow(value, dialect)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Tagged(tagged) => flow(&tagged.value, dialect),
    }
}

/// Returns a map with a line for each of its keys, each after a line break; `None` for what is no map, or an empty one.
pub(super) fn block(value: &Value) -> Option<String> {
    let map = value.as_mapping().filter(|map| !map.is_empty())?;
    let line = |(key, value): (&Value, &Value)| {
        format!("\n{}: {}", flow(key, Dialect::Yaml), flow(value, Dialect::Yaml))
    };
    Some(map.iter().map(line).collect())
}

/// Returns a text as a scalar that may stand anywhere.
pub(super) fn scalar(text: &str, dialect: Dialect) -> String {
    if dialect == Dialect::Yaml && is_plain(text) { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// Tells whether a text needs no quotes: none of YAML's signs is in it, and no reader takes it for anything but text.
fn is_plain(text: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | ':' | '-');
    // `8080:80` is a number in base 60 to readers of YAML 1.1, and `-` and `:` begin or end something.
    let base_60 = text.chars().all(|c| c.is_ascii_digit() || c == ':');
    text.chars().all(harmless)
        && !base_60
        && !text.starts_with(['-', ':'])
        && !text.ends_with(':')
        && serde_yaml::to_string(text).is_ok_and(|printed| printed.trim_end() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_where_a_reader_could_take_it_for_something_else() {
        let text = "{a: [x, 10.7.0.0/24, 'fd00::/64', '8080:80', 'true', '1e3', '', 'a: b', 'x,y', '007', '-'], b: {c: 1, d: null}}";
        let value: Value = serde_yaml::from_str(text).unwrap();

        let yaml = flow(&value, Dialect::Yaml);
        let json = flow(&value, Dialect::Json);

        assert_eq!(
            yaml,
            "{a: [x, 10.7.0.0/24, fd00::/64, \"8080:80\", \"true\", \"1e3\", \"\", \"a: b\", \"x,y\", \"007\", \"-\"], b: {c: 1, d: null}}"
        );
        assert_eq!(serde_yaml::from_str::<Value>(&yaml).unwrap(), value);
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
    }
}
