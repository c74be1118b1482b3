//! From what the user means to what the kernel shall hold.

use crate::resource::state::{Desired, Entry, State};
use crate::topology::Topology;
use crate::{driver, firewall, halves};

/// Returns the kernel objects of a topology: those of each network's driver, and those of the firewall.
pub fn desired(topology: &Topology) -> Desired {
    let (rules, mut state) = halves::both(
        topology.containers.len(),
        || State::from(firewall::lower(topology)),
        || State::from(driver::lower(topology)),
    );
    state.append(rules);
    Desired(state)
}

/// Returns what is wanted besides while a daemon answers for names: the files that point the containers at it.
pub fn resolver_files(topology: &Topology, resolv_conf: &str) -> Vec<Entry> {
    driver::resolver_files(topology, resolv_conf)
}
