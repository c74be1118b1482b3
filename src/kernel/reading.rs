//! Reading everything: the host's namespace and every namespace that is ours or asked for, on two threads.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use super::answer::{self, AddressAnswer, LinkAnswer, RouteAnswer};
use super::netlink::{Blocking, Refusal};
use super::{ObserveError, Scope, file, message, netns, sysctl};
use crate::names::{NetnsName, ProjectName};
use crate::resource::ResourceId;
use crate::resource::netns::NsRef;
use crate::resource::owner::Mark;
use crate::resource::sysctl::{Family, SysctlKey};

/// The main table: `RT_TABLE_MAIN`, `include/uapi/linux/rtnetlink.h`.
pub(crate) const MAIN_TABLE: u8 = 254;

/// What one namespace holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NsReading {
    /// Which namespace.
    pub(crate) ns: NsRef,
    /// The number by which the host's links refer to it, when one does.
    pub(crate) nsid: Option<i32>,
    /// Its links.
    pub(crate) links: Vec<LinkAnswer>,
    /// Its addresses.
    pub(crate) addresses: Vec<AddressAnswer>,
    /// Its routes: in the host those of all tables, elsewhere those of the main table.
    pub(crate) routes: Vec<RouteAnswer>,
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
    /// The files that were asked for and exist.
    pub(crate) files: BTreeMap<PathBuf, String>,
}

/// What a name under `/run/netns` that is not ours stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Other {
    /// A namespace, with its mark when it has one.
    Namespace(Option<Mark>),
    /// An ordinary file that a namespace left behind.
    Stale,
}

/// What became of one namespace.
enum Look {
    Read(Box<NsReading>),
    Other(NetnsName, Other),
    Gone,
}

/// What the reading threads need to know.
struct Task {
    project: ProjectName,
    wanted: BTreeMap<NsRef, Vec<SysctlKey>>,
}

/// Reads everything that `scope` and our marks ask for.
pub(crate) async fn read(scope: &Scope) -> Result<Reading, ObserveError> {
    let mut wanted: BTreeMap<_, _> = scope.namespaces.iter().map(|ns| (ns.clone(), vec![])).collect();
    for id in &scope.unmarked {
        wanted.entry(home(id)).or_insert_with(Vec::new);
    }
    for (ns, key) in &scope.sysctls {
        wanted.entry(ns.clone()).or_insert_with(Vec::new).push(key.clone());
    }
    let names = netns::names().map_err(|error| failed(netns::DIR.to_owned(), Refusal::Socket(error)))?;
    let mut all: Vec<_> = names.into_iter().map(NsRef::Named).collect();
    all.extend(scope.namespaces.iter().filter(|ns| matches!(ns, NsRef::Path(_))).cloned());
    let second = all.split_off(all.len() / 2);

    let task = Arc::new(Task { project: scope.project.clone(), wanted });
    let (other_task, host_task) = (Arc::clone(&task), Arc::clone(&task));
    let (host, first, second) = tokio::try_join!(
        thread(move || Ok(vec![host(&host_task)?])),
        thread(move || look_into(all, &task)),
        thread(move || look_into(second, &other_task)),
    )?;
    let mut reading = Reading {
        host: NsReading::empty(NsRef::Host),
        namespaces: vec![],
        others: BTreeMap::new(),
        files: file::read(&scope.files)?,
    };
    reading.host = host.into_iter().next().unwrap_or(reading.host);
    for look in first.into_iter().chain(second) {
        match look {
            Look::Read(ns) => reading.namespaces.push(*ns),
            Look::Other(name, other) => drop(reading.others.insert(name, other)),
            Look::Gone => {}
        }
    }
    Ok(reading)
}

/// Returns the namespace that has to be looked into to see an object.
fn home(id: &ResourceId) -> NsRef {
    match id {
        ResourceId::Netns(name) => NsRef::Named(name.clone()),
        ResourceId::Link(..)
        | ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::Sysctl(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::File(_) => id.ns(),
    }
}

async fn thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<Vec<T>, ObserveError> + Send + 'static,
) -> Result<Vec<T>, ObserveError> {
    netns::on_thread(work).await.map_err(|error| failed("the kernel".to_owned(), Refusal::Socket(error)))?
}

fn host(task: &Task) -> Result<NsReading, ObserveError> {
    let failed = |refusal| failed("the host's links, addresses and routes".to_owned(), refusal);
    let mut socket = Blocking::open().map_err(|error| failed(error.into()))?;
    let mut reading = NsReading::empty(NsRef::Host);
    reading.links = socket.dump(message::all_links(), answer::link).map_err(failed)?;
    reading.read_rest(&mut socket, None).map_err(failed)?;
    reading.read_sysctls(task).map_err(failed)?;
    Ok(reading)
}

/// Enters one namespace after the other; the thread must end afterwards.
fn look_into(namespaces: Vec<NsRef>, task: &Task) -> Result<Vec<Look>, ObserveError> {
    let mut host = Blocking::open().map_err(|error| failed("the host".to_owned(), error.into()))?;
    let mut looks = vec![];
    for ns in namespaces {
        let what = format!("namespace {ns}");
        match NsReading::empty(ns).look(&mut host, task) {
            Ok(look) => looks.push(look),
            // It went away while we looked.
            Err(refusal) if is_missing(&refusal) => {}
            Err(refusal) => return Err(failed(what, refusal)),
        }
    }
    Ok(looks)
}

fn is_missing(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Socket(error) if error.kind() == io::ErrorKind::NotFound)
}

impl NsReading {
    fn empty(ns: NsRef) -> Self {
        Self { ns, nsid: None, links: vec![], addresses: vec![], routes: vec![], sysctls: vec![] }
    }

    /// Enters the namespace and reads it, unless it is somebody else's.
    fn look(mut self, host: &mut Blocking, task: &Task) -> Result<Look, Refusal> {
        let asked = task.wanted.contains_key(&self.ns);
        if !netns::is_namespace(&netns::path(&self.ns))? {
            return Ok(match &self.ns {
                NsRef::Named(name) => Look::Other(name.clone(), Other::Stale),
                NsRef::Host | NsRef::Path(_) => Look::Gone,
            });
        }
        let ns = netns::open(&self.ns)?;
        netns::join(ns.as_fd())?;
        let mut socket = Blocking::open()?;
        self.links = socket.dump(message::all_links(), answer::link)?;
        let mark = self.mark();
        let ours = mark.as_ref().is_some_and(|mark| mark.project == task.project);
        match &self.ns {
            NsRef::Named(name) if !ours && !asked => {
                return Ok(Look::Other(name.clone(), Other::Namespace(mark)));
            }
            NsRef::Named(_) | NsRef::Host | NsRef::Path(_) => {}
        }
        self.nsid = host.request(message::find_nsid(ns.as_fd()), answer::nsid)?.into_iter().next();
        self.read_rest(&mut socket, Some(MAIN_TABLE))?;
        self.read_sysctls(task)?;
        Ok(Look::Read(Box::new(self)))
    }

    fn read_rest(&mut self, socket: &mut Blocking, table: Option<u8>) -> Result<(), Refusal> {
        self.addresses = socket.dump(message::all_addresses(), answer::address)?;
        for family in [Family::Ipv4, Family::Ipv6] {
            let routes = match socket.dump(message::all_routes(family, table), answer::route) {
                // A table that nobody has put a route into does not exist (`fib_get_table()`).
                Err(Refusal::Kernel { errno: Errno::NOENT, said: _ }) => vec![],
                routes => routes?,
            };
            // A kernel without IPv6 answers with the other families' routes.
            self.routes.extend(routes.into_iter().filter(|route| Family::of(route.dest.addr()) == family));
        }
        Ok(())
    }

    /// Reads the kernel parameters of the namespace that the calling thread is in.
    fn read_sysctls(&mut self, task: &Task) -> Result<(), Refusal> {
        for key in task.wanted.get(&self.ns).into_iter().flatten() {
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
