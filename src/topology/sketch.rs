//! Manifests for tests, a line each for a pool, a network or a container; places are those of the text's words.
//!
//! ```text
//! pool 10.0.0.0/8 24
//! coexist
//! own true
//! net front 10.7.0.0/24,gw=10.7.0.9,pool=10.7.0.128/25,reserve=router:10.7.0.5 internal mtu=1400
//! ctr web @front,addr=10.7.0.7,alias=app,link=base:db,mac=..,if=lan0,prio=3,bw=IN/OUT/BURST publish=8080:80 route=10.9.0.0/16>10.7.0.9
//! ```

use std::cell::Cell;
use std::net::IpAddr;

use indexmap::IndexMap;

use super::facts::Facts;
use super::{Topology, resolve};
use crate::manifest::{
    AliasPolicy, At, Attachment, Bandwidth, Coexist, Container, Driver, Egress, Expose, Home, Hop, Ingress,
    Manifest, Mode, Network, OtherEnd, Place, Pool, Publish, Route, Subnet, SwitchedPort, Uplink,
};
use crate::names::{Mac, Mtu, ProjectName, Protocol};
use crate::resource::link::{IpvlanFlag, IpvlanMode, MacvlanMode};
use crate::resource::netns::NsRef;
use crate::resource::owner::Origin;
use crate::resource::qdisc::Rate;
use crate::resource::route::{MAIN_TABLE, Refusal};
use crate::resource::vlan::VlanId;
use crate::resource::vswitch::{Datapath, FailMode, Vswitch};

/// Returns the manifest that the text describes.
pub(crate) fn sketch(text: &str) -> Manifest {
    let sketch = Sketch { text, seen: Cell::new(0) };
    let project = sketch.at(ProjectName::try_from("shop").unwrap(), "");
    let mut manifest = Manifest {
        project,
        pools: vec![],
        coexist: Coexist::default(),
        own_external: None,
        policies: vec![],
        networks: IndexMap::new(),
        containers: IndexMap::new(),
    };
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            None => {}
            Some("own") => {
                let link = words.next().unwrap();
                let named = |link: &str| Uplink::Named(link.try_into().unwrap());
                let uplink = if link == "true" { Uplink::Default } else { named(link) };
                manifest.own_external = Some(sketch.at(uplink, link));
            }
            Some(word @ "coexist") => manifest.coexist.docker = Some(sketch.at(true, word)),
            Some("pool") => {
                let cidr = words.next().unwrap();
                let pool = Pool { cidr: cidr.parse().unwrap(), size: words.next().unwrap().parse().unwrap() };
                manifest.pools.push(sketch.at(pool, cidr));
            }
            Some("net") => {
                let name = words.next().unwrap();
                let place = sketch.place(name);
                let value = sketch.network(words);
                manifest.networks.insert(name.try_into().unwrap(), At { value, place });
            }
            Some("ctr") => {
                let name = words.next().unwrap();
                let place = sketch.place(name);
                let value = sketch.container(words);
                manifest.containers.insert(name.try_into().unwrap(), At { value, place });
            }
            Some(other) => panic!("`{other}` begins no line of a sketch"),
        }
    }
    manifest
}

/// Returns the topology, or the problems as text: code, message, and what stands at each labelled place.
pub(crate) fn resolved(text: &str, facts: &Facts) -> Result<Topology, String> {
    let origin = |place: Place| {
        let line = text[..place.start].lines().count().max(1);
        Origin { file: "sketch".into(), line: u32::try_from(line).unwrap(), column: 1 }
    };
    resolve(&sketch(text), facts, &origin).map_err(|problems| {
        let lines = problems.iter().map(|problem| {
            let labels = problem.labels.iter();
            let labels =
                labels.map(|(place, label)| format!("\n  {}: {label}", &text[place.start..place.end]));
            let help = problem.help.as_ref().map(|help| format!("\n  help: {help}"));
            let labels: String = labels.collect();
            format!("{}: {}{labels}{}\n", problem.code, problem.message, help.unwrap_or_default())
        });
        lines.collect()
    })
}

struct Sketch<'t> {
    text: &'t str,
    /// Words are read from left to right, so each is looked for behind the one before.
    seen: Cell<usize>,
}

impl Sketch<'_> {
    fn place(&self, word: &str) -> Place {
        let start = self.seen.get() + self.text[self.seen.get()..].find(word).unwrap();
        self.seen.set(start + word.len());
        Place { file: 0, start, end: start + word.len() }
    }

    fn at<T>(&self, value: T, word: &str) -> At<T> {
        At { value, place: self.place(word) }
    }

    fn network<'w>(&self, words: impl Iterator<Item = &'w str>) -> Network {
        let mut network = Network::default();
        for word in words {
            match word.split_once('=').filter(|(key, _)| !key.contains('/')) {
                None if word == "internal" => network.internal = true,
                None if word == "protect" => network.prevent_destroy = true,
                None => network.subnets.push(self.subnet(word)),
                Some(("ipv4", v)) => network.families.ipv4 = Some(self.at(v.parse().unwrap(), v)),
                Some(("ipv6", v)) => network.families.ipv6 = Some(self.at(v.parse().unwrap(), v)),
                Some(("icc", v)) => network.icc = Some(self.at(v.parse().unwrap(), v)),
                Some(("mtu", v)) => {
                    network.mtu = Some(self.at(Mtu::try_from(v.parse::<u32>().unwrap()).unwrap(), v));
                }
                Some(("if", v)) => network.interface = Some(self.at(v.try_into().unwrap(), v)),
                Some(("macvlan", v)) => network.driver = self.macvlan(v),
                Some(("host", v)) => network.host.push(self.at(v.parse().unwrap(), v)),
                Some(("ipvlan", v)) => network.driver = self.ipvlan(v),
                Some(("veth", "host")) => network.driver = Driver::Veth(OtherEnd::Host),
                Some(("veth", _)) => network.driver = Driver::Veth(OtherEnd::Container),
                Some(("openvswitch", v)) => network.driver = Driver::OpenVswitch(vswitch(v)),
                Some(("physical", _)) => network.driver = Driver::Physical,
                Some(("external", v)) => network.external = Some(self.at(v.try_into().unwrap(), v)),
                Some(("ignore", v)) => network.ignore.push(self.at(v.to_owned(), v)),
                Some(("policy", v)) => {
                    let policy = if v == "all" { AliasPolicy::All } else { AliasPolicy::First };
                    network.dns.alias_policy = Some(self.at(policy, v));
                }
                Some(("ttl", v)) => network.dns.ttl = Some(self.at(v.parse().unwrap(), v)),
                Some(("upstream", v)) => network.dns.upstream.push(self.at(v.parse().unwrap(), v)),
                Some(("egress", "routed")) => network.egress = Some(self.at(Egress::Routed, "routed")),
                Some(("egress", v @ "masquerade")) => network.egress = Some(self.at(Egress::Masquerade, v)),
                Some(("proxy", "true")) => network.ndp_proxy = Some(self.at(Uplink::Default, "true")),
                Some(("proxy", v)) => {
                    network.ndp_proxy = Some(self.at(Uplink::Named(v.try_into().unwrap()), v));
                }
                Some(("ingress", "open")) => network.ingress = Some(self.at(Ingress::Open, "open")),
                Some(("ingress", "none")) => network.ingress = Some(self.at(Ingress::None, "none")),
                Some(other) => panic!("{other:?} is nothing of a network"),
            }
        }
        network
    }

    /// `macvlan=PARENT` or `macvlan=PARENT,MODE`.
    fn macvlan(&self, word: &str) -> Driver {
        let (parent, mode) = word.split_once(',').unwrap_or((word, "bridge"));
        let (mode, _) = MacvlanMode::ALL.into_iter().find(|(_, name)| *name == mode).unwrap();
        Driver::Macvlan { parent: self.at(parent.try_into().unwrap(), word), mode }
    }

    /// `ipvlan=PARENT`, `ipvlan=PARENT,MODE` or `ipvlan=PARENT,MODE,FLAG`.
    fn ipvlan(&self, word: &str) -> Driver {
        let mut words = word.split(',');
        let parent = self.at(words.next().unwrap().try_into().unwrap(), word);
        let mode = words.next().unwrap_or("l2");
        let flag = words.next().unwrap_or("bridge");
        let (mode, _) = IpvlanMode::ALL.into_iter().find(|(_, name)| *name == mode).unwrap();
        let (flag, _) = IpvlanFlag::ALL.into_iter().find(|(_, name)| *name == flag).unwrap();
        Driver::Ipvlan { parent, mode, flag }
    }

    fn subnet(&self, word: &str) -> At<Subnet> {
        let mut parts = word.split(',');
        let cidr = parts.next().unwrap();
        let place = self.place(cidr);
        let mut subnet = Subnet { cidr: cidr.parse().unwrap(), gateway: None, pool: None, reserve: vec![] };
        for part in parts {
            match part.split_once('=').unwrap() {
                ("gw", v) => subnet.gateway = Some(self.at(v.parse().unwrap(), v)),
                ("pool", v) => subnet.pool = Some(self.at(v.parse().unwrap(), v)),
                ("reserve", v) => {
                    let (name, v) = v.split_once(':').unwrap();
                    subnet.reserve.push((name.to_owned(), self.at(v.parse::<IpAddr>().unwrap(), v)));
                }
                other => panic!("{other:?} is nothing of a subnet"),
            }
        }
        At { value: subnet, place }
    }

    fn container<'w>(&self, words: impl Iterator<Item = &'w str>) -> Container {
        let mut container = Container {
            home: None,
            mode: None,
            networks: None,
            publish: vec![],
            expose: vec![],
            routes: vec![],
            sysctls: vec![],
        };
        for word in words {
            if let Some(word) = word.strip_prefix('@') {
                let name = word.split(',').next().unwrap();
                let at = self.attachment(word);
                container.networks.get_or_insert_default().insert(name.try_into().unwrap(), at);
            } else if word == "none" {
                container.mode = Some(self.at(Mode::None, word));
            } else if word == "host" {
                container.mode = Some(self.at(Mode::Host, word));
            } else if let Some(owner) = word.strip_prefix("in=") {
                container.mode = Some(self.at(Mode::Container(owner.try_into().unwrap()), owner));
            } else if let Some(name) = word.strip_prefix("docker=") {
                container.home = Some(self.at(Home::Docker(name.try_into().unwrap()), name));
            } else if let Some(pid) = word.strip_prefix("pid=") {
                container.home = Some(self.at(Home::Process(pid.parse().unwrap()), pid));
            } else if let Some(port) = word.strip_prefix("publish=") {
                container.publish.push(self.publish(port));
            } else if let Some(port) = word.strip_prefix("expose=") {
                container.expose.push(self.expose(port));
            } else if let Some(route) = word.strip_prefix("route=") {
                container.routes.push(self.route(route));
            } else if let Some(path) = word.strip_prefix("netns=/") {
                let home = Home::Netns(NsRef::Path(format!("/{path}").into()));
                container.home = Some(self.at(home, path));
            } else if let Some(name) = word.strip_prefix("netns=") {
                let home = Home::Netns(NsRef::Named(name.try_into().unwrap()));
                container.home = Some(self.at(home, name));
            } else {
                panic!("`{word}` is nothing of a container");
            }
        }
        container
    }

    fn attachment(&self, word: &str) -> At<Attachment> {
        let mut parts = word.split(',');
        let place = self.place(parts.next().unwrap());
        let mut attachment = Attachment::default();
        for part in parts {
            match part.split_once('=').unwrap() {
                ("addr", v) => attachment.addresses.push(self.at(v.parse().unwrap(), v)),
                ("ext", v) => attachment.external.push(self.at(v.parse().unwrap(), v)),
                ("alias", v) => attachment.aliases.push(self.at(v.try_into().unwrap(), v)),
                ("link", v) => {
                    let (alias, to) = v.split_once(':').unwrap();
                    let link =
                        (self.at(alias.try_into().unwrap(), alias), self.at(to.try_into().unwrap(), to));
                    attachment.links.push(link);
                }
                ("mac", v) => attachment.mac = Some(self.at(Mac::try_from(v.to_owned()).unwrap(), v)),
                ("if", v) => attachment.interface = Some(self.at(v.try_into().unwrap(), v)),
                ("route", v) => attachment.routes.push(self.route(v)),
                ("vlan", v) => {
                    let vlan = VlanId::try_from(v.parse::<u16>().unwrap()).unwrap();
                    attachment.port =
                        Some(self.at(SwitchedPort { vlan: Some(vlan), trunks: vec![], trunks_at: None }, v));
                }
                ("trunks", v) => {
                    let ids = v.split('/').map(|id| VlanId::try_from(id.parse::<u16>().unwrap()).unwrap());
                    let trunks_at = Some(self.place("trunks"));
                    let mut port = attachment.port.take().unwrap_or_else(|| {
                        self.at(SwitchedPort { vlan: None, trunks: vec![], trunks_at }, v)
                    });
                    (port.value.trunks, port.value.trunks_at) = (ids.collect(), trunks_at);
                    attachment.port = Some(port);
                }
                ("dev", v) => attachment.device = Some(self.at(v.try_into().unwrap(), v)),
                (key @ "bw", v) => {
                    let place = self.place(key);
                    let rate =
                        |text: &str| text.parse().ok().map(|kbit: u64| self.at(Rate(kbit * 125), text));
                    let mut parts = v.split('/');
                    let mut next = || parts.next().unwrap_or_default();
                    let (ingress, egress) = (rate(next()), rate(next()));
                    let burst = next();
                    let burst = burst.parse().ok().map(|bytes| self.at(bytes, burst));
                    attachment.bandwidth = Some(At { value: Bandwidth { ingress, egress, burst }, place });
                }
                (key @ "hairpin", _) => attachment.hairpin = Some(self.at(true, key)),
                (key @ "isolated", _) => attachment.isolated = Some(self.place(key)),
                ("prio", v) => attachment.gateway_priority = v.parse().unwrap(),
                other => panic!("{other:?} is nothing of an attachment"),
            }
        }
        At { value: attachment, place }
    }

    /// Reads `TO`, `TO>blackhole`, `TO>ROUTER` or `TO>ROUTER!` when the router is on the link, each with `*METRIC`.
    fn route(&self, word: &str) -> At<Route> {
        let (rest, metric) = word.split_once('*').unwrap_or((word, "0"));
        let (to, via) = rest.split_once('>').unwrap_or((rest, ""));
        let place = self.place(to);
        let router = via.trim_end_matches('!');
        let hop = match router {
            "" => Hop::Direct,
            "blackhole" => Hop::Refused(Refusal::Blackhole),
            _ => Hop::Via { router: self.at(router.parse().unwrap(), router), onlink: via.ends_with('!') },
        };
        let to = At { value: to.parse().unwrap(), place };
        At { value: Route { to, hop, metric: metric.parse().ok(), table: MAIN_TABLE }, place }
    }

    /// Reads `PORT[-LAST][/udp]`.
    fn expose(&self, word: &str) -> At<Expose> {
        let (ports, protocol) = match word.strip_suffix("/udp") {
            None => (word, Protocol::Tcp),
            Some(ports) => (ports, Protocol::Udp),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let ports = first.parse().unwrap()..=last.parse().unwrap();
        self.at(Expose { ports, protocol }, word)
    }

    /// Reads `[ADDRESS|]HOST[-LAST]:TARGET[/udp]`.
    fn publish(&self, word: &str) -> At<Publish> {
        let place = self.place(word);
        let (host, rest) = match word.split_once('|') {
            None => (None, word),
            Some((host, rest)) => (Some(host.parse().unwrap()), rest),
        };
        let (ports, protocol) = match rest.strip_suffix("/udp") {
            None => (rest, Protocol::Tcp),
            Some(ports) => (ports, Protocol::Udp),
        };
        let (from, to) = ports.split_once(':').unwrap();
        let (first, last) = from.split_once('-').unwrap_or((from, from));
        let (first, last): (u16, u16) = (first.parse().unwrap(), last.parse().unwrap());
        let target: u16 = to.parse().unwrap();
        let value = Publish {
            host_address: host,
            host_ports: first..=last,
            target_ports: target..=target + (last - first),
            protocol,
            allow_from: vec![],
        };
        At { value, place }
    }
}

/// `openvswitch=DATAPATH`.
fn vswitch(word: &str) -> Vswitch {
    let (datapath, _) = Datapath::ALL.into_iter().find(|(_, name)| *name == word).unwrap();
    Vswitch { datapath, fail_mode: FailMode::Standalone, stp: false, mcast_snooping: false, intact: true }
}
