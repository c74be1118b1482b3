//! Namespaces are made while others are furnished: of the two cores that this takes, one makes namespaces and the other links.
//!
//! Wave after wave, all namespaces would be made first, then all pairs, and so on. Woven, each namespace is followed by
//! what goes into it, and the next ones are made meanwhile. What the host has goes first where it needs none of them, and
//! last where it may. The firewall that comes before all links does so still, and may do so while the first namespaces are
//! made: nobody is in there.

use std::borrow::Cow;

use foldhash::HashMap;

use crate::halves::is_worthwhile;
use crate::kernel::Op;
use crate::resource::link::LinkKind;
use crate::resource::state::Entry;
use crate::resource::{Resource, Slot};

/// How many namespaces are made in one step: after each it is told how far the run is, and it can be broken off.
const TOGETHER: usize = 250;

/// What is carried out at a time.
pub(super) enum Step<'a> {
    /// Operations with no order between them.
    Wave(Cow<'a, [Op]>),
    /// Operations in an order, with new namespaces among them.
    Woven(Vec<&'a Op>),
}

impl Step<'_> {
    pub(super) fn ops(&self) -> Vec<&Op> {
        match self {
            Self::Wave(ops) => ops.iter().collect(),
            Self::Woven(ops) => ops.clone(),
        }
    }
}

/// Returns waves as they are carried out.
pub(super) fn steps(waves: &[Vec<Op>]) -> Vec<Step<'_>> {
    let (mut steps, mut rest) = (vec![], waves);
    while let Some((first, later)) = rest.split_first() {
        rest = match Web::of(rest) {
            Some((web, behind)) => {
                steps.extend(web.steps());
                behind
            }
            None => {
                steps.push(Step::Wave(Cow::Borrowed(first)));
                later
            }
        };
    }
    steps
}

/// When an operation is carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before there are new namespaces.
    Early,
    /// After the namespace with this number, and before the next.
    With(usize),
    /// When all namespaces are furnished.
    Late,
}

/// Consecutive waves, being woven.
#[derive(Default)]
struct Web<'a> {
    /// The new namespaces.
    new: HashMap<Slot, usize>,
    /// What goes before all, as a wave.
    apart: Vec<&'a Op>,
    early: Vec<&'a Op>,
    with: Vec<Vec<&'a Op>>,
    /// What goes last, in waves.
    late: Vec<Vec<&'a Op>>,
    /// When what others stand on is there.
    filled: HashMap<Slot, Place>,
}

impl<'a> Web<'a> {
    /// Weaves the first of some waves, and returns the others, too; `None` when nothing is to be gained.
    fn of(waves: &'a [Vec<Op>]) -> Option<(Self, &'a [Vec<Op>])> {
        let (first, behind) = waves.split_first()?;
        let (firewall, wave, behind) = match behind.split_first() {
            Some((second, behind)) if is_firewall(first) => (first.as_slice(), second, behind),
            Some(_) | None => (&[][..], first, behind),
        };
        let mut web = Self::begin(wave)?;
        if !firewall.is_empty() && !web.apart.is_empty() {
            return None;
        }
        web.early.splice(0..0, firewall);
        let taken = behind.iter().take_while(|wave| web.take(wave)).count();
        // By themselves, namespaces are made by both cores.
        let is_worthwhile = web.with.iter().any(|ops| ops.len() > 1);
        is_worthwhile.then(|| (web, behind.get(taken..).unwrap_or_default()))
    }

    /// Begins with a wave in which enough namespaces are made.
    fn begin(wave: &'a [Op]) -> Option<Self> {
        if !is_worthwhile(wave.iter().filter(|op| is_new_namespace(op)).count()) {
            return None;
        }
        let mut web = Self::default();
        for op in wave {
            match op {
                Op::Create(entry) if is_new_namespace(op) => {
                    let slots = entry.resource.provides();
                    web.new.extend(slots.into_iter().map(|slot| (slot, web.with.len())));
                    web.with.push(vec![op]);
                }
                Op::Create(entry) if is_in_order(&entry.resource) => web.put(op, entry, Place::Early),
                Op::Create(entry) | Op::Update { from: _, to: entry }
                    if matches!(entry.resource, Resource::Sysctl(_)) =>
                {
                    web.put(op, entry, Place::Early);
                }
                Op::Create(_) | Op::Update { .. } | Op::Delete(_) => web.apart.push(op),
            }
        }
        Some(web)
    }

    /// Takes in a wave, unless it has to wait for all that is in already.
    fn take(&mut self, wave: &'a [Op]) -> bool {
        let placed = wave.iter().map(|op| match op {
            Op::Create(entry) => Some((op, entry, self.place(&entry.resource)?)),
            Op::Update { .. } | Op::Delete(_) => None,
        });
        let Some(placed) = placed.collect::<Option<Vec<_>>>() else { return false };
        self.late.push(vec![]);
        for (op, entry, place) in placed {
            self.put(op, entry, place);
        }
        true
    }

    /// Returns when something can be made; `None` when that is neither before nor after all namespaces, nor with one.
    fn place(&self, resource: &Resource) -> Option<Place> {
        let needs = resource.requires();
        let ground = || needs.iter().filter_map(|need| self.filled.get(&need.slot));
        let mut homes = needs.iter().filter_map(|need| self.new.get(&need.slot));
        let Some(home) = homes.next() else {
            let is_early = is_in_order(resource) && ground().all(|place| *place == Place::Early);
            return Some(if is_early { Place::Early } else { Place::Late });
        };
        if !is_in_order(resource) {
            return Some(Place::Late);
        }
        let is_near = |place: &Place| [Place::Early, Place::With(*home)].contains(place);
        (homes.all(|other| other == home) && ground().all(is_near)).then_some(Place::With(*home))
    }

    fn put(&mut self, op: &'a Op, entry: &Entry, place: Place) {
        match place {
            Place::Early => self.early.push(op),
            Place::With(home) => self.with.get_mut(home).into_iter().for_each(|ops| ops.push(op)),
            Place::Late => self.late.last_mut().into_iter().for_each(|ops| ops.push(op)),
        }
        for slot in entry.resource.provides() {
            // What several fill is there when the last of them does.
            let filled = self.filled.entry(slot).or_insert(place);
            if *filled != place {
                *filled = Place::Late;
            }
        }
    }

    fn steps(self) -> impl Iterator<Item = Step<'a>> {
        let Self { new: _, apart, mut early, with, late, filled: _ } = self;
        let wave = |ops: Vec<&Op>| Step::Wave(ops.into_iter().cloned().collect());
        let woven: Vec<Step<'a>> = with
            .chunks(TOGETHER)
            .map(|some| Step::Woven(early.drain(..).chain(some.iter().flatten().copied()).collect()))
            .collect();
        let apart = Some(apart).filter(|ops| !ops.is_empty()).into_iter().map(wave);
        apart.chain(woven).chain(late.into_iter().filter(|ops| !ops.is_empty()).map(wave))
    }
}

fn is_firewall(wave: &[Op]) -> bool {
    wave.iter().all(|op| op.id().is_of_firewall())
}

fn is_new_namespace(op: &Op) -> bool {
    matches!(op, Op::Create(Entry { resource: Resource::Netns(_), .. }))
}

/// Tells whether something can be made in its turn: it is asked of the kernel by a request, or needs nothing.
fn is_in_order(resource: &Resource) -> bool {
    match resource {
        // The database is told of a whole wave.
        Resource::Link(link) => link.port.is_none() && !matches!(link.kind, LinkKind::OpenVswitch(_)),
        Resource::Address(_)
        | Resource::Route(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::File(_) => true,
        Resource::Netns(_)
        | Resource::Sysctl(_)
        | Resource::NftTable(_)
        | Resource::NftElement(_)
        | Resource::Passage(_) => false,
    }
}

#[cfg(test)]
mod tests {
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
            let key = SysctlKey::Whole(format!("net/ipv4/conf/{host_end}/rp_filter").as_str().into());
            waves[2].push(sysctl(&host, key));
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

    #[test]
    fn few_namespaces_are_made_in_waves() {
        assert!(steps(&shop(3)).iter().all(|step| matches!(step, Step::Wave(Cow::Borrowed(_)))));
    }

    #[tokio::test]
    async fn what_stands_on_several_namespaces_comes_after_them() {
        let mut waves = shop(100);
        let [one, other] = ["c3", "c99"].map(|name| NsRef::Named(NetnsName::try_from(name).unwrap()));
        waves[1].push(pair((&one, "eth1"), &other, "eth1", None));
        waves[2].push(create(Resource::Address(Address::new(
            one,
            name("eth1"),
            "10.9.0.1/24".parse().unwrap(),
        ))));
        let (executed, own) = carried_out(Fake::default(), &waves).await;
        assert!(executed.failed.is_empty(), "{:?}", executed.failed);
        assert_eq!(own.len(), objects(&waves).len());
    }
}
