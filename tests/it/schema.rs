//! The published schema is that of the types, takes every valid manifest, and refuses what it can see.

use std::path::Path;

use serde_json::Value;

use super::diagnostics::{claim, manifests};

/// Invalid manifests whose fault a schema cannot see: it takes computing with addresses, comparing values, or the text.
const BEYOND_A_SCHEMA: &[&str] = &[
    "address-loopback",
    "address-mapped",
    "address-multicast",
    "bridge-with-options",
    "dns-upstream-is-multicast",
    "dns-upstream-twice",
    "docker-and-podman",
    "external-address-link-local",
    "external-address-reserved",
    "external-address-two-of-a-family",
    "external-internal",
    "external-with-ingress",
    "external-with-mtu",
    "external-with-prevent-destroy",
    "external-with-stp",
    "external-with-two-bridges",
    "external-without-bridge",
    "external-without-icc",
    "gateway-is-the-broadcast",
    "gateway-is-the-network",
    "gateway-of-other-family",
    "gateway-outside",
    "interface-twice",
    "ipv4-off-and-no-ipv6",
    "ipv6-of-a-macvlan-network",
    "ipv6-of-an-external-bridge",
    "ipv6-off-with-an-ipv6-subnet",
    "key-is-a-number",
    "macvlan-without-subnet",
    "mtu-too-small-for-ipv6",
    "ndp-proxy-of-hidden-containers",
    "ndp-proxy-on-loopback",
    "openvswitch-keeps-nobody-apart",
    "openvswitch-of-others-with-options",
    "physical-with-a-firewall",
    "policy-range-with-host-bits",
    "pool-larger-than-subnet",
    "pool-outside",
    "pool-smaller-than-its-subnets",
    "publish-allow-from-host-bits",
    "publish-on-ipv6-loopback",
    "publish-port-too-large",
    "publish-range-backwards",
    "publish-unequal-ranges",
    "reserve-outside",
    "reserve-twice",
    "snat-two-of-a-family",
    "subnet-link-local",
    "subnet-loopback",
    "subnet-multicast",
    "subnet-of-everything",
    "subnet-of-two-addresses",
    "subnet-v6-of-one-address",
    "subnet-v6-with-host-bits",
    "subnet-with-host-bits",
    "veth-subnet-of-one-address",
    "veth-with-a-firewall",
    "vlan-twice",
];

/// Returns a schema as it is published.
fn published(of: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{of}.v1.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Asserts that a document follows a published schema.
#[track_caller]
pub(crate) fn assert_follows(of: &str, document: &Value) {
    let schema = jsonschema::validator_for(&published(of)).unwrap();
    let errors: Vec<_> = schema.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?} in\n{document:#}");
}

/// Runs `netform` and returns what it printed.
fn printed(args: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_netform")).args(args).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_published_schemas_are_those_of_the_types() {
    for of in [
        "manifest", "plan", "events", "daemon", "status", "validate", "explain", "path", "doctor", "env",
        "network", "error",
    ] {
        let fresh = printed(&["schema", of]);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{of}.v1.json"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(published == fresh, "schemas/{of}.v1.json is stale: run `UPDATE=1 cargo test schema`");
    }
}

#[test]
fn what_validate_prints_for_machines_follows_its_schema() {
    for path in [manifests("testdata/manifests/invalid"), manifests("examples")].concat() {
        let text = printed(&["validate", "--output", "json", path.to_str().unwrap()]);
        assert_follows("validate", &serde_json::from_str(&text).unwrap());
    }
}

#[test]
fn a_schema_refuses_another_document() {
    let other = serde_json::json!({"format_version": "1.0", "event": "something_else"});
    for of in [
        "plan", "events", "daemon", "status", "validate", "explain", "path", "doctor", "env", "network",
        "error",
    ] {
        assert!(!jsonschema::validator_for(&published(of)).unwrap().is_valid(&other), "{of}");
    }
}

#[test]
fn the_schema_takes_every_valid_manifest() {
    let schema = jsonschema::validator_for(&netform::manifest::schema()).unwrap();
    let paths = [manifests("testdata/manifests/valid"), manifests("examples")].concat();

    for path in paths {
        let value = as_json(&std::fs::read(&path).unwrap()).unwrap();
        let errors: Vec<_> = schema.iter_errors(&value).map(|error| error.to_string()).collect();

        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    }
}

#[test]
fn the_schema_refuses_what_it_can_see() {
    let schema = jsonschema::validator_for(&netform::manifest::schema()).unwrap();
    let paths = manifests("testdata/manifests/invalid");
    let paths = paths.iter().filter(|path| !claim(path).starts_with("x-"));

    let taken: Vec<_> = paths
        .filter_map(|path| Some((claim(path), as_json(&std::fs::read(path).unwrap())?)))
        .filter(|(_, value)| schema.is_valid(value))
        .map(|(claim, _)| claim)
        .collect();

    assert_eq!(taken, BEYOND_A_SCHEMA);
}

/// Returns a manifest as an editor would hand it to a schema; `None` when it is no YAML, or has no form in JSON.
fn as_json(bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?.trim_start_matches('\u{FEFF}');
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).ok()?;
    value.apply_merge().ok()?;
    serde_json::to_value(value).ok()
}
