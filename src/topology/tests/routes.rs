//! Routes of containers.

use super::{problems, topology};
use crate::resource::route::Rank;
use crate::resource::sysctl::Family;
use crate::topology::facts::Facts;
use crate::topology::{Hop, StaticRoute};

const NETS: &str = "net front 10.7.0.0/24 fd00:7::/64\nnet back 10.8.0.0/24\n";

/// What is said of a container on both networks.
fn refused(container: &str) -> String {
    problems(&format!("{NETS}{container}"), &Facts::default())
}

/// Returns the routes by each network of a container, and those that lead nowhere.
fn routes(container: &str) -> [String; 3] {
    let topology = topology(&format!("{NETS}{container}"), &Facts::default());
    let web = &topology.containers[0];
    let words = |routes: &[StaticRoute]| {
        let words = routes.iter().map(|StaticRoute { origin: _, to, hop, rank }| {
            let hop = match hop {
                Hop::By { via: Some(via), onlink: false } => format!(" via {via}"),
                Hop::By { via: Some(via), onlink: true } => format!(" via {via} onlink"),
                Hop::By { via: None, onlink: _ } => String::new(),
                Hop::Refused(refusal) => format!(" {refusal}"),
            };
            format!("{to}{hop}{}", rank.words(Family::of(to.addr())))
        });
        words.collect::<Vec<_>>().join(", ")
    };
    [&web.attachments[0].routes, &web.attachments[1].routes, &web.routes].map(|routes| words(routes))
}

#[test]
fn a_route_leaves_by_the_network_that_its_router_is_on() {
    let all = "route=10.9.0.0/16>10.8.0.9 route=10.10.0.0/16>10.7.0.9*7 route=10.66.0.0/16>blackhole \
               route=fd09::/64>fd00:7::9";
    assert_eq!(
        routes(&format!("ctr web @front @back {all}")),
        [
            "10.10.0.0/16 via 10.7.0.9 metric 7, fd09::/64 via fd00:7::9",
            "10.9.0.0/16 via 10.8.0.9",
            "10.66.0.0/16 blackhole"
        ]
    );
    assert_eq!(
        routes("ctr web @front @back,route=10.9.0.0/16,route=10.10.0.0/16>192.0.2.1!"),
        ["", "10.9.0.0/16, 10.10.0.0/16 via 192.0.2.1 onlink", ""]
    );
}

#[test]
fn nothing_said_of_the_metric_is_what_the_kernel_takes() {
    assert_eq!((Rank::usual(Family::Ipv4).metric, Rank::usual(Family::Ipv6).metric), (0, 1024));
}

#[test]
fn a_router_has_to_be_where_the_container_reaches_it() {
    insta::assert_snapshot!(refused("ctr web @front @back route=10.9.0.0/16>192.0.2.1"), @r"
    topology::route_outside: the route to 10.9.0.0/16 has its next hop 192.0.2.1 where the container cannot reach it
      192.0.2.1: in no subnet of the container
      front: one of its networks
      back: one of its networks
      help: name a router in a subnet of the container; one that is in none of them is written under its network, with `onlink: true`
    ");
    insta::assert_snapshot!(refused("ctr web @front @back,route=10.9.0.0/16>10.7.0.9"), @r"
    topology::route_outside: the route to 10.9.0.0/16 has its next hop 10.7.0.9 where the container cannot reach it
      10.7.0.9: in no subnet of the network
      back: `back` is 10.8.0.0/24
      help: name a router on that network, or say `onlink: true` if this one is there nevertheless
    ");
    insta::assert_snapshot!(refused("ctr web @back,route=fd09::/64"), @r"
    topology::route_without_address: `web` has no IPv6 address on `back`, and yet a route by it
      fd09::/64: IPv6
      back: no IPv6 here
      help: give network `back` an IPv6 subnet, or leave the route out
    ");
    insta::assert_snapshot!(refused("ctr web @front,addr=10.7.0.4,route=10.9.0.0/16>10.7.0.4"), @r"
    topology::route_to_itself: the route to 10.9.0.0/16 leads `web` to itself
      10.7.0.4: its own address
      front: `web` on `front`
      help: name another router
    ");
    insta::assert_snapshot!(refused("ctr web none route=10.9.0.0/16>10.7.0.9"), @r"
    topology::route_outside: the route to 10.9.0.0/16 has its next hop 10.7.0.9 where the container cannot reach it
      10.7.0.9: in no subnet of the container
      web: on no network
      help: name a router in a subnet of the container; one that is in none of them is written under its network, with `onlink: true`
    ");
    insta::assert_snapshot!(refused("ctr db @back\nctr web in=db route=10.9.0.0/16>10.8.0.9"), @r"
    topology::shared_with_more: `web` has `mode: container:db`, and yet a route of its own
      10.9.0.0/16: a route
      db: it has no namespace of its own
      help: write the routes under `db`: `web` has them, too
    ");
}

#[test]
fn two_routes_of_a_container_are_never_the_same() {
    insta::assert_snapshot!(refused("ctr web @front @back route=10.9.0.0/16>10.7.0.9 route=10.9.0.0/16>10.8.0.9"), @r"
    topology::route_twice: `web` has two routes to 10.9.0.0/16 of metric 0
      10.9.0.0/16: here again
      10.9.0.0/16: first here
      help: leave one out, or give this one another `metric`: the lowest goes first
    ");
    insta::assert_snapshot!(refused("ctr web @front @back,route=10.7.0.0/24>10.8.0.9"), @r"
    topology::route_twice: `web` has two routes to 10.7.0.0/24 of metric 0
      10.7.0.0/24: here again
      front: the subnet of `front` itself
      help: leave one out, or give this one another `metric`: the lowest goes first
    ");
    insta::assert_snapshot!(refused("ctr web @front @back,route=0.0.0.0/0>10.8.0.9"), @r"
    topology::route_twice: `web` has two routes to 0.0.0.0/0 of metric 0
      0.0.0.0/0: here again
      front: the default route by `front`
      help: leave one out, or give this one another `metric`: the lowest goes first
    ");
    assert_eq!(
        routes("ctr web @front @back,route=0.0.0.0/0>10.8.0.9*50")[1],
        "0.0.0.0/0 via 10.8.0.9 metric 50"
    );
}
