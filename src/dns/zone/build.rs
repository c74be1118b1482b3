//! A topology and the containers that run, made into zones.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::super::name::Name;
use super::{Addresses, Book, Forward, Zone};
use crate::manifest::AliasPolicy;
use crate::names::{Alias, ContainerName, NetName};
use crate::resource::netns::NsRef;
use crate::topology::called::is_reserved;
use crate::topology::{Attachment, Container, HOST, Network, Runtime, Topology, gateways};

/// The network that has no names but links (S20).
const NAMELESS: &str = "default";

/// Returns what the resolvers of the containers that run know, each by its namespace.
pub(super) fn views(topology: &Topology, running: &BTreeSet<ContainerName>) -> BTreeMap<NsRef, Arc<Zone>> {
    let Topology { project, origin: _, networks, containers, passages: _, policies: _, heard: _, notes: _ } =
        topology;
    let rolls = rolls(networks, containers, running);
    let served = containers.iter().filter(|container| match container.ns {
        NsRef::Host => false,
        NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => {
            let asks_others = container.run.as_ref().is_some_and(|run| run.has_networks);
            running.contains(&container.name) && !container.attachments.is_empty() && !asks_others
        }
    });
    let view = |container: &Container| {
        let on = container.attachments.iter().filter_map(|attachment| rolls.get(&attachment.network));
        let zone = Zone {
            own: own(&rolls, container),
            networks: on.clone().map(|roll| Arc::clone(&roll.book)).collect(),
            forward: forward(on, container),
            maker: match container.runtime {
                Runtime::Netform => Some(project.clone()),
                Runtime::Given | Runtime::Shared | Runtime::Waiting => None,
            },
        };
        (container.ns.clone(), Arc::new(zone))
    };
    served.map(view).collect()
}

/// A network with who is on it.
struct Roll<'t> {
    network: &'t Network,
    book: Arc<Book>,
    /// Those that run.
    present: HashMap<&'t ContainerName, &'t Attachment>,
    upstream: Arc<[IpAddr]>,
}

fn rolls<'t>(
    networks: &'t [Network],
    containers: &'t [Container],
    running: &BTreeSet<ContainerName>,
) -> HashMap<&'t NetName, Roll<'t>> {
    let mut members: HashMap<&NetName, Vec<Member<'t>>> = HashMap::new();
    for container in containers {
        let runs = running.contains(&container.name);
        for attachment in &container.attachments {
            let runs = runs && !attachment.waits();
            let member = Member { container, attachment, runs };
            members.entry(&attachment.network).or_default().push(member);
        }
    }
    let roll = |network: &'t Network| {
        let members = members.get(&network.name).map(Vec::as_slice).unwrap_or_default();
        let present = members.iter().filter(|member| member.runs);
        let roll = Roll {
            network,
            book: Arc::new(book(network, members)),
            present: present
                .flat_map(|member| member.container.names().map(|name| (name, member.attachment)))
                .collect(),
            upstream: network.dns.upstream.as_slice().into(),
        };
        (&network.name, roll)
    };
    networks.iter().map(roll).collect()
}

/// A container on a network.
struct Member<'t> {
    container: &'t Container,
    attachment: &'t Attachment,
    runs: bool,
}

impl Member<'_> {
    /// Returns both forms of each of the aliases.
    fn aliases(&self) -> impl Iterator<Item = Name> {
        let network = &self.attachment.network;
        self.attachment.aliases.iter().flat_map(|alias| forms(alias.as_str(), network))
    }
}

/// Returns a name, and the name with its network behind it, unless they are nobody's to have.
fn forms(text: &str, network: &NetName) -> impl Iterator<Item = Name> {
    let name = |name: &str| Name::from_text(name).filter(|_| !is_reserved(name));
    [name(text), name(&format!("{text}.{network}"))].into_iter().flatten()
}

/// Returns the names of a network.
fn book(network: &Network, members: &[Member<'_>]) -> Book {
    let mut book = Book { ttl: network.dns.ttl, ..Book::default() };
    if network.name.as_str() == NAMELESS {
        return book;
    }
    let present = || members.iter().filter(|member| member.runs);
    let mut taken = HashSet::new();
    for member in present() {
        for name in member.container.names().flat_map(|name| forms(name.as_str(), &network.name)) {
            taken.insert(name.clone());
            book.names.entry(name).or_insert_with(|| addresses(member.attachment));
        }
        let whole = Name::from_text(&format!("{}.{}", member.container.name, network.name));
        let pointers = member.attachment.addresses.iter().map(ipnet::IpNet::addr);
        book.pointers.extend(pointers.zip(whole.into_iter().cycle()));
    }
    for member in present() {
        for alias in member.aliases().filter(|alias| !taken.contains(alias)) {
            match network.dns.alias_policy {
                AliasPolicy::First => {
                    book.names.entry(alias).or_insert_with(|| addresses(member.attachment));
                }
                AliasPolicy::All => book.names.entry(alias).or_default().add(member.attachment),
            }
        }
    }
    for member in members.iter().filter(|member| !member.runs) {
        let own = member.container.names().flat_map(|name| forms(name.as_str(), &network.name));
        for name in own.chain(member.aliases()) {
            book.names.entry(name).or_default();
        }
    }
    book
}

fn addresses(attachment: &Attachment) -> Addresses {
    let mut addresses = Addresses::default();
    addresses.add(attachment);
    addresses
}

impl Addresses {
    /// Adds a container's addresses, those that are there already left out.
    fn add(&mut self, attachment: &Attachment) {
        for addr in attachment.addresses.iter().map(ipnet::IpNet::addr) {
            self.add_one(addr);
        }
    }

    fn add_one(&mut self, addr: IpAddr) {
        match addr {
            IpAddr::V4(addr) if !self.v4.contains(&addr) => self.v4.push(addr),
            IpAddr::V6(addr) if !self.v6.contains(&addr) => self.v6.push(addr),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// Returns what only this container knows: its links, itself, its host.
fn own(rolls: &HashMap<&NetName, Roll<'_>>, container: &Container) -> Book {
    let ttls = container.attachments.iter().filter_map(|attachment| rolls.get(&attachment.network));
    let mut book = Book {
        // The names are of several networks: none of them is kept for longer than its network allows.
        ttl: ttls.map(|roll| roll.network.dns.ttl).min().unwrap_or_default(),
        ..Book::default()
    };
    for attachment in &container.attachments {
        for (alias, target) in attachment.links.iter().filter(|(alias, _)| !is_reserved(alias.as_str())) {
            link(&mut book, alias, attachment, target_of(rolls, container, attachment, target));
        }
    }
    itself(&mut book, container);
    let mut host = Addresses::default();
    let name = Name::from_text(HOST);
    let network = |name: &NetName| rolls.get(name).map(|roll| roll.network);
    for gateway in gateways(network, container) {
        host.add_one(gateway);
        book.pointers.extend(name.clone().map(|name| (gateway, name)));
    }
    book.names.extend(name.map(|name| (name, host)));
    book
}

/// Returns where a link leads to: the target on the link's network, or else on the first that both are on.
fn target_of<'t>(
    rolls: &HashMap<&NetName, Roll<'t>>,
    container: &Container,
    attachment: &Attachment,
    target: &ContainerName,
) -> Option<&'t Attachment> {
    let on = |network: &NetName| rolls.get(network)?.present.get(target).copied();
    on(&attachment.network).or_else(|| container.attachments.iter().find_map(|other| on(&other.network)))
}

fn link(book: &mut Book, alias: &Alias, attachment: &Attachment, target: Option<&Attachment>) {
    for name in forms(alias.as_str(), &attachment.network) {
        let addresses = target.map(addresses).unwrap_or_default();
        // A name that two networks have is that of the first on which it leads somewhere.
        let known = book.names.entry(name).or_default();
        if known.is_empty() {
            *known = addresses;
        }
    }
    if let (Some(target), Some(name)) = (target, Name::from_text(alias.as_str())) {
        for addr in &target.addresses {
            book.pointers.entry(addr.addr()).or_insert_with(|| name.clone());
        }
    }
}

/// Says the container's own name, which it knows on any network: with its first address of each family.
fn itself(book: &mut Book, container: &Container) {
    let mut all = Addresses::default();
    for attachment in container.attachments.iter().filter(|attachment| !attachment.waits()) {
        let here = addresses(attachment);
        if all.v4.is_empty() {
            all.v4.clone_from(&here.v4);
        }
        if all.v6.is_empty() {
            all.v6.clone_from(&here.v6);
        }
        let whole = Name::from_text(&format!("{}.{}", container.name, attachment.network));
        if let Some(name) = whole {
            for addr in &attachment.addresses {
                book.pointers.entry(addr.addr()).or_insert_with(|| name.clone());
            }
            let known = book.names.entry(name).or_default();
            if known.is_empty() {
                *known = here.clone();
            }
        }
    }
    let name = container.name.as_str();
    if let Some(name) = Name::from_text(name).filter(|_| !is_reserved(name)) {
        let known = book.names.entry(name).or_default();
        if known.is_empty() {
            *known = all;
        }
    }
}

/// Returns who is asked for other names: the resolvers of the first network that has some of its own; or else the host's,
/// unless all networks are internal. A container that serves names on its network is not asked by itself.
fn forward<'r, 't: 'r>(mut on: impl Iterator<Item = &'r Roll<'t>> + Clone, container: &Container) -> Forward {
    let leads_out = on.clone().any(|roll| !roll.network.internal);
    let is_own = |addr: &IpAddr| {
        container
            .attachments
            .iter()
            .flat_map(|attachment| &attachment.addresses)
            .any(|own| own.addr() == *addr)
    };
    let chosen = on.find_map(|roll| {
        if roll.upstream.iter().any(is_own) {
            let others: Vec<_> = roll.upstream.iter().filter(|addr| !is_own(addr)).copied().collect();
            (!others.is_empty()).then(|| others.into())
        } else {
            (!roll.upstream.is_empty()).then(|| Arc::clone(&roll.upstream))
        }
    });
    match chosen {
        Some(servers) => Forward::To(servers),
        None if leads_out => Forward::Host,
        None => Forward::Nowhere,
    }
}
