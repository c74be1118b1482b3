//! One rule of planning each; the laws in `tests/it/laws` hold them together.

use std::fmt::Write;
use std::path::Path;

use super::*;
use crate::names::{IfName, Mac, Mtu, NetnsName};
use crate::resource::address::Address;
use crate::resource::file::TextFile;
use crate::resource::link::{Link, LinkKind, Peer};
use crate::resource::netns::{Netns, NsRef};
use crate::resource::nft::{NftElement, NftFamily, NftTable, NftTableId, Stance};
use crate::resource::route::{Rank, Route, Way};
use crate::resource::state::Foreign;
use crate::resource::sysctl::Family;
use crate::resource::sysctl::{Sysctl, SysctlKey};
use crate::resource::{Resource, Slot};

/// A manifest's worth of objects, as lines of a story.
#[derive(Clone, Default)]
pub(super) struct Story(pub(super) Vec<Entry>);

fn ifname(text: &str) -> IfName {
    IfName::try_from(text).unwrap()
}

fn netns(text: &str) -> NsRef {
    NsRef::Named(NetnsName::try_from(text).unwrap())
}

fn origin(line: u32) -> Origin {
    Origin { file: "net.yaml".into(), line, column: 3 }
}

impl Story {
    fn put(mut self, owner: &str, line: u32, resource: Resource) -> Self {
        let owner = Owner::try_from(owner).unwrap();
        self.0.push(Entry { resource, owner, origin: Some(origin(line)), ignore: vec![] });
        self
    }

    /// A network `name` with a bridge of this MTU and a gateway.
    pub(super) fn network(self, name: &str, mtu: u32, gateway: &str) -> Self {
        let (owner, bridge) = (format!("network.{name}"), ifname(&format!("br-{name}")));
        let link = Link {
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            altname: Some(format!("netform.shop.{name}").into()),
            ..Link::alone(NsRef::Host, bridge.clone(), Mtu::try_from(mtu).unwrap(), LinkKind::Bridge)
        };
        let address = Address::new(NsRef::Host, bridge, gateway.parse().unwrap());
        self.put(&owner, 3, Resource::from(link)).put(&owner, 3, Resource::Address(address))
    }

    /// A container `name` with a namespace and a hosts file.
    pub(super) fn container(self, name: &str, hosts: &str) -> Self {
        let owner = format!("container.{name}");
        let file = TextFile::new(Path::new(&format!("/etc/netns/{name}/hosts")).into(), hosts.into());
        let ns = Netns::new(NetnsName::try_from(name).unwrap());
        self.put(&owner, 20, Resource::Netns(ns)).put(&owner, 20, Resource::File(file))
    }

    /// An attachment with `eth0`, an address and a default route.
    pub(super) fn attachment(self, container: &str, network: &str, address: &str, via: &str) -> Self {
        let owner = format!("attachment.{container}@{network}");
        let (ns, mtu) = (netns(container), Mtu::ETHERNET);
        let peer = Peer {
            ns: ns.clone(),
            name: ifname("eth0"),
            mac: Mac([2, 0x42, 0, 0, 0, 2]),
            mtu,
            up: true,
            tag: None,
        };
        let link = Link {
            master: Some(ifname(&format!("br-{network}"))),
            ..Link::alone(NsRef::Host, ifname(&format!("v-{container}")), mtu, LinkKind::Veth(peer))
        };
        let address = Address::new(ns.clone(), ifname("eth0"), address.parse().unwrap());
        let via = Some(via.parse().unwrap());
        let route = Route {
            ns,
            dest: "0.0.0.0/0".parse().unwrap(),
            way: Way::By { link: ifname("eth0"), via, onlink: false },
            rank: Rank::usual(Family::Ipv4),
            stray: None,
        };
        self.put(&owner, 22, Resource::from(link)).put(&owner, 22, Resource::Address(address)).put(
            &owner,
            22,
            Resource::Route(route),
        )
    }

    /// The table with these rules.
    pub(super) fn table(self, digest: &str) -> Self {
        let body = vec![serde_json::json!({ "add": digest })];
        let table = NftTable { id: table_id(), digest: digest.to_owned(), intact: true, body };
        self.put("project", 1, Resource::NftTable(table))
    }

    /// A published port.
    pub(super) fn port(self, port: &str, target: &str) -> Self {
        self.element(&format!("port.0.0.0.0:{port}/tcp"), ("published", port), Some(target), Stance::Allows)
    }

    /// A network whose packets are held back.
    pub(super) fn internal(self, network: &str) -> Self {
        let bridge = format!("br-{network}");
        self.element(&format!("network.{network}"), ("internal", &bridge), None, Stance::Restricts)
    }

    fn element(self, owner: &str, at: (&str, &str), data: Option<&str>, stance: Stance) -> Self {
        let (set, key) = (at.0.into(), vec![at.1.into()]);
        let element = NftElement { table: table_id(), set, key, data: data.map(Into::into), stance };
        self.put(owner, 30, Resource::NftElement(element))
    }

    /// Forwarding.
    pub(super) fn forward(self, value: &str) -> Self {
        let sysctl = Sysctl { ns: NsRef::Host, key: SysctlKey::Ipv4Forward, value: value.into() };
        self.put("project", 1, Resource::Sysctl(sysctl))
    }

    pub(super) fn state(&self) -> State {
        self.0.iter().cloned().collect()
    }

    /// What the kernel tells when it holds this.
    pub(super) fn observed(&self) -> Observed {
        let seen = |entry: &Entry| {
            let mut entry = Entry { origin: None, ignore: vec![], ..entry.clone() };
            if let Resource::Link(link) = &mut entry.resource {
                link.mac.get_or_insert(Mac([6, 0, 0, 0, 0, 9]));
            }
            if let Resource::NftTable(table) = &mut entry.resource {
                table.body.clear();
            }
            entry
        };
        Observed { own: self.0.iter().map(seen).collect(), foreign: BTreeMap::new() }
    }
}

fn table_id() -> NftTableId {
    NftTableId { family: NftFamily::Inet, name: "netform-shop".into() }
}

/// Plans from what `old` led to, and what somebody made of it, toward `new`.
pub(super) fn planned(old: &Story, live: &Story, new: &Story) -> Plan {
    plan(&Desired(new.state()), &live.observed(), &old.state(), Extra::default()).unwrap()
}

/// Returns the operations, a line each, with an empty line between waves.
fn steps(plan: &Plan) -> String {
    let mut out = String::new();
    for (number, wave) in plan.waves.iter().enumerate() {
        let _ = writeln!(out, "wave {number}");
        for op in wave {
            let sign = match op {
                Op::Create(_) => '+',
                Op::Update { .. } => '~',
                Op::Delete(_) => '-',
            };
            let _ = writeln!(out, "  {sign} {}", op.id());
        }
    }
    out
}

fn shop() -> Story {
    Story::default()
        .table("rules1")
        .forward("1")
        .network("front", 1500, "10.0.0.1/24")
        .internal("front")
        .container("web", "10.0.0.2 web\n")
        .attachment("web", "front", "10.0.0.2/24", "10.0.0.1")
        .port("8080", "10.0.0.2")
}

#[test]
fn restrictions_come_before_links_and_permissions_after_them() {
    let nothing = Story::default();
    insta::assert_snapshot!(steps(&planned(&nothing, &nothing, &shop())), @r"
    wave 0
      + nft table inet netform-shop
      + nft element internal br-front
    wave 1
      + netns web
      + link br-front
      + sysctl net/ipv4/ip_forward
      + file /etc/netns/web/hosts
    wave 2
      + link v-web
      + address 10.0.0.1/24 on br-front
    wave 3
      + address 10.0.0.2/24 on eth0 in web
    wave 4
      + default route in web
    wave 5
      + nft element published 8080
    ");
}

#[test]
fn permissions_go_before_links_and_restrictions_after_them() {
    let keep = Story::default().table("rules1").forward("1");
    insta::assert_snapshot!(steps(&planned(&shop(), &shop(), &keep)), @r"
    wave 0
      - nft element published 8080
    wave 1
      - netns web
      - link br-front
      - file /etc/netns/web/hosts
    wave 2
      - nft element internal br-front
    ");
}

#[test]
fn a_change_of_the_firewall_alone_is_one_transaction() {
    let new = shop().port("9090", "10.0.0.2");
    let old = shop().port("7070", "10.0.0.2");
    insta::assert_snapshot!(steps(&planned(&old, &old, &new)), @r"
    wave 0
      - nft element published 7070
      + nft element published 9090
    ");
}

#[test]
fn a_new_table_takes_its_elements_along_and_keeps_what_holds_back_until_the_end() {
    let mut live = shop();
    if let Resource::NftTable(table) = &mut live.0[0].resource {
        table.intact = false;
    }
    let new =
        Story(shop().0.into_iter().filter(|entry| entry.owner.to_string() != "network.front").collect());
    let new = Story(new.0.into_iter().filter(|entry| !entry.owner.to_string().contains("web")).collect());
    let plan = planned(&shop(), &live, &new);
    insta::assert_snapshot!(steps(&plan), @r"
    wave 0
      ~ nft table inet netform-shop
      + nft element internal br-front
      + nft element published 8080
    wave 1
      - netns web
      - link br-front
      - file /etc/netns/web/hosts
    wave 2
      - nft element internal br-front
    ");
}

#[test]
fn an_address_that_changes_takes_the_route_along_and_the_route_comes_back() {
    let old = Story::default().container("web", "").network("front", 1500, "10.0.0.1/24");
    let new = old.clone().attachment("web", "front", "10.0.0.3/24", "10.0.0.1");
    let old = old.attachment("web", "front", "10.0.0.2/24", "10.0.0.1");
    insta::assert_snapshot!(steps(&planned(&old, &old, &new)), @r"
    wave 0
      - default route in web
    wave 1
      - address 10.0.0.2/24 on eth0 in web
    wave 2
      + address 10.0.0.3/24 on eth0 in web
    wave 3
      + default route in web
    ");
}

#[test]
fn a_bridge_that_is_made_anew_gets_its_ports_back() {
    let shop = shop();
    let mut live = shop.clone();
    for entry in &mut live.0 {
        if let Resource::Link(link) = &mut entry.resource
            && link.kind == LinkKind::Bridge
        {
            link.kind = LinkKind::Other("dummy".to_owned());
        }
    }
    let plan = planned(&shop, &live, &shop);

    insta::assert_snapshot!(steps(&plan), @r"
    wave 0
      - link br-front
    wave 1
      + link br-front
    wave 2
      ~ link v-web
      + address 10.0.0.1/24 on br-front
    ");
    assert_eq!(plan.changes.len(), 1, "the port is told under the bridge");
    assert_eq!(plan.changes[0].interrupts.len(), 1);
}

#[test]
fn a_namespace_that_goes_takes_all_in_it_along() {
    let keep = Story::default().network("front", 1500, "10.0.0.1/24");
    let old = keep.clone().container("web", "").attachment("web", "front", "10.0.0.2/24", "10.0.0.1");
    let plan = planned(&old, &old, &keep);

    insta::assert_snapshot!(steps(&plan), @r"
    wave 0
      - netns web
      - file /etc/netns/web/hosts
    ");
    assert_eq!(plan.touched().len(), 5, "undo knows of all that went");
}

#[test]
fn an_ignored_field_keeps_the_value_that_it_has() {
    let ignoring = |mut story: Story| {
        story.0[0].ignore = vec!["mtu".to_owned()];
        story
    };
    let wanted = ignoring(Story::default().network("front", 1500, "10.0.0.1/24"));
    let live = Story::default().network("front", 1400, "10.0.0.1/24");

    let plan = planned(&wanted, &live, &wanted);

    assert!(plan.is_empty());
    assert_eq!(plan.drift.len(), 1);
    assert_eq!(plan.drift[0].winner, Winner::Ignored);
}

#[test]
fn what_others_hold_is_a_conflict_that_names_it_and_every_conflict_is_told() {
    let wanted = Story::default().network("front", 1500, "10.0.0.1/24").container("web", "");
    let foreign = |what: &str, owner: Option<&str>| Foreign {
        what: what.to_owned(),
        owner: owner.map(str::to_owned),
        on: None,
        bears: None,
    };
    let mut observed = Observed::default();
    observed.foreign.insert(
        Slot::Ifname(NsRef::Host, ifname("br-front")),
        foreign("bridge br-front", Some("project blog")),
    );
    observed.foreign.insert(Slot::Ns(netns("web")), foreign("namespace web", None));

    let conflicts =
        plan(&Desired(wanted.state()), &observed, &State::default(), Extra::default()).unwrap_err();

    let texts: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "container.web needs netns web, but namespace web is in the way",
            "network.front needs link br-front, but bridge br-front of project blog is in the way",
        ]
    );
}

#[test]
fn causes_tell_the_manifest_from_the_kernel() {
    let net = |mtu| Story::default().network("front", mtu, "10.0.0.1/24");
    let causes = |old: Story, live: Story, new: Story| {
        planned(&old, &live, &new)
            .changes
            .first()
            .map(|change| change.causes.iter().copied().collect::<Vec<_>>())
    };

    assert_eq!(causes(net(1500), net(1500), net(9000)), Some(vec![Cause::Config]));
    assert_eq!(causes(net(1500), net(1400), net(1500)), Some(vec![Cause::Drift]));
    assert_eq!(causes(net(1500), net(1400), net(9000)), Some(vec![Cause::Config, Cause::Drift]));
    assert_eq!(causes(net(1500), net(9000), net(9000)), None, "both agree");
    assert_eq!(causes(Story::default(), net(1400), net(1500)), Some(vec![Cause::Config]), "adopted");
    assert_eq!(causes(net(1500), Story::default(), net(1500)), Some(vec![Cause::Drift]), "deleted by hand");
}

#[test]
fn a_protected_network_is_guarded_even_when_its_block_is_gone() {
    let mut old = Story::default().network("front", 1500, "10.0.0.1/24");
    if let Resource::Link(link) = &mut old.0[0].resource {
        link.protected = true;
    }
    let plan = planned(&old, &old, &Story::default());

    let refusals = guard(&plan, &Limits { max_destroy: Some(0), ..Limits::default() });

    let texts: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "network.front is protected by `prevent_destroy`, but would be destroyed",
            "1 of 1 resources would be destroyed, the limit is 0",
        ]
    );
}
