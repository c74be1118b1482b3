//! What was written on a link that a container has is only believed when it is what this host wrote.
//!
//! Whoever may change links in the container's namespace may change what is written on them as well, or write such things
//! on another link, and would so give the host a link, addresses and routes of his choice. So a digest of what was written,
//! and of the address that the link was made with, is kept where no container reaches. When all that was kept of the project
//! is lost, the link is believed, since there is nobody else to ask.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use smol_str::SmolStr;

use crate::kernel::answer::LinkAnswer;
use crate::kernel::{FailureKind, OpError, file};
use crate::names::{IfName, Mac};
use crate::resource::device;
use crate::resource::hex::hex;
use crate::resource::netns::NsRef;
use crate::resource::state::State;

/// What is kept of a project's devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seals {
    file: PathBuf,
    /// Whether all that was kept of the project is lost, and not only that nothing was ever taken.
    is_lost: bool,
    /// The devices that the last apply led to, with their namespaces: the file may be older than that, or lost alone.
    applied: BTreeMap<IfName, NsRef>,
}

/// What is kept of a device, by its name on the host.
#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    /// Of all that was written on it.
    digest: String,
    /// The namespace that it was taken to.
    ns: NsRef,
}

impl Seals {
    /// Returns those that are kept in the state directory of a project, as it is before anything is written there.
    pub fn in_dir(dir: &Path) -> Self {
        let is_lost = !dir.join("generations").exists();
        Self { file: dir.join("devices.json"), is_lost, applied: BTreeMap::new() }
    }

    /// Adds what the last apply led to.
    #[must_use]
    pub fn beside(self, state: &State) -> Self {
        let links = state.iter().filter_map(|(_, entry)| entry.resource.link());
        let devices = links.filter_map(|link| Some((link.kind.device()?.name.clone(), link.ns.clone())));
        Self { applied: devices.collect(), ..self }
    }

    /// Keeps the digest of what is about to be written on a link, in place of an earlier one.
    pub(super) fn keep(
        &self,
        name: &IfName,
        (pieces, permanent): (&[SmolStr], Option<Mac>),
        ns: &NsRef,
    ) -> Result<(), OpError> {
        let mut all = self.read()?;
        let digest = digest(pieces.iter().collect(), permanent);
        all.insert(name.to_string(), Seal { digest, ns: ns.clone() });
        self.write(&all)
    }

    /// Forgets a device that is back.
    pub(super) fn forget(&self, name: &IfName) -> Result<(), OpError> {
        let mut all = self.read()?;
        if all.remove(name.as_str()).is_some() { self.write(&all) } else { Ok(()) }
    }

    /// Tells whether a link in a namespace may be a device. Where one was taken to, and something else is written on it now,
    /// whoever wants it back is told so; what is anywhere else, and says that it is one, is in nobody's way.
    pub(in super::super) fn vouch(&self, name: &IfName, (ns, link): (&NsRef, &LinkAnswer)) -> bool {
        let Ok(known) = self.read() else { return true };
        let applied = || self.applied.get(name).is_some_and(|taken| taken == ns || *ns == NsRef::Host);
        match known.get(name.as_str()) {
            Some(seal) => seal.ns == *ns || seal.is_of(link),
            None => self.is_lost || applied(),
        }
    }

    /// Refuses a link on which something else is written than this host wrote, or that is another one. Whether it may be a
    /// device at all was asked before.
    pub(super) fn check(&self, name: &IfName, link: &LinkAnswer) -> Result<(), OpError> {
        if self.read()?.get(name.as_str()).is_none_or(|seal| seal.is_of(link)) {
            return Ok(());
        }
        let message = format!(
            "{} says that it is {name} of the host, but {} knows of other words on it: somebody else did \
             that, so it stays where it is; `ip link property del` takes such names off",
            link.name,
            self.file.display()
        );
        Err(OpError { kind: FailureKind::Other, message })
    }

    fn read(&self) -> Result<BTreeMap<String, Seal>, OpError> {
        match fs::read(&self.file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| self.failed("read", &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    fn write(&self, all: &BTreeMap<String, Seal>) -> Result<(), OpError> {
        let written =
            serde_json::to_vec(all).map_err(Into::into).and_then(|text| file::replace(&self.file, &text));
        written.map_err(|error: io::Error| self.failed("write", &error))
    }

    fn failed(&self, what: &str, why: &dyn std::fmt::Display) -> OpError {
        let message = format!("cannot {what} {}: {why}", self.file.display());
        OpError { kind: FailureKind::Other, message }
    }
}

impl Seal {
    fn is_of(&self, link: &LinkAnswer) -> bool {
        let pieces = link.altnames.iter().filter(|name| device::is_piece(name)).collect();
        self.digest == digest(pieces, link.permanent)
    }
}

fn digest(mut pieces: Vec<&SmolStr>, permanent: Option<Mac>) -> String {
    pieces.sort_unstable();
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update(piece.as_bytes());
        hash.update("\n");
    }
    hash.update(permanent.map_or_else(String::new, |mac| mac.to_string()));
    hex(hash.finalize())
}
