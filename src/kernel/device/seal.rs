//! What was written on a link that a container has is only believed when it is what this host wrote.
//!
//! Whoever may change links in the container's namespace may change what is written on them as well, or write such things
//! on another link, and would so give the host a link, addresses and routes of his choice. So a digest of what was written,
//! and of the address that the link was made with, is kept where no container reaches. When all that was kept of the project
//! is lost, the link is believed, since there is nobody else to ask.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use smol_str::SmolStr;

use crate::kernel::answer::LinkAnswer;
use crate::kernel::{FailureKind, OpError};
use crate::names::{IfName, Mac};
use crate::resource::device;
use crate::resource::netns::NsRef;

/// What is kept of a project's devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seals {
    file: PathBuf,
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
    /// Returns those that are kept in a directory.
    pub fn in_dir(dir: &Path) -> Self {
        Self { file: dir.join("devices.json") }
    }

    /// Keeps the digest of what is about to be written on a link, in place of an earlier one.
    pub(super) fn keep(
        &self,
        name: &IfName,
        (pieces, permanent): (&[SmolStr], Option<Mac>),
        ns: &NsRef,
    ) -> Result<(), OpError> {
        let mut all = self.read()?.unwrap_or_default();
        let digest = digest(pieces.iter().collect(), permanent);
        all.insert(name.to_string(), Seal { digest, ns: ns.clone() });
        self.write(&all)
    }

    /// Forgets a device that is back.
    pub(super) fn forget(&self, name: &IfName) -> Result<(), OpError> {
        let mut all = self.read()?.unwrap_or_default();
        if all.remove(name.as_str()).is_some() { self.write(&all) } else { Ok(()) }
    }

    /// Tells whether a link in a namespace may be a device. Where one was taken to, and something else is written on it now,
    /// whoever wants it back is told so; what is anywhere else, and says that it is one, is in nobody's way.
    pub(in super::super) fn vouch(&self, name: &IfName, (ns, link): (&NsRef, &LinkAnswer)) -> bool {
        let Ok(known) = self.known() else { return true };
        let Some(known) = known else { return true };
        known.get(name.as_str()).is_some_and(|seal| seal.ns == *ns || seal.is_of(link))
    }

    /// Refuses a link on which something else is written than this host wrote, or that is another one.
    pub(super) fn check(&self, name: &IfName, link: &LinkAnswer) -> Result<(), OpError> {
        let Some(known) = self.known()? else { return Ok(()) };
        if known.get(name.as_str()).is_some_and(|seal| seal.is_of(link)) {
            return Ok(());
        }
        let message = format!(
            "{} says that it is {name} of the host, but {} knows of no such thing being written on it: somebody else did \
             that, so it stays where it is; `ip link property del` takes such names off",
            link.name,
            self.file.display()
        );
        Err(OpError { kind: FailureKind::Other, message })
    }

    /// Returns what was taken; `None` when nobody knows any more.
    fn known(&self) -> Result<Option<BTreeMap<String, Seal>>, OpError> {
        match self.read()? {
            None if self.is_lost() => Ok(None),
            all => Ok(Some(all.unwrap_or_default())),
        }
    }

    /// Tells whether all that was kept of the project is lost, and not only that nothing was ever taken.
    fn is_lost(&self) -> bool {
        !self.file.with_file_name("generations").exists()
    }

    fn read(&self) -> Result<Option<BTreeMap<String, Seal>>, OpError> {
        match fs::read(&self.file) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| self.failed("read", &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    fn write(&self, all: &BTreeMap<String, Seal>) -> Result<(), OpError> {
        let replace = || {
            let dir = self.file.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(dir)?;
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            file.write_all(&serde_json::to_vec(all)?)?;
            file.as_file().sync_all()?;
            file.persist(&self.file)?;
            File::open(dir)?.sync_all()
        };
        replace().map_err(|error: io::Error| self.failed("write", &error))
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
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
