//! What decides about packets in a network namespace: its firewall, its kernel parameters, its listeners, and by which way
//! the kernel itself would send a packet there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use ipnet::IpNet;

use super::answer::{self, each, ip, u32_at};
use super::census::Namespace;
use super::netlink::{Blocking, Refusal};
use super::observe::UNICAST;
use super::reading::failed;
use super::{ObserveError, listeners, message, neighbours, netns, nft, sysctl};
use crate::names::Protocol;
use crate::resource::host_ports::HostPorts;
use crate::resource::netns::NsRef;

/// Where the tables of the older iptables are named, which nftables does not show.
const LEGACY: [&str; 2] = ["ip_tables_names", "ip6_tables_names"];

/// `RT_TABLE_LOCAL`.
const LOCAL_TABLE: u32 = 255;

/// What decides about packets in a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// The firewall, as `nft -j list ruleset` prints it.
    pub rules: String,
    /// The firewall, as `nft -a list ruleset` prints it.
    pub listing: String,
    /// Why the firewall could not be read.
    pub unread: Option<String>,
    /// Tables of the older iptables, which cannot be read.
    pub legacy: Vec<String>,
    /// Kernel parameters, by their paths below `/proc/sys/net`.
    pub sysctls: BTreeMap<String, String>,
    /// Where its routes lead, those to its own addresses aside, with the indexes of the interfaces.
    pub routes: Vec<(IpNet, u32)>,
    /// The addresses for which its interfaces answer though they are behind it, with the indexes of the interfaces.
    pub proxied: Vec<(IpAddr, u32)>,
    /// Who listens.
    pub listeners: Vec<HostPorts>,
}

/// A packet whose way is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Traveller {
    /// Where it comes from; `None` lets the kernel choose.
    pub from: Option<IpAddr>,
    /// Where it goes to.
    pub to: IpAddr,
    /// The index of the interface by which it arrives; `None` when it begins here.
    pub arrives_by: Option<u32>,
    /// Its mark.
    pub mark: u32,
}

/// Which way a packet goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// It is for this namespace.
    Here {
        /// The source that the kernel would choose.
        source: Option<IpAddr>,
    },
    /// It leaves.
    Leads {
        /// The index of the interface that it leaves by.
        link: u32,
        /// The next hop; `None` when the destination is on the link.
        via: Option<IpAddr>,
        /// The source that the kernel would choose.
        source: Option<IpAddr>,
    },
    /// The kernel refuses it with this error number, in these words.
    Refused(i32, String),
}

/// Returns what decides about packets in a namespace.
///
/// # Errors
///
/// When it cannot be entered. A firewall that cannot be read is told in what is returned.
pub async fn look(ns: &Namespace) -> Result<Inside, ObserveError> {
    let links: Vec<String> = ns.interfaces.iter().map(|link| link.name.clone()).collect();
    within(ns, move || look_around(&links)).await
}

/// Returns which way a packet goes in a namespace, as the kernel decides it.
///
/// # Errors
///
/// When the namespace cannot be entered, or the kernel cannot be asked.
pub async fn way(ns: &Namespace, traveller: Traveller) -> Result<Way, ObserveError> {
    within(ns, move || match Blocking::open()?.ask(message::find_way(&traveller), read_way) {
        Ok(way) => way.ok_or_else(|| io::Error::other("no answer").into()),
        Err(Refusal::Kernel { errno, said: _ }) => {
            Ok(Way::Refused(errno.raw_os_error(), io::Error::from(errno).to_string()))
        }
        Err(refusal) => Err(refusal),
    })
    .await
}

/// Runs `work` on a thread in a namespace.
pub(super) async fn within<T: Send + 'static>(
    ns: &Namespace,
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, ObserveError> {
    let (home, id, path) = (ns.home, ns.id, ns.path());
    let done = netns::on_thread(move || {
        // Nobody needs a privilege to be where they are.
        if !home {
            let path = path.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            let file = netns::open(&NsRef::Path(path))?;
            // The number of a process may be another one's by now.
            if netns::identity_of(file.as_fd())? != id {
                return Err(Refusal::Socket(io::ErrorKind::NotFound.into()));
            }
            netns::join(file.as_fd())?;
        }
        work()
    });
    let failed = |refusal| failed(format!("namespace {}", ns.called()), refusal);
    done.await.map_err(|error| failed(error.into()))?.map_err(failed)
}

fn look_around(links: &[String]) -> Result<Inside, Refusal> {
    let mut inside = Inside::default();
    let mut socket = Blocking::open()?;
    // A namespace without routes has no table.
    for route in socket.dump(message::all_routes(None), answer::route).unwrap_or_default() {
        let leads = route.kind == UNICAST && route.table != LOCAL_TABLE;
        inside.routes.extend(route.index.filter(|_| leads).map(|link| (route.dest.trunc(), link)));
    }
    inside.proxied = neighbours::everything(&mut socket).unwrap_or_default();
    match nft::ruleset_here() {
        Ok((rules, listing)) => (inside.rules, inside.listing) = (rules, listing),
        Err(why) => inside.unread = Some(why),
    }
    for file in LEGACY {
        // Without the module there is no such file.
        let names = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
        inside
            .legacy
            .extend(names.lines().map(|name| format!("{} {name}", file.trim_end_matches("_tables_names"))));
    }
    for link in links.iter().map(String::as_str).chain(["all"]) {
        for (family, name) in [
            ("ipv4", "forwarding"),
            ("ipv4", "rp_filter"),
            ("ipv4", "proxy_arp"),
            ("ipv4", "arp_ignore"),
            ("ipv4", "route_localnet"),
            ("ipv6", "accept_ra"),
            ("ipv6", "accept_dad"),
            ("ipv6", "forwarding"),
            ("ipv6", "disable_ipv6"),
            ("ipv6", "proxy_ndp"),
        ] {
            note(&mut inside, format!("{family}/conf/{link}/{name}"));
        }
    }
    for name in ["ipv4/ip_forward", "bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"] {
        note(&mut inside, name.to_owned());
    }
    let all = BTreeSet::from([Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    inside.listeners = listeners::listeners(&all).into_iter().map(|(ports, _)| ports).collect();
    Ok(inside)
}

fn note(inside: &mut Inside, key: String) {
    // A family or a module that is not there has no parameters.
    if let Ok(value) = std::fs::read_to_string(format!("{}/net/{key}", sysctl::ROOT)) {
        inside.sysctls.insert(key, value.trim().to_owned());
    }
}

/// Reads which way a packet goes: `struct rtmsg` and `enum rtattr_type_t` in `include/uapi/linux/rtnetlink.h`.
fn read_way(kind: u16, body: &[u8]) -> Option<Way> {
    const NEW_ROUTE: u16 = 24;
    let (header, attributes) = body.split_at_checked(12).filter(|_| kind == NEW_ROUTE)?;
    let (mut link, mut via, mut source) = (None, None, None);
    each(attributes, |kind, value| match kind {
        4 => link = u32_at(value, 0),
        5 => via = ip(value),
        7 => source = ip(value),
        // A gateway of the other family has its family before it.
        18 => via = ip(value.get(2..).unwrap_or_default()),
        _ => {}
    });
    // `RTN_UNICAST`, `RTN_LOCAL`, `RTN_BROADCAST`, `RTN_ANYCAST`, `RTN_MULTICAST`.
    match header.get(7)? {
        1 => Some(Way::Leads { link: link?, via, source }),
        2..=5 => Some(Way::Here { source }),
        _ => Some(Way::Refused(0, "the route there refuses packets".to_owned())),
    }
}
