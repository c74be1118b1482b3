//! Zones of sketched manifests, asked as resolvers would.

use super::*;
use crate::topology::facts::Facts;
use crate::topology::sketch::resolved;

/// Three networks, one of them without names, and links to one who is not there yet.
const SHOP: &str = "
net front 10.1.0.0/24 fd00:1::/64
net back 10.2.0.0/24 ttl=30
net default 10.3.0.0/24
ctr web @front,addr=10.1.0.2,addr=fd00:1::2,alias=app @back,addr=10.2.0.2,link=database:db
ctr db @back,addr=10.2.0.3,alias=store.main,alias=app
ctr other @front,addr=10.1.0.4,addr=fd00:1::4,alias=app,alias=second
ctr plain @default,addr=10.3.0.2,link=p:peer
ctr peer @default,addr=10.3.0.3";

fn zones(text: &str, absent: &[&str]) -> Zones {
    let topology = resolved(text, &Facts::default()).unwrap();
    let running = topology.containers.iter().map(|container| container.name.clone());
    Zones::new(&topology, &running.filter(|name| !absent.contains(&name.as_str())).collect())
}

/// Returns what a container is told of a name, as text.
fn told(zones: &Zones, container: &str, name: &str) -> String {
    let ns = NsRef::Named(container.try_into().unwrap());
    let zone = zones.get(&ns).unwrap_or_else(|| panic!("{container} has no zone"));
    match zone.find(Name::from_text(name).unwrap().wire()) {
        Found::Unknown => "unknown".to_owned(),
        Found::Absent => "absent".to_owned(),
        Found::Addresses { v4, v6, ttl } => {
            let v4 = v4.iter().map(ToString::to_string);
            let all: Vec<_> = v4.chain(v6.iter().map(ToString::to_string)).collect();
            format!("{} for {ttl}", all.join(" "))
        }
        Found::Pointer { name, ttl } => format!("{name} for {ttl}"),
    }
}

#[track_caller]
fn check(zones: &Zones, rows: &[(&str, &str, &str)]) {
    let found: Vec<_> =
        rows.iter().map(|(container, name, _)| (*container, *name, told(zones, container, name))).collect();
    let want: Vec<_> =
        rows.iter().map(|(container, name, want)| (*container, *name, (*want).to_owned())).collect();
    assert_eq!(found, want);
}

#[test]
fn names_are_those_of_the_networks_in_common_with_the_addresses_there() {
    check(
        &zones(SHOP, &[]),
        &[
            ("other", "web", "10.1.0.2 fd00:1::2 for 1"),
            ("other", "WEB.front", "10.1.0.2 fd00:1::2 for 1"),
            ("db", "web", "10.2.0.2 for 30"),
            ("db", "web.back", "10.2.0.2 for 30"),
            ("db", "web.front", "unknown"),
            ("db", "other", "unknown"),
            ("other", "db", "unknown"),
            ("web", "db", "10.2.0.3 for 30"),
            ("web", "store.main", "10.2.0.3 for 30"),
            ("web", "store.main.back", "10.2.0.3 for 30"),
            ("web", "web", "10.1.0.2 fd00:1::2 for 1"),
            ("web", "web.back", "10.2.0.2 for 1"),
            ("web", "nobody", "unknown"),
        ],
    );
}

#[test]
fn a_name_of_two_networks_is_that_of_ones_own_first_for_each_family() {
    let shared = "
net one 10.1.0.0/24
net two 10.2.0.0/24 fd00:2::/64
ctr a @one,addr=10.1.0.2 @two,addr=10.2.0.2,addr=fd00:2::2
ctr b @two,addr=10.2.0.3,addr=fd00:2::3 @one,addr=10.1.0.3";

    check(
        &zones(shared, &[]),
        &[
            ("a", "b", "10.1.0.3 fd00:2::3 for 1"),
            ("b", "a", "10.2.0.2 fd00:2::2 for 1"),
            ("b", "a.one", "10.1.0.2 for 1"),
        ],
    );
}

#[test]
fn an_alias_is_that_of_the_first_who_declares_it_and_runs() {
    check(
        &zones(SHOP, &[]),
        &[("other", "app", "10.1.0.2 fd00:1::2 for 1"), ("db", "app", "10.2.0.3 for 30")],
    );
    check(
        &zones(SHOP, &["web"]),
        &[("other", "app", "10.1.0.4 fd00:1::4 for 1"), ("other", "web", "absent")],
    );
    check(
        &zones(SHOP, &["other"]),
        &[("web", "second", "absent"), ("web", "app", "10.1.0.2 fd00:1::2 for 1")],
    );
}

#[test]
fn an_alias_is_that_of_all_who_run_when_the_network_says_so() {
    let all = SHOP.replace("net front", "net front policy=all");

    check(&zones(&all, &[]), &[("web", "app", "10.1.0.2 10.1.0.4 fd00:1::2 fd00:1::4 for 1")]);
    check(&zones(&all, &["other"]), &[("web", "app", "10.1.0.2 fd00:1::2 for 1")]);
}

#[test]
fn a_containers_own_name_is_nobodys_alias() {
    let text = "net n 10.1.0.0/24 policy=all\nctr a @n,addr=10.1.0.2,alias=b\nctr b @n,addr=10.1.0.3";

    check(&zones(text, &[]), &[("a", "b", "10.1.0.3 for 1")]);
    check(&zones(text, &["b"]), &[("a", "b", "10.1.0.2 for 1")]);
}

#[test]
fn a_link_is_private_and_comes_first_and_its_target_may_come_later() {
    let check_links = |text: &str, absent: &[&str], rows| check(&zones(text, absent), rows);

    check_links(SHOP, &[], &[("web", "database", "10.2.0.3 for 1"), ("db", "database", "unknown")]);
    check_links(SHOP, &["db"], &[("web", "database", "absent"), ("web", "database.back", "absent")]);
    check_links(&SHOP.replace("=database:db", "=app:db"), &[], &[("web", "app", "10.2.0.3 for 1")]);
    check_links(
        &SHOP.replace("=database:db", "=second:db"),
        &["db"],
        &[("web", "second", "10.1.0.4 fd00:1::4 for 1")],
    );
    check_links(&SHOP.replace("=database:db", "=late:nobody"), &[], &[("web", "late", "absent")]);
    // `other` is on `front` only, and the link is declared on `back`.
    check_links(&SHOP.replace("=database:db", "=o:other"), &[], &[("web", "o", "10.1.0.4 fd00:1::4 for 1")]);
}

#[test]
fn two_links_to_one_container_have_the_address_of_their_network_each() {
    let text = "
net mynet 10.1.0.0/24
net local 10.2.0.0/24
ctr container4 @mynet,link=c5:container5 @local,link=foo:container5
ctr container5 @mynet,addr=10.1.0.5 @local,addr=10.2.0.5";

    check(
        &zones(text, &[]),
        &[
            ("container4", "c5", "10.1.0.5 for 1"),
            ("container4", "foo", "10.2.0.5 for 1"),
            ("container4", "foo.local", "10.2.0.5 for 1"),
            ("container4", "foo.mynet", "unknown"),
        ],
    );
}

#[test]
fn the_default_network_has_no_names_but_links() {
    check(
        &zones(SHOP, &[]),
        &[
            ("plain", "peer", "unknown"),
            ("plain", "p", "10.3.0.3 for 1"),
            ("plain", "plain", "10.3.0.2 for 1"),
            ("plain", "3.0.3.10.in-addr.arpa", "p for 1"),
            ("plain", "2.0.3.10.in-addr.arpa", "plain.default for 1"),
            ("peer", "2.0.3.10.in-addr.arpa", "unknown"),
        ],
    );
}

#[test]
fn an_address_has_the_name_with_its_network() {
    check(
        &zones(SHOP, &[]),
        &[
            ("db", "2.0.2.10.in-addr.arpa", "web.back for 30"),
            ("web", "3.0.2.10.in-addr.arpa", "db.back for 30"),
            ("db", "2.0.1.10.in-addr.arpa", "unknown"),
            ("db", "1.0.2.10.in-addr.arpa", "host.netform.internal for 30"),
            ("other", &Name::reverse("fd00:1::2".parse().unwrap()).unwrap().to_string(), "web.front for 1"),
        ],
    );
}

#[test]
fn the_host_has_a_name_and_all_else_of_its_domain_is_ours() {
    check(
        &zones(SHOP, &[]),
        &[
            ("web", "host.netform.internal", "10.1.0.1 fd00:1::1 for 1"),
            ("db", "host.netform.internal", "10.2.0.1 for 30"),
            ("web", "other.netform.internal", "absent"),
            ("web", "localhost", "127.0.0.1 ::1 for 1"),
            ("web", "x.localhost", "127.0.0.1 ::1 for 1"),
        ],
    );
}

#[test]
fn other_names_go_to_the_networks_resolvers_or_the_hosts_or_nowhere() {
    let text = "
net out 10.1.0.0/24
net in 10.2.0.0/24 internal
net own 10.3.0.0/24 upstream=10.3.0.53 upstream=9.9.9.9
ctr a @in @out
ctr b @in
ctr c @in @own
ctr d @own,addr=10.3.0.53";
    let zones = zones(text, &[]);
    let forward =
        |container: &str| zones.get(&NsRef::Named(container.try_into().unwrap())).unwrap().forward().clone();
    let to = |servers: &[&str]| Forward::To(servers.iter().map(|server| server.parse().unwrap()).collect());

    assert_eq!(forward("a"), Forward::Host);
    assert_eq!(forward("b"), Forward::Nowhere);
    assert_eq!(forward("c"), to(&["10.3.0.53", "9.9.9.9"]));
    assert_eq!(forward("d"), to(&["9.9.9.9"]), "a resolver is not asked by itself");
}

#[test]
fn only_who_runs_and_is_on_a_network_is_served() {
    let zones = zones("net n 10.1.0.0/24\nctr a @n\nctr b @n\nctr c none", &["b"]);

    assert_eq!(zones.iter().map(|(ns, _)| ns.to_string()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_thousand_containers_share_the_names_of_their_network() {
    let containers: String = (0..1000).map(|number| format!("ctr c{number} @n\n")).collect();
    let zones = zones(&format!("net n 10.1.0.0/16\n{containers}"), &[]);
    let books: BTreeSet<_> =
        zones.iter().flat_map(|(_, zone)| zone.networks.iter().map(Arc::as_ptr)).collect();
    let own: usize = zones.iter().map(|(_, zone)| zone.own.names.len()).sum();

    assert_eq!(zones.iter().count(), 1000);
    assert_eq!(books.len(), 1, "the network's names are there once");
    assert_eq!(own, 3000, "two names of itself and one of the host each");
}

#[test]
fn the_hosts_files_say_the_same_of_names_that_others_have() {
    let text = "
net n 10.0.0.0/24
net m 10.1.0.0/24
ctr A @n @m
ctr a @n
ctr x.n @n
ctr x @n
ctr y @n,alias=host.netform.internal,alias=ip6-localhost,alias=z.n,alias=X,alias=Who,link=LOCALHOST:x,link=Db:z
ctr z @n,alias=who @m
ctr localhost @m";
    let topology = resolved(text, &Facts::default()).unwrap();
    let zones = zones(text, &[]);
    for container in &topology.containers {
        let hosts = container.hosts.to_string();
        for name in [
            "A",
            "a",
            "a.n",
            "x",
            "X",
            "x.n",
            "x.n.n",
            "y",
            "z",
            "z.n",
            "who",
            "db",
            "localhost",
            "a.m",
            "z.m",
            "ip6-localhost",
            "host.netform.internal",
            "localhost.m",
        ] {
            let lines = hosts.lines().filter_map(|line| line.split_once('\t'));
            let says = |names: &str| names.split(' ').any(|it| it.eq_ignore_ascii_case(name));
            let mut said: Vec<_> = lines.filter(|(_, names)| says(names)).map(|(addr, _)| addr).collect();
            said.sort_by_key(|addr| addr.contains(':'));
            let answer = told(&zones, container.name.as_str(), name);
            let answer = answer.split_once(" for ").map_or("", |(answer, _)| answer);
            assert_eq!(said.join(" "), answer, "{name} in {}:\n{hosts}", container.name);
        }
    }
}
