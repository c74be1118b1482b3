//! Kernel parameters of the host as they were before netform changed them, so that `destroy` can set them back.

use serde::{Deserialize, Serialize};

use super::disk::{self, Dirs, DiskError, KNOWN, Known};
use crate::kernel::Op;
use crate::plan::Plan;
use crate::resource::ResourceId;
use crate::resource::netns::NsRef;
use crate::resource::state::{Entry, State};
use crate::resource::sysctl::SysctlKey;

#[derive(Serialize, Deserialize)]
struct OriginalsFile {
    format: Known,
    originals: State,
}

impl Dirs {
    /// Returns the parameters as they were; a damaged file counts as none, since nothing is better than a wrong value.
    pub(super) fn originals(&self) -> Result<Vec<Entry>, DiskError> {
        match disk::read::<OriginalsFile>(&self.originals_path(), KNOWN) {
            Ok(file) => Ok(file.map_or_else(Vec::new, |file| file.originals.into())),
            Err(DiskError::Damaged { .. }) => Ok(vec![]),
            Err(error) => Err(error),
        }
    }

    /// Notes what a plan is about to change, and forgets what it sets back.
    ///
    /// # Errors
    ///
    /// When that cannot be written down; then nothing must be changed.
    pub fn remember_originals(&self, plan: &Plan) -> Result<(), DiskError> {
        let known: State = self.originals()?.into();
        let mut originals = known.clone();
        for op in plan.waves.iter().flatten() {
            match op {
                Op::Update { from, to } if is_global(&op.id()) => {
                    if originals.get(&op.id()).is_some_and(|original| original.resource == to.resource) {
                        originals.remove(&op.id());
                    } else if originals.get(&op.id()).is_none() {
                        originals.insert(from.clone());
                    }
                }
                Op::Create(_) | Op::Update { .. } | Op::Delete(_) => {}
            }
        }
        if originals == known {
            return Ok(());
        }
        disk::write(&self.originals_path(), &OriginalsFile { format: Known, originals })
    }

    pub(super) fn originals_path(&self) -> std::path::PathBuf {
        self.state.join("originals.json")
    }
}

/// Tells whether a parameter is the whole host's: those of a link die with it.
fn is_global(id: &ResourceId) -> bool {
    match id {
        ResourceId::Sysctl(NsRef::Host, SysctlKey::Ipv4Forward | SysctlKey::Ipv6Forward) => true,
        ResourceId::Sysctl(..)
        | ResourceId::Netns(_)
        | ResourceId::Link(..)
        | ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::File(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Resource;
    use crate::resource::owner::Owner;
    use crate::resource::sysctl::Sysctl;

    fn forward(value: &str) -> Entry {
        Entry {
            resource: Resource::Sysctl(Sysctl {
                ns: NsRef::Host,
                key: SysctlKey::Ipv4Forward,
                value: value.to_owned(),
            }),
            owner: Owner::Project,
            origin: None,
            ignore: vec![],
        }
    }

    fn update(from: &str, to: &str) -> Plan {
        Plan { waves: vec![vec![Op::Update { from: forward(from), to: forward(to) }]], ..Plan::default() }
    }

    #[test]
    fn a_parameter_is_remembered_as_it_was_before_the_first_change_until_it_is_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs { state: dir.path().to_owned(), run: dir.path().to_owned() };

        dirs.remember_originals(&update("0", "1")).unwrap();
        dirs.remember_originals(&update("2", "1")).unwrap();
        assert_eq!(dirs.originals().unwrap(), [forward("0")]);

        dirs.remember_originals(&update("1", "0")).unwrap();
        assert_eq!(dirs.originals().unwrap(), []);
    }
}
