//! The order in which operations are woven, and that it is one in which they can be carried out.

use super::super::execute::{Mode, execute};
use super::super::{Phase, Progress};
use super::*;
use crate::kernel::fake::Fake;
use crate::names::{IfName, Mac, Mtu, NetnsName};
use crate::resource::address::Address;
use crate::resource::link::{Link, Peer};
use crate::resource::netns::{Netns, NsRef};
use crate::resource::nft::{NftElement, NftFamily, NftTable, NftTableId, Stance};
use crate::resource::owner::Owner;
use crate::resource::route::{Rank, Route, Way};
use crate::resource::state::State;
use crate::resource::sysctl::{Family, Sysctl, SysctlKey};
use std::ops::ControlFlow;

fn name(text: &str) -> IfName {
    IfName::try_from(text).unwrap()
}

fn create(resource: Resource) -> Op {
    Op::Create(Entry { resource, owner: Owner::Project, origin: None, ignore: vec![] })
}

fn sysctl(ns: &NsRef, key: SysctlKey) -> Op {
    create(Resource::Sysctl(Sysctl { ns: ns.clone(), key, value: "1".into() }))
}

fn of_link(link: &str, parameter: &str) -> SysctlKey {
    SysctlKey::PerLink { family: Family::Ipv6, link: name(link), name: parameter.into() }
}

fn pair((on, host_end): (&NsRef, &str), ns: &NsRef, end: &str, master: Option<&str>) -> Op {
    let mac = Mac([2, 0x42, 0, 0, 0, 2]);
    let peer = Peer { ns: ns.clone(), name: name(end), mac, mtu: Mtu::ETHERNET, up: true, tag: None };
    let link = Link::alone(on.clone(), name(host_end), Mtu::ETHERNET, LinkKind::Veth(peer));
    create(Resource::from(Link { master: master.map(name), ..link }))
}

/// A bridge with an address, and containers on it, each with a pair, an address, a route and parameters, in waves.
fn shop(containers: usize) -> Vec<Vec<Op>> {
    let host = NsRef::Host;
    let bridge = Link::alone(host.clone(), name("br"), Mtu::ETHERNET, LinkKind::Bridge);
    let mut waves = vec![
        vec![create(Resource::from(bridge)), sysctl(&host, SysctlKey::Ipv4Forward)],
        vec![create(Resource::Address(Address::new(
            host.clone(),
            name("br"),
            "10.0.0.1/16".parse().unwrap(),
        )))],
        vec![],
        vec![],
    ];
    for number in 0..containers {
        let netns = NetnsName::try_from(format!("c{number}").as_str()).unwrap();
        let (ns, address) =
            (NsRef::Named(netns.clone()), format!("10.0.{}.{}/16", number / 200, number % 200 + 2));
        let route = Route {
            ns: ns.clone(),
            dest: "0.0.0.0/0".parse().unwrap(),
            way: Way::By { link: name("eth0"), via: Some("10.0.0.1".parse().unwrap()), onlink: false },
            rank: Rank::usual(Family::Ipv4),
            stray: None,
        };
        let host_end = format!("v{number}");
        waves[0].push(create(Resource::Netns(Netns::new(netns))));
        waves[1].push(pair((&host, &host_end), &ns, "eth0", Some("br")));
        waves[2].push(create(Resource::Address(Address::new(
            ns.clone(),
            name("eth0"),
            address.parse().unwrap(),
        ))));
        waves[2].push(sysctl(&host, of_link(&host_end, "rp_filter")));
        waves[2].push(sysctl(&ns, SysctlKey::Ipv4Forward));
        waves[3].push(create(Resource::Route(route)));
    }
    waves
}

async fn carried_out(mut kernel: Fake, waves: &[Vec<Op>]) -> (super::super::execute::Executed, State) {
    let mut watcher = |_: Progress<'_>| ControlFlow::Continue(());
    let executed = execute(&mut kernel, waves, Mode::StopAtFailure, Phase::Applying, &mut watcher).await;
    (executed, kernel.own)
}

/// A firewall that comes first.
fn firewall() -> Vec<Op> {
    let id = NftTableId { family: NftFamily::Inet, name: "netform-shop".into() };
    let table = NftTable { id: id.clone(), digest: "rules".to_owned(), intact: true, body: vec![] };
    let element = NftElement {
        table: id,
        set: "internal".into(),
        key: vec!["br".into()],
        data: None,
        stance: Stance::Restricts,
    };
    vec![create(Resource::NftElement(element)), create(Resource::NftTable(table))]
}

fn objects(waves: &[Vec<Op>]) -> State {
    let created = waves.iter().flatten().map(|op| match op {
        Op::Create(entry) => entry.clone(),
        Op::Update { .. } | Op::Delete(_) => panic!("{op:?}"),
    });
    created.collect()
}

#[tokio::test]
async fn all_is_made_once_and_stands_on_what_is_there() {
    // In the middle of the last step there are fewer namespaces than in the others.
    let waves = shop(TOGETHER * 2 + 7);
    let woven = steps(&waves).iter().filter(|step| matches!(step, Step::Woven(_))).count();
    assert_eq!(woven, 3);
    let (executed, own) = carried_out(Fake::default(), &waves).await;

    assert!(executed.failed.is_empty(), "{:?}", executed.failed);
    assert_eq!(executed.done.len(), waves.iter().map(Vec::len).sum::<usize>());
    let ids = |state: &State| state.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&own), ids(&objects(&waves)));
}

#[tokio::test]
async fn nothing_is_begun_after_a_failure() {
    let waves = shop(100);
    let all: usize = waves.iter().map(Vec::len).sum();
    for fails_at in [0, 2, 50, 333, all - 1] {
        let mut kernel = Fake::default();
        kernel.fails_at = vec![fails_at];
        let (executed, own) = carried_out(kernel, &waves).await;
        assert_eq!(executed.failed.len(), 1, "only what fails by itself fails");
        assert_eq!(executed.done.len() + 1 + executed.not_started.len(), all);
        assert_eq!(own.len(), executed.done.len());
    }
}

#[tokio::test]
async fn the_firewall_comes_first() {
    let waves = [vec![firewall()], shop(100)].concat();
    assert!(matches!(steps(&waves).first(), Some(Step::Woven(_))));
    let (executed, own) = carried_out(Fake::default(), &waves).await;
    assert!(executed.failed.is_empty(), "{:?}", executed.failed);
    assert_eq!(own.len(), objects(&waves).len());

    let mut kernel = Fake::default();
    kernel.fails_at = vec![1];
    let (executed, own) = carried_out(kernel, &waves).await;
    assert_eq!(executed.failed.len(), 2, "a transaction fails as a whole");
    assert!(own.is_empty() && executed.done.is_empty());
}

#[tokio::test]
async fn the_firewall_comes_before_what_goes() {
    let mut waves = [vec![firewall()], shop(100)].concat();
    let Op::Create(stranger) = create(Resource::Netns(Netns::new(NetnsName::try_from("old").unwrap())))
    else {
        panic!()
    };
    waves[1].push(Op::Delete(stranger));
    assert!(matches!(&steps(&waves)[0], Step::Wave(ops) if ops.len() == 2));
    assert!(matches!(&steps(&waves)[1], Step::Wave(ops) if ops.len() == 1));
}

/// Returns where in the steps an object is made.
fn place(waves: &[Vec<Op>], id: &str) -> usize {
    let steps = steps(waves);
    let mut ops = steps.iter().flat_map(Step::ops);
    ops.position(|op| op.id().to_string() == id).unwrap_or_else(|| panic!("{id} is not made"))
}

#[test]
fn what_is_made_finds_its_parameters_as_they_shall_be() {
    let mut waves = shop(100);
    let [host, old] = ["host", "old"].map(|name| match name {
        "host" => NsRef::Host,
        name => NsRef::Named(NetnsName::try_from(name).unwrap()),
    });
    let [c3, c4] = ["c3", "c4"].map(|name| NsRef::Named(NetnsName::try_from(name).unwrap()));
    // Behind what they are for, as they may stand in a plan.
    waves[1].push(pair((&host, "vold"), &old, "eth0", Some("br")));
    waves[1].push(sysctl(&host, of_link("br", "accept_ra")));
    waves[1].push(sysctl(&c3, SysctlKey::Whole("net/ipv6/conf/default/accept_ra".into())));
    waves[2].push(sysctl(&c4, of_link("eth0", "accept_dad")));

    let place = |id: &str| place(&waves, id);
    let ids: Vec<String> = waves.iter().flatten().map(|op| op.id().to_string()).collect();
    let named = |part: &str| place(ids.iter().find(|id| id.contains(part)).unwrap());
    assert_eq!(named("ip_forward"), 0, "what the host is to be comes first");
    assert!(named("link br") < named("conf/br/accept_ra"));
    assert!(named("conf/br/accept_ra") < named("vold"), "no port has a bridge that heeds routers");
    assert!(named("conf/br/accept_ra") < named("10.0.0.1/16"));
    assert!(named("conf/default/accept_ra") < named("v3"), "a link takes over what is the default");
    assert!(
        named("v4") < named("conf/eth0/accept_dad") && named("conf/eth0/accept_dad") < named("10.0.0.6/16")
    );
    assert!(named("v5") < named("conf/v5/rp_filter") && named("conf/v5/rp_filter") < named("10.0.0.7/16"));
}

#[tokio::test]
async fn who_presses_on_tries_everything() {
    let waves = shop(100);
    let mut kernel = Fake::default();
    kernel.fails_at = vec![150];
    let mut watcher = |_: Progress<'_>| ControlFlow::Continue(());
    let executed = execute(&mut kernel, &waves, Mode::PressOn, Phase::Undoing, &mut watcher).await;
    assert!(executed.not_started.is_empty() && executed.done.len() > 550, "{}", executed.done.len());
}

#[test]
fn few_namespaces_are_made_in_waves() {
    assert!(steps(&shop(3)).iter().all(|step| matches!(step, Step::Wave(Cow::Borrowed(_)))));
}

#[tokio::test]
async fn what_stands_on_several_namespaces_comes_after_them() {
    let mut waves = shop(100);
    let [one, other] = ["c3", "c99"].map(|name| NsRef::Named(NetnsName::try_from(name).unwrap()));
    waves[1].push(pair((&one, "eth1"), &other, "eth1", None));
    waves[2].push(create(Resource::Address(Address::new(one, name("eth1"), "10.9.0.1/24".parse().unwrap()))));
    let (executed, own) = carried_out(Fake::default(), &waves).await;
    assert!(executed.failed.is_empty(), "{:?}", executed.failed);
    assert_eq!(own.len(), objects(&waves).len());
}
