use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::Index;
use similar::TextDiff;

use super::path::Step;
use super::*;

fn value(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn path(text: &str) -> Path {
    Path::try_from(text).unwrap()
}

/// Returns the text after `PATH=VALUE`, or `PATH` alone for what goes.
fn edited(text: &str, changes: &[&str]) -> Result<String, EditError> {
    let mut want = meaning(text).unwrap();
    for change in changes {
        match change.split_once('=') {
            Some((at, new)) => path(at).set(&mut want, value(new)).unwrap(),
            None => path(change).unset(&mut want).unwrap(),
        }
    }
    rewritten(text, &want)
}

/// Checks which lines of a text go and come.
#[track_caller]
fn check(text: &str, changes: &[&str], want: &str) {
    let after = edited(text, changes).unwrap();
    let diff = TextDiff::from_lines(text, &after);
    let lines: String = diff
        .iter_all_changes()
        .filter(|change| change.tag() != similar::ChangeTag::Equal)
        .map(|change| format!("{}{}\n", change.tag(), change.value().trim_end_matches(['\r', '\n'])))
        .collect();
    assert_eq!(lines, want, "{changes:?}\n{after}");
}

const SHOP: &str = "\
# A shop.
netform: 1
project: shop   # whose

networks:
  front:
    subnets: [172.25.0.0/16]
    # About the MTU.
    mtu: 1400   # tunnel
  back: {internal: true} # closed

# Who is there.
containers:
  web:
    networks: [front, back] # both
    publish: [\"8080:80\"]
  db:
    networks:
    - back # only
  job: {}
";

#[test]
fn a_value_changes_where_it_stands() {
    check(SHOP, &["networks.front.mtu=1500"], "-    mtu: 1400   # tunnel\n+    mtu: 1500   # tunnel\n");
    check(
        SHOP,
        &["containers.web.publish[0]='9090:80'"],
        "-    publish: [\"8080:80\"]\n+    publish: [\"9090:80\"]\n",
    );
    check(
        SHOP,
        &["networks.back.internal=false"],
        "-  back: {internal: true} # closed\n+  back: {internal: false} # closed\n",
    );
}

#[test]
fn what_is_new_comes_last_in_the_style_of_its_neighbours() {
    check(SHOP, &["networks.front.icc=false"], "+    icc: false\n");
    check(SHOP, &["networks.lan={external: br-lan}"], "+  lan: {external: br-lan}\n");
    check(
        SHOP,
        &["networks.back.icc=false"],
        "-  back: {internal: true} # closed\n+  back: {internal: true, icc: false} # closed\n",
    );
    check(
        SHOP,
        &["networks.front.subnets[1]='fd00:25::/64'"],
        "-    subnets: [172.25.0.0/16]\n+    subnets: [172.25.0.0/16, fd00:25::/64]\n",
    );
    check(SHOP, &["containers.job.networks=[front]"], "-  job: {}\n+  job: {networks: [front]}\n");
    let last = "networks:\n  front:\n    mtu: 1400\n";
    check(last, &["networks.lan={mtu: 1500, icc: false}"], "+  lan:\n+    mtu: 1500\n+    icc: false\n");
    let roomy = "networks:\n  front:\n    mtu: 1400\n\n# end\n";
    check(roomy, &["networks.lan={mtu: 1500, icc: false}"], "+  lan:\n+    mtu: 1500\n+    icc: false\n");
}

#[test]
fn a_map_whose_last_key_has_nothing_behind_it_ends_before_the_next_key() {
    check(
        "containers:\n  web:\n    networks:\n      front:\n      back:\n    publish: [80:80]\n",
        &["containers.web.networks={}"],
        "-    networks:\n-      front:\n-      back:\n+    networks: {}\n",
    );
}

#[test]
fn a_list_of_networks_becomes_a_map_that_says_more() {
    check(
        SHOP,
        &["containers.web.networks={front: null, back: {address: 10.7.0.9}}"],
        "-    networks: [front, back] # both\n+    networks: {front: null, back: {address: 10.7.0.9}} # both\n",
    );
    check(
        SHOP,
        &["containers.db.networks={back: null, front: {aliases: [app]}}"],
        "-    - back # only\n+      back: # only\n+      front: {aliases: [app]}\n",
    );
}

#[test]
fn what_goes_takes_along_the_comments_that_are_about_it() {
    check(SHOP, &["networks.front.mtu"], "-    # About the MTU.\n-    mtu: 1400   # tunnel\n");
    check(SHOP, &["networks.back"], "-  back: {internal: true} # closed\n");
    check(
        SHOP,
        &["containers.web.networks[0]"],
        "-    networks: [front, back] # both\n+    networks: [back] # both\n",
    );
    check(SHOP, &["networks.front.subnets[0]"], "-    subnets: [172.25.0.0/16]\n+    subnets: []\n");
    check(
        "networks:\n  front:\n    mtu: 1\n\n# end\n",
        &["networks.front"],
        "-networks:\n-  front:\n-    mtu: 1\n+networks: {}\n",
    );
}

#[test]
fn odd_texts_stay_odd() {
    check("a: 1\r\nb:\r\n  c: 1\r\n", &["b.d=2"], "+  d: 2\n");
    check("a: 1", &["b=2"], "-a: 1\n+a: 1\n+b: 2\n");
    check("networks:\na: 1\n", &["networks.x={mtu: 1}"], "-networks:\n+networks: {x: {mtu: 1}}\n");
    check("networks: # none\na: 1\n", &["networks.x={}"], "-networks: # none\n+networks: {x: {}} # none\n");
    check("--- # top\na: {b: , c: }\n...\n", &["a.d=1"], "-a: {b: , c: }\n+a: {b: , c: , d: 1}\n");
    check(
        "{\"a\": {\"b\": 1},\n \"c\": 2}\n",
        &["d={e: x}"],
        "- \"c\": 2}\n+ \"c\": 2, \"d\": {\"e\": \"x\"}}\n",
    );
    check("a: [\n  x, # one\n  y\n]\n", &["a[2]=z"], "-  y\n+  y, z\n");
    check("a: 'x'\n", &["a=it is"], "-a: 'x'\n+a: 'it is'\n");
}

#[test]
fn what_an_anchor_has_a_part_in_is_not_changed() {
    let text = "a: &it {x: 1}\nb: *it\nc:\n  <<: *it\n  y: 2\n";
    for change in ["a.x=2", "b.x=2", "a"] {
        let refused = edited(text, &[change]);
        assert!(matches!(refused, Err(EditError::Shared { .. })), "{change}: {refused:?}");
    }
    check(text, &["c.y=3"], "-  y: 2\n+  y: 3\n");
}

/// Returns the manifests that are known to be right.
fn manifests() -> Vec<(PathBuf, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folders = ["examples", "testdata/manifests/valid"].map(|folder| root.join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        (file, text.trim_start_matches('\u{feff}').to_owned())
    };
    files.into_iter().map(read).collect()
}

#[test]
fn every_manifest_has_a_layout_that_says_the_same() {
    for (file, text) in manifests() {
        let after = formatted(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));

        assert!(same(&meaning(&text).unwrap(), &meaning(&after).unwrap()), "{}", file.display());
        assert_eq!(words(&text, None), words(&after, None), "{}", file.display());
        assert_eq!(formatted(&after).unwrap(), after, "{}", file.display());
    }
}

#[test]
fn a_layout_is_tidied_and_comments_stay_in_their_column() {
    let text = "netform:   1\nproject: 'shop'\n\n\n\nnetworks:\n   front: { mtu: 1400 }     # here\n   back:\n       icc:   false           # and here\n       # mtu: 1\n   # lan: {}\n";

    insta::assert_snapshot!(formatted(text).unwrap(), @r#"
    netform: 1
    project: "shop"

    networks:
      front: {mtu: 1400}        # here
      back:
        icc: false                # and here
        # mtu: 1
      # lan: {}
    "#);
}

#[test]
fn an_item_with_one_key_gets_another_below_it() {
    let text = "policies:\n  - allow: {from: a} # why\n\n  # Next.\n  - deny: {from: b}\n";
    check(text, &["policies[0].log=true"], "+    log: true\n");
    check(text, &["policies[1].log={x: [1]}"], "+    log: {x: [1]}\n");
    check("a:\n- x: |\n    text\n    more\n- y: 2\n", &["a[0].z=1"], "+  z: 1\n");
    check("a:\n- x:\n    - 1\n", &["a[0].z=1"], "+  z: 1\n");
    check("a:\n  - - x: 1\n", &["a[0][0].z=1"], "+      z: 1\n");
    check("a:\r\n- x: 1\r\n- y: 2\r\n", &["a[0].z=1"], "+  z: 1\n");
}

/// Returns all paths into a value.
fn paths(value: &Value, at: &Path, found: &mut Vec<Path>) {
    found.push(at.clone());
    match value {
        Value::Mapping(map) => {
            map.iter().for_each(|(key, value)| paths(value, &at.key(key.as_str().unwrap()), found));
        }
        Value::Sequence(list) => {
            list.iter().enumerate().for_each(|(index, value)| paths(value, &at.item(index), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => {}
    }
}

fn some_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just("{}"),
        Just("null"),
        Just("[]"),
        Just("true"),
        Just("1400"),
        Just("'8080:80'"),
        Just("a text, with: signs # and more"),
        Just("[front, {x: y}]"),
        Just("{subnets: [10.7.0.0/24, 'fd00::/64'], dns: {ttl: 1}, icc: false}"),
    ]
    .prop_map(value)
}

/// Returns a random change of a value: something goes, changes or comes.
fn changed(before: &Value, (at, kind): (Index, u8), new: Value) -> Option<Value> {
    let mut all = vec![];
    paths(before, &Path::default(), &mut all);
    let at = at.get(&all);
    let mut want = before.clone();
    match (kind, at.get(before).unwrap()) {
        (0, _) if !at.0.is_empty() => at.unset(&mut want).unwrap(),
        (1, _) if !at.0.is_empty() => at.set(&mut want, new).unwrap(),
        (2, Value::Mapping(_)) => at.key("a new.key").set(&mut want, new).unwrap(),
        (2, Value::Sequence(list)) => at.item(list.len()).set(&mut want, new).unwrap(),
        _ => return None,
    }
    // An empty manifest is none.
    want.as_mapping().is_some_and(|map| !map.is_empty()).then_some(want)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edit_means_what_was_meant_and_keeps_every_other_comment(
        file: Index,
        edits in prop::collection::vec(((any::<Index>(), 0u8..3), some_value()), 1..4),
    ) {
        let all = manifests();
        let (_, mut text) = file.get(&all).clone();
        for (what, new) in edits {
            let before = meaning(&text).unwrap();
            let Some(want) = changed(&before, what, new) else { continue };
            match rewritten(&text, &want) {
                Ok(after) => {
                    prop_assert!(same(&meaning(&after).unwrap(), &want));
                    let lost = words(&text, None).len().saturating_sub(words(&after, None).len());
                    let removed = what.1 != 2;
                    prop_assert!(removed || lost == 0, "{text}\n{after}");
                    text = after;
                }
                Err(EditError::Shared { .. }) => {}
                Err(error) => prop_assert!(!words(&text, None).is_empty(), "{error}\n{text}\n{want:?}"),
            }
        }
    }
}

#[test]
fn a_step_is_a_key_or_an_item() {
    assert_eq!(path("a[0]").0, [Step::Key("a".to_owned()), Step::Item(0)]);
}

#[test]
fn an_item_goes_whose_dash_has_a_line_for_itself_with_the_comments_in_it() {
    let text = "publish:\n  -\n    host_port: 80 # first\n    target_port: 80\n  # about it\n  - # dash\n    # inside\n    host_port: 81\n  - \"90:90\"\n";
    check(text, &["publish[0]"], "-  -\n-    host_port: 80 # first\n-    target_port: 80\n");
    check(text, &["publish[1]"], "-  # about it\n-  - # dash\n-    # inside\n-    host_port: 81\n");
    check(text, &["publish[2]"], "-  - \"90:90\"\n");
    let after = edited(text, &["publish[1]"]).unwrap();
    assert_eq!(lost_comments(text, &after), ["# about it", "# dash", "# inside"]);
    assert_eq!(lost_comments(text, text), [""; 0]);
}

#[test]
fn keys_with_nothing_behind_them_have_one_layout_too() {
    let before = "\
networks:
  ? a
  ? b   # the second
  ? c
  : {}
  ? d
";
    let after = "\
networks:
  a:
  b:    # the second
  c: {}
  d:
";
    let formatted = crate::manifest::edit::formatted(before).unwrap();
    assert_eq!(formatted, after);
    for kept in ["text: |\n  ? a\n", "{? a: b}\n", "text: \"\n  ? a\n  \"\n"] {
        let formatted = crate::manifest::edit::formatted(kept).unwrap();
        let meaning = |text: &str| serde_yaml::from_str::<serde_yaml::Value>(text).unwrap();
        assert_eq!(meaning(&formatted), meaning(kept));
    }
}
