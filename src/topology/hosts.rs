//! Names without a name server: what each container's hosts file says.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{Attachment, Container, Network, Runtime};
use crate::halves::halves;
use crate::names::{Alias, ContainerName, NetName};
use crate::resource::netns::NsRef;
use crate::resource::sysctl::Family;

type Names = Arc<[Arc<str>]>;

/// The name by which a container reaches its host.
pub(crate) const HOST: &str = "host.netform.internal";

/// Gives the containers the lines of their hosts files.
///
/// There is no limit of its own on the lines: a bridge has at most 1,023 ports, so a network has at most a million lines,
/// whose names are shared.
pub(super) fn fill(networks: &[Network], nameless: &NetName, containers: &mut [Container]) {
    let rolls = rolls(networks, nameless, containers);
    let localhost = localhost();
    let pages = |some: &[Container]| -> Vec<_> {
        some.iter().map(|container| page((&rolls, &localhost), networks, container)).collect()
    };
    let (first, second) = halves(containers, pages);
    for (container, page) in containers.iter_mut().zip(first.into_iter().chain(second)) {
        container.hosts = page;
    }
}

/// A line of a hosts file.
#[derive(Clone)]
struct Line {
    addr: IpAddr,
    names: Names,
    /// The line as it is written: once for all the files that it is in.
    text: Arc<str>,
}

impl Line {
    fn new(addr: IpAddr, names: Names) -> Self {
        let text = format!("{addr}\t{}\n", names.join(" ")).into();
        Self { addr, names, text }
    }
}

/// The containers of a network with their names, in order; no name is there twice in a family.
///
/// Nearly every line of a network is in the file of each of its containers, so the names are looked up here, once, and
/// not by every file.
struct Roll {
    lines: Vec<Line>,
    /// Which of the lines say a name.
    index: HashMap<Arc<str>, Vec<usize>>,
    /// The addresses of each, for links.
    addresses: HashMap<ContainerName, Vec<IpAddr>>,
}

impl Roll {
    fn of(entries: Vec<Entry>, addresses: HashMap<ContainerName, Vec<IpAddr>>) -> Self {
        let mut page = Page::default();
        for entry in &entries {
            for addr in &entry.addresses {
                page.say(*addr, &entry.names);
            }
        }
        let mut index: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for (number, line) in page.lines.iter().enumerate() {
            for name in line.names.iter() {
                index.entry(Arc::clone(name)).or_default().push(number);
            }
        }
        Self { lines: page.lines, index, addresses }
    }

    fn says(&self, family: Family, name: &str) -> bool {
        let mut lines = self.index.get(name).into_iter().flatten().filter_map(|line| self.lines.get(*line));
        lines.any(|line| Family::of(line.addr) == family)
    }
}

/// A container that is there, on a network.
type Present<'t> = (&'t Container, &'t Attachment);

struct Entry {
    addresses: Vec<IpAddr>,
    names: Names,
}

/// Returns who is on each network. Those whose namespace, or network, is not there yet answer to no name, so that a shared alias
/// goes to one who is there (S24).
fn rolls<'t>(
    networks: &'t [Network],
    nameless: &NetName,
    containers: &[Container],
) -> HashMap<&'t NetName, Roll> {
    let mut present: HashMap<&NetName, Vec<Present<'_>>> = HashMap::new();
    for container in containers {
        match container.runtime {
            Runtime::Netform | Runtime::Given => {}
            Runtime::Waiting | Runtime::Shared => continue,
        }
        for attachment in container.attachments.iter().filter(|attachment| !attachment.waits()) {
            present.entry(&attachment.network).or_default().push((container, attachment));
        }
    }
    let roll = |network: &'t Network| {
        let there = present.get(&network.name).map(Vec::as_slice).unwrap_or_default();
        let addresses = there.iter().flat_map(|(container, attachment)| {
            container.names().map(|name| (name.clone(), addresses(attachment)))
        });
        let addresses = addresses.collect();
        // The default network has no names but links (S20).
        let entries = if &network.name == nameless { vec![] } else { entries(&network.name, there) };
        (&network.name, Roll::of(entries, addresses))
    };
    networks.iter().map(roll).collect()
}

fn addresses(attachment: &Attachment) -> Vec<IpAddr> {
    attachment.addresses.iter().map(ipnet::IpNet::addr).collect()
}

fn entries(network: &NetName, there: &[Present<'_>]) -> Vec<Entry> {
    // A container's own name is nobody's alias; an alias belongs to the first who declares it.
    let mut taken: HashSet<&str> =
        there.iter().flat_map(|(container, _)| container.names()).map(ContainerName::as_str).collect();
    let mut entries = vec![];
    for (container, attachment) in there {
        let mut names: Vec<Arc<str>> = vec![];
        for name in container.names() {
            names.extend([Arc::from(name.as_str()), Arc::from(format!("{name}.{network}"))]);
        }
        for alias in attachment.aliases.iter().map(Alias::as_str) {
            if !names.iter().any(|name| **name == *alias) && taken.insert(alias) {
                names.push(alias.into());
            }
        }
        entries.push(Entry { addresses: addresses(attachment), names: names.into() });
    }
    entries
}

/// Returns what the file of every container begins with, each line of another family.
fn localhost() -> [Line; 2] {
    let names = ["localhost", "ip6-localhost"].map(Arc::from);
    [
        Line::new(Ipv4Addr::LOCALHOST.into(), Arc::from([Arc::from("localhost")])),
        Line::new(Ipv6Addr::LOCALHOST.into(), Arc::from(names)),
    ]
}

/// The lines of one file: a name is said once in each family, and the first wins.
#[derive(Default)]
struct Page<'r> {
    lines: Vec<Line>,
    /// The names that this page says by itself: mostly a handful, among which one is found sooner than its hash.
    ipv4: Vec<Arc<str>>,
    ipv6: Vec<Arc<str>>,
    /// The networks whose names it says.
    rolls: Vec<&'r Roll>,
}

impl<'r> Page<'r> {
    fn has_said(&self, family: Family, name: &Arc<str>) -> bool {
        let own = match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        };
        own.contains(name) || self.rolls.iter().any(|roll| roll.says(family, name))
    }

    fn say(&mut self, addr: IpAddr, names: &Names) {
        if let Some(fresh) = self.fresh(addr, names) {
            self.put(Line::new(addr, fresh));
        }
    }

    /// Says a line that has names that nobody has been given yet.
    fn put(&mut self, line: Line) {
        let said = match Family::of(line.addr) {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        };
        said.extend(line.names.iter().cloned());
        self.lines.push(line);
    }

    /// Returns those of the names that nobody has been given yet.
    fn fresh(&self, addr: IpAddr, names: &Names) -> Option<Names> {
        let is_fresh = |name: &&Arc<str>| !self.has_said(Family::of(addr), name);
        let fresh = names.iter().filter(is_fresh).count();
        if fresh == names.len() {
            Some(Arc::clone(names))
        } else {
            (fresh > 0).then(|| names.iter().filter(is_fresh).cloned().collect())
        }
    }

    fn say_one(&mut self, addr: IpAddr, name: &str) {
        self.say(addr, &Arc::from([Arc::from(name)]));
    }

    /// Says the names of a network: its lines as they are, but for those with a name that is said already.
    fn say_all(&mut self, roll: &'r Roll) {
        let own = self.ipv4.iter().chain(&self.ipv6);
        let mut told: BTreeSet<usize> =
            own.filter_map(|name| roll.index.get(name)).flatten().copied().collect();
        for other in &self.rolls {
            let (few, many) =
                if other.index.len() < roll.index.len() { (*other, roll) } else { (roll, *other) };
            let shared = few.index.keys().filter(|name| many.index.contains_key(*name));
            told.extend(shared.filter_map(|name| roll.index.get(name)).flatten());
        }
        self.lines.reserve(roll.lines.len());
        for (number, line) in roll.lines.iter().enumerate() {
            if told.contains(&number) {
                let fresh = self.fresh(line.addr, &line.names);
                self.lines.extend(fresh.map(|names| Line::new(line.addr, names)));
            } else {
                self.lines.push(line.clone());
            }
        }
        self.rolls.push(roll);
    }
}

fn page(
    (rolls, localhost): (&HashMap<&NetName, Roll>, &[Line; 2]),
    networks: &[Network],
    container: &Container,
) -> Vec<Arc<str>> {
    let mut page = Page::default();
    match (&container.ns, container.runtime) {
        (_, Runtime::Shared) | (NsRef::Host | NsRef::Path(_), _) => return vec![],
        (NsRef::Named(_), _) => localhost.iter().for_each(|line| page.put(line.clone())),
        // Whoever made the file has said that.
        (NsRef::Process(_), _) => {}
    }
    for attachment in container.attachments.iter().filter(|attachment| !attachment.waits()) {
        for addr in addresses(attachment) {
            let names = container.names().flat_map(|name| {
                [Arc::from(name.as_str()), Arc::from(format!("{name}.{}", attachment.network))]
            });
            page.say(addr, &names.collect());
        }
    }
    links(rolls, container, &mut page);
    for attachment in &container.attachments {
        if let Some(roll) = rolls.get(&attachment.network) {
            page.say_all(roll);
        }
    }
    for gateway in gateways(networks, container) {
        page.say_one(gateway, HOST);
    }
    page.lines.into_iter().map(|line| line.text).collect()
}

/// Says the private names of other containers: on the network of the link, or else on the first that both are on.
fn links(rolls: &HashMap<&NetName, Roll>, container: &Container, page: &mut Page<'_>) {
    let on = |network: &NetName, target: &ContainerName| rolls.get(network)?.addresses.get(target);
    for attachment in &container.attachments {
        for (alias, target) in &attachment.links {
            let elsewhere = || container.attachments.iter().find_map(|other| on(&other.network, target));
            let target = on(&attachment.network, target).or_else(elsewhere);
            for addr in target.into_iter().flatten() {
                page.say_one(*addr, alias.as_str());
            }
        }
    }
}

/// Returns the addresses of the host: of each family, the gateway of the first network that leads out, or else of the
/// first network; behind a link of the host, what the host has beside it.
pub(crate) fn gateways(networks: &[Network], container: &Container) -> Vec<IpAddr> {
    let of = |attachment: &Attachment, family: Family| {
        let network = networks.iter().find(|it| it.name == attachment.network && !it.waits)?;
        let gateways = network.subnets.iter().filter(|_| network.driver.has_host());
        let gateways = gateways.filter_map(|subnet| subnet.gateway);
        // Behind a link of the host it is found by addresses of its own, where it has such.
        let beside = network.shim.iter().flat_map(|shim| shim.addresses.iter().copied());
        let host = gateways.chain(beside).find(|address| Family::of(*address) == family)?;
        Some((network.internal, host))
    };
    let host = |family: Family| {
        let gateways = || container.attachments.iter().filter_map(|attachment| of(attachment, family));
        gateways().find(|(internal, _)| !internal).or_else(|| gateways().next()).map(|(_, gateway)| gateway)
    };
    [Family::Ipv4, Family::Ipv6].into_iter().filter_map(host).collect()
}
