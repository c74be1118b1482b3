//! Reading some links of a namespace, and no more.

use std::collections::BTreeSet;

use rustix::io::Errno;

use super::NsReading;
use crate::kernel::netlink::{Blocking, Refusal};
use crate::kernel::{answer, message};
use crate::names::IfName;

impl NsReading {
    /// Reads these links, the bridges whose ports they are, and their addresses.
    pub(super) fn read_links(
        &mut self,
        socket: &mut Blocking,
        names: BTreeSet<IfName>,
        mut indexes: BTreeSet<u32>,
    ) -> Result<(), Refusal> {
        for link in names {
            self.links.extend(existing(socket.ask(message::find_link(&link), answer::link))?);
        }
        // Once for the links themselves, once for their bridges.
        for _ in 0..2 {
            indexes.extend(self.links.iter().filter_map(|link| link.master));
            let known: BTreeSet<u32> = self.links.iter().map(|link| link.index).collect();
            for index in indexes.difference(&known) {
                self.links.extend(existing(socket.ask(message::link_at(*index), answer::link))?);
            }
        }
        for link in &self.links {
            let addresses = socket.dump(message::addresses_of(link.index), answer::address);
            self.addresses.extend(existing(addresses)?);
        }
        Ok(())
    }
}

/// Passes over a link that is not there.
pub(in crate::kernel) fn existing<T: Default>(answers: Result<T, Refusal>) -> Result<T, Refusal> {
    match answers {
        Err(Refusal::Kernel { errno: Errno::NODEV, said: _ }) => Ok(T::default()),
        answers => answers,
    }
}
