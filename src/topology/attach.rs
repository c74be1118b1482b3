//! Attachments and containers, put together.

use std::net::IpAddr;

use foldhash::HashMap;
use ipnet::IpNet;

use super::interface::Interfaces;
use super::resolve::Asker;
use super::scene::{Member, Party, Scene};
use super::{
    Attachment, Bandwidth, Container, Device, Driver, Hosts, Network, Runtime, existing, modes, vswitch,
};
use crate::manifest::{self, At, Home, LinkSysctl, Mode};
use crate::names::{ContainerName, Mac};
use crate::resource::sysctl::{Family, SysctlKey};
use crate::resource::vlan::PortVlans;

/// What is known of all attachments before they are put together, each list by index into the scene's attachments.
pub(super) struct Parts<'p> {
    pub(super) interfaces: &'p Interfaces,
    pub(super) macs: &'p [Mac],
    pub(super) addresses: &'p [Vec<IpNet>],
    pub(super) limits: &'p [Option<Bandwidth>],
    /// The networks, by index into the scene's.
    pub(super) networks: &'p [Network],
    /// The links of the host that become interfaces.
    pub(super) devices: &'p [Option<Device>],
    /// The VLANs of their ports, and whether the host is in another one.
    pub(super) vlans: &'p [(Option<PortVlans>, Apart)],
}

/// Whether an attachment reaches the way out of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart {
    /// It does, as far as its network has one.
    No,
    /// It does not: it is in another VLAN than the host.
    InVlan,
    /// It does not, unless somebody's flows of Open vSwitch see to it.
    Switched,
}

/// Returns the containers, with neither published ports, routes nor names yet.
pub(super) fn assemble(scene: &Scene<'_>, parts: &Parts<'_>, origin: Asker<'_>) -> Vec<Container> {
    let mut guests = guests(scene);
    let container = |party: &Party<'_>| {
        let manifest::Container { home: _, mode: _, networks: _, publish: _, expose, routes: _, sysctls } =
            party.spec;
        let runtime = runtime(scene, party);
        let members = party.members.clone().zip(scene.of(party));
        let attached =
            members.filter_map(|(index, member)| attachment((scene, parts), index, member, origin));
        // Most containers have one, which is large.
        let mut attachments = Vec::with_capacity(party.members.len());
        attachments.extend(attached);
        for family in [Family::Ipv4, Family::Ipv6] {
            route((party, scene.of(party)), parts.networks, family, &mut attachments);
        }
        Container {
            name: party.name.clone(),
            origin: origin(party.place),
            ns: party.ns.clone(),
            runtime,
            run: party.run.cloned(),
            guests: guests.remove(party.name).unwrap_or_default(),
            attachments,
            routes: vec![],
            sysctls: sysctls
                .iter()
                .map(|at| (SysctlKey::Whole(at.value.path.clone()), at.value.value.clone(), origin(at.place)))
                .collect(),
            publish: vec![],
            expose: expose.iter().map(|at| at.value.clone()).collect(),
            hosts: Hosts::default(),
        }
    };
    scene.containers.iter().map(container).collect()
}

/// Returns whose namespace a container has.
fn runtime(scene: &Scene<'_>, party: &Party<'_>) -> Runtime {
    let by_home = |home: Option<&Home>| match home {
        None => Runtime::Netform,
        Some(_) if scene.facts.namespaces.contains(&party.ns) => Runtime::Given,
        Some(_) => Runtime::Waiting,
    };
    let home_of = |spec: &manifest::Container| by_home(spec.home.as_ref().map(|at| &at.value));
    match party.spec.mode.as_ref().map(|at| &at.value) {
        None | Some(Mode::None) => home_of(party.spec),
        Some(Mode::Host) => Runtime::Shared,
        Some(Mode::Container(owner)) => {
            match scene.manifest.containers.get(owner).map(|at| home_of(&at.value)) {
                Some(Runtime::Waiting) | None => Runtime::Waiting,
                Some(Runtime::Netform | Runtime::Given | Runtime::Shared) => Runtime::Shared,
            }
        }
    }
}

/// Returns those who share a container's namespace, by that container, in the order of the manifest.
fn guests<'a>(scene: &Scene<'a>) -> HashMap<&'a ContainerName, Vec<ContainerName>> {
    let mut guests = HashMap::<_, Vec<_>>::default();
    for party in &scene.containers {
        if let Some(owner) = modes::owner(party) {
            guests.entry(owner).or_default().push(party.name.clone());
        }
    }
    guests
}

fn attachment(
    (scene, parts): (&Scene<'_>, &Parts<'_>),
    index: usize,
    member: &Member<'_>,
    origin: Asker<'_>,
) -> Option<Attachment> {
    let Parts { interfaces, macs, addresses, limits, networks, devices, vlans } = parts;
    let device = devices.get(index)?.clone();
    let manifest::Attachment {
        addresses: _,
        external: _,
        aliases,
        links,
        mac: _,
        interface: _,
        gateway_priority: _,
        port,
        routes: _,
        sysctls,
        device: _,
        bandwidth: _,
        isolated,
        hairpin,
    } = member.spec;
    let network = networks.get(member.net)?;
    let (vlans, apart) = vlans.get(index)?.clone();
    let link = interfaces.links.get(index)?;
    let parameter = |at: &At<LinkSysctl>| {
        let LinkSysctl { family, name, value } = &at.value;
        let key = SysctlKey::PerLink { family: *family, link: link.clone(), name: name.clone() };
        (key, value.clone(), origin(at.place))
    };
    Some(Attachment {
        network: network.name.clone(),
        origin: origin(member.place),
        interface: network.interface.clone(),
        ground: existing::ground(scene, member, network),
        port: interfaces.hosts.get(index)?.clone(),
        vlans,
        apart,
        switched: vswitch::switched(network, port.as_ref()),
        link: link.clone(),
        mac: *macs.get(index)?,
        mtu: device.as_ref().map_or(network.mtu, |device| device.mtu),
        device,
        addresses: addresses.get(index)?.clone(),
        external: vec![],
        default_via: vec![],
        routes: vec![],
        sysctls: sysctls.iter().map(parameter).collect(),
        bandwidth: limits.get(index)?.clone(),
        isolated: isolated.is_some(),
        hairpin: hairpin.as_ref().map(|at| at.value),
        default_on_link: vec![],
        aliases: aliases.iter().map(|at| at.value.clone()).collect(),
        links: links.iter().map(|(At { value, .. }, to)| (value.clone(), to.value.clone())).collect(),
    })
}

/// Gives the default route of a family to the attachment of the highest priority, the first of them, that leads out.
///
/// A container that somebody else gives networks has its default route from there, unless a priority above 0 asks for ours.
fn route(
    (party, members): (&Party<'_>, &[Member<'_>]),
    networks: &[Network],
    family: Family,
    attachments: &mut [Attachment],
) {
    let has_one = party.run.is_some_and(|run| run.has_networks);
    let candidates = members.iter().zip(attachments).filter_map(|(member, attachment)| {
        let network = networks.get(member.net).filter(|network| !network.internal && !network.waits)?;
        let way =
            way_out(network, family).filter(|_| !attachment.waits() && attachment.apart != Apart::InVlan)?;
        // Of two containers one may be the other's gateway.
        let is_itself = |gateway: &IpAddr| attachment.addresses.iter().any(|net| net.addr() == *gateway);
        if matches!(&way, Way::Via(gateway) if is_itself(gateway)) {
            return None;
        }
        let priority = member.spec.gateway_priority;
        (!has_one || priority > 0).then_some((priority, attachment, way))
    });
    // `max_by_key` returns the last of equals.
    let best = candidates.reduce(|best, next| if next.0 > best.0 { next } else { best });
    match best {
        Some((_, attachment, Way::Via(gateway))) => attachment.default_via.push(gateway),
        Some((_, attachment, Way::Link)) => attachment.default_on_link.push(family),
        None => {}
    }
}

/// How packets leave a network.
enum Way {
    /// By a next hop.
    Via(IpAddr),
    /// By the link itself: whoever routes is behind it.
    Link,
}

/// Returns how packets of a family leave a network, when they do.
fn way_out(network: &Network, family: Family) -> Option<Way> {
    let mut subnets = network.subnets.iter().filter(|subnet| Family::of(subnet.cidr.addr()) == family);
    match network.driver {
        Driver::Ipvlan(mode, _) if mode.is_routed() => subnets.next().map(|_| Way::Link),
        Driver::Bridge
        | Driver::Macvlan(_)
        | Driver::Ipvlan(..)
        | Driver::Veth(_)
        | Driver::OpenVswitch(_)
        | Driver::Physical => subnets.find_map(|subnet| subnet.gateway).map(Way::Via),
    }
}
