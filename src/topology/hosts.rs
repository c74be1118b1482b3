//! Names without a name server: what each container's hosts file says.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{Attachment, Container, Network, Runtime};
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
    let pages: Vec<_> = containers.iter().map(|container| page(&rolls, networks, container)).collect();
    for (container, page) in containers.iter_mut().zip(pages) {
        container.hosts = page;
    }
}

/// The containers of a network with their names, in order.
struct Roll {
    entries: Vec<Entry>,
    /// The addresses of each, for links.
    addresses: HashMap<ContainerName, Vec<IpAddr>>,
}

struct Entry {
    addresses: Vec<IpAddr>,
    names: Names,
}

/// Returns who is on each network. Those whose namespace is not there yet answer to no name, so that a shared alias
/// goes to one who is there (S24).
fn rolls<'t>(
    networks: &'t [Network],
    nameless: &NetName,
    containers: &[Container],
) -> HashMap<&'t NetName, Roll> {
    let mut present: HashMap<&NetName, Vec<(&ContainerName, &Attachment)>> = HashMap::new();
    for container in containers {
        match container.runtime {
            Runtime::Netform | Runtime::Given => {}
            Runtime::Waiting => continue,
        }
        for attachment in &container.attachments {
            present.entry(&attachment.network).or_default().push((&container.name, attachment));
        }
    }
    let roll = |network: &'t Network| {
        let there = present.get(&network.name).map(Vec::as_slice).unwrap_or_default();
        let addresses = there.iter().map(|(name, attachment)| ((*name).clone(), addresses(attachment)));
        let addresses = addresses.collect();
        // The default network has no names but links (S20).
        let entries = if &network.name == nameless { vec![] } else { entries(&network.name, there) };
        (&network.name, Roll { entries, addresses })
    };
    networks.iter().map(roll).collect()
}

fn addresses(attachment: &Attachment) -> Vec<IpAddr> {
    attachment.addresses.iter().map(ipnet::IpNet::addr).collect()
}

fn entries(network: &NetName, there: &[(&ContainerName, &Attachment)]) -> Vec<Entry> {
    // A container's own name is nobody's alias; an alias belongs to the first who declares it.
    let mut taken: HashSet<&str> = there.iter().map(|(name, _)| name.as_str()).collect();
    let mut entries = vec![];
    for (name, attachment) in there {
        let mut names: Vec<Arc<str>> = vec![name.as_str().into(), format!("{name}.{network}").into()];
        let aliases = attachment.aliases.iter().map(Alias::as_str);
        names.extend(aliases.filter(|alias| taken.insert(alias)).map(Arc::from));
        entries.push(Entry { addresses: addresses(attachment), names: names.into() });
    }
    entries
}

/// The lines of one file, with the names that are spoken for: a name is said once in each family, and the first wins.
#[derive(Default)]
struct Page {
    lines: Vec<(IpAddr, Names)>,
    ipv4: HashSet<Arc<str>>,
    ipv6: HashSet<Arc<str>>,
}

impl Page {
    fn say(&mut self, addr: IpAddr, names: &Names) {
        let said = match Family::of(addr) {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        };
        let mut fresh: Vec<&Arc<str>> = Vec::with_capacity(names.len());
        fresh.extend(names.iter().filter(|name| said.insert(Arc::clone(name))));
        if fresh.len() == names.len() {
            self.lines.push((addr, Arc::clone(names)));
        } else if !fresh.is_empty() {
            self.lines.push((addr, fresh.into_iter().cloned().collect()));
        }
    }

    fn say_one(&mut self, addr: IpAddr, name: &str) {
        self.say(addr, &Arc::from([Arc::from(name)]));
    }
}

fn page(
    rolls: &HashMap<&NetName, Roll>,
    networks: &[Network],
    container: &Container,
) -> Vec<(IpAddr, Names)> {
    match container.ns {
        NsRef::Named(_) => {}
        NsRef::Host | NsRef::Path(_) => return vec![],
    }
    let mut page = Page::default();
    page.say_one(Ipv4Addr::LOCALHOST.into(), "localhost");
    page.say(Ipv6Addr::LOCALHOST.into(), &Arc::from([Arc::from("localhost"), Arc::from("ip6-localhost")]));
    for attachment in &container.attachments {
        for addr in addresses(attachment) {
            let whole = format!("{}.{}", container.name, attachment.network);
            page.say(addr, &Arc::from([Arc::from(container.name.as_str()), Arc::from(whole)]));
        }
    }
    links(rolls, container, &mut page);
    for attachment in &container.attachments {
        for entry in rolls.get(&attachment.network).iter().flat_map(|roll| &roll.entries) {
            for addr in &entry.addresses {
                page.say(*addr, &entry.names);
            }
        }
    }
    for gateway in gateways(networks, container) {
        page.say_one(gateway, HOST);
    }
    page.lines
}

/// Says the private names of other containers: on the network of the link, or else on the first that both are on.
fn links(rolls: &HashMap<&NetName, Roll>, container: &Container, page: &mut Page) {
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
/// first network.
pub(crate) fn gateways(networks: &[Network], container: &Container) -> Vec<IpAddr> {
    let of = |attachment: &Attachment, family: Family| {
        let network = networks.iter().find(|network| network.name == attachment.network)?;
        let mut gateways = network.subnets.iter().map(|subnet| subnet.gateway);
        let gateway = gateways.find(|gateway| Family::of(*gateway) == family)?;
        Some((network.internal, gateway))
    };
    let host = |family: Family| {
        let gateways = || container.attachments.iter().filter_map(|attachment| of(attachment, family));
        gateways().find(|(internal, _)| !internal).or_else(|| gateways().next()).map(|(_, gateway)| gateway)
    };
    [Family::Ipv4, Family::Ipv6].into_iter().filter_map(host).collect()
}
