//! Firewalls of others in the way.

use super::topology;
use crate::topology::barriers::warnings;
use crate::topology::facts::{Barrier, Facts};

fn barrier(family: &str, bridged: bool, passes: &[&str]) -> Barrier {
    let names = || passes.iter().map(|name| (*name).try_into().unwrap()).collect();
    let (table, chain) = ("filter".to_owned(), "FORWARD".to_owned());
    Barrier { family: family.to_owned(), table, chain, is_dockers: true, bridged, from: names(), to: names() }
}

#[track_caller]
fn check(barrier: Barrier, stopped: Option<&str>) {
    let topology =
        topology("net a 10.0.0.0/24\nnet b 10.1.0.0/24 internal\nnet c fd00::/64", &Facts::default());
    let facts = Facts { barriers: [barrier].into(), ..Facts::default() };
    let told = warnings(&topology, &facts).pop();
    let names =
        told.as_deref().and_then(|told| told.split("between ").nth(1)?.split(" and the world").next());
    assert_eq!(names, stopped, "{told:?}");
}

#[test]
fn networks_that_no_rule_lets_pass_are_named() {
    check(barrier("ip", false, &[]), Some("a"));
    check(barrier("ip", true, &[]), Some("a, b"));
    check(barrier("ip", true, &["br-a"]), Some("b"));
    check(barrier("ip", false, &["br-a"]), None);
    check(barrier("ip6", false, &[]), Some("c"));
    check(barrier("inet", true, &["br-b"]), Some("a, c"));
}
