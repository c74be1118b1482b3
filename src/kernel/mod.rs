//! The kernel: the only module that talks to it.

pub mod addresses;
mod announce;
mod answer;
mod attribute;
mod carried;
pub mod census;
mod connected;
mod conntrack;
pub mod count;
pub mod counters;
mod device;
mod diag;
pub mod discover;
mod ends;
pub mod events;
mod external;
pub mod facts;
pub mod fake;
pub(crate) mod file;
pub mod foretelling;
mod heard;
mod identity;
pub mod inside;
mod kept;
mod lacks;
mod limits;
mod link_local;
mod links;
pub mod listeners;
pub mod live;
mod maker;
pub mod management;
pub mod memory;
mod message;
pub mod mounts;
pub mod moved;
mod neighbours;
mod netlink;
pub mod netns;
pub mod nft;
mod numbers;
mod observe;
pub mod ovsdb;
mod pair;
pub mod probe;
pub mod process;
mod qdisc;
mod reading;
pub(crate) mod redirect;
mod renamed;
mod routes;
pub mod sandbox;
mod shared;
mod sight;
mod silence;
pub mod slice;
pub mod stowaways;
pub mod strangers;
pub mod sysctl;
mod vlans;
mod wave;
mod whose;
mod woven;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::names::{IfName, NetnsName, ProjectName};
use crate::resource::address::Address;
use crate::resource::file::FilePath;
use crate::resource::link::LinkKind;
use crate::resource::netns::NsRef;
use crate::resource::owner::{Mark, Owner};
use crate::resource::state::{Entry, Observed};
use crate::resource::sysctl::SysctlKey;
use crate::resource::{Resource, ResourceId};
pub use device::Seals;
pub use neighbours::Proxies;
pub use reading::Glimpse;

pub(crate) use file::LARGEST as LARGEST_PART;

/// One thing done to the kernel; the entries' owners go into the marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "operations are few, and boxes would hide what they carry")]
pub enum Op {
    /// Makes an object that is not there.
    Create(Entry),
    /// Changes an object in place; both have the same id.
    Update {
        /// What is there now.
        from: Entry,
        /// What shall be there.
        to: Entry,
    },
    /// Removes an object.
    Delete(Entry),
}

impl Op {
    /// Returns what the object is known by.
    pub fn id(&self) -> ResourceId {
        match self {
            Self::Create(entry) | Self::Delete(entry) | Self::Update { from: _, to: entry } => {
                entry.resource.id()
            }
        }
    }
}

/// What to look at, beyond what carries our mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Whose objects are ours.
    pub project: ProjectName,
    /// Namespaces of others that our containers live in.
    pub namespaces: BTreeSet<NsRef>,
    /// Kernel parameters whose value matters. One that does not exist (its link is gone) is left out.
    pub sysctls: BTreeSet<(NsRef, SysctlKey)>,
    /// Routes that no link of ours tells to be ours, that are in another table than the main one, or on the host, where only
    /// these are looked for among others'.
    pub routes: BTreeSet<ResourceId>,
    /// Addresses of others' links that may be ours; one without our number is not.
    pub addresses: BTreeSet<ResourceId>,
    /// Links of containers that are to have IPv6 addresses, by their namespaces.
    pub ipv6: BTreeMap<NsRef, BTreeSet<IfName>>,
    /// Links of the host that may answer for addresses of ours.
    pub proxies: Proxies,
    /// Links of the host whose qdiscs matter.
    pub limited: BTreeSet<IfName>,
    /// Files that may be ours; one without our mark is foreign.
    pub files: BTreeSet<FilePath>,
    /// Links, namespaces, addresses and routes that count as ours even when nobody's mark is on them, with
    /// [`Owner::Unmarked`] for an owner: they are being adopted or given up.
    pub unmarked: BTreeSet<ResourceId>,
    /// Links, namespaces, addresses and routes that the last apply led to and that carry another mark now, or none.
    pub strays: BTreeMap<ResourceId, Stray>,
    /// Links that the last apply led to and that somebody has renamed, with the names that they had.
    pub renamed: BTreeMap<ResourceId, IfName>,
    /// Namespaces that carry our mark and are not ours, with whose they are.
    pub disowned: BTreeMap<ResourceId, String>,
    /// Whether bridges of Open vSwitch matter, so that its database is asked.
    pub switch: bool,
    /// Whether VLANs of ports of bridges matter, so that the kernel is asked for them. Those of a bridge of ours that keeps them
    /// apart always do.
    pub vlans: bool,
    /// What a killed run was about to change. Among these, what it had no time to mark is ours all the same: a link of
    /// the group that new links are in, a file without a word, a namespace's name without a namespace.
    pub begun: BTreeSet<ResourceId>,
    /// Links of the host that containers are to have for themselves, by their names there.
    pub devices: BTreeSet<IfName>,
    /// What tells whether a link was taken from the host, or only says so; `None` believes all of them.
    pub seals: Option<Seals>,
}

/// The mark of something that carries another one now, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// The mark that it bore.
    pub bore: Mark,
    /// Whose it is to become: once it bears the mark of that, it is no stray any more.
    pub becomes: Option<Owner>,
}

impl From<Mark> for Stray {
    fn from(bore: Mark) -> Self {
        Self { bore, becomes: None }
    }
}

impl Stray {
    /// Returns the mark that counts where this one is read.
    fn or_right(&self, mark: Option<Mark>) -> Mark {
        let Self { bore, becomes } = self;
        let is_right = |mark: &Mark| {
            mark.project == bore.project
                && (mark.owner == bore.owner || Some(&mark.owner) == becomes.as_ref())
        };
        mark.filter(is_right).unwrap_or_else(|| bore.clone())
    }
}

impl Scope {
    /// Returns the scope of a project that has nothing but what carries its mark.
    pub fn new(project: ProjectName) -> Self {
        Self {
            project,
            namespaces: BTreeSet::new(),
            sysctls: BTreeSet::new(),
            routes: BTreeSet::new(),
            addresses: BTreeSet::new(),
            ipv6: BTreeMap::new(),
            proxies: Proxies::default(),
            limited: BTreeSet::new(),
            files: BTreeSet::new(),
            begun: BTreeSet::new(),
            unmarked: BTreeSet::new(),
            strays: BTreeMap::new(),
            renamed: BTreeMap::new(),
            disowned: BTreeMap::new(),
            switch: false,
            vlans: false,
            devices: BTreeSet::new(),
            seals: None,
        }
    }

    /// Adds what another scope looks at.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.namespaces.extend(other.namespaces.iter().cloned());
        self.sysctls.extend(other.sysctls.iter().cloned());
        self.routes.extend(other.routes.iter().cloned());
        self.addresses.extend(other.addresses.iter().cloned());
        for (ns, links) in &other.ipv6 {
            self.ipv6.entry(ns.clone()).or_default().extend(links.iter().cloned());
        }
        self.proxies.extend(&other.proxies);
        self.limited.extend(other.limited.iter().cloned());
        self.files.extend(other.files.iter().cloned());
        self.unmarked.extend(other.unmarked.iter().cloned());
        self.strays.extend(other.strays.clone());
        self.renamed.extend(other.renamed.clone());
        self.disowned.extend(other.disowned.clone());
        self.switch |= other.switch;
        self.vlans |= other.vlans;
    }

    /// Adds an object that carries no mark of its own, so that it is looked at.
    pub fn add(&mut self, entry: &Entry) {
        match &entry.resource {
            Resource::Route(route) if route.is_apart() || route.ns == NsRef::Host => {
                self.routes.insert(entry.resource.id());
            }
            Resource::Address(_) if matches!(entry.owner, Owner::External(_)) => {
                self.addresses.insert(entry.resource.id());
            }
            Resource::Address(Address { ns, link, addr, lost: _, stray: _ })
                if *ns != NsRef::Host && addr.addr().is_ipv6() =>
            {
                match self.ipv6.get_mut(ns) {
                    Some(links) => drop(links.insert(link.clone())),
                    None => drop(self.ipv6.insert(ns.clone(), [link.clone()].into())),
                }
            }
            Resource::Sysctl(sysctl) => {
                // What a link in a container had before is what a new one there has.
                let usual = sysctl.key.of_a_new_link().filter(|_| sysctl.ns != NsRef::Host);
                let keys = usual.into_iter().chain([sysctl.key.clone()]);
                self.sysctls.extend(keys.map(|key| (sysctl.ns.clone(), key)));
                if let (NsRef::Host, Some(link)) = (&sysctl.ns, sysctl.key.answers()) {
                    self.answers(link);
                }
            }
            Resource::Neighbour(neighbour) => {
                self.proxies.held.insert(entry.resource.id());
                self.answers(&neighbour.link);
            }
            Resource::Qdisc(qdisc) => drop(self.limited.insert(qdisc.link.clone())),
            Resource::File(file) => drop(self.files.insert(file.path.clone())),
            Resource::Link(link) => {
                self.vlans |= link.vlans.is_some() || link.filtering.is_some();
                self.switch |= link.port.is_some() || matches!(link.kind, LinkKind::OpenVswitch(_));
            }
            Resource::Netns(_)
            | Resource::Address(_)
            | Resource::Route(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_) => {}
        }
    }

    /// Adds a link of the host that may answer for addresses of ours.
    pub fn answers(&mut self, link: &IfName) {
        self.sysctls.extend(neighbours::parameters(link).map(|key| (NsRef::Host, key)));
        self.proxies.links.insert(link.clone());
    }
}

/// Where to look when only a few objects matter: what they stand on and what stands on them is in there, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    /// Namespaces that are looked into whole.
    pub namespaces: BTreeSet<NsRef>,
    /// Links of the host.
    pub links: BTreeSet<IfName>,
    /// Whether the firewall's tables are looked at.
    pub firewall: bool,
}

/// Why the kernel could not be read.
#[derive(Debug, Error)]
#[error("cannot read {what}")]
pub struct ObserveError {
    /// What was being read.
    pub what: String,
    /// Which of the ways to fail it was; decides the exit code.
    pub kind: FailureKind,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why an operation failed, in the kernel's own words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct OpError {
    /// Which of the ways to fail it was.
    pub kind: FailureKind,
    /// The kernel's or nft's words, e.g. `File exists (os error 17)` with the extended acknowledgement.
    pub message: String,
}

/// The ways to fail that a user deals with differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// `CAP_NET_ADMIN` or `CAP_SYS_ADMIN` is missing.
    Privilege,
    /// The kernel lacks a feature, or `nft` is not installed.
    Missing,
    /// Open vSwitch does not answer, or not do what it is told.
    Switch,
    /// Anything else.
    Other,
}

/// A kernel that can be read and changed: the real one, or the fake of the tests.
///
/// `observe` reads everything anew and changes nothing. `execute` takes a *wave*: operations with no order between
/// them; all nft operations of a wave are one transaction, in which tables come before elements and deletions before
/// additions. It returns one result for each operation, in their order, and goes on past failures. Deleting what is
/// gone already is success; creating what is there already is a failure. After a failed operation the object is as it
/// was, or else is seen by the next `observe`.
#[expect(async_fn_in_trait, reason = "only this crate calls it, on one thread")]
pub trait Kernel {
    /// Returns what is there.
    ///
    /// # Errors
    ///
    /// When something cannot be read: privileges, a dump that keeps being interrupted, a time-out.
    async fn observe(&mut self, scope: &Scope) -> Result<Observed, ObserveError>;

    /// Returns what is there within a glance, perhaps more. Of `scope`, which files and kernel
    /// parameters to look at.
    ///
    /// # Errors
    ///
    /// As [`Kernel::observe`].
    async fn glance(&mut self, scope: &Scope, at: &Glance) -> Result<Observed, ObserveError>;

    /// Carries out operations that have no order between them.
    async fn execute(&mut self, wave: &[Op]) -> Vec<Result<(), OpError>>;

    /// Carries out operations that may need those before them, and begins none after one has failed: what was not begun
    /// has no result. They make namespaces, links, what is on links, kernel parameters, and files, of which nobody needs any. What is in
    /// the firewall is one transaction, and stands before all links.
    async fn execute_in_order(&mut self, ops: &[&Op]) -> Vec<Option<Result<(), OpError>>>;

    /// Ends what goes on only because it was permitted before operations that have been carried out, and is not permitted
    /// by what there is now. Once all are carried out: within, something else may permit it a moment later. `more` were carried
    /// out by a run that was killed before it came to this.
    async fn end_flows(&mut self, more: &[Op]);

    /// Gives namespaces that are gone their names back, as far as they live on without: those that were deleted since the
    /// kernel [let go](Kernel::let_go), and those that processes are in. Tells whether any got its own.
    async fn revive(&mut self, gone: &[(NetnsName, Owner)]) -> bool;

    /// Lets namespaces go that were deleted: until then each is kept alive.
    fn let_go(&mut self);
}
