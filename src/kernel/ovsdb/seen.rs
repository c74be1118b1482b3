//! What the records say of the host's links, and what they say of links that are not there.

use std::collections::BTreeSet;

use smol_str::SmolStr;

use super::Connection;
use super::records::{Bridge, Port, Records};
use crate::kernel::answer::LinkAnswer;
use crate::kernel::moved::{Parts, Whole};
use crate::kernel::reading::{NsReading, Reading};
use crate::kernel::sight::Sight;
use crate::kernel::whose::OwnLinks;
use crate::kernel::{ObserveError, Scope, maker};
use crate::names::{IfName, Mtu};
use crate::resource::link::{Link, LinkKind};
use crate::resource::netns::NsRef;
use crate::resource::owner::{Mark, Owner};
use crate::resource::state::Foreign;
use crate::resource::vswitch::{SwitchPort, Vswitch};
use crate::resource::{Resource, Slot};

/// The kinds of link that a local port is: of the kernel's datapath, and of `ovs-vswitchd`'s own.
const LOCAL_PORTS: [&str; 2] = ["openvswitch", "tun"];

/// What a port is called whose link is gone.
pub(super) const LOST_PORT: &str = "port of Open vSwitch without its link";

/// What a bridge is called that cannot become one that is asked for.
pub(crate) const ODD_BRIDGE: &str = "bridge of Open vSwitch of another kind";

/// What a link is to Open vSwitch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Switched {
    /// A bridge's local port; `None` is one of a kind that netform asks for nowhere.
    Bridge(Option<Vswitch>),
    /// A port.
    Port {
        /// Of this bridge.
        bridge: IfName,
        /// What it carries.
        port: SwitchPort,
    },
}

impl Switched {
    /// Returns the bridge whose port a link is.
    pub(crate) fn bridge(link: &LinkAnswer) -> Option<&IfName> {
        match link.switch.as_ref()? {
            Self::Port { bridge, port: _ } => Some(bridge),
            Self::Bridge(_) => None,
        }
    }

    /// Returns what it carries as a port.
    pub(crate) fn port(&self) -> Option<SwitchPort> {
        match self {
            Self::Port { bridge: _, port } => Some(port.clone()),
            Self::Bridge(_) => None,
        }
    }
}

/// A record of a link that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Absent {
    pub(crate) name: IfName,
    /// The mark of the record, or nothing.
    mark: SmolStr,
    what: Switched,
    /// Whether a link that has nothing to do with it has its name.
    is_taken: bool,
}

/// Tells whether the records matter: something asks for them, or a link of ours is there that has one.
fn is_wanted(host: &NsReading, scope: &Scope) -> bool {
    let is_ours = |link: &LinkAnswer| {
        LOCAL_PORTS.contains(&link.kind.as_str())
            && link.mark().is_some_and(|mark| mark.project == scope.project)
    };
    scope.switch || host.links.iter().any(is_ours)
}

/// Reads the records when they matter, and notes what they are on the host's links, and those whose links are not there.
/// Where only some links were read, others may be there, so that only those that `at` names are known to be missing.
pub(crate) async fn look(
    reading: &mut Reading,
    scope: &Scope,
    at: Option<&Parts>,
) -> Result<(), ObserveError> {
    if is_wanted(&reading.host, scope) {
        let mut connection = Connection::open().await?;
        let records = Records::read(&mut connection).await?;
        let named = at.filter(|at| !at.whole.contains(&Whole::Host)).map(|at| &at.links);
        reading.absent = compare(&records, &mut reading.host, named);
    }
    Ok(())
}

/// Puts records without links that were read with parts of everything in the place of those known of the same names; tells
/// whether they are others.
pub(crate) fn merge(known: &mut Vec<Absent>, parts: &Parts, slice: &Reading) -> bool {
    let is_read = |name: &IfName| slice.host.links.iter().any(|link| link.name == name.as_str());
    let is_meant =
        |name: &IfName| parts.whole.contains(&Whole::Host) || parts.links.contains(name) || is_read(name);
    let (before, kept): (Vec<_>, Vec<_>) =
        std::mem::take(known).into_iter().partition(|absent| is_meant(&absent.name));
    *known = kept;
    known.extend(slice.absent.iter().cloned());
    before.len() != slice.absent.len() || !slice.absent.iter().all(|new| before.contains(new))
}

fn compare(records: &Records, host: &mut NsReading, named: Option<&BTreeSet<IfName>>) -> Vec<Absent> {
    let (mut met, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for link in &mut host.links {
        if let Some(bridge) = records.bridges.get(&link.name) {
            if LOCAL_PORTS.contains(&link.kind.as_str()) {
                link.switch = Some(Switched::Bridge(switch_of(bridge, *link.alias == bridge.mark)));
                // `ovs-vswitchd` makes the link; whose it is, is on the record.
                link.alias = bridge.mark.clone().into();
                met.insert(link.name.clone());
            }
        } else if let Some(port) = records.ports.get(&link.name) {
            link.switch = port_of(port, &link.alias);
            met.insert(link.name.clone());
        }
        taken.insert(link.name.clone());
    }
    let bridges = records
        .bridges
        .iter()
        .map(|(name, it)| (name, it.mark.clone(), Some(Switched::Bridge(switch_of(it, false)))));
    // A bridge's local port has a record of its own, with its name.
    let ports = records.ports.iter().filter(|(name, _)| !records.bridges.contains_key(*name));
    let ports = ports.map(|(name, it)| (name, it.mark.clone(), port_of(it, &it.mark)));
    let absent = bridges.chain(ports).filter(|(name, ..)| !met.contains(*name));
    let absent = absent.filter_map(|(name, mark, what)| {
        let is_taken = taken.contains(name);
        Some(Absent { name: IfName::try_from(name.clone()).ok()?, mark, what: what?, is_taken })
    });
    absent.filter(|it| named.is_none_or(|named| named.contains(&it.name) || it.is_taken)).collect()
}

fn switch_of(bridge: &Bridge, intact: bool) -> Option<Vswitch> {
    let Bridge { uuid: _, datapath, fail_mode, stp, mcast_snooping, mark: _ } = bridge;
    Some(Vswitch {
        datapath: (*datapath)?,
        fail_mode: *fail_mode,
        stp: *stp,
        mcast_snooping: *mcast_snooping,
        intact,
    })
}

fn port_of(port: &Port, mark: &str) -> Option<Switched> {
    let Port { uuid: _, bridge, vlan, trunks, is_odd, mark: own } = port;
    let port = SwitchPort { vlan: *vlan, trunks: trunks.clone(), intact: !is_odd && own == mark };
    Some(Switched::Port { bridge: IfName::try_from(bridge.clone()).ok()?, port })
}

/// Notes records whose links are not there: ours, those in our way, and those that are on a bridge of ours.
pub(crate) fn see(observed: &mut Sight, reading: &Reading, own: &OwnLinks, scope: &Scope) {
    let mark_of = |absent: &Absent| Mark::parse(&absent.mark);
    let ours = |absent: &Absent| mark_of(absent).filter(|mark| mark.project == scope.project);
    for absent in &reading.absent {
        if let Some(mark) = ours(absent) {
            let resource = Resource::from(Link { protected: mark.protected, ..absent.link() });
            observed.insert(resource, mark.owner);
            continue;
        }
        let owner = mark_of(absent).as_ref().map(maker::owner_of);
        let slot = Slot::Ifname(NsRef::Host, absent.name.clone());
        match &absent.what {
            Switched::Bridge(_) => {
                let what = format!("bridge {} of Open vSwitch", absent.name);
                observed.foreign.entry(slot).or_insert(Foreign { what, owner, on: None, bears: None });
            }
            Switched::Port { bridge, port: _ } => {
                let absent_bridge = || reading.absent.iter().find(|it| it.name == *bridge).and_then(ours);
                let there = own.values().find(|(name, _)| name == bridge).map(|(_, owner)| owner.clone());
                let on: Option<Owner> = there.or_else(|| absent_bridge().map(|mark| mark.owner));
                let what = format!("port {} of {bridge}", absent.name);
                if on.is_some() {
                    observed.foreign.entry(slot).or_insert(Foreign { what, owner, on, bears: None });
                }
            }
        }
    }
}

impl Absent {
    /// Returns the link as what there is of it.
    fn link(&self) -> Link {
        let (master, port, kind) = match &self.what {
            Switched::Bridge(Some(switch)) if !self.is_taken => (None, None, LinkKind::OpenVswitch(*switch)),
            Switched::Bridge(_) => (None, None, LinkKind::Other(ODD_BRIDGE.to_owned())),
            Switched::Port { bridge, port } => {
                (Some(bridge.clone()), Some(port.clone()), LinkKind::Other(LOST_PORT.to_owned()))
            }
        };
        Link { up: false, master, port, ..Link::alone(NsRef::Host, self.name.clone(), Mtu::ETHERNET, kind) }
    }
}
