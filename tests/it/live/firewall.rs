//! The firewall's rules on a real kernel: who reaches whom, and whether what was written is read back.

use std::net::IpAddr;
use std::process::Command;

use ipnet::IpNet;
use netform::firewall;
use netform::kernel::{Op, nft};
use netform::manifest::{Expose, Ingress};
use netform::names::{ContainerName, IfName, Mac, Mtu, NetName, ProjectName, Protocol};
use netform::resource::Resource;
use netform::resource::netns::NsRef;
use netform::resource::owner::Origin;
use netform::resource::state::Entry;
use netform::topology::{
    Attachment, Container, Dns, Driver, Egress, Hosts, Network, Proxy, Publish, Runtime, Subnet, Topology,
};

const INSIDE: &str = "NETFORM_TEST_INSIDE";

#[test]
fn every_packet_goes_where_it_may_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.json");
    let commands = nft::commands(&creations(&entries()).iter().collect::<Vec<_>>()).unwrap();
    std::fs::write(&rules, serde_json::json!({"nftables": commands}).to_string()).unwrap();

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/live/firewall.py");
    let done = Command::new("unshare").args(["-Urnm", "python3", script]).arg(&rules).output().unwrap();

    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}{err}");
}

#[test]
fn what_is_written_is_read_back_and_edits_by_hand_show() {
    inside("live::firewall::what_is_written_is_read_back_and_edits_by_hand_show", async {
        let wanted = entries();
        execute(&creations(&wanted)).await;
        assert_eq!(read().await, sorted(wanted.clone()));

        // An edit by hand shows, and swapping the table takes it away; its elements are written again.
        shell("nft add rule inet netform-shop forward accept");
        let Some(table) = read().await.into_iter().find(|entry| tables(entry) && !intact(entry)) else {
            panic!("the edit shows")
        };
        let mut ops = creations(&wanted);
        ops.retain(|op| op.id() != table.resource.id());
        let to = wanted.iter().find(|entry| entry.resource.id() == table.resource.id()).unwrap().clone();
        ops.push(Op::Update { from: table, to });
        execute(&ops).await;
        assert_eq!(read().await, sorted(wanted.clone()));

        // What is gone already counts as deleted.
        shell("nft delete element inet netform-shop bridges '{ br-front }'");
        let elements = wanted.iter().filter(|entry| !tables(entry));
        execute(&elements.clone().map(|entry| Op::Delete(entry.clone())).collect::<Vec<_>>()).await;
        assert!(read().await.iter().all(tables));

        execute(&wanted.iter().filter(|e| tables(e)).cloned().map(Op::Delete).collect::<Vec<_>>()).await;
        assert_eq!(read().await, []);
    });
}

#[test]
fn every_kind_of_edit_shows_until_it_is_taken_back() {
    inside("live::firewall::every_kind_of_edit_shows_until_it_is_taken_back", async {
        execute(&creations(&entries())).await;
        let (verdict, transports) = (
            |to: &str| rule("enter", "unpublished", to),
            |to: &str| rule("publish", "transports", &format!("meta l4proto != {{ {to} }} return")),
        );
        for (edit, back) in [
            ("add table $T \\{ flags dormant\\; \\}".to_owned(), "add table $T".to_owned()),
            ("add chain $T theirs".to_owned(), "delete chain $T theirs".to_owned()),
            ("add set $T theirs \\{ type ipv4_addr\\; \\}".to_owned(), "delete set $T theirs".to_owned()),
            ("add counter $T theirs".to_owned(), "delete counter $T theirs".to_owned()),
            (policy("drop"), policy("accept")),
            (verdict("accept"), verdict("drop")),
            // What a rule compares with has no name of its own.
            (transports("tcp, udp"), transports("tcp, udp, sctp")),
        ] {
            change(&edit);
            assert!(read().await.iter().any(|entry| tables(entry) && !intact(entry)), "{edit}");
            change(&back);
            assert!(read().await.iter().filter(|entry| tables(entry)).all(intact), "{back}");
        }
    });
}

#[test]
fn a_table_that_nft_saved_and_loaded_again_is_the_same() {
    inside("live::firewall::a_table_that_nft_saved_and_loaded_again_is_the_same", async {
        let wanted = entries();
        execute(&creations(&wanted)).await;

        shell("f=$(mktemp) && nft list ruleset > $f && nft flush ruleset && nft -f $f && rm $f");

        assert_eq!(read().await, sorted(wanted));
    });
}

#[test]
fn whatever_an_interface_may_be_called_is_read_back_as_it_was_written() {
    inside("live::firewall::whatever_an_interface_may_be_called_is_read_back_as_it_was_written", async {
        let mut topology = topology();
        let names = ["!#$&()+,", ";<=>?[]^_{|}~", "vmap", "0x10", "10.0.0.1", "accept", "ip", "all-1", "a.b"];
        topology.networks = (0..names.len()).map(|number| network(&number.to_string(), &[])).collect();
        topology.containers.clear();
        for (network, name) in topology.networks.iter_mut().zip(names) {
            network.interface = IfName::try_from(name).unwrap();
        }
        let wanted = firewall::lower(&topology);

        execute(&creations(&wanted)).await;

        assert_eq!(read().await, sorted(wanted));
    });
}

#[test]
fn more_than_a_send_buffer_holds_is_written_in_pieces() {
    inside("live::firewall::more_than_a_send_buffer_holds_is_written_in_pieces", async {
        let mut topology = topology();
        let [web, ..] = topology.containers.as_mut_slice() else { panic!("there is a container") };
        web.publish = vec![port("", 20_000..=24_999, 30_000, &["172.25.0.3", "fd00:25::3"])];
        let wanted = firewall::lower(&topology);

        execute(&creations(&wanted)).await;

        assert_eq!(read().await, sorted(wanted));
    });
}

#[test]
fn a_table_whose_rules_are_not_known_is_not_made() {
    let mut table = entries().into_iter().find(tables).unwrap();
    let Resource::NftTable(body) = &mut table.resource else { panic!("it is a table") };
    body.body.clear();

    let refused = nft::commands(&[&Op::Create(table)]).unwrap_err();

    assert!(refused.message.contains("not known"), "{refused}");
}

/// Runs `story` in this same test, started anew in private namespaces.
fn inside(name: &str, story: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story);
        return;
    }
    let exe = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.arg("-Urnm").arg(exe).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let done = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && out.contains("1 passed"), "{out}{err}");
}

fn shell(line: &str) {
    assert!(Command::new("sh").args(["-c", line]).status().unwrap().success(), "{line}");
}

/// Has nft change our table `$T`.
fn change(command: &str) {
    shell(&format!("T='inet netform-shop'; nft {command}"));
}

fn policy(to: &str) -> String {
    format!("add chain $T forward \\{{ policy {to}\\; \\}}")
}

/// Returns the command that makes another rule of the one with this comment.
fn rule(chain: &str, comment: &str, to: &str) -> String {
    let handle = format!("$(nft -a list chain $T {chain} | sed -n '/:{comment}/ s/.* handle //p')");
    format!("replace rule $T {chain} handle {handle} '{to} comment \"netform:{comment}\"'")
}

async fn execute(ops: &[Op]) {
    for outcome in nft::execute(&ops.iter().collect::<Vec<_>>()).await {
        outcome.unwrap();
    }
}

async fn read() -> Vec<Entry> {
    sorted(nft::read(&ProjectName::try_from("shop").unwrap()).await.unwrap().own)
}

/// In the order of ids, without what only the manifest knows.
fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    for entry in &mut entries {
        entry.origin = None;
    }
    entries.sort_by_key(|entry| entry.resource.id());
    entries
}

fn creations(entries: &[Entry]) -> Vec<Op> {
    entries.iter().cloned().map(Op::Create).collect()
}

fn tables(entry: &Entry) -> bool {
    matches!(entry.resource, Resource::NftTable(_))
}

fn intact(entry: &Entry) -> bool {
    matches!(&entry.resource, Resource::NftTable(table) if table.intact)
}

fn entries() -> Vec<Entry> {
    firewall::lower(&topology())
}

/// What `firewall.py` builds by hand.
fn topology() -> Topology {
    let mut front = network("front", &["172.25.0.0/24", "fd00:25::/64"]);
    front.egress = Egress::Masquerade;
    let mut back = network("back", &["10.7.0.0/24", "fd00:7::/64"]);
    back.icc = false;
    back.egress = Egress::Snat(vec![addr("192.0.2.77"), addr("2001:db8::77")]);
    let mut inner = network("inner", &["10.8.0.0/24", "fd00:8::/64"]);
    inner.internal = true;
    let mut open = network("open", &["10.9.0.0/24", "fd00:9::/64"]);
    open.ingress = Ingress::Open;
    let mut lan = network("lan", &["10.10.0.0/24", "fd00:10::/64"]);
    lan.external = true;
    lan.egress = Egress::Masquerade;

    let mut web = container("web", "front", &["172.25.0.3/24", "fd00:25::3/64"]);
    web.publish = web_ports();
    let mut app = container("app", "front", &["172.25.0.4/24", "fd00:25::4/64"]);
    let targets = ["172.25.0.4", "fd00:25::4"];
    app.publish = vec![
        port("", 9000..=9010, 9000, &targets),
        port("", 9100..=9102, 100, &targets),
        port("192.0.2.77", 9200..=9205, 9200, &targets),
        port("2001:db8::77", 9200..=9205, 9200, &targets),
    ];
    let mut db = container("db", "back", &["10.7.0.3/24", "fd00:7::3/64"]);
    db.publish = vec![port("", 8100..=8100, 5432, &["10.7.0.3", "fd00:7::3"])];
    db.expose = vec![Expose { ports: 5432..=5433, protocol: Protocol::Tcp }];
    let mut cache = container("cache", "back", &["10.7.0.4/24", "fd00:7::4/64"]);
    for attachment in &mut cache.attachments {
        attachment.links = vec![("database".try_into().unwrap(), "db".try_into().unwrap())];
    }
    let mut guest = container("guest", "lan", &["10.10.0.3/24", "fd00:10::3/64"]);
    guest.publish = vec![port("", 8300..=8300, 80, &["10.10.0.3", "fd00:10::3"])];
    let others = [
        container("spare", "back", &["10.7.0.5/24", "fd00:7::5/64"]),
        container("vault", "inner", &["10.8.0.3/24", "fd00:8::3/64"]),
        container("safe", "inner", &["10.8.0.4/24", "fd00:8::4/64"]),
        container("pub", "open", &["10.9.0.3/24", "fd00:9::3/64"]),
    ];
    Topology {
        passages: vec![],
        policies: Default::default(),
        heard: vec![],
        notes: vec![],
        project: ProjectName::try_from("shop").unwrap(),
        origin: origin(),
        networks: vec![front, back, inner, open, lan],
        containers: [web, app, db, cache, guest].into_iter().chain(others).collect(),
    }
}

fn web_ports() -> Vec<Publish> {
    let targets = ["172.25.0.3", "fd00:25::3"];
    let mut ports = vec![
        port("", 8080..=8080, 80, &targets),
        port("", 8053..=8053, 53, &targets),
        port("", 9899..=9899, 99, &targets),
        port("192.0.2.77", 8081..=8081, 80, &targets),
        port("2001:db8::77", 8081..=8081, 80, &targets),
        port("127.0.0.1", 8082..=8082, 80, &targets),
        port("127.0.0.1", 5353..=5353, 53, &targets),
        port("", 8090..=8090, 80, &targets),
        port("192.0.2.77", 8091..=8091, 80, &targets),
        port("2001:db8::77", 8091..=8091, 80, &targets),
    ];
    for port in &mut ports {
        port.protocol = match port.target_ports.start() {
            53 => Protocol::Udp,
            99 => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        let allowed: &[&str] = match port.host_ports.start() {
            8090 => &["192.0.2.3/32", "2001:db8::3/128"],
            8091 => &["192.0.2.0/30", "192.0.2.2/32", "2001:db8::/64"],
            _ => &[],
        };
        port.allow_from = allowed.iter().map(|net| net.parse().unwrap()).collect();
    }
    ports
}

/// A port of `host`, or of all addresses when that is empty.
fn port(host: &str, ports: std::ops::RangeInclusive<u16>, target: u16, targets: &[&str]) -> Publish {
    let last = target + (ports.end() - ports.start());
    Publish {
        origin: origin(),
        host_address: host.parse().ok(),
        host_ports: ports,
        target_ports: target..=last,
        protocol: Protocol::Tcp,
        allow_from: vec![],
        targets: targets.iter().map(|target| addr(target)).collect(),
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
        egress: Egress::Routed,
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
        ground: netform::topology::Ground::Firm,
        device: None,
        port: Some(IfName::try_from(format!("v-{name}")).unwrap()),
        vlans: None,
        apart: netform::topology::Apart::No,
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

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn origin() -> Origin {
    Origin { file: "shop.yaml".into(), line: 1, column: 1 }
}
