//! How networks and containers become kernel objects.
//!
//! A driver makes a kind of network out of links, addresses, routes and kernel parameters. It is a file beside this one
//! and a variant of [`Driver`]; the compiler lists the places that a new one has to fill. What all drivers need alike is
//! here: the containers' namespaces with their hosts files, and forwarding.

mod bandwidth;
mod bridge;
mod external;
mod ipvlan;
mod macvlan;
mod physical;
mod proxy;
mod routes;
mod shim;
mod sysctls;
mod veth;
mod vlan;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;
use smol_str::{SmolStr, SmolStrBuilder};

use crate::manifest::OtherEnd;
use crate::names::{NetName, ProjectName};
use crate::resource::Resource;
use crate::resource::address::Address;
use crate::resource::file::{FILE_MARK, FilePath, NetnsFile, TextFile, is_whole};
use crate::resource::netns::{Netns, NsRef};
use crate::resource::owner::{Mark, Origin, Owner};
use crate::resource::route::{Rank, Route, Way};
use crate::resource::state::{Entry, Placed};
use crate::resource::sysctl::{Family, Sysctl, SysctlKey};
use crate::topology::{self, Attachment, Container, Driver, Network, Runtime, Topology};
use veth::End;

/// About how many objects a container has: its namespace, hosts file, pair, address and route, and some more.
const USUAL: usize = 6;

/// How networks and containers become kernel objects; those of the firewall are left out.
pub struct Lowering<'t> {
    topology: &'t Topology,
    networks: HashMap<&'t NetName, &'t Network>,
    wants: bridge::Wants<'t>,
    pairs: veth::Pairs<'t>,
    names: AltNames<'t>,
}

impl<'t> Lowering<'t> {
    /// Begins with a topology: what containers ask of networks is found out.
    pub fn of(topology: &'t Topology) -> Self {
        let networks = topology.networks.iter().map(|network| (&network.name, network)).collect();
        let names = AltNames { project: &topology.project, taken: HashSet::default() };
        let (wants, pairs) = (bridge::Wants::of(topology), veth::Pairs::of(topology));
        Self { topology, networks, wants, pairs, names }
    }

    /// Returns the objects of the networks, and what the host needs for them. They come before those of the containers.
    pub fn networks(&mut self) -> Vec<Entry> {
        let Self { topology, wants, names, .. } = self;
        let mut vlans = HashSet::default();
        let mut entries = forwarding(topology);
        entries.extend(proxy::parameters(topology));
        for network in &topology.networks {
            match network.driver {
                Driver::Bridge | Driver::OpenVswitch(_) => {
                    entries.extend(bridge::network(network, wants, names))
                }
                Driver::Macvlan(_) | Driver::Ipvlan(..) => {
                    entries.extend(vlan::link(network, &mut vlans, names));
                    entries.extend(shim::link(network, names));
                }
                // These come with their containers.
                Driver::Veth(_) | Driver::Physical => {}
            }
        }
        entries
    }

    /// Tells whether containers may be lowered apart from each other: names with dots may be taken for those of others, of
    /// which the first gets it.
    pub fn is_divisible(&self) -> bool {
        let Topology { networks, containers, .. } = self.topology;
        let mut names = networks.iter().map(|it| it.name.as_str());
        let dotted = |name: &str| name.contains('.');
        !names.any(dotted) && !containers.iter().any(|it| dotted(it.name.as_str()))
    }

    /// Returns the objects of containers. One whose namespace is not there yet has none.
    pub fn containers(&self, containers: &[Container]) -> Vec<Placed> {
        let mut names = self.names.clone();
        let mut placed = Vec::with_capacity(containers.len() * USUAL);
        let mut entries = vec![];
        for container in containers {
            match container.runtime {
                Runtime::Waiting | Runtime::Shared => continue,
                Runtime::Netform | Runtime::Given => {}
            }
            entries.extend(namespace(&self.topology.project, container));
            entries.extend(routes::of_container(container));
            entries.extend(sysctls::of_container(container));
            entries.extend(external::of_container(container));
            for attachment in &container.attachments {
                self.attachment((container, attachment), &mut names, &mut entries);
            }
            placed.extend(entries.drain(..).map(Placed::from));
        }
        placed
    }

    fn attachment(
        &self,
        (container, attachment): (&Container, &Attachment),
        names: &mut AltNames<'_>,
        entries: &mut Vec<Entry>,
    ) {
        let Self { topology: _, networks, wants, pairs, names: _ } = self;
        let Some(network) = networks.get(&attachment.network).filter(|network| !network.waits) else {
            return;
        };
        let link = match network.driver {
            Driver::Bridge | Driver::OpenVswitch(_) => {
                bridge::attachment(container, attachment, network, names)
            }
            Driver::Macvlan(mode) => Some(macvlan::attachment(container, attachment, mode, names)),
            Driver::Ipvlan(mode, flag) => {
                Some(ipvlan::attachment(container, attachment, (mode, flag), names))
            }
            Driver::Physical => match &attachment.device {
                Some(device) if !device.waits => {
                    Some(physical::attachment(container, attachment, device, names))
                }
                Some(_) | None => return,
            },
            Driver::Veth(OtherEnd::Host) => {
                entries.extend(veth::with_host((container, attachment), network, wants, names));
                None
            }
            Driver::Veth(OtherEnd::Container) => match pairs.end(container, attachment) {
                End::None => return,
                End::First(other) => Some(veth::pair((container, attachment), other, names)),
                End::Second => None,
            },
        };
        entries.extend(bandwidth::of_attachment(container, attachment, names));
        entries.extend(shim::routes(container, attachment, network));
        entries.extend(proxy::of_attachment(container, attachment, network));
        entries.extend(link);
        inside(container, attachment, entries);
        entries.extend(routes::of_attachment(container, attachment));
        entries.extend(sysctls::of_attachment(container, attachment));
    }
}

/// Returns an entry of the desired state, whose every field matters.
fn entry(resource: Resource, owner: &Owner, origin: &Origin) -> Entry {
    Entry { resource, owner: owner.clone(), origin: Some(origin.clone()), ignore: vec![] }
}

/// Lets the host forward between its networks and the world, for the families that a network leads out in.
///
/// Internal networks need none: their packets stay on the bridge. A host that begins to forward IPv6 loses at once the
/// default route that a router has told it, and hears no router any more, unless `accept_ra` is 2
/// (`rt6_purge_dflt_routers()` in Linux `net/ipv6/route.c`, `ipv6_accept_ra()` in `include/net/ipv6.h`).
fn forwarding(topology: &Topology) -> Vec<Entry> {
    let leads_out = |family: Family| {
        let mut open =
            topology.networks.iter().filter(|network| !network.internal && network.driver.has_host());
        open.any(|network| network.subnets.iter().any(|subnet| Family::of(subnet.cidr.addr()) == family))
    };
    let keys = [(Family::Ipv4, SysctlKey::Ipv4Forward), (Family::Ipv6, SysctlKey::Ipv6Forward)];
    let needed = keys.into_iter().filter(|(family, _)| leads_out(*family));
    let heard = topology.heard.iter().filter(|_| leads_out(Family::Ipv6)).map(|link| {
        let (family, name) = (Family::Ipv6, "accept_ra".into());
        (SysctlKey::PerLink { family, link: link.clone(), name }, "2")
    });
    let all = needed.map(|(_, key)| (key, "1")).chain(heard);
    let sysctl =
        |(key, value): (_, &str)| Resource::Sysctl(Sysctl { ns: NsRef::Host, key, value: value.into() });
    all.map(|pair| entry(sysctl(pair), &Owner::Project, &topology.origin)).collect()
}

/// Adds the addresses and default routes of an attachment.
fn inside(container: &Container, attachment: &Attachment, entries: &mut Vec<Entry>) {
    let Attachment { network, origin, link, addresses, default_via, default_on_link, .. } = attachment;
    let owner = Owner::Attachment { container: container.name.clone(), network: network.clone() };
    let ns = &container.ns;
    let address = |addr: &IpNet| Resource::Address(Address::new(ns.clone(), link.clone(), *addr));
    let route = |(via, dest): (Option<IpAddr>, IpNet)| {
        let way = Way::By { link: link.clone(), via, onlink: false };
        Resource::Route(Route {
            ns: ns.clone(),
            dest,
            way,
            rank: Rank::usual(Family::of(dest.addr())),
            stray: None,
        })
    };
    let beside = container.run.as_ref().is_some_and(|run| run.has_networks);
    let hops = default_via.iter().map(|via| (Some(*via), Family::of(*via)));
    let hops = hops.chain(default_on_link.iter().map(|family| (None, *family)));
    let routes =
        hops.flat_map(|(via, family)| everywhere(family, beside).into_iter().map(move |dest| (via, dest)));
    let others = enabled(container, attachment).into_iter();
    let others = others.chain(addresses.iter().map(address)).chain(routes.map(route));
    entries.extend(others.map(|resource| entry(resource, &owner, origin)));
}

/// Returns what lets an interface have IPv6 addresses where Docker turned IPv6 off: in every container to which it gives
/// none itself (`setIPv6()` in moby `libnetwork/drivers/bridge/bridge_linux.go`, `--sysctl` aside).
fn enabled(container: &Container, attachment: &Attachment) -> Option<Resource> {
    let has_ipv6 = attachment.addresses.iter().any(|net| net.addr().is_ipv6());
    let is_run_by_others = container.run.is_some() && has_ipv6;
    let key = SysctlKey::PerLink {
        family: Family::Ipv6,
        link: attachment.link.clone(),
        name: "disable_ipv6".into(),
    };
    let sysctl = Sysctl { ns: container.ns.clone(), key, value: "0".into() };
    is_run_by_others.then_some(Resource::Sysctl(sysctl))
}

/// Returns where a default route leads to. Where somebody else's is beside it, that one stays: two routes to half of all
/// addresses each are closer to any of them than one to all.
fn everywhere(family: Family, beside: bool) -> Vec<IpNet> {
    let all = topology::everywhere(family);
    match all.subnets(1) {
        Ok(halves) if beside => halves.collect(),
        Ok(_) | Err(_) => vec![all],
    }
}

/// Returns a container's namespace, when netform makes it, and its hosts file, when the namespace has a name.
fn namespace(project: &ProjectName, container: &Container) -> Vec<Entry> {
    let owner = Owner::Container(container.name.clone());
    let Some(path) = file_of(container, NetnsFile::Hosts) else { return vec![] };
    let mut content = first_line(project, &owner);
    content.reserve_exact(container.hosts.len());
    content.extend(container.hosts.stretches());
    let made = match (&container.ns, container.runtime) {
        (NsRef::Named(name), Runtime::Netform) => Some(Resource::Netns(Netns::new(name.clone()))),
        (_, Runtime::Netform | Runtime::Given | Runtime::Shared | Runtime::Waiting) => None,
    };
    // In a file of somebody else, nothing is said that says nothing.
    let is_needed = !container.hosts.is_empty() || is_whole(&path);
    let file = is_needed.then(|| Resource::File(TextFile::new(path, content.into())));
    let objects = made.into_iter().chain(file);
    objects.map(|resource| entry(resource, &owner, &container.origin)).collect()
}

/// Returns the files that point the containers at their resolver: `resolv_conf` is what they say behind their mark.
///
/// There is one for each container that a resolver serves, and that has such a file: it is there, and on a network.
pub fn resolver_files(topology: &Topology, resolv_conf: &str) -> Vec<Entry> {
    let file = |container: &Container| {
        match container.runtime {
            Runtime::Netform | Runtime::Given => {}
            Runtime::Shared | Runtime::Waiting => return None,
        }
        let path = file_of(container, NetnsFile::ResolvConf)?;
        let owner = Owner::Container(container.name.clone());
        let content = first_line(&topology.project, &owner) + resolv_conf;
        let file = TextFile::new(path, content.into());
        Some(entry(Resource::File(file), &owner, &container.origin))
    };
    let attached = topology.containers.iter().filter(|container| !container.attachments.is_empty());
    attached.filter_map(file).collect()
}

/// Returns the file of a container that names need; `None` when it has none, or asks somebody else.
fn file_of(container: &Container, file: NetnsFile) -> Option<FilePath> {
    match &container.ns {
        NsRef::Named(name) => Some(file.path(name)),
        NsRef::Host | NsRef::Path(_) => None,
        NsRef::Process(_) => {
            let run = container.run.as_ref()?;
            match file {
                NetnsFile::Hosts => run.hosts.clone(),
                NetnsFile::ResolvConf => run.resolv_conf.clone().filter(|_| !run.has_networks),
            }
            .map(FilePath::from)
        }
    }
}

/// Returns the line that says whose a file is.
fn first_line(project: &ProjectName, owner: &Owner) -> String {
    let mark = Mark { project: project.clone(), owner: owner.clone(), protected: false };
    format!("{FILE_MARK}{mark}\n")
}

/// The further names of links, each given once: `web.front` may be a network's name as well as container and network.
#[derive(Clone)]
struct AltNames<'a> {
    project: &'a ProjectName,
    taken: HashSet<SmolStr>,
}

impl AltNames<'_> {
    /// Returns `netform.PROJECT.PART...`, unless it is too long or taken.
    ///
    /// `ALTIFNAMSIZ` is 128 with the zero byte at the end: `include/uapi/linux/if.h`.
    fn give(&mut self, parts: &[&str]) -> Option<SmolStr> {
        let mut name = SmolStrBuilder::new();
        name.push_str("netform.");
        name.push_str(self.project.as_str());
        for part in parts {
            name.push('.');
            name.push_str(part);
        }
        let name = name.finish();
        (name.len() <= 127 && self.taken.insert(name.clone())).then_some(name)
    }
}
