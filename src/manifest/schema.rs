//! The JSON Schema of a manifest, made from types that mirror the written form.
//!
//! Editors read it (`# yaml-language-server: $schema=...`). It says what each key is for, and refuses what can be refused
//! without computing with addresses. Its keys are those of [`super::fields`], by a test.

mod driver;
mod ends;
mod form;
mod links;
mod policy;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::Value;

/// Returns the JSON Schema (draft-07) of a manifest.
///
/// ```
/// assert_eq!(netform::manifest::schema()["required"], serde_json::json!(["netform", "project"]));
/// ```
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07();
    let mut schema = settings.into_generator().into_root_schema_for::<form::Manifest>();
    WithoutNull.transform(&mut schema);
    // `networks:` with nothing below it is how a manifest begins.
    for key in ["networks", "containers"] {
        if let Some(property) = schema.pointer_mut(&format!("/properties/{key}/type")) {
            *property = serde_json::json!(["object", "null"]);
        }
    }
    // An included file needs neither, but an editor cannot know which file it has.
    if let Some(required) = schema.pointer_mut("/required") {
        *required = serde_json::json!(["netform", "project"]);
    }
    schema.to_value()
}

/// Takes `null` from the properties that may be absent: a key without a value is an error.
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for property in properties.into_iter().flat_map(|properties| properties.values_mut()) {
            without_null(property);
        }
        transform_subschemas(self, schema);
    }
}

fn without_null(property: &mut Value) {
    let Some(property) = property.as_object_mut() else { return };
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            property.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(kinds)) = property.get_mut("anyOf") {
        kinds.retain(|kind| kind.get("type").is_none_or(|kind| kind != "null"));
        if kinds.len() == 1
            && let Some(Value::Array(kinds)) = property.remove("anyOf")
        {
            // Draft-07 ignores what stands beside a `$ref`, the description too.
            property.insert("allOf".to_owned(), Value::Array(kinds));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::{self, Shape};
    use super::*;

    #[track_caller]
    fn check(schema: &Value, path: &str, shape: &Shape) {
        let properties = schema.pointer(path).and_then(|schema| schema.get("properties"));
        let properties = properties.and_then(Value::as_object).unwrap_or_else(|| panic!("no object {path}"));
        let mut found: Vec<_> = properties.keys().map(String::as_str).collect();
        let mut want = shape.keys.to_vec();
        found.sort_unstable();
        want.sort_unstable();
        assert_eq!(found, want, "{path}");
    }

    #[test]
    fn the_schema_has_the_keys_that_are_read() {
        let schema = schema();

        check(&schema, "", &fields::MANIFEST);
        check(&schema, "/definitions/Pool", &fields::POOL);
        check(&schema, "/definitions/Policy", &fields::POLICY);
        check(&schema, "/definitions/Way", &fields::POLICY_WAY);
        check(&schema, "/definitions/Network", &fields::NETWORK);
        check(&schema, "/definitions/Subnet", &fields::SUBNET);
        check(&schema, "/definitions/Snat", &fields::EGRESS);
        check(&schema, "/definitions/Dns", &fields::DNS);
        check(&schema, "/definitions/Lifecycle", &fields::LIFECYCLE);
        check(&schema, "/definitions/Container", &fields::CONTAINER);
        check(&schema, "/definitions/Attachment", &fields::ATTACHMENT);
        check(&schema, "/definitions/Route", &fields::ROUTE);
        check(&schema, "/definitions/PublishMap", &fields::PUBLISH);
    }
}
