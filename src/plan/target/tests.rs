//! What a part takes along, what it leaves, and what it refuses; `tests/it/laws/part.rs` claims it for every world.

use super::*;
use crate::names::ContainerName;
use crate::plan::tests::Story;
use crate::plan::{Plan, plan};

/// Two networks and two containers, with a port.
fn shop() -> Story {
    Story::default()
        .table("rules1")
        .forward("1")
        .network("front", 1500, "10.0.0.1/24")
        .internal("front")
        .network("back", 1500, "10.1.0.1/24")
        .container("web", "")
        .attachment("web", "front", "10.0.0.2/24", "10.0.0.1")
        .container("db", "")
        .attachment("db", "back", "10.1.0.2/24", "10.1.0.1")
        .port("8080", "10.0.0.2")
}

fn selection(targets: &[&str], excludes: &[&str]) -> Selection {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Selection { targets: owned(targets), excludes: owned(excludes) }
}

/// Plans for a part; returns the plan with the state that the generation keeps.
fn part(old: &Story, new: &Story, selection: &Selection) -> Result<(Plan, State), String> {
    let (desired, observed, applied) = (Desired(new.state()), old.observed(), old.state());
    let part = choose(selection, &desired, &observed, &applied, &Extra::default())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let Narrowed { desired, applied, kept } = narrow(&part, &desired, &observed, &applied);
    let extra = Extra { part: Some(part), ..Extra::default() };
    Ok((plan(&desired, &observed, &applied, extra).unwrap(), kept))
}

fn changed(plan: &Plan) -> Vec<String> {
    plan.changes.iter().map(|change| change.owner.to_string()).collect()
}

#[test]
fn a_target_takes_along_what_it_needs_and_nothing_else() {
    let (plan, _) = part(&Story::default(), &shop(), &selection(&["attachment.web@front"], &[])).unwrap();
    assert_eq!(changed(&plan), ["project", "network.front", "container.web", "attachment.web@front"]);

    let (plan, _) = part(&Story::default(), &shop(), &selection(&["container.db"], &[])).unwrap();
    assert_eq!(changed(&plan), ["container.db"]);

    let (plan, _) = part(&Story::default(), &shop(), &selection(&["port.0.0.0.0:8080/tcp"], &[])).unwrap();
    assert_eq!(changed(&plan).len(), 5, "a port takes along whom it leads to: {:?}", changed(&plan));
}

#[test]
fn what_is_not_asked_for_is_never_destroyed() {
    let nothing = Story::default();
    let (plan, kept) = part(&shop(), &nothing, &selection(&["attachment.web@front"], &[])).unwrap();

    assert_eq!(changed(&plan), ["attachment.web@front"]);
    assert_eq!(kept.len(), shop().state().len() - 3, "the next plan has to know of the rest");
}

#[test]
fn an_exclusion_takes_along_what_cannot_be_without_it() {
    let (plan, _) = part(&Story::default(), &shop(), &selection(&[], &["network.back"])).unwrap();
    let changed_ones = changed(&plan);
    assert!(!changed_ones.contains(&"attachment.db@back".to_owned()), "{changed_ones:?}");
    assert!(changed_ones.contains(&"container.db".to_owned()), "{changed_ones:?}");

    // What is live is ground enough.
    let old = Story::default().network("back", 1400, "10.1.0.1/24").table("rules1").forward("1");
    let (plan, _) = part(&old, &shop(), &selection(&[], &["network.back"])).unwrap();
    assert!(changed(&plan).contains(&"attachment.db@back".to_owned()), "{:?}", changed(&plan));
    assert!(!changed(&plan).contains(&"network.back".to_owned()), "{:?}", changed(&plan));
}

#[test]
fn a_target_that_cannot_be_alone_is_refused_with_the_reason() {
    let refused = |old: &Story, new: &Story, selection: Selection| part(old, new, &selection).unwrap_err();

    let needs = refused(&Story::default(), &shop(), selection(&["attachment.web@front"], &["network.front"]));
    assert_eq!(needs, "attachment.web@front needs network.front, which is left out");

    let carries = refused(&shop(), &Story::default(), selection(&["container.web"], &[]));
    assert_eq!(
        carries,
        "container.web would be destroyed or moved, but attachment.web@front stands on it and is left out"
    );
}

#[test]
fn a_place_is_not_taken_from_what_is_left_out() {
    let one = Story::default().network("front", 1500, "10.0.0.1/24").container("web", "").container("db", "");
    let old = one.clone().attachment("web", "front", "10.0.0.2/24", "10.0.0.1");
    let new = one.attachment("db", "front", "10.0.0.2/24", "10.0.0.1");

    let taken = part(&old, &new, &selection(&["attachment.db@front"], &[])).unwrap_err();
    assert_eq!(
        taken,
        "attachment.db@front takes 10.0.0.2 of front from attachment.web@front, which is left out"
    );

    let (plan, _) = part(&old, &new, &selection(&[], &["attachment.web@front"])).unwrap();
    assert_eq!(changed(&plan), Vec::<String>::new(), "whoever would take it waits");
}

#[test]
fn an_unknown_address_is_refused_with_what_it_may_have_meant() {
    let meant = |address: &str| {
        let selection = selection(&[address], &[]);
        let known = Desired(shop().state());
        let errors = choose(&selection, &known, &Observed::default(), &State::default(), &Extra::default());
        let SelectError::Unknown { address: _, meant } = errors.unwrap_err().remove(0) else { panic!() };
        meant.map(|owner| owner.to_string())
    };

    assert_eq!(meant("netwrk.front"), Some("network.front".to_owned()));
    assert_eq!(meant("web@front"), Some("attachment.web@front".to_owned()));
    assert_eq!(meant("container.nobody-knows-this"), None);
}

#[test]
fn a_container_that_waits_is_known() {
    let container = ContainerName::try_from("cache").unwrap();
    let extra = Extra { waiting: vec![(container, None)], ..Extra::default() };
    let known = Desired(shop().state());
    let selection = selection(&["container.cache"], &[]);

    assert!(choose(&selection, &known, &Observed::default(), &State::default(), &extra).is_ok());
}

#[test]
fn what_is_left_out_is_neither_drift_nor_change_now_and_still_is_both_later() {
    let mut live = shop();
    live.0.retain(|entry| entry.resource.id().to_string() != "address 10.1.0.1/24 on br-back");
    let (desired, observed, applied) = (Desired(shop().state()), live.observed(), shop().state());
    let selection = selection(&["network.front"], &[]);

    let chosen = choose(&selection, &desired, &observed, &applied, &Extra::default()).unwrap();
    let narrowed = narrow(&chosen, &desired, &observed, &applied);
    let now = plan(&narrowed.desired, &observed, &narrowed.applied, Extra::default()).unwrap();
    let later = plan(&desired, &observed, &narrowed.kept, Extra::default()).unwrap();

    assert!(now.is_empty() && now.drift.is_empty(), "{now:?}");
    assert_eq!(changed(&later), ["network.back"]);
    assert_eq!(later.drift.len(), 1, "the next plan knows that it is drift");
}
