//! Kernel objects: what they are, what they stand on, and how one becomes another.
//!
//! Everything below this module speaks of kernel objects only; what a network *means* is decided above it. The order of
//! a plan comes from [`Resource::provides`] and [`Resource::requires`] and from nowhere else.

pub mod address;
pub mod amiss;
mod becoming;
pub mod device;
pub mod file;
pub mod hex;
pub mod host_ports;
pub mod link;
pub mod neighbour;
pub mod netns;
pub mod nft;
pub mod nft_key;
pub mod nft_set;
pub mod owner;
pub mod part;
pub mod passage;
pub mod policy;
pub mod qdisc;
pub mod route;
pub mod sharing;
pub mod state;
pub mod sysctl;
pub mod vlan;
pub mod vswitch;

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::names::{IfName, NetnsName};
use address::Address;
use file::{FilePath, TextFile};
use link::Link;
use neighbour::Neighbour;
use netns::{Netns, NsRef};
use nft::{NftElement, NftTable, NftTableId};
use passage::Passage;
use qdisc::{Hook, Qdisc, QdiscKind};
use route::{Rank, Route, Way};
use sysctl::{Family, Sysctl, SysctlKey};

/// A kernel object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// A named network namespace.
    Netns(Netns),
    /// A link, with its peer when it is a veth pair. It is twice as large as any other.
    Link(Box<Link>),
    /// An address on a link.
    Address(Address),
    /// A route.
    Route(Route),
    /// An address for which a link answers.
    Neighbour(Neighbour),
    /// A kernel parameter.
    Sysctl(Sysctl),
    /// A table of the firewall, without elements.
    NftTable(NftTable),
    /// An element of one of its sets and maps.
    NftElement(NftElement),
    /// A rule that lets packets pass the firewall of Docker.
    Passage(Passage),
    /// A limit on a link, or what leads to one.
    Qdisc(Qdisc),
    /// A file that names need.
    File(TextFile),
}

/// What a kernel object is known by: two states are compared id by id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceId {
    /// A named network namespace.
    Netns(NetnsName),
    /// A link by its name; a veth pair by its host end's.
    Link(NsRef, IfName),
    /// An address on a link.
    Address(NsRef, IfName, IpNet),
    /// A route by destination and rank.
    Route(NsRef, IpNet, Rank),
    /// An address for which a link answers.
    Neighbour(NsRef, IfName, IpAddr),
    /// A kernel parameter.
    Sysctl(NsRef, SysctlKey),
    /// A table of the firewall.
    NftTable(NftTableId),
    /// An element by table, set and key.
    NftElement(NftTableId, SmolStr, Vec<SmolStr>),
    /// A rule that lets packets pass the firewall of Docker, from a link to another.
    Passage(Family, Option<IfName>, Option<IfName>),
    /// A limit on a link of the host, or what leads to one.
    Qdisc(IfName, Hook),
    /// A file.
    File(FilePath),
}

/// A place in the kernel that one object fills, and that others stand on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Slot {
    /// A namespace.
    Ns(NsRef),
    /// The one link of this name in this namespace.
    Ifname(NsRef, IfName),
    /// The one link that has this further name in this namespace.
    Altname(NsRef, SmolStr),
    /// That a link has addresses of this family; filled by each of them.
    Addressed(NsRef, IfName, Family),
    /// That links share what a link of the host receives; filled by each of them. Those of one kind go before those of
    /// another come: a link has one receiver (`netdev_rx_handler_register()` in Linux `net/core/dev.c`).
    Shared(IfName),
    /// A link of the host by its name there, wherever it is: a container has it for itself.
    Device(IfName),
    /// That filters of what comes in by a link of the host take packets before ours does; filled by each of them.
    Filtered(IfName),
    /// The object itself.
    Object(ResourceId),
}

impl Slot {
    /// Tells whether many objects may fill it at a time.
    pub fn is_for_many(&self) -> bool {
        match self {
            Self::Addressed(..) | Self::Shared(_) | Self::Filtered(_) => true,
            Self::Ns(_) | Self::Ifname(..) | Self::Altname(..) | Self::Device(_) | Self::Object(_) => false,
        }
    }
}

/// Something that must be there before a kernel object can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What must be there.
    pub slot: Slot,
    /// Whether the kernel removes the one that needs it together with it.
    pub bond: Bond,
}

/// What becomes of an object when the one that it stands on goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bond {
    /// The kernel removes it, too.
    Dies,
    /// It stays, changed or useless.
    Stays,
}

impl From<Link> for Resource {
    fn from(link: Link) -> Self {
        Self::Link(Box::new(link))
    }
}

impl Resource {
    /// Returns what the object is known by.
    pub fn id(&self) -> ResourceId {
        match self {
            Self::Netns(Netns { name, whole: _, lo: _, loopback: _, lacks: _, stray: _ }) => {
                ResourceId::Netns(name.clone())
            }
            Self::Link(link) => ResourceId::Link(link.ns.clone(), link.name.clone()),
            Self::Address(Address { ns, link, addr, lost: _, stray: _ }) => {
                ResourceId::Address(ns.clone(), link.clone(), *addr)
            }
            Self::Route(route) => ResourceId::Route(route.ns.clone(), route.dest, route.rank),
            Self::Neighbour(it) => ResourceId::Neighbour(it.ns.clone(), it.link.clone(), it.addr),
            Self::Sysctl(sysctl) => ResourceId::Sysctl(sysctl.ns.clone(), sysctl.key.clone()),
            Self::NftTable(table) => ResourceId::NftTable(table.id.clone()),
            Self::NftElement(e) => ResourceId::NftElement(e.table.clone(), e.set.clone(), e.key.clone()),
            Self::Passage(Passage { family, from, to, intact: _ }) => {
                ResourceId::Passage(*family, from.clone(), to.clone())
            }
            Self::Qdisc(qdisc) => ResourceId::Qdisc(qdisc.link.clone(), qdisc.hook()),
            Self::File(file) => ResourceId::File(file.path.clone()),
        }
    }

    /// Returns the link, when it is one.
    pub fn link(&self) -> Option<&Link> {
        match self {
            Self::Link(link) => Some(link),
            Self::Netns(_)
            | Self::Address(_)
            | Self::Route(_)
            | Self::Sysctl(_)
            | Self::NftTable(_)
            | Self::NftElement(_)
            | Self::Passage(_)
            | Self::Neighbour(_)
            | Self::Qdisc(_)
            | Self::File(_) => None,
        }
    }

    /// Returns the element of a set that the object is.
    pub fn element(&self) -> Option<&NftElement> {
        match self {
            Self::NftElement(element) => Some(element),
            Self::Netns(_)
            | Self::Link(_)
            | Self::Address(_)
            | Self::Route(_)
            | Self::Sysctl(_)
            | Self::NftTable(_)
            | Self::Passage(_)
            | Self::Neighbour(_)
            | Self::Qdisc(_)
            | Self::File(_) => None,
        }
    }

    /// Returns the table of the firewall that the object is.
    pub fn table(&self) -> Option<&NftTable> {
        match self {
            Self::NftTable(table) => Some(table),
            Self::Netns(_)
            | Self::Link(_)
            | Self::Address(_)
            | Self::Route(_)
            | Self::Neighbour(_)
            | Self::Sysctl(_)
            | Self::NftElement(_)
            | Self::Passage(_)
            | Self::Qdisc(_)
            | Self::File(_) => None,
        }
    }

    /// Returns the slots that the object fills. Nothing else may fill an [`Slot::Ns`], [`Slot::Ifname`] or
    /// [`Slot::Object`] at the same time, so whoever leaves one goes before whoever takes it.
    pub fn provides(&self) -> Vec<Slot> {
        let mut slots = vec![Slot::Object(self.id())];
        match self {
            Self::Netns(Netns { name, whole: _, lo: _, loopback: _, lacks: _, stray: _ }) => {
                slots.push(Slot::Ns(NsRef::Named(name.clone())))
            }
            Self::Link(link) => {
                slots.push(Slot::Ifname(link.ns.clone(), link.called().clone()));
                slots.extend(link.kind.peer().map(|peer| Slot::Ifname(peer.ns.clone(), peer.name.clone())));
                slots.extend(link.altname.iter().map(|name| Slot::Altname(link.ns.clone(), name.clone())));
                slots.extend(link.kind.shares().map(|parent| Slot::Shared(parent.clone())));
                slots.extend(link.kind.device().map(|device| Slot::Device(device.name.clone())));
            }
            Self::Address(Address { ns, link, addr, lost: _, stray: _ }) => {
                slots.push(Slot::Addressed(ns.clone(), link.clone(), Family::of(addr.addr())));
            }
            Self::Route(_)
            | Self::Sysctl(_)
            | Self::NftTable(_)
            | Self::NftElement(_)
            | Self::Passage(_)
            | Self::Neighbour(_)
            | Self::Qdisc(_)
            | Self::File(_) => {}
        }
        slots
    }

    /// Returns what must be there before the object can be: the only source of order in a plan.
    pub fn requires(&self) -> Vec<Need> {
        let dies = |slot| Need { slot, bond: Bond::Dies };
        let stays = |slot| Need { slot, bond: Bond::Stays };
        match self {
            Self::Netns(_) | Self::NftTable(_) | Self::Passage(_) | Self::File(_) => vec![],
            Self::Link(link) => {
                let mut needs = vec![dies(Slot::Ns(link.ns.clone()))];
                needs.extend(link.master.iter().map(|m| stays(Slot::Ifname(link.ns.clone(), m.clone()))));
                needs.extend(link.kind.peer().map(|peer| dies(Slot::Ns(peer.ns.clone()))));
                let parent = link.kind.parent();
                needs.extend(parent.map(|parent| dies(Slot::Ifname(NsRef::Host, parent.clone()))));
                needs
            }
            Self::Address(Address { ns, link, addr: _, lost: _, stray: _ })
            | Self::Neighbour(Neighbour { ns, link, addr: _ }) => {
                vec![dies(Slot::Ns(ns.clone())), dies(Slot::Ifname(ns.clone(), link.clone()))]
            }
            Self::Route(Route { ns, dest, way, rank: _, stray: _ }) => match way {
                Way::Refused(_) => vec![dies(Slot::Ns(ns.clone()))],
                Way::By { link, via, onlink: _ } => {
                    // A link that loses its last address loses the routes that use it (`fib_del_ifaddr()`, `net/ipv4/
                    // fib_frontend.c`), so a route stands on the addresses of its family, too.
                    let family = via.map_or_else(|| Family::of(dest.addr()), Family::of);
                    vec![
                        dies(Slot::Ns(ns.clone())),
                        dies(Slot::Ifname(ns.clone(), link.clone())),
                        dies(Slot::Addressed(ns.clone(), link.clone(), family)),
                    ]
                }
            },
            Self::Sysctl(Sysctl { ns, key, value: _ }) => {
                let link = key.link().map(|link| dies(Slot::Ifname(ns.clone(), link.clone())));
                std::iter::once(dies(Slot::Ns(ns.clone()))).chain(link).collect()
            }
            Self::Qdisc(Qdisc { link, kind }) => {
                let on = |link: &IfName| Slot::Ifname(NsRef::Host, link.clone());
                match kind {
                    QdiscKind::Limit(..) => vec![dies(on(link))],
                    // What is led to a link that is gone is dropped.
                    QdiscKind::Diversion(to) => {
                        std::iter::once(dies(on(link))).chain(to.as_ref().map(|to| stays(on(to)))).collect()
                    }
                }
            }
            Self::NftElement(element) => {
                vec![dies(Slot::Object(ResourceId::NftTable(element.table.clone())))]
            }
        }
    }

    /// Returns the attributes that users see change, by the manifest's words where it has one.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let text = |option: Option<String>| option.unwrap_or_else(|| "none".to_owned());
        match self {
            Self::Netns(netns) => netns.fields(),
            Self::Link(link) => link.fields(),
            Self::Address(address) => address.fields(),
            Self::Route(route) => route.fields(),
            Self::Neighbour(Neighbour { ns: _, link: _, addr }) => vec![("neighbour", addr.to_string())],
            Self::Sysctl(Sysctl { ns: _, key: _, value }) => vec![("value", value.to_string())],
            Self::NftTable(table) => {
                vec![("rules", table.digest.clone()), ("edited by hand", (!table.intact).to_string())]
            }
            Self::NftElement(element) => {
                vec![("element", text(element.data.as_ref().map(SmolStr::to_string)))]
            }
            Self::Passage(Passage { family: _, from, to, intact }) => vec![
                ("passes", passage::way(from.as_ref(), to.as_ref())),
                ("edited by hand", (!intact).to_string()),
            ],
            Self::Qdisc(qdisc) => qdisc.fields(),
            Self::File(file) => file.fields(),
        }
    }
}

impl ResourceId {
    /// Returns the namespace that the object lives in.
    pub fn ns(&self) -> NsRef {
        match self {
            Self::Link(ns, _)
            | Self::Address(ns, _, _)
            | Self::Route(ns, _, _)
            | Self::Neighbour(ns, _, _)
            | Self::Sysctl(ns, _) => ns.clone(),
            Self::Netns(_)
            | Self::NftTable(_)
            | Self::NftElement(..)
            | Self::Passage(..)
            | Self::Qdisc(..)
            | Self::File(_) => NsRef::Host,
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inside = |ns: &NsRef| match ns {
            NsRef::Host => String::new(),
            NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => format!(" in {ns}"),
        };
        match self {
            Self::Netns(name) => write!(f, "netns {name}"),
            Self::Link(ns, name) => write!(f, "link {name}{}", inside(ns)),
            Self::Address(ns, link, addr) => write!(f, "address {addr} on {link}{}", inside(ns)),
            Self::Route(ns, dest, rank) if dest.prefix_len() == 0 => {
                let family = match dest.addr() {
                    IpAddr::V4(_) => "default route",
                    IpAddr::V6(_) => "default route (IPv6)",
                };
                write!(f, "{family}{}{}", rank.words(Family::of(dest.addr())), inside(ns))
            }
            Self::Route(ns, dest, rank) => {
                write!(f, "route {dest}{}{}", rank.words(Family::of(dest.addr())), inside(ns))
            }
            Self::Neighbour(ns, link, addr) => write!(f, "neighbour {addr} on {link}{}", inside(ns)),
            Self::Sysctl(ns, key) => write!(f, "sysctl {key}{}", inside(ns)),
            Self::NftTable(id) => write!(f, "nft table {} {}", id.family.as_str(), id.name),
            Self::NftElement(_, set, key) => write!(f, "nft element {set} {}", key.join(" . ")),
            Self::Passage(family, from, to) => {
                let way = passage::way(from.as_ref(), to.as_ref());
                write!(f, "rule in {} {way}", passage::chain(*family))
            }
            Self::Qdisc(link, Hook::Root) => write!(f, "limit of {link}"),
            Self::Qdisc(link, Hook::Ingress) => write!(f, "detour of {link}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}
