//! What a topology is made of.

use crate::driver::{Lowering, resolver_files};
use crate::resource::Resource;
use crate::resource::netns::NsRef;
use crate::resource::state::{Entry, State};
use crate::topology::Topology;
use crate::topology::facts::Facts;
use crate::topology::sketch::resolved;

/// Returns all of a topology's objects but those of the firewall.
pub(super) fn lower(topology: &Topology) -> Vec<Entry> {
    let mut lowering = Lowering::of(topology);
    let networks = lowering.networks();
    let containers = lowering.containers(&topology.containers);
    networks.into_iter().chain(containers.iter().map(|object| object.entry().clone())).collect()
}

fn lowered(text: &str) -> Vec<Entry> {
    let topology = resolved(text, &Facts::default()).unwrap_or_else(|problems| panic!("{problems}"));
    lower(&topology)
}

/// Returns a line for each object: who owns it, what it is, and its fields.
fn objects(text: &str) -> String {
    let lines = lowered(text).into_iter().map(|entry| {
        let fields = entry.resource.fields().into_iter().map(|(name, value)| format!("{name}={value}"));
        let ignored =
            if entry.ignore.is_empty() { String::new() } else { format!(" ignoring {:?}", entry.ignore) };
        let fields = fields.collect::<Vec<_>>().join(", ");
        format!(
            "{} at line {}: {}: {fields}{ignored}\n",
            entry.owner,
            entry.origin.unwrap().line,
            entry.resource.id()
        )
    });
    lines.collect()
}

/// Returns `key=value` of the kernel parameters.
fn sysctls(text: &str) -> Vec<String> {
    let sysctl = |entry: Entry| match entry.resource {
        Resource::Sysctl(sysctl) => Some(format!("{}={}", sysctl.key, sysctl.value)),
        Resource::Netns(_)
        | Resource::Link(_)
        | Resource::Address(_)
        | Resource::Route(_)
        | Resource::NftTable(_)
        | Resource::NftElement(_)
        | Resource::Passage(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::File(_) => None,
    };
    lowered(text).into_iter().filter_map(sysctl).collect()
}

#[test]
fn a_container_on_a_network_is_a_veth_pair_between_its_namespace_and_a_bridge() {
    let text = "net front 10.0.0.0/24 fd00::/64 protect ignore=mtu\nctr web @front,addr=10.0.0.7";
    insta::assert_snapshot!(objects(text), @r#"
    project at line 1: sysctl net/ipv4/ip_forward: value=1
    project at line 1: sysctl net/ipv6/conf/all/forwarding: value=1
    network.front at line 1: link br-front: interface=br-front, kind=bridge, mac=02:42:d7:95:4f:06, mtu=1500, state=up, altname=netform.shop.front, prevent_destroy=true ignoring ["mtu"]
    network.front at line 1: address 10.0.0.1/24 on br-front: address=10.0.0.1/24
    network.front at line 1: address fd00::1/64 on br-front: address=fd00::1/64
    network.front at line 1: sysctl net/ipv6/conf/br-front/accept_ra: value=0
    network.front at line 1: sysctl net/ipv6/conf/br-front/disable_ipv6: value=0
    network.front at line 1: sysctl net/ipv6/conf/br-front/accept_dad: value=0
    container.web at line 2: netns web: netns=web
    container.web at line 2: file /etc/netns/web/hosts: content=# Written by netform; edits are overwritten. netform:shop:container.web
    127.0.0.1	localhost
    ::1	localhost ip6-localhost
    10.0.0.7	web web.front
    fd00::2	web web.front
    10.0.0.1	host.netform.internal
    fd00::1	host.netform.internal

    attachment.web@front at line 2: link nf-791db2905c: interface=nf-791db2905c, kind=veth, peer=eth0 in web, peer mac=02:42:0a:00:00:07, peer mtu=1500, peer state=up, mtu=1500, state=up, master=br-front, altname=netform.shop.web.front ignoring ["mtu", "peer mtu"]
    attachment.web@front at line 2: address 10.0.0.7/24 on eth0 in web: address=10.0.0.7/24
    attachment.web@front at line 2: address fd00::2/64 on eth0 in web: address=fd00::2/64
    attachment.web@front at line 2: default route in web: destination=0.0.0.0/0, via=10.0.0.1, interface=eth0, metric=0
    attachment.web@front at line 2: default route (IPv6) in web: destination=::/0, via=fd00::1, interface=eth0, metric=1024
    "#);
}

#[test]
fn a_pair_between_two_containers_is_known_by_the_end_of_the_one_whose_name_comes_first() {
    let text = "net wire veth=container 10.9.0.0/31\nctr web @wire\nctr db @wire";
    let pair = |text: &str| {
        let mut ids: Vec<_> = objects(text)
            .lines()
            .filter(|line| line.contains("on eth0") || line.contains("link "))
            .map(str::to_owned)
            .collect();
        ids.sort();
        ids.join("\n")
    };
    insta::assert_snapshot!(pair(text), @r"
    attachment.db@wire at line 3: address 10.9.0.1/31 on eth0 in db: address=10.9.0.1/31
    attachment.db@wire at line 3: link eth0 in db: interface=eth0, kind=veth, peer=eth0 in web, peer mac=02:42:0a:09:00:00, peer mtu=1500, peer state=up, peer mark=attachment.web@wire, peer altname=netform.shop.web.wire, mac=02:42:0a:09:00:01, mtu=1500, state=up, altname=netform.shop.db.wire
    attachment.web@wire at line 2: address 10.9.0.0/31 on eth0 in web: address=10.9.0.0/31
    ");

    assert_eq!(
        pair("net wire veth=container 10.9.0.0/31\nctr web @wire\nctr db @wire netns=later"),
        "",
        "it waits"
    );
}

#[test]
fn of_a_network_on_an_existing_bridge_only_the_attachments_are_made() {
    let bridge = crate::topology::facts::LinkFact {
        mtu: 1500.try_into().unwrap(),
        addresses: vec![],
        mac: None,
        filtering: None,
    };
    let facts = Facts { bridges: [("br-lan".try_into().unwrap(), bridge)].into(), ..Facts::default() };
    let topology = resolved("net lan external=br-lan\nctr web @lan", &facts).unwrap();

    let ids: Vec<_> = lower(&topology).iter().map(|entry| entry.resource.id().to_string()).collect();
    let veth = &topology.containers[0].attachments[0].port.as_ref().unwrap();
    assert_eq!(ids, ["netns web".to_owned(), "file /etc/netns/web/hosts".to_owned(), format!("link {veth}")]);
}

#[test]
fn a_container_whose_namespace_is_not_there_has_nothing() {
    assert_eq!(
        lowered("net i 10.0.0.0/24 internal\nctr web @i netns=/run/x").len(),
        3,
        "bridge, gateway, accept_ra"
    );
}

#[test]
fn only_the_parameters_that_are_needed_are_set() {
    assert_eq!(sysctls("net i 10.0.0.0/24 internal\nctr x @i"), ["net/ipv6/conf/br-i/accept_ra=0"]);
    assert_eq!(
        sysctls("net a 10.0.0.0/24\nctr x @a publish=10.9.9.9|80:80"),
        ["net/ipv4/ip_forward=1", "net/ipv6/conf/br-a/accept_ra=0"]
    );
    assert_eq!(
        sysctls("net a fd00::/64"),
        [
            "net/ipv6/conf/all/forwarding=1",
            "net/ipv6/conf/br-a/accept_ra=0",
            "net/ipv6/conf/br-a/disable_ipv6=0",
            "net/ipv6/conf/br-a/accept_dad=0"
        ]
    );
    for publish in ["80:80", "127.0.0.1|80:80"] {
        assert_eq!(
            sysctls(&format!("net a 10.0.0.0/24\nnet b 10.1.0.0/24\nctr x @a @b publish={publish}"))[1..],
            [
                "net/ipv6/conf/br-a/accept_ra=0",
                "net/ipv4/conf/br-a/route_localnet=1",
                "net/ipv6/conf/br-b/accept_ra=0"
            ],
        );
    }
}

#[test]
fn the_reverse_path_is_loose_where_answers_leave_by_another_network() {
    let loose = "net/ipv4/conf/br-a/rp_filter=2".to_owned();

    assert!(sysctls("net a 10.0.0.0/24\nnet b 10.1.0.0/24 ingress=open\nctr x @a @b").contains(&loose));
    assert!(
        sysctls("net a 10.0.0.0/24 ingress=none\nnet b 10.1.0.0/24\nctr x @a @b publish=1.2.3.4|80:80")
            .contains(&loose)
    );
    assert!(!sysctls("net a 10.0.0.0/24\nnet b 10.1.0.0/24\nctr x @a @b publish=80:80").contains(&loose));
}

#[test]
fn only_the_port_that_a_published_port_leads_to_has_hairpin_mode() {
    let ports = |text: &str| -> Vec<String> {
        let hairpin = |entry: &Entry| entry.resource.fields().contains(&("hairpin", "on".to_owned()));
        lowered(text).iter().filter(|entry| hairpin(entry)).map(|entry| entry.owner.to_string()).collect()
    };
    let networks = "net a 10.0.0.0/24\nnet b 10.1.0.0/24";

    assert_eq!(ports(&format!("{networks}\nctr x @a @b publish=80:80\nctr y @a @b")), ["attachment.x@a"]);
    assert_eq!(ports(&format!("{networks}\nctr x @a @b")), [""; 0]);
}

#[test]
fn a_resolver_has_a_file_in_each_named_namespace_that_is_there_and_on_a_network() {
    let text = "net a 10.0.0.0/24\nctr x @a\nctr alone none\nctr waits @a netns=later\nctr path @a netns=/proc/1/ns/net\n\
        ctr given @a netns=legacy";
    let legacy = NsRef::Named("legacy".try_into().unwrap());
    let facts = Facts { namespaces: [legacy].into(), ..Facts::default() };
    let topology = resolved(text, &facts).unwrap_or_else(|problems| panic!("{problems}"));

    let files = resolver_files(&topology, "nameserver 127.0.0.11\n");

    let files = files.iter().map(|entry| format!("{}: {}", entry.owner, entry.resource.id()));
    assert_eq!(
        files.collect::<Vec<_>>(),
        ["container.x: file /etc/netns/x/resolv.conf", "container.given: file /etc/netns/legacy/resolv.conf"]
    );
}

#[test]
fn no_two_links_have_one_altname() {
    let entries = lowered("net web.front 10.0.0.0/24\nnet front 10.1.0.0/24\nctr web @front");

    let altnames =
        entries.iter().filter_map(|entry| entry.resource.link().map(|link| link.altname.as_deref()));
    let altnames: Vec<_> = altnames.collect();
    assert_eq!(altnames, [Some("netform.shop.web.front"), Some("netform.shop.front"), None]);
}

#[test]
fn every_object_has_an_id_of_its_own() {
    let entries =
        lowered("net a 10.0.0.0/24 fd00::/64\nnet b 10.1.0.0/24\nctr x @a @b publish=80:80\nctr y @b @a");

    assert_eq!(entries.iter().cloned().collect::<State>().len(), entries.len());
}
