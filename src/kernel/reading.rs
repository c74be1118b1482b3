//! Reading everything: the host's namespace and every namespace that is ours or asked for, on threads of their own.

mod glimpse;
mod some;
mod tables;
#[cfg(test)]
mod tests;
mod threads;
mod todo;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use smol_str::SmolStr;

use super::answer::{self, AddressAnswer, LinkAnswer, RouteAnswer};
use super::ends::Ends;
use super::moved::{Parts, Whole};
use super::neighbours::ProxyAnswer;
use super::netlink::{Blocking, Refusal};
use super::ovsdb::{self, Absent};
use super::qdisc::{self, QdiscAnswer};
use super::{ObserveError, Scope, file, kept, lacks, message, neighbours, netns, routes, sysctl, vlans};
use crate::names::{IfName, NetnsName, ProjectName};
use crate::resource::ResourceId;
use crate::resource::file::FilePath;
use crate::resource::link::Shares;
use crate::resource::netns::{NsRef, Table};
use crate::resource::owner::{Mark, Owner};
use crate::resource::sysctl::{Family, SysctlKey};
pub use glimpse::Glimpse;
pub(super) use some::existing;
pub(crate) use tables::Tables;
use tables::{FEW, ReadRoute};
use threads::{by_two, thread};
use todo::{Elsewhere, SomeLinks, Task, Todo};

/// What one namespace holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NsReading {
    /// Which namespace.
    pub(crate) ns: NsRef,
    /// The number by which links in here refer to the host, when one does. It is asked for in here, where there are few:
    /// the kernel walks all numbers of a namespace to find one (`peernet2id()`, `net/core/net_namespace.c`).
    pub(crate) host_id: Option<i32>,
    /// Its links.
    pub(crate) links: Vec<LinkAnswer>,
    /// Its addresses.
    pub(crate) addresses: Vec<AddressAnswer>,
    /// Its routes; elsewhere than in the host none of those that only tell what is here but is no address.
    pub(crate) routes: Vec<RouteAnswer>,
    /// Which were asked for.
    pub(crate) tables: Tables,
    /// The tables of routes that no rule leads to, as far as that was asked: where all tables were.
    pub(crate) unruled: Vec<(Family, Table)>,
    /// The qdiscs of the host's links that matter.
    pub(crate) qdiscs: Vec<QdiscAnswer>,
    /// What links of the host answer for, as far as it matters.
    pub(crate) proxied: Vec<ProxyAnswer>,
    /// The kernel parameters that were asked for and exist.
    pub(crate) sysctls: Vec<(SysctlKey, String)>,
}

impl NsReading {
    /// Returns the mark on its `lo`.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.links.iter().find(|link| link.index == 1).and_then(LinkAnswer::mark)
    }

    /// Returns what is written on its `lo`.
    pub(crate) fn alias(&self) -> &str {
        self.links.iter().find(|link| link.index == 1).map_or("", |link| &link.alias)
    }
}

/// All that one look at the kernel's netlink, `/proc/sys` and the files saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Where netform runs.
    pub(crate) host: NsReading,
    /// The namespaces that are ours or were asked for.
    pub(crate) namespaces: Vec<NsReading>,
    /// Named namespaces of others, with the mark of another project when they carry one, and what stands in the way.
    pub(crate) others: BTreeMap<NetnsName, Other>,
    /// What was asked for and is the host's own, or a namespace of mounts, processes or the like.
    pub(crate) wrong: BTreeMap<NsRef, Wrong>,
    /// The files that were asked for and exist.
    pub(crate) files: BTreeMap<FilePath, file::Found>,
    /// The ends of pairs that are in `namespaces`.
    pub(crate) ends: Ends,
    /// Records of Open vSwitch whose links are not there.
    pub(crate) absent: Vec<Absent>,
}

impl Reading {
    /// Returns what is seen where nothing but the host was read.
    pub(super) fn of(host: NsReading) -> Self {
        Self {
            host,
            namespaces: vec![],
            others: BTreeMap::new(),
            wrong: BTreeMap::new(),
            files: BTreeMap::new(),
            ends: Ends::default(),
            absent: vec![],
        }
    }

    /// Tells whether a pair has its end in a namespace and none in the host: it was made while both were read, and would be
    /// taken for somebody else's.
    fn is_torn(&self) -> bool {
        let there: BTreeSet<u32> = self.host.links.iter().map(|link| link.index).collect();
        self.ends.of_host.keys().any(|index| !there.contains(index))
    }

    /// Returns the namespaces that were asked for, and that no container can have for this reason.
    pub(crate) fn wrong_by(&self, why: Wrong) -> BTreeSet<NsRef> {
        self.wrong.iter().filter(|(_, wrong)| **wrong == why).map(|(ns, _)| ns.clone()).collect()
    }

    /// Returns the end of a pair in another namespace, by the index of its end in the host.
    pub(crate) fn end(&self, host_index: u32) -> Option<(&NsReading, &LinkAnswer)> {
        let (ns, link) = self.ends.of_host.get(&host_index)?;
        let ns = self.namespaces.get(*ns)?;
        Some((ns, ns.links.get(*link)?))
    }
}

/// What a name under `/run/netns` that is not ours stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Other {
    /// A namespace, with its mark when it has one, and its links that share what one of the host receives: that one's index,
    /// how, and the name; and the links of the host that it has for itself, with whose they are.
    Namespace(Option<Mark>, Vec<(u32, Shares, SmolStr)>, Vec<(ProjectName, IfName)>),
    /// An ordinary, empty file, as a namespace leaves behind.
    Stale,
    /// Something else that is no namespace.
    Strange,
}

/// Why no container can have a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It is one of mounts, processes or the like, where there are no networks.
    Kind,
    /// It is the host's own, by another name.
    Host,
}

/// What became of one namespace.
enum Look {
    Read(Box<NsReading>),
    Other(NetnsName, Other),
    Wrong(NsRef, Wrong),
    Gone,
}

/// Reads everything that `scope` and our marks ask for, or no more than some parts of it. Parts say by name what is
/// meant: a number says nothing here.
pub(crate) async fn read(scope: &Scope, at: Option<&Parts>) -> Result<Reading, ObserveError> {
    let Some(at) = at else { return Ok(read_first(scope, None, |host| (host, ())).await?.0) };
    let (todo, task) = asked(scope, Some(at))?;
    let paths = scope.files.clone();
    let (looks, (), files) = by_two(todo, &task, (|| Ok(()), move || file::read(&paths))).await?;
    // Which links of the host are the other ends is known when the namespaces are.
    let rest = sorted(looks);
    let parents = rest.namespaces.iter().flat_map(|ns| ns.links.iter().filter_map(|link| ns.stands_on(link)));
    let links = SomeLinks {
        names: at.links.clone(),
        indexes: rest.ends.of_host.keys().chain(&at.indexes).copied().chain(parents).collect(),
        routes: at.whole.contains(&Whole::Routes),
    };
    let host = match Some(links).filter(|_| !at.whole.contains(&Whole::Host)) {
        // That takes less time than to begin a thread.
        Some(links) if !links.routes && links.names.len() + links.indexes.len() <= FEW => {
            host(&task, (Some(links), None))?
        }
        links => thread(move || host(&task, (links, None))).await?,
    };
    let mut reading = Reading { host, files, ..rest };
    ovsdb::look(&mut reading, scope, Some(at)).await?;
    Ok(reading)
}

/// Reads everything, but for what was seen already, and does something first with the host, on the thread that has read it.
pub(super) async fn read_first<T: Send + 'static>(
    scope: &Scope,
    glimpse: Option<Glimpse>,
    first: impl FnOnce(NsReading) -> (NsReading, T) + Send + 'static,
) -> Result<(Reading, T), ObserveError> {
    let (todo, task) = asked(scope, None)?;
    let (paths, own) = (scope.files.clone(), Arc::clone(&task));
    let work = (move || Ok(first(host(&own, (None, glimpse))?)), move || file::read(&paths));
    let (looks, (seen, done), files) = by_two(todo, &task, work).await?;
    let mut reading = Reading { host: seen, files, ..sorted(looks) };
    if reading.is_torn() {
        reading.host = thread(move || host(&task, (None, None))).await?;
    }
    ovsdb::look(&mut reading, scope, None).await?;
    Ok((reading, done))
}

/// Returns which namespaces are to be looked into, and what for.
fn asked(scope: &Scope, at: Option<&Parts>) -> Result<(Todo, Arc<Task>), ObserveError> {
    let mut wanted: BTreeMap<_, _> = scope.namespaces.iter().map(|ns| (ns.clone(), vec![])).collect();
    for id in scope.unmarked.iter().chain(scope.strays.keys()) {
        wanted.entry(home(id)).or_insert_with(Vec::new);
    }
    for (ns, key) in &scope.sysctls {
        wanted.entry(ns.clone()).or_insert_with(Vec::new).push(key.clone());
    }
    let has_name = |ns: &&NsRef| matches!(ns, NsRef::Named(_));
    let mut all: Vec<_> = match at {
        None => names()?.into_iter().map(NsRef::Named).collect(),
        Some(at) => at.namespaces.iter().filter(has_name).cloned().collect(),
    };
    let elsewhere = scope.namespaces.iter().filter(|ns| matches!(ns, NsRef::Path(_) | NsRef::Process(_)));
    all.extend(elsewhere.filter(|ns| at.is_none_or(|at| at.namespaces.contains(*ns))).cloned());
    let elsewhere = Elsewhere::of(scope, at.is_some() || all.len() <= FEW);
    let (limited, vlans) = (qdisc::Asked::by(scope), vlans::Asked::by(scope));
    let (project, proxies) = (scope.project.clone(), scope.proxies.clone());
    Ok((Todo::new(all), Arc::new(Task { project, wanted, elsewhere, limited, proxies, vlans })))
}

/// Returns the names of all namespaces that have one.
pub(super) fn names() -> Result<Vec<NetnsName>, ObserveError> {
    netns::names().map_err(|error| failed(netns::DIR.to_owned(), Refusal::Socket(error)))
}

/// Returns all but the host and the files.
fn sorted(looks: impl Iterator<Item = Look>) -> Reading {
    let mut reading = Reading::of(NsReading::empty(NsRef::Host));
    for look in looks {
        match look {
            Look::Read(ns) => reading.namespaces.push(*ns),
            Look::Other(name, other) => drop(reading.others.insert(name, other)),
            Look::Wrong(ns, why) => drop(reading.wrong.insert(ns, why)),
            Look::Gone => {}
        }
    }
    reading.ends = Ends::of(&reading.namespaces);
    reading
}

/// Returns the namespace that has to be looked into to see an object.
pub(super) fn home(id: &ResourceId) -> NsRef {
    if let ResourceId::Netns(name) = id { NsRef::Named(name.clone()) } else { id.ns() }
}

/// Reads the host, or no more of it than some links.
fn host(
    task: &Task,
    (only, glimpse): (Option<SomeLinks>, Option<Glimpse>),
) -> Result<NsReading, ObserveError> {
    let failed = |refusal| failed("the host's links, addresses and routes".to_owned(), refusal);
    let mut socket = Blocking::open().map_err(|error| failed(error.into()))?;
    let is_whole = only.is_none();
    let mut reading = match (only, glimpse.and_then(Glimpse::seen)) {
        (None, Some(seen)) => seen,
        (None, None) => glimpse::read(&mut socket).map_err(failed)?,
        (Some(SomeLinks { names, indexes, routes }), _) => {
            let mut reading = NsReading::empty(NsRef::Host);
            reading.read_links(&mut socket, names, indexes).map_err(failed)?;
            if routes {
                reading.read_routes(&mut socket, (Tables::All, answer::route)).map_err(failed)?;
            }
            reading
        }
    };
    vlans::read(&mut socket, &mut reading.links, (task.vlans, is_whole), Some(&task.project))
        .map_err(failed)?;
    reading.qdiscs = qdisc::read(&mut socket, &reading.links, &task.limited).map_err(failed)?;
    let more = neighbours::read(&mut reading, &mut socket, (&task.proxies, &task.project)).map_err(failed)?;
    reading.read_sysctls(task.wanted.get(&NsRef::Host).into_iter().flatten().chain(&more)).map_err(failed)?;
    Ok(reading)
}

/// Tells whether a namespace of ours has the name that its mark says. One that is bound over another container's name, too,
/// must not be taken for that container's.
pub(super) fn is_named_for(mark: &Mark, ns: &NsRef) -> bool {
    let (Owner::Container(container), NsRef::Named(name)) = (&mark.owner, ns) else { return true };
    NetnsName::from(container) == *name
}

impl NsReading {
    pub(super) fn empty(ns: NsRef) -> Self {
        Self {
            ns,
            host_id: None,
            links: vec![],
            addresses: vec![],
            routes: vec![],
            tables: Tables::None,
            unruled: vec![],
            qdiscs: vec![],
            proxied: vec![],
            sysctls: vec![],
        }
    }

    /// Enters the namespace and reads it, unless it is somebody else's.
    fn look(mut self, host: BorrowedFd<'_>, task: &Task) -> Result<Look, Refusal> {
        let asked = task.wanted.contains_key(&self.ns);
        let Some(ns) = netns::open_if_namespace(&self.ns)? else {
            return Ok(match &self.ns {
                NsRef::Named(name) => Look::Other(name.clone(), kept::in_place_of(name)),
                NsRef::Path(path) if asked && !netns::may_come(path) => Look::Wrong(self.ns, Wrong::Kind),
                NsRef::Host | NsRef::Path(_) | NsRef::Process(_) => Look::Gone,
            });
        };
        match netns::join(ns.as_fd()) {
            // A namespace of another kind: setns(2).
            Err(error) if asked && error.kind() == io::ErrorKind::InvalidInput => {
                return Ok(Look::Wrong(self.ns, Wrong::Kind));
            }
            joined => joined?,
        }
        let mut socket = Blocking::open_to_read()?;
        self.read_all_links(&mut socket)?;
        let mark = self.mark();
        let ours =
            mark.as_ref().is_some_and(|mark| mark.project == task.project && is_named_for(mark, &self.ns));
        match &self.ns {
            NsRef::Named(_) | NsRef::Path(_)
                if asked && !ours && netns::identity_of(ns.as_fd())? == netns::identity_of(host)? =>
            {
                return Ok(Look::Wrong(self.ns, Wrong::Host));
            }
            NsRef::Named(name) if !ours && !asked => {
                let name = name.clone();
                // What is not there need not be asked for.
                if self.links.iter().any(|link| link.shares.is_some()) {
                    self.host_id = socket.ask(message::find_nsid(host), answer::nsid)?;
                }
                let devices = self.links.iter().filter_map(LinkAnswer::device);
                let devices = devices.map(|(project, device)| (project, device.name)).collect();
                return Ok(Look::Other(name, Other::Namespace(mark, self.sharing().collect(), devices)));
            }
            NsRef::Named(_) | NsRef::Host | NsRef::Path(_) | NsRef::Process(_) => {}
        }
        self.host_id = socket.ask(message::find_nsid(host), answer::nsid)?;
        let tables = if task.elsewhere.matter_in(&self.ns) { Tables::All } else { Tables::Main };
        self.read_rest(&mut socket, (tables, routes::read_inside))?;
        if ours {
            lacks::read(&mut self, &mut socket)?;
        }
        self.read_sysctls(task.wanted.get(&self.ns).into_iter().flatten())?;
        Ok(Look::Read(Box::new(self)))
    }

    fn read_rest(&mut self, socket: &mut Blocking, how: (Tables, ReadRoute)) -> Result<(), Refusal> {
        self.read_addresses(socket)?;
        self.read_routes(socket, how)
    }

    /// Reads kernel parameters of the namespace that the calling thread is in.
    fn read_sysctls<'k>(&mut self, keys: impl Iterator<Item = &'k SysctlKey>) -> Result<(), Refusal> {
        for key in keys {
            match sysctl::read(key) {
                Ok(value) => self.sysctls.push((key.clone(), value)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Refusal::Socket(io::Error::new(
                        error.kind(),
                        format!("sysctl {key}: {error}"),
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Says what could not be read.
pub(crate) fn failed(what: String, refusal: Refusal) -> ObserveError {
    let kind = refusal.kind();
    ObserveError { what, kind, source: Box::new(refusal) }
}
