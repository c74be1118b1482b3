//! Sentences, from plain values: no kernel is asked.

use super::*;
use crate::kernel::census::{Group, Peer};
use crate::kernel::netns::Identity;
use crate::resource::owner::Mark;
use crate::runtime::list::{Network, Runs};

fn link(index: u32, name: &str, kind: &str) -> Interface {
    Interface { index, name: name.to_owned(), kind: kind.to_owned(), up: true, ..Interface::default() }
}

fn marked(mark: &str, link: Interface) -> Interface {
    Interface { mark: Some(Mark::parse(mark).unwrap()), ..link }
}

fn on(master: u32, link: Interface) -> Interface {
    Interface { master: Some(master), ..link }
}

fn with(addresses: &[&str], link: Interface) -> Interface {
    Interface { addresses: addresses.iter().map(|addr| addr.parse().unwrap()).collect(), ..link }
}

fn facing(namespace: usize, index: u32, link: Interface) -> Interface {
    Interface { peer: Peer::At { namespace, index }, ..link }
}

/// The host of all stories: a network of netform's with a container, Docker with a container, and things by hand.
fn scene() -> Scene {
    let bridge = with(&["172.25.0.1/16", "fe80::1/64"], link(2, "br-front", "bridge"));
    let docker0 = Interface {
        maker: Some("Docker".to_owned()),
        ..with(&["172.17.0.1/16"], link(4, "docker0", "bridge"))
    };
    let port =
        Interface { maker: Some("Docker".to_owned()), ..facing(2, 6, on(4, link(5, "veth1a2b3c4", "veth"))) };
    let host = Namespace {
        home: true,
        read: true,
        interfaces: vec![
            with(&["127.0.0.1/8"], link(1, "lo", "")),
            marked("netform:shop:network.front", bridge),
            facing(
                1,
                2,
                on(2, marked("netform:shop:attachment.web@front", link(3, "nf-791db2905c", "veth"))),
            ),
            docker0,
            port,
            Interface {
                driver: Some("virtio_net".to_owned()),
                ..with(&["10.0.0.5/24"], link(7, "eth0", ""))
            },
            Interface { up: false, ..link(8, "br-0123456789ab", "bridge") },
            link(9, "br-hand", "bridge"),
            Interface { peer: Peer::Unseen, ..link(10, "far", "veth") },
            Interface { peer: Peer::At { namespace: 0, index: 7 }, ..link(11, "mv0", "macvlan") },
            link(12, "flannel.1", "vxlan"),
            link(13, "odd0", "frob"),
        ],
        ..Namespace::default()
    };
    let web = Namespace {
        id: Identity { device: 0, inode: 7 },
        names: vec!["web".to_owned()],
        mark: Mark::parse("netform:shop:container.web"),
        read: true,
        interfaces: vec![link(1, "lo", ""), facing(0, 3, with(&["172.25.3.3/16"], link(2, "eth0", "veth")))],
        ..Namespace::default()
    };
    let docker = Namespace {
        id: Identity { device: 0, inode: 8 },
        process: Some(Process { pid: 4711, name: "postgres".to_owned() }),
        group: Some(Group { runtime: Some("Docker"), id: "dbe5810b1a3d".to_owned() }),
        read: true,
        interfaces: vec![link(1, "lo", ""), facing(0, 5, with(&["172.17.0.2/16"], link(6, "eth0", "veth")))],
        ..Namespace::default()
    };
    let place = |line| Origin { file: "shop.yaml".into(), line, column: 3 };
    let origins = [
        ("network.front", 5),
        ("attachment.web@front", 9),
        ("container.web", 8),
        ("port.0.0.0.0:8080/tcp", 10),
    ];
    let origins = origins.map(|(owner, line)| (Owner::try_from(owner).unwrap(), place(line)));
    let shop = ProjectName::try_from("shop").unwrap();
    Scene {
        namespaces: vec![host, web, docker],
        origins: BTreeMap::from([(shop, BTreeMap::from(origins))]),
        ..Scene::default()
    }
}

/// The same host, where Docker answers.
fn scene_with_docker() -> Scene {
    let network = |id: &str, name: &str, bridge: Option<&str>| Network {
        runtime: "Docker".to_owned(),
        id: id.to_owned(),
        name: name.to_owned(),
        bridge: bridge.map(str::to_owned),
    };
    let runs = Runs {
        runtime: "Docker".to_owned(),
        id: "dbe5810b1a3db040c4ba".to_owned(),
        name: "shop-db".to_owned(),
        pid: 4711,
        ports: vec![(5432, "tcp".to_owned(), 5432)],
    };
    let networks =
        vec![network("77", "bridge", Some("docker0")), network("0123456789abcdef", "shop_back", None)];
    Scene { listing: Listing { containers: vec![runs], networks }, ..scene() }
}

#[track_caller]
fn check(scene: &Scene, thing: &str, want: &[&str]) {
    let found: Vec<_> = explain(thing, scene).into_iter().map(|finding| finding.sentence).collect();
    assert_eq!(found, want, "{thing}");
}

const BRIDGE: &str = "the bridge of netform's network front, project shop: its port is nf-791db2905c; \
    it has 172.25.0.1/16; shop.yaml:5:3 asks for it.";
const END: &str = "the interface that container web has on netform's network front, project shop: \
    its other end is nf-791db2905c on the host, a port of bridge br-front; it has 172.25.3.3/16; shop.yaml:9:3 asks for it.";
const DOCKER_END: &str = "an end of a veth pair, made by Docker: its other end is veth1a2b3c4 on the host, \
    a port of bridge docker0; it has 172.17.0.2/16.";

#[test]
fn an_interface_of_netforms_is_told_with_its_network_its_container_its_peer_and_its_line() {
    let scene = scene();

    check(&scene, "br-front", &[&format!("br-front is {BRIDGE}")]);
    check(
        &scene,
        "nf-791db2905c",
        &[
            "nf-791db2905c is netform's veth for container web on network front, project shop, the end on the host: a port of \
           bridge br-front; its other end is eth0 in namespace web with 172.25.3.3/16; shop.yaml:9:3 asks for it.",
        ],
    );
    check(&scene, "eth0@if3", &[&format!("eth0 in namespace web is {END}")]);
}

#[test]
fn an_interface_of_others_is_told_as_far_as_names_and_peers_tell() {
    let scene = scene();

    let rows = [
        (
            "docker0",
            "a bridge, made by Docker for its default network: its port is veth1a2b3c4; it has 172.17.0.1/16.",
        ),
        (
            "veth1a2b3c4",
            "an end of a veth pair, made by Docker, of container dbe5810b1a3d: a port of bridge docker0; its other end \
          is eth0 in the namespace of Docker's container dbe5810b1a3d with 172.17.0.2/16.",
        ),
        (
            "br-0123456789ab",
            "a bridge, made by Docker for its network 0123456789ab: it has no ports; it is down.",
        ),
        ("br-hand", "a bridge, and nothing tells who made it: it has no ports."),
        (
            "far",
            "an end of a veth pair, and nothing tells who made it: its other end is in a namespace that cannot be seen from here.",
        ),
        ("mv0", "a macvlan interface, and nothing tells who made it: it stands on eth0."),
        ("flannel.1", "a VXLAN tunnel, an end of an overlay network between hosts, made by flannel."),
        ("odd0", "an interface of the kind `frob`, and nothing tells who made it."),
    ];
    for (name, what) in rows {
        check(&scene, name, &[&format!("{name} is {what}")]);
    }
    check(
        &scene,
        "eth0",
        &[
            "eth0 is a network card (driver virtio_net): it has 10.0.0.5/24.",
            &format!("eth0 in namespace web is {END}"),
            &format!("eth0 in the namespace of Docker's container dbe5810b1a3d is {DOCKER_END}"),
        ],
    );
}

#[test]
fn a_runtime_that_answers_gives_containers_and_networks_their_names() {
    let scene = scene_with_docker();

    check(
        &scene,
        "shop-db",
        &[
            "shop-db is a container that Docker runs, id dbe5810b1a3d: its first process is 4711; it has eth0 with 172.17.0.2/16; \
           it publishes 5432/tcp (its 5432).",
        ],
    );
    check(
        &scene,
        "br-0123456789ab",
        &[
            "br-0123456789ab is a bridge, made by Docker for its network shop_back: it has no ports; it is down.",
        ],
    );
    check(
        &scene,
        "shop_back",
        &[
            "shop_back is a network of Docker: br-0123456789ab is a bridge, made by Docker for its network shop_back: it has no \
           ports; it is down.",
        ],
    );
    check(
        &scene,
        "5432",
        &["5432/tcp is a port that Docker publishes: it leads to port 5432 of its container shop-db."],
    );
}

#[test]
fn an_address_is_told_by_its_interface_or_by_the_subnet_that_it_would_be_in() {
    let scene = scene();

    check(&scene, "172.25.3.3", &[&format!("172.25.3.3 is on eth0 in namespace web, {END}")]);
    check(&scene, "172.25.0.1/16", &[&format!("172.25.0.1/16 is on br-front, {BRIDGE}")]);
    check(&scene, "172.25.0.0/16", &[&format!("172.25.0.0/16 is the subnet of br-front, {BRIDGE}")]);
    check(
        &scene,
        "172.25.9.9",
        &[&format!(
            "172.25.9.9 is on no interface that can be seen from here, but in the subnet 172.25.0.0/16 of br-front, {BRIDGE}"
        )],
    );
    check(&scene, "198.51.100.1", &[]);
}

#[test]
fn an_address_in_two_namespaces_is_told_twice() {
    let mut scene = scene();
    scene.namespaces[2].interfaces[1].addresses = vec!["172.25.3.3/24".parse().unwrap()];

    assert_eq!(explain("172.25.3.3", &scene).len(), 2);
}

#[test]
fn a_namespace_and_a_container_of_the_same_name_are_both_told() {
    check(
        &scene(),
        "web",
        &[
            "web is the network namespace that netform made for container web of project shop: it has eth0; shop.yaml:8:3 asks \
             for it.",
            "web is a container of netform's project shop: it lives in namespace web; it has eth0 with 172.25.3.3/16 on network \
             front; shop.yaml:8:3 asks for it.",
        ],
    );
    check(&scene(), "/run/netns/web", &[explain("web", &scene())[0].sentence.as_str()]);
    check(
        &scene(),
        "front",
        &[
            "front is a network of netform's project shop: its bridge is br-front with 172.25.0.1/16; on it: web; shop.yaml:5:3 \
           asks for it.",
        ],
    );
}

#[test]
fn a_port_is_told_by_who_publishes_it_leads_it_elsewhere_or_listens() {
    let text = "table ip nat { # handle 1\n\tchain DOCKER { # handle 2\n\t\ttcp dport 9000 counter packets 0 bytes 0 dnat to \
        172.17.0.2:80 # handle 3\n\t}\n}\n";
    let process = Process { pid: 9, name: "nginx".to_owned() };
    let listener = HostPorts {
        family: crate::resource::sysctl::Family::Ipv4,
        address: None,
        protocol: crate::names::Protocol::Tcp,
        ports: 8081..=8081,
    };
    let scene = Scene { tables: ruleset::parse(text), listeners: vec![(listener, Some(process))], ..scene() };

    check(
        &scene,
        "8081/tcp",
        &["0.0.0.0:8081/tcp is a port of the host on which process 9 (nginx) listens."],
    );
    check(
        &scene,
        "9000",
        &[
            "9000/tcp is led to 172.17.0.2:80 (dnat) by rule 3 of chain DOCKER of nft table ip nat, made by Docker.",
        ],
    );
    for nothing in ["8081/udp", "9000/udp", "7"] {
        check(&scene, nothing, &[]);
    }
}

const TABLE: &str = "table inet netform-shop { # handle 2\n\tmap any_addr4 { # handle 16\n\t\ttype inet_proto . inet_service : \
    ipv4_addr\n\t\telements = { tcp . 8080 comment \"port.0.0.0.0:8080/tcp\" : 172.25.3.3 }\n\t}\n\tchain forward { # handle \
    40\n\t\ttype filter hook forward priority filter; policy accept;\n\t\tiifname @bridges accept # handle 41\n\t}\n}\n\
    table ip nat { # handle 1\n\tchain DOCKER { # handle 2\n\t\tcounter packets 7 bytes 70 accept # handle 41\n\t}\n}\n";

#[test]
fn what_nft_lists_is_told_by_its_table() {
    let scene = Scene { tables: ruleset::parse(TABLE), ..scene() };
    let ours = "nft table inet netform-shop, the firewall of netform's project shop";

    check(
        &scene,
        "nft table inet netform-shop",
        &[
            "nft table inet netform-shop is the firewall of netform's project shop: it has 1 rule and 1 element.",
        ],
    );
    check(
        &scene,
        "table ip nat",
        &[
            "nft table ip nat is what `iptables -t nat` shows: in it are chains of Docker; it has 1 rule and 0 elements.",
        ],
    );
    let element = format!(
        "tcp . 8080 is an element of map any_addr4 of {ours}: the map says to which container a port of every address of the \
         host leads; it leads to 172.25.3.3; it is there for port.0.0.0.0:8080/tcp; shop.yaml:10:3 asks for it."
    );
    check(&scene, "nft element any_addr4 tcp . 8080", &[&element]);
    check(&scene, "add element inet netform-shop any_addr4 { tcp . 8080 : 172.25.3.3 }", &[&element]);
    let rule = format!(
        "rule 41 is a rule of chain forward of {ours}: `iifname @bridges accept`; it is the same for all containers and ports."
    );
    check(&scene, "iifname @bridges accept # handle 41", &[&rule]);
    check(&scene, "nft delete rule inet netform-shop forward handle 41", &[&rule]);
    assert_eq!(
        explain("counter packets 9 bytes 90 accept # handle 41", &scene).len(),
        1,
        "what is counted changes"
    );
    assert_eq!(explain("rule handle 41", &scene).len(), 2, "handles are a table's own");
    check(&scene, "nft table inet nope", &[]);
}

#[test]
fn words_that_nft_prints_are_one_thing_and_others_are_several() {
    let things = |text: &str| super::things(&text.split(' ').map(str::to_owned).collect::<Vec<_>>()).len();

    assert_eq!(things("br-front web"), 2);
    assert_eq!(things("nft table inet netform-shop"), 1);
    assert_eq!(things("tcp dport 80 accept # handle 12"), 1);
    assert_eq!(things("table"), 1);
}

#[test]
fn what_ip_printed_is_told_of_the_very_interface_or_by_its_name_alone() {
    let text = "2: eth0@if3: <UP> mtu 1500\n    inet 172.25.3.3/16 scope global eth0\n7: eth0: <UP> mtu 1500\n    \
        inet 192.0.2.9/24 scope global eth0\n9: br-aaaaaaaaaaaa: <UP>\n";

    let told: Vec<_> = pasted(text, &scene()).into_iter().map(|finding| finding.sentence).collect();

    assert_eq!(
        told,
        [
            format!("eth0 in namespace web is {END}"),
            "eth0 is no interface that can be seen from here: by its name it is a network card, or what a container has for one; \
             it has 192.0.2.9."
                .to_owned(),
            "br-aaaaaaaaaaaa is no interface that can be seen from here: by its name it is Docker's, the bridge of its network \
             aaaaaaaaaaaa."
                .to_owned(),
        ]
    );
}

#[test]
fn a_container_that_is_attached_but_runs_elsewhere_is_told_as_both() {
    let mut scene = scene_with_docker();
    let host = marked("netform:shop:attachment.db@front", link(20, "nf-aaaaaaaaaa", "veth"));
    scene.namespaces[0].interfaces.push(facing(2, 9, on(2, host)));
    scene.namespaces[2].interfaces.push(facing(0, 20, with(&["172.25.0.9/16"], link(9, "nf0", "veth"))));

    check(
        &scene,
        "db",
        &[
            "db is a container of netform's project shop: it lives in the namespace of Docker's container shop-db; it has nf0 with \
           172.25.0.9/16 on network front.",
        ],
    );
    check(
        &scene,
        "nf0",
        &[
            "nf0 in the namespace of Docker's container shop-db is the interface that container db has on netform's network front, \
           project shop: its other end is nf-aaaaaaaaaa on the host, a port of bridge br-front; it has 172.25.0.9/16.",
        ],
    );
}

#[test]
fn a_container_behind_a_link_of_the_host_is_told_with_that_link() {
    let mut scene = scene();
    let lan = with(&["10.0.0.200/24"], link(3, "eth1", "macvlan"));
    scene.namespaces[1].interfaces.push(facing(0, 7, marked("netform:shop:attachment.web@lan", lan)));

    check(
        &scene,
        "eth1",
        &[
            "eth1 in namespace web is the interface that container web has on netform's network lan, project shop: it stands on \
           eth0 on the host; it has 10.0.0.200/24.",
        ],
    );
    check(&scene, "lan", &["lan is a network of netform's project shop: it is behind eth0; on it: web."]);
}
