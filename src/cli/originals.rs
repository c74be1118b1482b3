//! Kernel parameters as they were before netform changed them.

use std::collections::BTreeSet;
use std::path::Path;

use ipnet::IpNet;

use super::failure::{Code, Failure};
use super::scope::has_link;
use crate::apply::generation::Past;
use crate::apply::{self, Dirs};
use crate::kernel::{Op, sysctl};
use crate::names::{IfName, ProjectName};
use crate::plan::equivalent;
use crate::resource::address::Address;
use crate::resource::netns::NsRef;
use crate::resource::owner::Origin;
use crate::resource::state::{Desired, Entry, Observed, State};
use crate::resource::sysctl::{Sysctl, SysctlKey};
use crate::resource::{Resource, ResourceId, Slot};
use crate::topology::facts::Facts;

/// The other projects that have a firewall here.
pub(super) struct Others<'a> {
    pub(super) projects: &'a BTreeSet<ProjectName>,
    pub(super) dirs: &'a Dirs,
}

impl Others<'_> {
    /// Tells whether one of them may ask for a parameter of the host: on a bridge of somebody else, or by a pair, it has
    /// no bridge that says so. Each has on record what it asks for and netform has changed; of one whose files are
    /// elsewhere, or lost, nothing is known.
    fn ask_for(&self, id: &ResourceId) -> bool {
        if self.projects.is_empty() {
            return false;
        }
        let known = self.dirs.neighbours();
        // A daemon's past may be older than their last apply.
        let is_on_record = self.dirs.originals_of_others().iter().any(|entry| entry.resource.id() == *id);
        is_on_record
            || self.dirs.others_have_lost_theirs()
            || self.projects.iter().any(|project| !known.contains(project))
    }
}

/// Asks for the host's parameters as they were before netform changed them, once nobody can rely on them.
///
/// A host that goes on forwarding is open, one that stops is cut off: so only what is on record is set back, and only
/// when no other project and no container engine is there. What a container's namespace had it gets back at once.
pub(super) fn restore(
    past: &Past,
    (desired, observed): (&mut Desired, &Observed),
    facts: &Facts,
    others: &Others<'_>,
) {
    for entry in &past.originals.known {
        let id = entry.resource.id();
        if desired.0.get(&id).is_some()
            || is_relied_on(&id, past, (desired, observed), (facts, others))
            || observed.own.get(&id).is_none()
            || goes(&id.ns(), desired, observed)
        {
            continue;
        }
        let mut entry = entry.clone();
        if let Resource::Sysctl(Sysctl { key, value, .. }) = &mut entry.resource
            && value.is_empty()
        {
            let Some(Some(usual)) = sysctl::in_a_new_namespace(key) else { continue };
            *value = usual.into();
        }
        desired.0.insert(entry);
    }
}

/// Says which parameters stay as netform has set them when nobody asks for them any more, since what they were is lost.
pub(super) fn left(
    past: &Past,
    (desired, observed): (&Desired, &Observed),
    facts: &Facts,
    others: &Others<'_>,
) -> Vec<String> {
    let is_left = |entry: &Entry| {
        let id = entry.resource.id();
        desired.0.get(&id).is_none()
            && observed.own.get(&id).is_some_and(|live| live.resource == entry.resource)
            && !goes(&id.ns(), desired, observed)
            && !is_relied_on(&id, past, (desired, observed), (facts, others))
    };
    let (what, why) = match &past.originals.lost {
        Some(path) => {
            (past.state(), format!("what it was before netform changed it was lost with {}", path.display()))
        }
        // What bears our mark says that there has been an apply.
        None if past.generation.is_none() && has_marks(observed) => {
            let why = "whether netform has changed it is not known, since its records are gone".to_owned();
            (forwarding(observed), why)
        }
        None => return vec![],
    };
    apply::lasting(&what).filter(|entry| is_left(entry)).filter_map(|entry| stays(entry, &why)).collect()
}

/// Tells whether anything is live that bears the project's mark.
fn has_marks(observed: &Observed) -> bool {
    observed.own.iter().any(|(id, _)| matches!(id, ResourceId::NftTable(_) | ResourceId::Netns(_)))
}

/// Returns the host's switches of forwarding that are on, as if the project had asked for them.
fn forwarding(observed: &Observed) -> State {
    let nowhere = Origin { file: "".into(), line: 0, column: 0 };
    let switches =
        [SysctlKey::Ipv4Forward, SysctlKey::Ipv6Forward].map(|key| ResourceId::Sysctl(NsRef::Host, key));
    let live = switches.iter().filter_map(|id| observed.own.get(id));
    let on = live.filter(|entry| entry.resource.fields().iter().any(|(_, value)| value == "1"));
    on.map(|entry| Entry { origin: Some(nowhere.clone()), ..entry.clone() }).collect()
}

/// Says that a parameter stays, why, and how to set it as the kernel begins with it.
fn stays(entry: &Entry, why: &str) -> Option<String> {
    let Resource::Sysctl(sysctl) = &entry.resource else { return None };
    let Sysctl { ns: _, key, value } = sysctl;
    let usual = sysctl::in_a_new_namespace(&key.of_a_new_link().unwrap_or_else(|| key.clone())).flatten();
    let how = usual.filter(|usual| usual != value).and_then(|usual| {
        let usual = Resource::Sysctl(Sysctl { value: usual.into(), ..sysctl.clone() });
        let op = Op::Update { from: entry.clone(), to: Entry { resource: usual, ..entry.clone() } };
        equivalent(&op).pop()
    });
    let how = how.map_or_else(String::new, |how| format!("; `{how}` sets it as the kernel begins with it"));
    Some(format!("{key} stays {value}: {why}{how}"))
}

/// Tells whether others rely on a parameter of the host.
fn is_relied_on(
    id: &ResourceId,
    past: &Past,
    (desired, observed): (&Desired, &Observed),
    (facts, others): (&Facts, &Others<'_>),
) -> bool {
    let ResourceId::Sysctl(NsRef::Host, key) = id else { return false };
    let Some(link) = key.link() else { return !facts.subnets.is_empty() || others.ask_for(id) };
    if key.answers().is_some() {
        let is_on_it = |slot: &Slot| matches!(slot, Slot::Object(ResourceId::Neighbour(NsRef::Host, by, _)) if by == link);
        return observed.foreign.keys().any(is_on_it);
    }
    // While the host goes on forwarding, it would not hear the routers there any more.
    let forward = ResourceId::Sysctl(NsRef::Host, SysctlKey::Ipv6Forward);
    let will_be = desired.0.get(&forward).or_else(|| observed.own.get(&forward));
    let goes_on = will_be.is_some_and(|entry| entry.resource.fields().iter().any(|(_, value)| value == "1"));
    goes_on
        && past
            .originals
            .known
            .iter()
            .chain(&past.originals_of_others)
            .any(|entry| entry.resource.id() == forward)
}

/// Tells whether a namespace is ours and goes, with all that is in it.
fn goes(ns: &NsRef, desired: &Desired, observed: &Observed) -> bool {
    let NsRef::Named(name) = ns else { return false };
    let id = ResourceId::Netns(name.clone());
    observed.own.get(&id).is_some() && desired.0.get(&id).is_none()
}

/// Asks for the parameters of containers' links that nobody asks for any more as a new link has them: so they were before
/// netform changed them, since the links are of its own making. Once they were put back, which no manifest asks for, they
/// are anybody's.
pub(super) fn reset(applied: &State, desired: &mut Desired, observed: &Observed) {
    for (id, entry) in applied.iter() {
        let Resource::Sysctl(Sysctl { ns, key, value: _ }) = &entry.resource else { continue };
        let (Some(link), Some(usual)) = (key.link(), key.of_a_new_link()) else { continue };
        let is_asked = entry.origin.is_some() && desired.0.get(id).is_none();
        if *ns == NsRef::Host || !is_asked || !has_link(&desired.0, ns, link) {
            continue;
        }
        let value = |id: &ResourceId| match observed.own.get(id).map(|entry| &entry.resource) {
            Some(Resource::Sysctl(sysctl)) => Some(sysctl.value.clone()),
            Some(_) | None => None,
        };
        let (Some(live), Some(usual)) = (value(id), value(&ResourceId::Sysctl(ns.clone(), usual))) else {
            continue;
        };
        if live != usual {
            let sysctl = Sysctl { ns: ns.clone(), key: key.clone(), value: usual };
            desired.0.insert(Entry { resource: Resource::Sysctl(sysctl), origin: None, ..entry.clone() });
        }
    }
}

/// Returns an IPv6 address that a link is to have.
fn ipv6_on(desired: &Desired, ns: &NsRef, link: &IfName) -> Option<IpNet> {
    let mut addresses = desired.0.iter().filter_map(|(_, entry)| entry.resource.address());
    let is_it = |it: &&Address| (&it.ns, &it.link) == (ns, link) && it.addr.addr().is_ipv6();
    addresses.find(is_it).map(|it| it.addr)
}

/// Refuses what the kernel has no such parameter for, and what contradicts itself, before anything is done.
pub(super) fn check(desired: &Desired, observed: &Observed) -> Result<(), Failure> {
    for (id, entry) in desired.0.iter() {
        let Resource::Sysctl(Sysctl { ns, key, value }) = &entry.resource else { continue };
        if *ns == NsRef::Host {
            continue;
        }
        let place = entry.origin.as_ref().map_or_else(String::new, |origin| format!("{origin}: "));
        if let (Some("disable_ipv6"), Some(link), true) = (key.name(), key.link(), value != "0")
            && let Some(addr) = ipv6_on(desired, ns, link)
        {
            let message = format!("{place}{}: {key} is {value}, and {link} is to have {addr}", entry.owner);
            let help = "take one of the two out";
            return Err(Failure::new(Code::Manifest, message).help(help));
        }
        if observed.own.get(id).is_some() || sysctl::is_known(key) {
            continue;
        }
        let message = format!("{place}{}: the kernel has no parameter {key}", entry.owner);
        let list = key.of_a_new_link().map(|key| sysctl::path(&key));
        let list = list.as_deref().and_then(Path::parent).map(Path::display);
        let all = || "`unshare -n sysctl -aN` lists what a container has of its own".to_owned();
        let help = list.map_or_else(all, |list| format!("`ls {list}` lists what it has"));
        return Err(Failure::new(Code::Missing, message).help(help));
    }
    Ok(())
}
