//! References that lead nowhere.

use std::fmt::Write;

use super::{problems, topology};
use crate::resource::netns::NsRef;
use crate::topology::Runtime;
use crate::topology::facts::Facts;

#[test]
fn a_network_that_is_not_declared_may_have_been_meant_otherwise() {
    insta::assert_snapshot!(
        problems("net front\nctr web @frnt\nctr db @elsewhere\nctr app @frnt", &Facts::default()), @r"
    topology::unknown_network: network `frnt` is not declared
      frnt: `web` wants to be on `frnt`
      frnt: `app` wants to be on `frnt`
      help: did you mean `front`?
    topology::unknown_network: network `elsewhere` is not declared
      elsewhere: `db` wants to be on `elsewhere`
      help: declare `elsewhere` under `networks`
    ");
}

#[test]
fn a_network_that_is_gone_is_reported_with_those_who_still_use_it() {
    let mut facts = Facts::default();
    facts.interfaces.insert("mynet".try_into().unwrap(), "br-mynet".try_into().unwrap());

    insta::assert_snapshot!(problems("ctr container2 @mynet\nctr container3 @mynet", &facts), @r"
    topology::network_in_use: network `mynet` is no longer declared, but `container2` and `container3` still use it
      mynet: `container2` still on `mynet`
      mynet: `container3` still on `mynet`
      help: take `container2` and `container3` off `mynet`, or declare `mynet` again under `networks`
    ");
}

#[test]
fn a_container_without_networks_is_on_none() {
    insta::assert_snapshot!(problems("net a 10.0.0.0/24\nctr x @a none", &Facts::default()), @r"
    topology::isolated_with_networks: `x` has `mode: none`, and yet is on network `a`
      none: no network at all
      a: network `a`
      help: leave out either `mode: none` or `networks`
    ");
    assert!(topology("ctr x none", &Facts::default()).container("x").attachments.is_empty());
}

#[test]
fn a_namespace_belongs_to_one_container() {
    insta::assert_snapshot!(
        problems("ctr web\nctr x netns=web\nctr y netns=/run/y\nctr z netns=/run/y", &Facts::default()), @r"
    topology::shared_namespace: `web` and `x` have the same namespace `web`
      web: `x` lives here, too
      web: `web` lives here
      help: give each container a namespace of its own, or write `mode: container:web` for `x`
    topology::shared_namespace: `y` and `z` have the same namespace `/run/y`
      run/y: `z` lives here, too
      run/y: `y` lives here
      help: give each container a namespace of its own, or write `mode: container:y` for `z`
    ");
    let told = problems("ctr web\nctr x netns=/run/netns/web", &Facts::default());
    assert!(told.contains("have the same namespace `/run/netns/web`"), "{told}");
    topology("ctr web\nctr x netns=/run/netns/other", &Facts::default());

    let [web, path] = [NsRef::Named("web".try_into().unwrap()), NsRef::Path("/tmp/web".into())];
    let facts = Facts { same_namespaces: [(path, web)].into(), ..Facts::default() };
    let told = problems("ctr web\nctr x netns=/tmp/web\nctr y netns=/tmp/y", &facts);
    assert!(told.contains("`web` and `x` have the same namespace `/tmp/web`"), "{told}");
    assert_eq!(told.matches("topology::").count(), 1, "{told}");
}

#[test]
fn a_container_waits_for_a_given_namespace_that_is_not_there() {
    let facts = Facts { namespaces: [NsRef::Path("/run/x".into())].into(), ..Facts::default() };
    let topology = topology("ctr own\nctr x netns=/run/x\nctr y netns=y", &facts);

    let runtimes: Vec<_> = topology.containers.iter().map(|container| container.runtime).collect();
    assert_eq!(runtimes, [Runtime::Netform, Runtime::Given, Runtime::Waiting]);
}

#[test]
fn a_link_on_the_default_network_needs_its_target_and_elsewhere_does_not() {
    insta::assert_snapshot!(problems(
        "net default 10.0.0.0/24\nnet a 10.1.0.0/24\nctr web @default,link=base:bd,link=cache:redis\nctr db @default\nctr redis @a",
        &Facts::default(),
    ), @r"
    topology::unknown_link_target: link target `bd` is not declared
      bd: `base` is its target
      help: did you mean `db`?
    topology::unknown_link_target: link target `redis` is not on network `default`
      redis: `cache` is its target
      redis: not on network `default`
      help: put `redis` on `default`
    ");
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
    insta::assert_snapshot!(problems(&town(1024), &Facts::default()), @r"
    topology::bridge_full: network `a` has 1024 containers, a Linux bridge has at most 1023 ports
      a: `c1023` is number 1024
      a: this network
      help: spread the containers over several networks
    ");
}

#[test]
fn all_problems_are_reported_in_the_order_of_their_places() {
    let text = "net a 10.0.0.0/24\nnet b 10.0.0.0/25\nctr x @c\nctr y @a,addr=10.9.9.9";
    let problems = problems(text, &Facts::default());

    let codes: Vec<_> =
        problems.lines().filter_map(|line| line.strip_prefix("topology::")?.split(": ").next()).collect();
    assert_eq!(codes, ["subnet_overlap", "unknown_network", "address_outside"]);
}

#[test]
fn the_network_of_who_names_none_needs_no_declaration_when_somebody_names_it() {
    let topology = topology("net a 10.0.0.0/24\nctr x @default @a", &Facts::default());
    assert_eq!(topology.networks.iter().filter(|network| network.name.as_str() == "default").count(), 1);
}
