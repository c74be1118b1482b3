//! What a daemon remembers of the kernel is what the kernel holds, whoever changes it.

use std::path::Path;
use std::time::Duration;

use netform::kernel::events::Ear;
use netform::kernel::facts::Survey;
use netform::kernel::live::Live;
use netform::kernel::moved::{Moved, Parts};
use netform::kernel::{Op, Scope, count};
use netform::names::{IfName, NetnsName, ProjectName};
use netform::plan::{Extra, plan};
use netform::resource::netns::NsRef;
use netform::resource::state::Desired;
use netform::resource::sysctl::{Family, SysctlKey};

use super::world::{World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16, 'fd00:1::/64']}
  back: {subnets: [10.7.0.0/24]}
containers:
  web: {networks: [front, back], publish: ['8080:80']}
  db: {networks: [back]}
  legacy: {netns: legacy, networks: [front]}
";

/// Somebody who remembers, and what tells them where to look again.
struct Mind {
    runtime: tokio::runtime::Runtime,
    live: Live,
    ear: Ear,
    scope: Scope,
}

fn project() -> ProjectName {
    ProjectName::try_from("shop").unwrap()
}

impl Mind {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ear = runtime.block_on(async { Ear::open(&project()) }).unwrap();
        let mut scope = Scope::new(project());
        scope.namespaces.insert(NsRef::Named(NetnsName::try_from("legacy").unwrap()));
        scope.files.insert(Path::new("/etc/netns/web/hosts").into());
        scope.sysctls.insert((NsRef::Host, SysctlKey::Ipv4Forward));
        for link in ["br-front", "br-back"] {
            let link = IfName::try_from(link).unwrap();
            let key = SysctlKey::PerLink { family: Family::Ipv6, link, name: "accept_ra".into() };
            scope.sysctls.insert((NsRef::Host, key));
        }
        let mut live = Live::new(project());
        live.remember();
        Self { runtime, live, ear, scope }
    }

    /// Hears the kernel out.
    fn listen(&mut self) {
        let Self { runtime, live, ear, .. } = self;
        runtime.block_on(async {
            while let Ok(notice) = tokio::time::timeout(Duration::from_millis(60), ear.hear()).await {
                live.moved(notice.unwrap().moved());
            }
        });
    }

    fn remembers(&mut self) -> Survey {
        self.live.begin();
        self.runtime.block_on(self.live.survey(&self.scope)).unwrap()
    }

    fn sees(&self) -> Survey {
        self.runtime.block_on(Live::new(project()).survey(&self.scope)).unwrap()
    }
}

#[track_caller]
fn assert_same(remembered: &Survey, seen: &Survey, after: &str) {
    let text = |survey: &Survey| format!("{survey:#?}");
    if remembered != seen {
        let (remembered, seen) = (text(remembered), text(seen));
        let differs = |this: &str, other: &str| {
            let lines = this.lines().filter(|line| !other.contains(*line)).collect::<Vec<_>>();
            lines.join("\n")
        };
        panic!(
            "{after}; only remembered:\n{}\nonly seen:\n{}",
            differs(&remembered, &seen),
            differs(&seen, &remembered)
        );
    }
}

/// What somebody does to the kernel; what no netlink group tells of is said apart, as inotify(7) does.
const DEEDS: [(&str, Option<&str>); 34] = [
    ("ip link set br-front mtu 1400", None),
    ("ip link set br-front mtu 1500", None),
    ("ip link set br-back down", None),
    ("ip link set br-back up", None),
    ("ip addr flush dev br-back", None),
    ("ip addr add 10.7.0.1/24 dev br-back proto 110", None),
    ("ip addr add 10.9.0.1/24 dev br-back", None),
    ("ip route add 10.77.0.0/16 dev br-front proto 110", None),
    ("ip route del 10.77.0.0/16", None),
    ("ip link del netform.shop.web.front", None),
    ("ip link set netform.shop.web.back nomaster", None),
    ("ip link set netform.shop.web.back master br-back", None),
    ("bridge link set dev netform.shop.web.back hairpin on", None),
    ("ip link set netform.shop.web.back alias somebody", None),
    ("ip -n web route flush default", None),
    ("ip -n web addr add 172.25.77.77/16 dev eth0 proto 110", None),
    ("ip -n web addr flush dev eth0", None),
    ("ip -n web link del eth1", None),
    ("ip -n web link set eth0 name eth7", None),
    ("ip -n db link set eth0 mtu 1280", None),
    ("ip -n db link set eth0 address 02:00:00:00:00:09", None),
    ("ip -n db link set lo down", None),
    ("ip -n db link add dummy0 type dummy", None),
    ("ip -n legacy link set eth0 down", None),
    ("ip -n legacy addr flush dev eth0", None),
    ("ip link add veth9 type veth peer name veth8 && ip link set veth8 netns db", None),
    ("ip link del veth9", None),
    (
        "ip link add br-other type bridge && ip addr add 10.88.0.1/24 dev br-other && ip link set br-other up",
        None,
    ),
    ("ip link del br-other", None),
    ("ip netns del db", Some("/run/netns/db")),
    ("ip netns add db", Some("/run/netns/db")),
    ("nft delete table inet netform-shop", None),
    ("sysctl -q -w net.ipv6.conf.br-front.accept_ra=1", Some("/proc/sys/net/ipv6/conf/br-front/accept_ra")),
    ("rm -f /etc/netns/web/hosts", Some("/etc/netns/web/hosts")),
];

live! {
    fn what_is_remembered_is_what_is_there_whatever_happens(world) {
        world.sh("ip netns add legacy");
        world.apply(SHOP);
        let mut mind = Mind::new();
        mind.remembers();
        let mut seed = 11_u32;
        let mut next = || { seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); seed >> 8 };

        for round in 0..120 {
            let mut done = vec![];
            for _ in 0..=next() % 3 {
                let (deed, place) = DEEDS[next() as usize % DEEDS.len()];
                world.try_sh(deed);
                done.push(deed);
                for place in place.into_iter().map(std::path::Path::new) {
                    mind.live.moved(Parts::file(place.to_owned()).into());
                    mind.live.moved(Parts::namespace_at(place).into());
                }
            }
            if round % 20 == 19 {
                world.try_sh("for ns in web db; do ip netns del $ns; done; ip link del br-other");
                world.try_sh("ip netns del db");
                world.run(&["apply", "--yes"]).exits(0);
                for place in ["/run/netns/db", "/run/netns/web"] {
                    mind.live.moved(Parts::namespace_at(place.as_ref()).into());
                }
                mind.live.moved(Parts::file("/etc/netns/web".into()).into());
            }
            // What dies with a namespace takes a moment, and is told when it is over.
            mind.listen();
            assert_same(&mind.remembers(), &mind.sees(), &format!("{done:?} in round {round}"));
        }
    }
}

/// Does something; returns what it asks of the kernel to know all again.
fn costs(world: &World, mind: &mut Mind, deed: &str) -> count::Counts {
    world.sh(deed);
    mind.listen();
    let before = count::counts();
    let remembered = mind.remembers();
    let costs = count::counts().since(before);
    assert_same(&remembered, &mind.sees(), deed);
    costs
}

live! {
    fn what_did_not_move_is_not_read_again(world) {
        world.sh("ip netns add legacy");
        world.apply(SHOP);
        let mut mind = Mind::new();
        mind.remembers();

        let nothing = costs(world, &mut mind, "true");
        assert_eq!((nothing.requests, nothing.listings), (0, 0));
        let inside = costs(world, &mut mind, "ip -n db route flush default");
        assert_eq!((inside.requests, inside.listings), (11, 0), "the namespace, and the pair's end with its bridge");
        let table = costs(world, &mut mind, "nft flush chain inet netform-shop forward");
        assert_eq!((table.requests, table.listings), (0, 1));
        mind.live.moved(Moved::Everywhere);
        assert!(costs(world, &mut mind, "true").requests >= 15);
    }
}

/// Instead of a deed: everything is brought back.
const AGAIN: &str = "netform apply";

live! {
    fn what_moved_on_its_own_is_planned_for_on_its_own(world) {
        world.sh("ip netns add legacy");
        world.apply(SHOP);
        let mut mind = Mind::new();

        for (deed, undone) in [
            ("ip link set br-back down", "ip link set br-back up"),
            ("ip link set br-back mtu 1400", "ip link set br-back mtu 1500"),
            ("ip link set netform.shop.web.back down", "ip link set netform.shop.web.back up"),
            ("ip link set netform.shop.db.back nomaster", "ip link set netform.shop.db.back master br-back"),
            ("ip -n db link set eth0 mtu 1280", "ip -n db link set eth0 mtu 1500"),
            ("ip link del br-back", AGAIN),
            ("ip netns del db; sleep 0.3", AGAIN),
        ] {
            let state = mind.remembers().observed.own;
            mind.live.looked_through();
            world.sh(deed);
            // Nobody hears a name in `/run/netns` go here.
            mind.live.moved(Parts::namespace_at("/run/netns/db".as_ref()).into());
            mind.listen();
            mind.runtime.block_on(mind.live.catch_up(&mind.scope)).unwrap();

            let slice = mind.live.slice(&mind.scope).unwrap();
            let part = Desired(slice.of(&state));
            let plan = plan(&part, &slice.observed, &part.0, Extra::default()).unwrap();

            let ops: Vec<_> = plan.waves.iter().flatten().collect();
            assert!(plan.is_local() && !ops.is_empty(), "{deed}: {ops:#?}");
            assert!(ops.iter().all(|op| matches!(op, Op::Update { .. } | Op::Create(_))), "{deed}: {ops:#?}");
            match undone {
                AGAIN => drop(world.run(&["apply", "--yes"]).exits(0)),
                undone => drop(world.sh(undone)),
            }
            mind.listen();
        }
    }
}
