//! Small worlds: consistent states made from a few random choices.

use netform::names::{IfName, Mac, Mtu, NetnsName};
use netform::resource::Resource;
use netform::resource::address::Address;
use netform::resource::file::TextFile;
use netform::resource::link::{Link, LinkKind, Peer, Tag};
use netform::resource::neighbour::Neighbour;
use netform::resource::netns::{Netns, NsRef};
use netform::resource::nft::{NftElement, NftFamily, NftTable, NftTableId, Stance};
use netform::resource::owner::Owner;
use netform::resource::qdisc::{Bucket, Direction, Qdisc, QdiscKind, Rate};
use netform::resource::route::{Rank, Refusal, Route, Way};
use netform::resource::state::{Desired, Entry, State};
use netform::resource::sysctl::{Family, Sysctl, SysctlKey};
use netform::resource::vlan::{Filtering, PortVlans, VlanId};
use netform::resource::vswitch::{Datapath, FailMode, SwitchPort, Vswitch};
use proptest::prelude::*;

/// What a random manifest could say.
#[derive(Debug, Clone)]
pub(super) struct World {
    networks: Vec<Option<Network>>,
    containers: Vec<Option<Container>>,
    forward: bool,
    rules: Option<u8>,
    /// Lengths of ranges that policies deny, with a gap of one before each.
    walls: Vec<u8>,
    /// Two containers that are joined directly, and whether they have exchanged their addresses.
    wire: Option<(usize, usize, bool)>,
}

#[derive(Debug, Clone)]
struct Network {
    subnet: u8,
    mtu: u32,
    restricted: bool,
    protected: bool,
    /// Whether it is on Open vSwitch, and by which datapath.
    switched: Option<Datapath>,
}

impl Network {
    fn is_switched(&self) -> bool {
        self.switched.is_some()
    }
}

#[derive(Debug, Clone)]
struct Container {
    /// For each network whether it is attached, with its host number.
    attachments: Vec<Option<u8>>,
    backwards: bool,
    hosts: u8,
    port: Option<u8>,
    localnet: bool,
}

pub(super) fn world() -> impl Strategy<Value = World> {
    let datapath =
        prop_oneof![2 => Just(None), 1 => Just(Some(Datapath::System)), 1 => Just(Some(Datapath::Netdev))];
    let network = (0u8..3, prop_oneof![Just(1500u32), Just(9000)], any::<bool>(), any::<bool>(), datapath)
        .prop_map(|(subnet, mtu, restricted, protected, switched)| Network {
            subnet,
            mtu,
            restricted,
            protected,
            switched,
        });
    let attachments = proptest::collection::vec(proptest::option::of(2u8..5), 3);
    let container = (attachments, any::<bool>(), 0u8..2, proptest::option::of(0u8..2), any::<bool>())
        .prop_map(|(attachments, backwards, hosts, port, localnet)| Container {
            attachments,
            backwards,
            hosts,
            port,
            localnet,
        });
    let networks = proptest::collection::vec(proptest::option::weighted(0.7, network), 3);
    let containers = proptest::collection::vec(proptest::option::weighted(0.7, container), 3);
    let walls = proptest::collection::vec(0u8..4, 0..4);
    let wire = proptest::option::weighted(0.6, (0usize..3, 0usize..3, any::<bool>()));
    let rules = proptest::option::weighted(0.8, 0u8..2);
    (networks, containers, any::<bool>(), rules, walls, wire).prop_map(
        |(networks, containers, forward, rules, walls, wire)| World {
            networks,
            containers,
            forward,
            rules,
            walls,
            wire,
        },
    )
}

pub(super) fn ifname(text: &str) -> IfName {
    IfName::try_from(text).unwrap()
}

pub(super) fn named(text: &str) -> NsRef {
    NsRef::Named(NetnsName::try_from(text).unwrap())
}

fn table_id() -> NftTableId {
    NftTableId { family: NftFamily::Inet, name: "netform-law".into() }
}

/// Collects the objects of a state.
struct Builder(Vec<Entry>);

impl Builder {
    fn put(&mut self, owner: &str, resource: Resource) {
        let owner = Owner::try_from(owner).unwrap();
        self.0.push(Entry { resource, owner, origin: None, ignore: vec![] });
    }

    fn element(&mut self, owner: &str, set: &str, key: &str, data: Option<String>) {
        let stance = if data.is_some() { Stance::Allows } else { Stance::Restricts };
        let (key, data) = (vec![key.into()], data.map(Into::into));
        self.put(
            owner,
            Resource::NftElement(NftElement { table: table_id(), set: set.into(), key, data, stance }),
        );
    }
}

impl World {
    /// Returns what this world asks for.
    pub(super) fn desired(&self) -> Desired {
        let mut state = Builder(vec![]);
        if let Some(rules) = self.rules {
            let digest = format!("rules{rules}");
            let body = vec![serde_json::json!({"digest": digest})];
            state.put("project", Resource::NftTable(NftTable { id: table_id(), digest, intact: true, body }));
        }
        if self.rules.is_some() {
            self.walls(&mut state);
        }
        if self.forward {
            let key = SysctlKey::Ipv4Forward;
            state.put("project", Resource::Sysctl(Sysctl { ns: NsRef::Host, key, value: "1".into() }));
        }
        for (number, network) in self.networks.iter().enumerate() {
            if let Some(network) = network {
                self.network(&mut state, number, network);
            }
        }
        for (number, container) in self.containers.iter().enumerate() {
            if let Some(container) = container {
                self.container(&mut state, number, container);
            }
        }
        if let Some((first, second, exchanged)) = self.wire
            && first < second
            && [first, second].iter().all(|at| self.containers[*at].is_some())
        {
            Self::wire(&mut state, [first, second], exchanged);
        }
        Desired(state.0.into_iter().collect::<State>())
    }

    /// Ranges that begin and end elsewhere in another world overlap those of this one.
    fn walls(&self, state: &mut Builder) {
        let mut first = 0;
        for length in &self.walls {
            first += 1;
            let last = first + length;
            let from = if first == last {
                format!("10.9.0.{first}")
            } else {
                format!("10.9.0.{first}-10.9.0.{last}")
            };
            for (set, stance) in [("deny_pair4", Stance::Restricts), ("allow_flow4", Stance::Allows)] {
                let mut key = vec![from.as_str().into(), "10.8.0.0/24".into()];
                if stance == Stance::Allows {
                    key.extend(["tcp".into(), "80".into()]);
                }
                let element = NftElement { table: table_id(), set: set.into(), key, data: None, stance };
                state.put(&format!("policy.deny:n{first}:world"), Resource::NftElement(element));
            }
            first = last + 1;
        }
    }

    fn wire(state: &mut Builder, ends: [usize; 2], exchanged: bool) {
        let [first, second] = ends.map(|number| format!("attachment.c{number}@wire"));
        let [ns, peer] = ends.map(|number| named(&format!("c{number}")));
        let (name, mtu) = (ifname("wire"), Mtu::try_from(1500).unwrap());
        let mac = |host| Mac([2, 0x42, 10, 9, 0, host]);
        let owner = Owner::try_from(second.as_str()).unwrap();
        let altname = Some("netform.law.wire".into());
        let tag = Some(Tag { owner, altname: altname.clone() });
        let end = Peer { ns: peer.clone(), name: name.clone(), mac: mac(1), mtu, up: true, tag };
        state.put(
            &first,
            Resource::from(Link {
                mac: Some(mac(0)),
                altname,
                ..Link::alone(ns.clone(), name.clone(), mtu, LinkKind::Veth(end))
            }),
        );
        for (owner, ns, is_second) in [(first, ns, false), (second, peer, true)] {
            let addr = format!("10.9.0.{}/31", u8::from(is_second != exchanged)).parse().unwrap();
            state.put(&owner, Resource::Address(Address::new(ns, name.clone(), addr)));
        }
    }

    fn network(&self, state: &mut Builder, number: usize, network: &Network) {
        let Network { subnet, mtu, restricted, protected, switched } = network;
        let owner = format!("network.n{number}");
        let bridge = ifname(&format!("br{number}"));
        state.put(
            &owner,
            Resource::from(Link {
                ns: NsRef::Host,
                name: bridge.clone(),
                mac: Some(Mac([2, 0, 0, 0, 1, number as u8])),
                mtu: Mtu::try_from(*mtu).unwrap(),
                up: true,
                master: None,
                hairpin: false,
                port: None,
                isolated: false,
                stp: false,
                filtering: (*mtu != 1500 && switched.is_none()).then_some(Filtering::OURS),
                vlans: None,
                altname: Some(format!("netform.law.n{number}").into()),
                protected: *protected,
                amiss: Default::default(),
                kind: match *switched {
                    None => LinkKind::Bridge,
                    Some(datapath) => LinkKind::OpenVswitch(Vswitch {
                        datapath,
                        fail_mode: FailMode::Standalone,
                        stp: *mtu == 1500,
                        mcast_snooping: false,
                        intact: true,
                    }),
                },
            }),
        );
        let addr = format!("10.{number}.{subnet}.1/24").parse().unwrap();
        state.put(&owner, Resource::Address(Address::new(NsRef::Host, bridge.clone(), addr)));
        if *restricted && self.rules.is_some() {
            state.element(&owner, "internal", bridge.as_str(), None);
        }
    }

    fn container(&self, state: &mut Builder, number: usize, container: &Container) {
        let Container { attachments, backwards, hosts, port, localnet } = container;
        let owner = format!("container.c{number}");
        let ns = named(&format!("c{number}"));
        state.put(&owner, Resource::Netns(Netns::new(NetnsName::try_from(format!("c{number}")).unwrap())));
        let content = format!("# hosts {hosts}\n");
        let path = std::path::PathBuf::from(format!("/etc/netns/c{number}/hosts")).into();
        state.put(&owner, Resource::File(TextFile::new(path, content.into())));
        let attached: Vec<(usize, &Network, u8)> = attachments
            .iter()
            .enumerate()
            .filter_map(|(net, host)| Some((net, self.networks[net].as_ref()?, (*host)?)))
            .collect();
        for (place, (net, network, host)) in attached.iter().enumerate() {
            let place = if *backwards { attached.len() - 1 - place } else { place };
            let host = host + 10 * number as u8;
            self.attachment(state, (number, *net, place), network, host);
        }
        if *hosts == 1 {
            let (dest, way) = ("10.66.0.0/16".parse().unwrap(), Way::Refused(Refusal::Blackhole));
            let route = Route { ns: ns.clone(), dest, way, rank: Rank::usual(Family::Ipv4), stray: None };
            state.put(&owner, Resource::Route(route));
        }
        let Some((net, network, host)) = attached.first() else { return };
        let attachment = format!("attachment.c{number}@n{net}");
        let place = if *backwards { attached.len() - 1 } else { 0 };
        let link = ifname(&format!("eth{place}"));
        let via = Some(format!("10.{net}.{}.1", network.subnet).parse().unwrap());
        let dest = "0.0.0.0/0".parse().unwrap();
        state.put(
            &attachment,
            Resource::Route(Route {
                ns: ns.clone(),
                dest,
                way: Way::By { link: link.clone(), via, onlink: false },
                rank: Rank::usual(Family::Ipv4),
                stray: None,
            }),
        );
        if *backwards {
            let way = Way::By { link: link.clone(), via, onlink: false };
            let (dest, rank) = ("10.66.0.0/16".parse().unwrap(), Rank { table: 100, metric: 7 });
            state.put(&attachment, Resource::Route(Route { ns: ns.clone(), dest, way, rank, stray: None }));
        }
        if *localnet {
            let key = SysctlKey::PerLink { family: Family::Ipv4, link, name: "route_localnet".into() };
            state.put(&attachment, Resource::Sysctl(Sysctl { ns, key, value: "1".into() }));
        }
        if let (Some(port), Some(_)) = (port, self.rules) {
            let target = format!("10.{net}.{}.{}", network.subnet, host + 10 * number as u8);
            state.element(
                &format!("port.0.0.0.0:808{port}{number}/tcp"),
                "published",
                &format!("808{port}{number}"),
                Some(target),
            );
        }
    }

    fn attachment(&self, state: &mut Builder, which: (usize, usize, usize), network: &Network, host: u8) {
        let (container, net, place) = which;
        let owner = format!("attachment.c{container}@n{net}");
        let mtu = Mtu::try_from(network.mtu).unwrap();
        let (ns, name) = (named(&format!("c{container}")), ifname(&format!("eth{place}")));
        let mac = Mac([2, 0x42, 10, net as u8, network.subnet, host]);
        state.put(
            &owner,
            Resource::from(Link {
                ns: NsRef::Host,
                name: ifname(&format!("v{container}{net}")),
                mac: None,
                mtu,
                up: true,
                master: Some(ifname(&format!("br{net}"))),
                hairpin: host.is_multiple_of(3) && !network.is_switched(),
                isolated: host.is_multiple_of(4) && !network.is_switched(),
                stp: false,
                filtering: None,
                vlans: (host % 5 < 2 && !network.is_switched()).then(|| PortVlans {
                    vlan: VlanId::try_from(u16::from(host % 3)).ok(),
                    trunks: vec![],
                    intact: true,
                }),
                port: network.is_switched().then(|| SwitchPort {
                    vlan: VlanId::try_from(u16::from(host % 3)).ok(),
                    trunks: vec![],
                    intact: true,
                }),
                altname: None,
                protected: false,
                amiss: Default::default(),
                kind: LinkKind::Veth(Peer {
                    ns: ns.clone(),
                    name: name.clone(),
                    mac,
                    mtu,
                    up: true,
                    tag: None,
                }),
            }),
        );
        // No link of others is in this world; what a bridge answers for dies with it all the same.
        let (other, link) =
            ((net + 1) % self.networks.len(), ifname(&format!("br{}", (net + 1) % self.networks.len())));
        if host.is_multiple_of(2) && self.networks[other].is_some() {
            let addr = format!("fd00:{net}::{host}").parse().unwrap();
            state.put(&owner, Resource::Neighbour(Neighbour { ns: NsRef::Host, link, addr }));
        }
        if !host.is_multiple_of(3) {
            limited(state, &owner, (container, net), host);
        }
        let addr = format!("10.{net}.{}.{host}/24", network.subnet).parse().unwrap();
        state.put(&owner, Resource::Address(Address::new(ns.clone(), name.clone(), addr)));
        if host.is_multiple_of(2) {
            // A second address that may outlive the first: then the routes survive, too.
            let addr = format!("10.{}.0.{}/24", 100 + net, 10 * container + 2).parse().unwrap();
            state.put(&owner, Resource::Address(Address::new(ns, name, addr)));
        }
    }
}

/// Limits what a container receives, or what it sends: by a link whose name, and with it the detour, may change.
fn limited(state: &mut Builder, owner: &str, (container, net): (usize, usize), host: u8) {
    let (port, detour) =
        (ifname(&format!("v{container}{net}")), ifname(&format!("i{container}{net}{}", host % 2)));
    let bucket = Bucket::new(Rate(1_000_000 * u64::from(host)), None, 1500).unwrap();
    let mut put = |link: &IfName, kind| state.put(owner, Resource::Qdisc(Qdisc { link: link.clone(), kind }));
    if host % 3 == 1 {
        put(&port, QdiscKind::Limit(Direction::Ingress, bucket));
        return;
    }
    put(&detour, QdiscKind::Limit(Direction::Egress, bucket));
    put(&port, QdiscKind::Diversion(Some(detour.clone())));
    let link = Link::alone(NsRef::Host, detour, Mtu::try_from(1500).unwrap(), LinkKind::Ifb);
    state.put(owner, Resource::from(link));
}
