//! Networks on bridges of others.

use super::{problems, topology};
use crate::names::IfName;
use crate::topology::facts::{Facts, LinkFact};
use crate::topology::silent::warnings;
use crate::topology::sketch::sketch;
use crate::topology::{leases, strangers};

fn on_br_lan(addresses: &[&str]) -> Facts {
    let addresses = addresses.iter().map(|addr| addr.parse().unwrap()).collect();
    let bridge = LinkFact { mtu: 9000.try_into().unwrap(), addresses, mac: None, filtering: None };
    Facts { bridges: [("br-lan".try_into().unwrap(), bridge)].into(), ..Facts::default() }
}

#[test]
fn an_existing_bridge_that_is_not_there_is_waited_for_with_all_that_depends_on_it() {
    let text = "net lan external=br-lam egress=masquerade\nnet b 10.2.0.0/24\n\
                ctr web @lan,addr=192.168.1.1,ext=203.0.113.9,vlan=10,route=10.9.0.0/16>192.168.1.9 @b publish=8080:80\n\
                ctr nas @lan,vlan=10 publish=445:445";
    let mut facts = on_br_lan(&[]);

    let waiting = topology(text, &facts);

    assert!(waiting.networks[0].waits && !waiting.networks[1].waits);
    assert_eq!(waiting.addresses("web", "lan"), "", "the bridge says which subnet there is");
    assert_eq!(waiting.attachment("web", "b").default_via.len(), 1, "another network leads out meanwhile");
    let targets = |name: &str| waiting.container(name).publish[0].targets.clone();
    assert_eq!(targets("web"), ["10.2.0.2".parse::<std::net::IpAddr>().unwrap()]);
    assert!(targets("nas").is_empty());
    assert_eq!(
        warnings(&waiting, &facts),
        [
            "there is no bridge `br-lam` (did you mean `br-lan`?): network `lan` waits for it, with all that is on it"
        ]
    );
    let idle: Vec<_> = waiting.idle().iter().map(ToString::to_string).collect();
    assert_eq!(
        idle,
        [
            "network.lan",
            "attachment.web@lan",
            "attachment.nas@lan",
            "port.0.0.0.0:445/tcp",
            "port.[::]:445/tcp"
        ]
    );

    // What containers had there is kept for them.
    let held = [("lan".try_into().unwrap(), vec!["192.168.1.7".parse().unwrap()])].into_iter().collect();
    facts.leases.addresses.insert("nas".try_into().unwrap(), held);
    let waiting = topology(text, &facts);
    assert_eq!(
        leases(&waiting, &facts.leases).addresses[&"nas".try_into().unwrap()],
        facts.leases.addresses[&"nas".try_into().unwrap()]
    );
    assert!(!warnings(&waiting, &facts)[0].contains("did you mean"), "it was there");
    let bare = topology("net lan external=br-lan\nctr nas @lan", &facts);
    assert_eq!(leases(&bare, &facts.leases).addresses, facts.leases.addresses, "it has no address yet");
}

#[test]
fn where_a_subnet_is_given_the_missing_bridge_still_says_who_has_which_address_in_it() {
    let text =
        "net lan external=br-lam 192.168.1.0/24\nctr web @lan,addr=192.168.1.1 publish=80:80\nctr nas @lan";
    let waiting = topology(text, &on_br_lan(&[]));

    assert_eq!(waiting.addresses("web", "lan"), "192.168.1.1/24");
    assert_eq!(waiting.addresses("nas", "lan"), "", "others may have it");
    assert_eq!(waiting.subnets(), ["lan 192.168.1.0/24 via nobody"]);
    assert!(waiting.container("web").publish[0].targets.is_empty());
}

#[test]
fn what_is_there_and_no_bridge_of_others_is_not_waited_for() {
    let name = |name: &str| IfName::try_from(name).unwrap();
    let mut facts = on_br_lan(&[]);
    facts.foreign_links.insert(name("eth0"));
    facts.interfaces.insert("front".try_into().unwrap(), name("br-front"));
    insta::assert_snapshot!(problems("net lan external=eth0\nnet front external=br-front", &facts), @r"
    topology::unknown_bridge: `eth0` is no bridge
      eth0: network `lan` is to be on it
      help: `ip link show type bridge` lists the bridges; behind a link that is none, `driver: macvlan` is a network
    topology::own_bridge: bridge `br-front` is netform's own: network `front` has it
      br-front: network `front` is to be on it
      help: write `interface: br-front` in place of `external`, or give it up first, as it is: `netform forget --force network.front`
    ");
}

#[test]
fn where_others_are_nobody_is_given_an_address_that_somebody_is_known_to_have() {
    let mut facts = on_br_lan(&["10.20.0.1/24"]);
    let addr = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
    facts.addresses.insert(addr("10.20.0.2"), IfName::try_from("eth1").unwrap());
    facts.neighbours = [("br-lan".try_into().unwrap(), [addr("10.20.0.3"), addr("10.20.0.4")].into())].into();
    let text = "net lan external=br-lan\nctr nas @lan\nctr web @lan,addr=10.20.0.3";

    let topology = topology(text, &facts);

    assert_eq!(topology.addresses("nas", "lan"), "10.20.0.5/24");
    assert_eq!(topology.addresses("web", "lan"), "10.20.0.3/24", "it was chosen");
    assert_eq!(
        topology.warnings(&facts),
        [
            "sketch:1:1: container nas gets 10.20.0.5 on network lan, where others are, and no `pool` says which addresses \
             are free: one whom the host has not heard of lately on br-lan may have it; write `subnets: [{cidr: \
             10.20.0.0/24, pool: 10.20.0.128/25}]` with a range that is, or each container's `address`"
        ]
    );
    assert!(
        problems("net lan external=br-lan\nctr web @lan,addr=10.20.0.2", &facts).contains("the host's own")
    );

    // Who has an address keeps it, though the host knows it by now, and is no news.
    let held = |address: &str| [("lan".try_into().unwrap(), vec![addr(address)])].into_iter().collect();
    facts.live.addresses.insert("nas".try_into().unwrap(), held("10.20.0.4"));
    let kept = super::topology(text, &facts);
    assert_eq!(kept.addresses("nas", "lan"), "10.20.0.4/24");
    assert!(kept.warnings(&facts).is_empty());

    // A pool is a promise.
    facts.live.addresses.clear();
    let pooled = "net lan external=br-lan 10.20.0.0/24,pool=10.20.0.4/30\nctr nas @lan";
    assert_eq!(super::topology(pooled, &facts).addresses("nas", "lan"), "10.20.0.4/24");
    assert!(super::topology(pooled, &facts).warnings(&facts).is_empty());
}

#[test]
fn neighbours_are_asked_for_where_somebody_new_is_to_be_among_them() {
    let asked = |text: &str, facts: &Facts| {
        strangers::asked(&sketch(text), facts).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let none = Facts::default();
    assert_eq!(asked("net lan external=br-lan\nctr a @lan", &none), ["br-lan"]);
    assert_eq!(asked("net lan external=br-lan 10.0.0.0/24,pool=10.0.0.8/29\nctr a @lan", &none), [""; 0]);
    assert_eq!(asked("net lan external=br-lan\nctr a @lan,addr=10.0.0.3", &none), [""; 0]);
    assert_eq!(asked("net lan macvlan=eth0 10.0.0.0/24\nctr a @lan", &none), ["eth0"]);
    assert_eq!(asked("net lan ipvlan=eth0,l3 10.0.0.0/24\nctr a @lan", &none), [""; 0]);
    assert_eq!(asked("net lan 10.0.0.0/24\nctr a @lan", &none), [""; 0]);
    let mut held = Facts::default();
    let addresses = [("lan".try_into().unwrap(), vec!["10.0.0.3".parse().unwrap()])].into_iter().collect();
    held.leases.addresses.insert("a".try_into().unwrap(), addresses);
    assert_eq!(asked("net lan external=br-lan\nctr a @lan", &held), [""; 0]);
    assert_eq!(asked("net lan external=br-lan\nctr a @lan\nctr b @lan", &held), ["br-lan"]);
}

#[test]
fn what_is_published_where_the_host_does_not_get_is_told() {
    let text =
        "net lan external=br-lan 10.20.0.0/24\nctr nas @lan,addr=10.20.0.7 publish=445:445 publish=446:446";

    let told = topology(text, &on_br_lan(&[])).warnings(&on_br_lan(&[]));
    assert_eq!(
        told,
        [
            "sketch:2:1: the host has neither an address nor a route on bridge `br-lan` by which it reaches 10.20.0.7: what \
             comes to port 445/tcp does not get to container nas; give the bridge an address there, or put nas on a \
             network of netform's, too, by which its default route leads"
        ]
    );
    let there = on_br_lan(&["10.20.0.1/24"]);
    let told = topology(text, &there).warnings(&there);
    assert_eq!(
        told,
        [
            "sketch:2:1: port 445/tcp does not answer at 127.0.0.1 of this host, since `br-lan` is somebody else's bridge: ask \
             at another of its addresses, or put nas on a network of netform's, too, by which its default route leads"
        ]
    );
    let local = "net lan external=br-lan\nctr nas @lan publish=127.0.0.1|445:445";
    for facts in [&there, &on_br_lan(&[])] {
        assert!(
            problems(local, facts).contains("topology::external_loopback"),
            "whatever the bridge is like"
        );
    }
}
