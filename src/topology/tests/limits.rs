//! Limits of the host.

use super::topology;
use crate::topology::facts::{Facts, Limits};
use crate::topology::limits::warnings;

#[track_caller]
fn check(limits: Limits, want: &[&str]) {
    let text = "net a 10.0.0.0/24 fd00::/64\nctr x @a\nctr y @a\nctr z @a netns=/run/z";
    let found = warnings(&topology(text, &Facts::default()), &limits);
    assert_eq!(found, want);
}

#[test]
fn what_the_host_has_no_room_for_is_said_with_the_cure() {
    check(Limits::default(), &[]);
    check(Limits { neighbours4: Some(6), neighbours6: Some(6), namespaces: Some(2) }, &[]);
    check(
        Limits { neighbours4: Some(5), neighbours6: None, namespaces: Some(1) },
        &[
            "2 containers need a network namespace each, and this user may make 1: \
             raise it by `sysctl -w user.max_net_namespaces=4`",
            "the host remembers 5 neighbours over IPv4, and these containers and their gateways are 6: \
             packets get lost when the table is full; raise it by `sysctl -w net.ipv4.neigh.default.gc_thresh3=16`",
        ],
    );
}
