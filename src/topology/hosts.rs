//! Names without a name server: what each container's hosts file says.

mod roll;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::called::{is_reserved, lower};
use super::{Attachment, Container, Network, Runtime};
use crate::halves::halves;
use crate::names::{Alias, ContainerName, NetName};
use crate::resource::netns::NsRef;
use crate::resource::sysctl::Family;
use roll::{Entry, Line, Lines, Names, Roll, Said, fresh, write};

/// The name by which a container reaches its host.
pub(crate) const HOST: &str = "host.netform.internal";

/// What a hosts file says, mostly in the words of texts that the files of a network share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(Vec<(Arc<str>, Range<usize>)>);

impl Hosts {
    /// Tells whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many bytes it says.
    pub fn len(&self) -> usize {
        self.0.iter().map(|(_, stretch)| stretch.len()).sum()
    }

    /// Returns what it says, in stretches of whole lines.
    pub fn stretches(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(text, stretch)| text.get(stretch.clone()))
    }

    /// Says a stretch of a text, too.
    fn share(&mut self, text: &Arc<str>, stretch: Range<usize>) {
        match self.0.last_mut() {
            _ if stretch.is_empty() => {}
            Some((last, before)) if Arc::ptr_eq(last, text) && before.end == stretch.start => {
                before.end = stretch.end;
            }
            Some(_) | None => self.0.push((Arc::clone(text), stretch)),
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stretches().try_for_each(|stretch| f.write_str(stretch))
    }
}

/// Gives the containers what their hosts files say.
///
/// There is no limit of its own on the lines: a bridge has at most 1,023 ports, so a network has at most a million lines,
/// whose texts are shared.
pub(super) fn fill(networks: &[Network], nameless: &NetName, containers: &mut [Container]) {
    let known = Known {
        rolls: rolls(networks, nameless, containers),
        networks: networks.iter().map(|network| (&network.name, network)).collect(),
        localhost: localhost(),
        host: host(networks),
    };
    let pages = |some: &[Container]| -> Vec<_> { some.iter().map(|it| page(&known, it)).collect() };
    let (first, second) = halves(containers, pages);
    for (container, page) in containers.iter_mut().zip(first.into_iter().chain(second)) {
        container.hosts = page;
    }
}

/// What all files are made from.
struct Known<'t> {
    rolls: HashMap<&'t NetName, Roll>,
    networks: HashMap<&'t NetName, &'t Network>,
    /// What the file of every container begins with.
    localhost: Lines,
    /// The name of the host, at each of the addresses that it may have for them.
    host: Lines,
}

/// A container that is there, on a network.
type Present<'t> = (&'t Container, &'t Attachment);

/// Returns who is on each network. Those whose namespace, or network, is not there yet answer to no name, so that a shared alias
/// goes to one who is there (S24).
fn rolls<'t>(
    networks: &'t [Network],
    nameless: &NetName,
    containers: &[Container],
) -> HashMap<&'t NetName, Roll> {
    let mut present: HashMap<&NetName, Vec<Present<'_>>> = HashMap::default();
    for container in containers {
        match container.runtime {
            Runtime::Netform | Runtime::Given => {}
            Runtime::Waiting | Runtime::Shared => continue,
        }
        for attachment in container.attachments.iter().filter(|attachment| !attachment.waits()) {
            present.entry(&attachment.network).or_default().push((container, attachment));
        }
    }
    let mut attachments = containers.iter().flat_map(|container| &container.attachments);
    let has_links = attachments.any(|attachment| !attachment.links.is_empty());
    let roll = |network: &'t Network| {
        let there = present.get(&network.name).map(Vec::as_slice).unwrap_or_default();
        let addresses = there.iter().filter(|_| has_links).flat_map(|(container, attachment)| {
            container.names().map(|name| (name.clone(), addresses(attachment)))
        });
        let addresses = addresses.collect();
        // The default network has no names but links (S20).
        let entries = if &network.name == nameless { vec![] } else { entries(&network.name, there) };
        (&network.name, Roll::of(&entries, addresses))
    };
    networks.iter().map(roll).collect()
}

fn addresses(attachment: &Attachment) -> Vec<IpAddr> {
    attachment.addresses.iter().map(ipnet::IpNet::addr).collect()
}

/// Returns the names that a container has on a network by itself: short, and with the network's behind.
fn own_names(container: &Container, network: &NetName) -> impl Iterator<Item = Arc<str>> {
    let both = move |name: &ContainerName| [name.as_str().into(), format!("{name}.{network}").into()];
    container.names().flat_map(both).filter(|name: &Arc<str>| !is_reserved(name))
}

fn entries(network: &NetName, there: &[Present<'_>]) -> Vec<Entry> {
    // A container's own name is nobody's alias; an alias belongs to the first who declares it.
    let names = there.iter().flat_map(|(container, _)| container.names());
    let owners: HashSet<Cow<'_, str>> = names.map(|name| lower(name.as_str())).collect();
    let behind = format!(".{}", lower(network.as_str()));
    let mut taken = owners.clone();
    let mut entries = vec![];
    for (container, attachment) in there {
        let mut names: Vec<Arc<str>> = own_names(container, network).collect();
        let aliases = attachment.aliases.iter().map(Alias::as_str);
        for alias in aliases.filter(|alias| !is_reserved(alias)) {
            // Whatever a container is called by has its network behind it, too.
            let short = lower(alias);
            let short = short.strip_suffix(&*behind).filter(|short| owners.contains(*short));
            let is_owned = short.is_some() || names.iter().any(|name| name.eq_ignore_ascii_case(alias));
            if !is_owned && taken.insert(lower(alias)) {
                names.push(alias.into());
            }
        }
        entries.push(Entry { addresses: addresses(attachment), names: names.into() });
    }
    entries
}

/// One file: a name is said once in each family, and the first wins.
#[derive(Default)]
struct Page<'r> {
    hosts: Hosts,
    /// The lines of its own since the last of a network.
    own: String,
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
        own.iter().any(|own| own.eq_ignore_ascii_case(name))
            || self.rolls.iter().any(|roll| roll.says(family, name))
    }

    fn say(&mut self, addr: IpAddr, names: &Names) {
        let family = Family::of(addr);
        let Some(names) = fresh(names, |name| self.has_said(family, name)) else { return };
        self.note(family, &names);
        write(&mut self.own, addr, &names);
    }

    /// Says a line in the words of a text that has it, unless it is said in part already.
    fn say_as_written(&mut self, text: &Arc<str>, line: &Line) {
        let family = Family::of(line.addr);
        if line.names.iter().any(|name| self.has_said(family, name)) {
            return self.say(line.addr, &line.names);
        }
        self.note(family, &line.names);
        self.share(text, line.stretch.clone());
    }

    fn note(&mut self, family: Family, names: &[Arc<str>]) {
        let said = match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        };
        said.extend(names.iter().cloned());
    }

    fn say_one(&mut self, addr: IpAddr, name: &str) {
        self.say(addr, &Arc::from([Arc::from(name)]));
    }

    /// Says the names of a network: its lines as they are, but for those with a name that is said already.
    fn say_all(&mut self, roll: &'r Roll) {
        let own = self.ipv4.iter().chain(&self.ipv6);
        let mut told: BTreeSet<usize> =
            own.filter_map(|name| roll.index.get(&*lower(name))).flat_map(Said::all).collect();
        for other in &self.rolls {
            let (few, many) =
                if other.index.len() < roll.index.len() { (*other, roll) } else { (roll, *other) };
            let shared = few.index.keys().filter(|name| many.index.contains_key(*name));
            told.extend(shared.filter_map(|name| roll.index.get(&**name)).flat_map(Said::all));
        }
        let mut from = 0;
        let Lines { text, all } = &roll.lines;
        for line in told.iter().filter_map(|number| all.get(*number)) {
            self.share(text, from..line.stretch.start);
            from = line.stretch.end;
            if let Some(names) = fresh(&line.names, |name| self.has_said(Family::of(line.addr), name)) {
                write(&mut self.own, line.addr, &names);
            }
        }
        self.share(text, from..text.len());
        self.rolls.push(roll);
    }

    /// Says some lines of a text as they are.
    fn share(&mut self, text: &Arc<str>, stretch: Range<usize>) {
        if !stretch.is_empty() {
            self.flush();
            self.hosts.share(text, stretch);
        }
    }

    fn flush(&mut self) {
        if !self.own.is_empty() {
            let own: Arc<str> = std::mem::take(&mut self.own).into();
            self.hosts.share(&own, 0..own.len());
        }
    }
}

fn localhost() -> Lines {
    let names = ["localhost", "ip6-localhost"].map(Arc::from);
    Lines::of(vec![
        (Ipv4Addr::LOCALHOST.into(), Arc::from([Arc::from("localhost")])),
        (Ipv6Addr::LOCALHOST.into(), Arc::from(names)),
    ])
}

fn host(networks: &[Network]) -> Lines {
    let name: Names = Arc::from([Arc::from(HOST)]);
    let gateways = networks.iter().flat_map(|network| &network.subnets).filter_map(|subnet| subnet.gateway);
    let beside =
        networks.iter().flat_map(|network| &network.shim).flat_map(|shim| shim.addresses.iter().copied());
    let addresses: BTreeSet<IpAddr> = gateways.chain(beside).collect();
    Lines::of(addresses.into_iter().map(|addr| (addr, Arc::clone(&name))).collect())
}

fn page(known: &Known<'_>, container: &Container) -> Hosts {
    let Known { rolls, networks, localhost, host } = known;
    let mut page = Page::default();
    match (&container.ns, container.runtime) {
        (_, Runtime::Shared) | (NsRef::Host | NsRef::Path(_), _) => return Hosts::default(),
        (NsRef::Named(_), _) => {
            localhost.all.iter().for_each(|line| page.say_as_written(&localhost.text, line));
        }
        // Whoever made the file has said that.
        (NsRef::Process(_), _) => {}
    }
    for attachment in container.attachments.iter().filter(|attachment| !attachment.waits()) {
        let network = &attachment.network;
        let roll = rolls.get(network);
        for addr in addresses(attachment) {
            match roll.and_then(|roll| Some((&roll.lines.text, roll.own(container, network, addr)?))) {
                Some((text, line)) => page.say_as_written(text, line),
                None => page.say(addr, &own_names(container, network).collect()),
            }
        }
    }
    links(rolls, container, &mut page);
    for attachment in &container.attachments {
        if let Some(roll) = rolls.get(&attachment.network) {
            page.say_all(roll);
        }
    }
    for gateway in gateways(|name| networks.get(name).copied(), container) {
        // They are in order, each once.
        match host.all.binary_search_by_key(&gateway, |line| line.addr).map(|number| host.all.get(number)) {
            Ok(Some(line)) => page.say_as_written(&host.text, line),
            Ok(None) | Err(_) => page.say_one(gateway, HOST),
        }
    }
    page.flush();
    page.hosts
}

/// Says the private names of other containers: on the network of the link, or else on the first that both are on.
fn links(rolls: &HashMap<&NetName, Roll>, container: &Container, page: &mut Page<'_>) {
    let on = |network: &NetName, target: &ContainerName| rolls.get(network)?.addresses.get(target);
    for attachment in &container.attachments {
        for (alias, target) in attachment.links.iter().filter(|(alias, _)| !is_reserved(alias.as_str())) {
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
pub(crate) fn gateways<'t>(
    network: impl Fn(&NetName) -> Option<&'t Network>,
    container: &Container,
) -> Vec<IpAddr> {
    let of = |attachment: &Attachment, family: Family| {
        let network = network(&attachment.network).filter(|network| !network.waits)?;
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
