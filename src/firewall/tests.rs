use std::net::Ipv4Addr;

use super::*;
use crate::manifest::{Expose, Ingress};
use crate::names::{ContainerName, IfName, Mac, Mtu, NetName, Protocol};
use crate::resource::netns::NsRef;
use crate::resource::vlan::{Filtering, PortVlans, VlanId};
use crate::topology::{
    Attachment, Container, Dns, Driver, Egress, Hosts, Network, Proxy, Publish, Runtime, Subnet,
};

fn origin() -> Origin {
    Origin { file: "shop.yaml".into(), line: 1, column: 1 }
}

fn topology(networks: Vec<Network>, containers: Vec<Container>) -> Topology {
    Topology {
        project: ProjectName::try_from("shop").unwrap(),
        origin: origin(),
        networks,
        containers,
        passages: vec![],
        policies: Default::default(),
        heard: vec![],
        notes: vec![],
    }
}

fn network(name: &str, cidrs: &[&str]) -> Network {
    let subnet = |cidr: &&str| {
        let cidr: IpNet = cidr.parse().unwrap();
        Subnet { cidr, gateway: cidr.hosts().next() }
    };
    Network {
        vlan: None,
        waits: false,
        shim: None,
        name: NetName::try_from(name).unwrap(),
        origin: origin(),
        driver: Driver::Bridge,
        interface: IfName::try_from(format!("br-{name}")).unwrap(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        stp: false,
        hairpin: None,
        filtering: None,
        external: false,
        subnets: cidrs.iter().map(subnet).collect(),
        internal: false,
        icc: true,
        mtu: Mtu::ETHERNET,
        egress: Egress::Masquerade,
        proxy: Proxy::Nobody,
        ingress: Ingress::Published,
        dns: Dns::default(),
        prevent_destroy: false,
        ignore: vec![],
    }
}

fn container(name: &str, network: &str, addresses: &[&str]) -> Container {
    let attachment = Attachment {
        network: NetName::try_from(network).unwrap(),
        origin: origin(),
        interface: IfName::try_from(format!("br-{network}")).unwrap(),
        ground: crate::topology::Ground::Firm,
        device: None,
        port: Some(IfName::try_from(format!("v-{name}")).unwrap()),
        vlans: None,
        apart: crate::topology::Apart::No,
        switched: None,
        link: IfName::try_from("eth0").unwrap(),
        mac: Mac([2, 0, 0, 0, 0, 2]),
        mtu: Mtu::ETHERNET,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        external: vec![],
        default_via: vec![],
        routes: vec![],
        sysctls: vec![],
        bandwidth: None,
        isolated: false,
        hairpin: None,
        default_on_link: vec![],
        aliases: vec![],
        links: vec![],
    };
    let name = ContainerName::try_from(name).unwrap();
    Container {
        ns: NsRef::Named((&name).into()),
        name,
        origin: origin(),
        runtime: Runtime::Netform,
        run: None,
        guests: vec![],
        attachments: vec![attachment],
        routes: vec![],
        sysctls: vec![],
        publish: vec![],
        expose: vec![],
        hosts: Hosts::default(),
    }
}

/// `at` is a host address, or empty for any; the pair is the first of the host's ports and of the container's.
fn publish(at: &str, (host, target): (u16, u16), count: u16, targets: &[&str]) -> Publish {
    Publish {
        origin: origin(),
        host_address: at.parse().ok(),
        host_ports: host..=host + count - 1,
        target_ports: target..=target + count - 1,
        protocol: Protocol::Tcp,
        allow_from: vec![],
        targets: targets.iter().map(|target| target.parse().unwrap()).collect(),
    }
}

fn tables(topology: &Topology) -> Vec<NftTable> {
    let mut tables = vec![];
    for entry in lower(topology) {
        if let Resource::NftTable(table) = entry.resource {
            tables.push(table);
        }
    }
    tables
}

/// Elements as text, one a line, those of the sets whose names begin so.
fn elements(topology: &Topology, sets: &[&str]) -> String {
    let mut text = String::new();
    for Entry { resource, owner, origin: _, ignore: _ } in lower(topology) {
        if let Resource::NftElement(NftElement { table: _, set, key, data, stance: _ }) = resource
            && sets.iter().any(|wanted| set.starts_with(wanted))
        {
            let data = data.map_or(String::new(), |data| format!(" : {data}"));
            text += &format!("{set} {}{data}  # {owner}\n", key.join(" . "));
        }
    }
    text
}

fn crowd(count: u32) -> Topology {
    let address = |n: u32| Ipv4Addr::from(0x0a00_0000 + n * 256);
    let networks = (0..count).map(|n| network(&format!("n{n}"), &[&format!("{}/24", address(n))]));
    let containers = (0..count).map(|n| {
        let held = Ipv4Addr::from(u32::from(address(n)) + 2).to_string();
        let mut container = container(&format!("c{n}"), &format!("n{n}"), &[&format!("{held}/24")]);
        container.publish = vec![publish("", (20_000 + u16::try_from(n).unwrap(), 80), 1, &[&held])];
        container
    });
    topology(networks.collect(), containers.collect())
}

#[test]
fn the_rules_are_these() {
    let mut quiet = network("back", &["10.7.0.0/24"]);
    quiet.icc = false;
    let tables = tables(&topology(vec![quiet], vec![]));

    let mut text = String::new();
    for table in &tables {
        text += &format!("table {} {}\n", table.id.family.as_str(), table.id.name);
        for command in &table.body {
            let rule = &command["add"]["rule"];
            if rule.is_object() {
                let key = rule["comment"].as_str().unwrap().trim_start_matches("netform:");
                let parts: Vec<String> =
                    rule["expr"].as_array().unwrap().iter().map(ToString::to_string).collect();
                text +=
                    &format!("  {} [{key}]\n    {}\n", rule["chain"].as_str().unwrap(), parts.join("\n    "));
            } else {
                text += &format!("  {command}\n");
            }
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_rules_do_not_grow_with_networks_containers_and_ports() {
    let [one, hundred, thousands] = [1, 100, 5000].map(|count| tables(&crowd(count)));

    assert_eq!(one, hundred);
    assert_eq!(one, thousands);
    let [Some(first), Some(last)] = [one.first(), thousands.first()] else { panic!("there is a table") };
    assert_eq!(first.body, last.body);
}

#[test]
fn a_table_of_bridges_is_there_only_for_networks_without_icc() {
    let mut quiet = network("back", &["10.7.0.0/24"]);
    quiet.icc = false;

    assert_eq!(tables(&topology(vec![network("front", &["10.6.0.0/24"])], vec![])).len(), 1);
    assert_eq!(tables(&topology(vec![quiet], vec![])).len(), 2);
}

#[test]
fn who_is_in_a_vlan_sends_no_tags_and_who_is_in_several_one() {
    let vlans = |vlan: u16, trunks: &[u16]| PortVlans {
        vlan: VlanId::try_from(vlan).ok(),
        trunks: trunks.iter().map(|id| VlanId::try_from(*id).unwrap()).collect(),
        intact: true,
    };
    let mut all = topology(
        vec![network("a", &["10.0.0.0/24"]), network("lan", &["10.1.0.0/24"])],
        vec![
            container("x", "a", &["10.0.0.2/24"]),
            container("y", "a", &["10.0.0.3/24"]),
            container("z", "lan", &["10.1.0.2/24"]),
            container("w", "lan", &["10.1.0.3/24"]),
        ],
    );
    assert_eq!(tables(&all).len(), 1);
    for network in &mut all.networks {
        network.filtering = Some(Filtering::OURS);
        network.external = network.name.as_str() == "lan";
    }
    all.containers[1].attachments[0].vlans = Some(vlans(10, &[20]));
    all.containers[2].attachments[0].vlans = Some(vlans(1, &[]));

    assert_eq!(tables(&all).len(), 2);
    insta::assert_snapshot!(elements(&all, &["untagged", "trunked"]), @r"
    untagged v-x  # attachment.x@a
    trunked v-y  # attachment.y@a
    untagged v-z  # attachment.z@lan
    ");
}

#[test]
fn a_network_is_isolated_and_hidden_by_elements() {
    let mut inner = network("inner", &["10.8.0.0/24"]);
    inner.internal = true;
    inner.ingress = Ingress::Open;
    let mut open = network("open", &["10.9.0.0/24"]);
    open.ingress = Ingress::Open;
    open.egress = Egress::Routed;
    let mut fixed = network("fixed", &["10.10.0.0/24", "fd00:10::/64"]);
    fixed.egress = Egress::Snat(vec!["203.0.113.7".parse().unwrap()]);
    let topology = topology(vec![network("front", &["172.25.0.0/16"]), inner, open, fixed], vec![]);

    insta::assert_snapshot!(elements(&topology, &[""]), @r"
    bridges br-front  # network.front
    same_network br-front . br-front  # network.front
    masquerade4 172.25.0.0/16  # network.front
    hairpin4 172.25.0.0/16 . br-front  # network.front
    bridges br-inner  # network.inner
    same_network br-inner . br-inner  # network.inner
    internal br-inner  # network.inner
    hairpin4 10.8.0.0/24 . br-inner  # network.inner
    bridges br-open  # network.open
    same_network br-open . br-open  # network.open
    open br-open  # network.open
    hairpin4 10.9.0.0/24 . br-open  # network.open
    bridges br-fixed  # network.fixed
    same_network br-fixed . br-fixed  # network.fixed
    snat4 10.10.0.0/24 : 203.0.113.7  # network.fixed
    masquerade6 fd00:10::/64  # network.fixed
    hairpin4 10.10.0.0/24 . br-fixed  # network.fixed
    hairpin6 fd00:10::/64 . br-fixed  # network.fixed
    ");
}

#[test]
fn a_published_port_is_an_element_to_the_address_and_one_to_the_port() {
    let both = ["172.25.0.3", "fd00:25::3"];
    let mut web = container("web", "front", &["172.25.0.3/16", "fd00:25::3/64"]);
    web.publish = vec![
        publish("", (8080, 80), 1, &both),
        publish("192.0.2.7", (8081, 80), 1, &both),
        publish("2001:db8::7", (8081, 80), 1, &both),
        publish("", (9000, 9000), 11, &["172.25.0.3"]),
        publish("127.0.0.1", (9100, 100), 2, &["172.25.0.3"]),
    ];
    let topology = topology(vec![network("front", &["172.25.0.0/16", "fd00:25::/64"])], vec![web]);

    insta::assert_snapshot!(elements(&topology, &["any", "host", "target"]), @r"
    any_addr4 tcp . 8080 : 172.25.0.3  # port.0.0.0.0:8080/tcp
    any_port4 tcp . 8080 : 80  # port.0.0.0.0:8080/tcp
    target4 172.25.0.3 . tcp . 80  # port.0.0.0.0:8080/tcp
    any_addr6 tcp . 8080 : fd00:25::3  # port.0.0.0.0:8080/tcp
    any_port6 tcp . 8080 : 80  # port.0.0.0.0:8080/tcp
    target6 fd00:25::3 . tcp . 80  # port.0.0.0.0:8080/tcp
    host_addr4 192.0.2.7 . tcp . 8081 : 172.25.0.3  # port.192.0.2.7:8081/tcp
    host_port4 192.0.2.7 . tcp . 8081 : 80  # port.192.0.2.7:8081/tcp
    host_addr6 2001:db8::7 . tcp . 8081 : fd00:25::3  # port.[2001:db8::7]:8081/tcp
    host_port6 2001:db8::7 . tcp . 8081 : 80  # port.[2001:db8::7]:8081/tcp
    any_range4 tcp . 9000-9010 : 172.25.0.3  # port.0.0.0.0:9000-9010/tcp
    host_addr4 127.0.0.1 . tcp . 9100 : 172.25.0.3  # port.127.0.0.1:9100-9101/tcp
    host_port4 127.0.0.1 . tcp . 9100 : 100  # port.127.0.0.1:9100-9101/tcp
    target4 172.25.0.3 . tcp . 100  # port.127.0.0.1:9100-9101/tcp
    host_addr4 127.0.0.1 . tcp . 9101 : 172.25.0.3  # port.127.0.0.1:9100-9101/tcp
    host_port4 127.0.0.1 . tcp . 9101 : 101  # port.127.0.0.1:9100-9101/tcp
    target4 172.25.0.3 . tcp . 101  # port.127.0.0.1:9100-9101/tcp
    target_range4 172.25.0.3 . tcp . 9000-9010  # port.0.0.0.0:9000-9010/tcp
    ");
}

#[test]
fn ranges_that_overlap_in_the_container_are_one_element() {
    let mut web = container("web", "front", &["172.25.0.3/16"]);
    web.publish = vec![
        publish("", (9000, 9000), 11, &["172.25.0.3"]),
        publish("192.0.2.7", (9005, 9005), 16, &["172.25.0.3"]),
    ];
    let topology = topology(vec![network("front", &["172.25.0.0/16"])], vec![web]);

    insta::assert_snapshot!(elements(&topology, &["target"]), @r"
    target_range4 172.25.0.3 . tcp . 9000-9020  # port.0.0.0.0:9000-9010/tcp
    ");
}

#[test]
fn a_port_with_allow_from_is_guarded_and_sources_that_overlap_are_one() {
    let mut web = container("web", "front", &["172.25.0.3/16"]);
    let mut any = publish("", (8090, 80), 1, &["172.25.0.3"]);
    any.allow_from = ["192.0.2.0/24", "192.0.2.3/32", "2001:db8::/64", "10.0.0.1/32"]
        .map(|net| net.parse().unwrap())
        .to_vec();
    let mut one = publish("192.0.2.7", (8091, 80), 1, &["172.25.0.3"]);
    one.allow_from = ["0.0.0.0/0", "2001:db8::/64"].map(|net| net.parse().unwrap()).to_vec();
    web.publish = vec![any, one];
    let topology = topology(vec![network("front", &["172.25.0.0/16"])], vec![web]);

    insta::assert_snapshot!(elements(&topology, &["guard", "allow"]), @r"
    guard_any tcp . 8090  # port.0.0.0.0:8090/tcp
    allow_any6 ::/0 . tcp . 8090  # port.0.0.0.0:8090/tcp
    allow_any4 10.0.0.1 . tcp . 8090  # port.0.0.0.0:8090/tcp
    allow_any4 192.0.2.0/24 . tcp . 8090  # port.0.0.0.0:8090/tcp
    guard_host4 192.0.2.7 . tcp . 8091  # port.192.0.2.7:8091/tcp
    allow_host4 0.0.0.0/0 . 192.0.2.7 . tcp . 8091  # port.192.0.2.7:8091/tcp
    ");
}

#[test]
fn a_link_opens_the_exposed_ports_where_icc_is_false() {
    let mut quiet = network("back", &["10.7.0.0/24"]);
    quiet.icc = false;
    let mut db = container("db", "back", &["10.7.0.3/24"]);
    db.expose = [(5432, 5432), (6000, 6010), (6005, 6020)]
        .map(|(first, last)| Expose { ports: first..=last, protocol: Protocol::Tcp })
        .to_vec();
    let mut web = container("web", "back", &["10.7.0.4/24"]);
    web.attachments[0].links = vec![("database".try_into().unwrap(), "db".try_into().unwrap())];
    let topology = topology(vec![quiet], vec![web, db]);

    insta::assert_snapshot!(elements(&topology, &["link", "ports", "no_icc", "same"]), @r"
    no_icc br-back . br-back  # network.back
    ports v-web  # attachment.web@back
    link v-web . v-db . tcp . 5432  # attachment.web@back
    link4 br-back . 10.7.0.4 . 10.7.0.3 . tcp . 5432  # attachment.web@back
    link v-web . v-db . tcp . 6000-6020  # attachment.web@back
    link4 br-back . 10.7.0.4 . 10.7.0.3 . tcp . 6000-6020  # attachment.web@back
    ports v-db  # attachment.db@back
    ");
}

#[test]
fn an_existing_bridge_is_not_judged_and_only_our_own_containers_on_it_are_hidden() {
    let mut lan = network("lan", &["10.10.0.0/24"]);
    lan.external = true;
    let mut guest = container("guest", "lan", &["10.10.0.3/24"]);
    guest.publish = vec![publish("", (8300, 80), 1, &["10.10.0.3"])];
    let topology = topology(vec![lan], vec![guest]);

    insta::assert_snapshot!(elements(&topology, &[""]), @r"
    hairpin4 10.10.0.0/24 . br-lan  # network.lan
    masquerade4 10.10.0.3  # attachment.guest@lan
    any_addr4 tcp . 8300 : 10.10.0.3  # port.0.0.0.0:8300/tcp
    any_port4 tcp . 8300 : 80  # port.0.0.0.0:8300/tcp
    target4 10.10.0.3 . tcp . 80  # port.0.0.0.0:8300/tcp
    ");
}

#[test]
fn a_container_that_waits_has_no_elements() {
    let mut web = container("web", "front", &["172.25.0.3/16"]);
    web.publish = vec![publish("", (8080, 80), 1, &["172.25.0.3"])];
    web.runtime = Runtime::Waiting;
    let topology = topology(vec![network("front", &["172.25.0.0/16"])], vec![web]);

    assert_eq!(elements(&topology, &["any", "target"]), "");
}

#[test]
fn every_element_goes_into_a_set_that_is_declared_for_such_keys() {
    for entry in lower(&crowd(10)) {
        if let Resource::NftElement(element) = entry.resource {
            let spec = nft_set::find(element.table.family, &element.set).unwrap();
            assert_eq!(spec.key.len(), element.key.len(), "{element:?}");
            assert_eq!(spec.data.is_some(), element.data.is_some(), "{element:?}");
        }
    }
}

#[test]
fn whom_a_container_on_two_networks_would_answer_directly_is_hidden_from_it() {
    let mut inner = network("inner", &["10.8.0.0/24"]);
    inner.internal = true;
    let networks =
        vec![network("front", &["172.25.0.0/16", "fd00:25::/64"]), network("back", &["10.7.0.0/24"]), inner];
    let mut web = container("web", "front", &["172.25.0.2/16", "fd00:25::2/64"]);
    web.attachments.extend(container("web", "back", &["10.7.0.2/24"]).attachments);
    web.attachments.extend(container("web", "inner", &["10.8.0.2/24"]).attachments);
    web.publish = vec![
        publish("", (8080, 80), 1, &["172.25.0.2", "fd00:25::2"]),
        publish("", (8081, 81), 1, &["172.25.0.2"]),
    ];

    insta::assert_snapshot!(elements(&topology(networks, vec![web]), &["direct"]), @"direct4 10.7.0.0/24 . 172.25.0.2  # attachment.web@back");
}
