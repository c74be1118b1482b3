//! References that lead nowhere.

use std::fmt::Write;

use super::{problems, topology};
use crate::topology::Runtime;
use crate::topology::facts::Facts;

#[test]
fn a_network_that_is_not_declared_may_have_been_meant_otherwise() {
    insta::assert_snapshot!(
        problems("net front\nctr web @frnt\nctr db @elsewhere\nctr app @frnt", &Facts::default()), @"");
}

#[test]
fn a_network_that_is_gone_is_reported_with_those_who_still_use_it() {
    let mut facts = Facts::default();
    facts.interfaces.insert("mynet".try_into().unwrap(), "br-mynet".try_into().unwrap());

    insta::assert_snapshot!(problems("ctr container2 @mynet\nctr container3 @mynet", &facts), @"");
}

#[test]
fn a_container_without_networks_is_on_none() {
    insta::assert_snapshot!(problems("net a 10.0.0.0/24\nctr x @a none", &Facts::default()), @"");
    assert!(topology("ctr x none", &Facts::default()).container("x").attachments.is_empty());
}

#[test]
fn a_namespace_belongs_to_one_container() {
    insta::assert_snapshot!(
        problems("ctr web\nctr x netns=web\nctr y netns=/run/y\nctr z netns=/run/y", &Facts::default()), @"");
}

#[test]
fn a_container_waits_for_a_given_namespace_that_is_not_there() {
    let facts = Facts {
        namespaces: [crate::resource::netns::NsRef::Path("/run/x".into())].into(),
        ..Facts::default()
    };
    let topology = topology("ctr own\nctr x netns=/run/x\nctr y netns=y", &facts);

    let runtimes: Vec<_> = topology.containers.iter().map(|container| container.runtime).collect();
    assert_eq!(runtimes, [Runtime::Netform, Runtime::Given, Runtime::Waiting]);
}

#[test]
fn a_link_on_the_default_network_needs_its_target_and_elsewhere_does_not() {
    insta::assert_snapshot!(problems(
        "net default 10.0.0.0/24\nnet a 10.1.0.0/24\nctr web @default,link=base:bd,link=cache:redis\nctr db @default\nctr redis @a",
        &Facts::default(),
    ), @"");
    topology("net a 10.1.0.0/24\nctr web @a,link=base:db", &Facts::default());
}

#[test]
fn a_bridge_has_1023_ports() {
    let town = |count: usize| {
        let mut text = "net a 10.0.0.0/16\n".to_owned();
        (0..count).for_each(|number| writeln!(text, "ctr c{number} @a").unwrap());
        text
    };

    topology(&town(1023), &Facts::default());
    insta::assert_snapshot!(problems(&town(1024), &Facts::default()), @"");
}

#[test]
fn all_problems_are_reported_in_the_order_of_their_places() {
    let text = "net a 10.0.0.0/24\nnet b 10.0.0.0/25\nctr x @c\nctr y @a,addr=10.9.9.9";
    let problems = problems(text, &Facts::default());

    let codes: Vec<_> =
        problems.lines().filter_map(|line| line.strip_prefix("topology::")?.split(": ").next()).collect();
    assert_eq!(codes, ["subnet_overlap", "unknown_network", "address_outside"]);
}
