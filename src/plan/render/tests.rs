//! What plans look like. A changed snapshot is a changed behaviour.

use super::*;
use crate::names::ContainerName;
use crate::plan::tests::{Story, planned};
use crate::plan::{Extra, ForeignNote, Plan};
use crate::resource::Resource;
use crate::resource::owner::Owner;
use crate::resource::state::Desired;

fn old() -> Story {
    Story::default()
        .table("rules1")
        .forward("0")
        .network("front", 1500, "10.0.0.1/24")
        .network("back", 1500, "10.1.0.1/24")
        .container("web", "127.0.0.1 localhost\n10.0.0.2 web\n10.0.0.9 old\n")
        .attachment("web", "front", "10.0.0.2/24", "10.0.0.1")
        .container("db", "127.0.0.1 localhost\n")
        .attachment("db", "back", "10.1.0.2/24", "10.1.0.1")
        .port("8080", "10.0.0.2")
}

fn new() -> Story {
    Story::default()
        .table("rules1")
        .forward("1")
        .network("front", 9000, "10.0.0.1/24")
        .network("dmz", 1500, "10.2.0.1/24")
        .container("web", "127.0.0.1 localhost\n10.0.0.3 web\n10.0.0.9 app\n")
        .attachment("web", "front", "10.0.0.3/24", "10.0.0.1")
        .port("8080", "10.0.0.3")
}

/// Somebody lowered an MTU, edited a file and deleted an address.
fn live() -> Story {
    let mut live = old();
    live.0.retain(|entry| entry.resource.id().to_string() != "address 10.1.0.1/24 on br-back");
    for entry in &mut live.0 {
        if let Resource::Link(link) = &mut entry.resource
            && link.name.as_str() == "br-front"
        {
            link.mtu = 1400.try_into().unwrap();
        }
        if let Resource::File(file) = &mut entry.resource
            && file.path.ends_with("web/hosts")
        {
            file.content = format!("{}10.9.9.9 mine\n", file.content).into();
        }
    }
    live
}

fn story() -> Plan {
    let mut plan = planned(&old(), &live(), &new());
    let container = ContainerName::try_from("cache").unwrap();
    plan.extra = Extra {
        waiting: vec![(container, None)],
        warnings: vec![
            "net.ipv4.ip_forward 0 -> 1: this host will forward between all its interfaces".to_owned(),
        ],
        ..Extra::default()
    };
    let owner = Owner::try_from("network.front").unwrap();
    plan.foreign.push(ForeignNote {
        owner,
        what: "address 10.0.0.77/24 on br-front".to_owned(),
        by: None,
        goes: false,
    });
    plan
}

fn look(detail: Detail) -> Look {
    Look { detail, generation: Some(41), source: "net.yaml".to_owned(), ..Look::default() }
}

fn snapshots(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/scenarios/edit-and-drift"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(check);
}

#[test]
fn a_plan_says_what_happens_why_and_to_whom() {
    snapshots(|| insta::assert_snapshot!("plan", text(&story(), &look(Detail::Changed))));
}

#[test]
fn a_detailed_plan_says_how_to_do_it_by_hand() {
    snapshots(|| {
        insta::assert_snapshot!(
            "plan-v",
            text(&story(), &Look { operations: Operations::Shown, ..look(Detail::Changed) })
        )
    });
}

#[test]
fn a_plan_fits_into_a_pull_request() {
    snapshots(|| insta::assert_snapshot!("plan-md", markdown(&story(), &look(Detail::Changed))));
}

#[test]
fn a_long_plan_is_cut_for_a_pull_request_and_says_so() {
    let many = (0..1000).fold(Story::default(), |story, n| {
        story.network(
            &format!("net-with-a-long-name{n}").replace("net-with-a-long-name", "n"),
            1500,
            "10.0.0.1/24",
        )
    });
    let text = markdown(&planned(&Story::default(), &Story::default(), &many), &look(Detail::Changed));

    assert!(text.len() <= 60_000, "{}", text.len());
    assert!(text.contains("more changes do not fit here"));
    assert!(text.starts_with("**Plan: 1000 to add, 0 to change, 0 to destroy."));
}

#[test]
fn a_summary_has_a_line_for_each_resource_and_the_totals() {
    snapshots(|| insta::assert_snapshot!("plan-summary", text(&story(), &look(Detail::Summary))));
    snapshots(|| insta::assert_snapshot!("plan-summary-md", markdown(&story(), &look(Detail::Summary))));
}

#[test]
fn a_full_plan_has_every_kernel_object_also_of_what_stays() {
    let look = Look { standing: standing(&story(), &Desired(new().state())), ..look(Detail::Full) };

    snapshots(|| insta::assert_snapshot!("plan-full", text(&story(), &look)));
    let markdown = markdown(&story(), &look);
    assert!(markdown.contains("project: 1 object stays unchanged"), "{markdown}");
    let nothing = planned(&old(), &old(), &old());
    let standing = standing(&nothing, &Desired(old().state()));
    let text = text(&nothing, &Look { standing, ..look });
    for entry in &old().0 {
        let id = entry.resource.id().to_string();
        assert!(text.contains(&id), "{id} in:\n{text}");
    }
}

#[test]
fn a_large_plan_in_full_fits_into_a_pull_request_too() {
    let many = |mtu| (0..400).fold(Story::default(), |s, n| s.network(&format!("n{n}"), mtu, "10.0.0.1/24"));
    let mut plan = planned(&many(1500), &many(1500), &many(9000).network("new", 1500, "10.0.0.1/24"));
    let waiting = (0..400).map(|n| (ContainerName::try_from(format!("c{n}")).unwrap(), None));
    plan.extra.waiting = waiting.collect();
    let standing = standing(&plan, &Desired(many(9000).state()));
    for detail in [Detail::Summary, Detail::Changed, Detail::Full] {
        for operations in [Operations::Hidden, Operations::Shown] {
            let text = markdown(&plan, &Look { operations, standing: standing.clone(), ..look(detail) });
            assert!(text.len() <= 60_000, "{detail:?} {operations:?}: {}", text.len());
            assert!(text.starts_with("**Plan: 1 to add, 400 to change"), "the summary is first");
            assert_eq!(
                text.matches("```").count() % 2,
                0,
                "{detail:?} {operations:?}: every fence is closed"
            );
            assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
        }
    }
}

#[test]
fn nothing_to_do_is_one_line() {
    let plan = planned(&old(), &old(), &old());
    assert_eq!(
        text(&plan, &look(Detail::Changed)),
        "No changes. The live state matches net.yaml (17 objects).\n"
    );
}

#[test]
fn colour_adds_nothing_but_colour() {
    let coloured = text(&story(), &Look { colour: Colour::Always, ..look(Detail::Changed) });
    assert!(coloured.contains("\u{1b}[32m"));

    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, text(&story(), &look(Detail::Changed)));
}

#[test]
fn the_json_document_follows_its_published_schema() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/plan.v1.json");
    let schema = serde_json::to_value(json::schema()).unwrap();
    let fresh = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert!(published == fresh, "schemas/plan.v1.json is stale: run the tests with UPDATE_SCHEMAS=1");

    let document = serde_json::from_str(&json::json(&story()).unwrap()).unwrap();
    let problems: Vec<String> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&document)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(problems, Vec::<String>::new());
}
