//! From what the user means to what the kernel shall hold.

use crate::resource::state::{Desired, Entry, State};
use crate::topology::Topology;
use crate::{driver, firewall, halves};

/// Which part of the containers is lowered beside the firewall, which mostly is less work than the others are.
const SHARE: usize = 4;

/// Returns the kernel objects of a topology: those of each network's driver, and those of the firewall.
pub fn desired(topology: &Topology) -> Desired {
    let containers = &topology.containers;
    let mut lowering = driver::Lowering::of(topology);
    let mut entries = lowering.networks();
    let last = if lowering.is_divisible() { containers.len() / SHARE } else { 0 };
    let (most, last) = containers.split_at(containers.len() - last);
    let (others, mut state) = halves::both(
        containers.len(),
        || {
            let mut others = firewall::lower(topology);
            others.extend(lowering.clone().containers(last));
            State::from(others)
        },
        || {
            entries.extend(lowering.clone().containers(most));
            State::from(entries)
        },
    );
    state.append(others);
    Desired(state)
}

/// Returns what is wanted besides while a daemon answers for names: the files that point the containers at it.
pub fn resolver_files(topology: &Topology, resolv_conf: &str) -> Vec<Entry> {
    driver::resolver_files(topology, resolv_conf)
}
