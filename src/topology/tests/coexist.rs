//! What Docker's firewall has to let pass.

use super::topology;
use crate::resource::sysctl::Family;
use crate::topology::barriers::warnings;
use crate::topology::facts::{Barrier, Facts};

const NETWORKS: &str = "net a 10.0.0.0/24 fd00::/64\nnet in 10.1.0.0/24 internal\nnet lan external=lan\nnet street 192.0.2.0/24 macvlan=eth0";

fn facts(chains: &[Family]) -> Facts {
    let link = || crate::topology::facts::LinkFact {
        mtu: crate::names::Mtu::ETHERNET,
        addresses: vec![],
        mac: None,
        filtering: None,
    };
    let name = |text: &str| text.try_into().unwrap();
    Facts {
        docker_user: chains.iter().copied().collect(),
        outside: ["eth0", "wg0"].map(name).into(),
        bridges: [(name("lan"), link())].into(),
        parents: [(name("eth0"), link())].into(),
        ..Facts::default()
    }
}

fn passages(text: &str, chains: &[Family]) -> String {
    let topology = topology(text, &facts(chains));
    let line = |(network, it): &(crate::names::NetName, crate::resource::passage::Passage)| {
        let link =
            |link: &Option<crate::names::IfName>| link.as_ref().map_or("any".to_owned(), ToString::to_string);
        format!("{network} {:?} {} -> {}\n", it.family, link(&it.from), link(&it.to))
    };
    topology.passages.iter().map(line).collect()
}

#[test]
fn a_network_passes_to_itself_and_out_of_the_host_and_an_internal_one_within_itself() {
    let wanted = format!("coexist\n{NETWORKS}");
    insta::assert_snapshot!(passages(&wanted, &[Family::Ipv4, Family::Ipv6]), @r"
    a Ipv4 br-a -> eth0
    a Ipv4 br-a -> wg0
    a Ipv4 any -> br-a
    a Ipv6 br-a -> eth0
    a Ipv6 br-a -> wg0
    a Ipv6 any -> br-a
    in Ipv4 br-in -> br-in
    ");
}

#[test]
fn nothing_passes_that_nobody_asks_for_or_where_docker_has_no_chain() {
    assert_eq!(passages(NETWORKS, &[Family::Ipv4]), "");
    assert_eq!(passages(&format!("coexist\n{NETWORKS}"), &[]), "");
}

#[test]
fn of_what_passes_nobody_is_warned() {
    let (table, chain) = ("filter".to_owned(), "FORWARD".to_owned());
    let none = Default::default;
    let barrier = Barrier {
        family: "ip".to_owned(),
        table,
        chain,
        is_dockers: true,
        bridged: true,
        from: none(),
        to: none(),
    };
    let told = |text: &str| {
        let facts = Facts { barriers: [barrier.clone()].into(), ..facts(&[Family::Ipv4]) };
        warnings(&topology(text, &facts), &facts).join("; ")
    };
    let own = "net a 10.0.0.0/24\nnet in 10.1.0.0/24 internal";

    assert!(
        told(own).contains("`coexist: {docker: true}` in the manifest has netform let them pass"),
        "{}",
        told(own)
    );
    assert_eq!(told(&format!("coexist\n{own}")), "");
}
