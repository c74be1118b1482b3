//! From what the user means to what the kernel shall hold.

use crate::resource::state::{Desired, Entry, Placed};
use crate::topology::Topology;
use crate::{driver, firewall, halves};

/// Which part of the containers is lowered beside the firewall, which mostly is less work than the others are.
const SHARE: usize = 4;

/// Returns the kernel objects of a topology: those of each network's driver, and those of the firewall.
pub fn desired(topology: &Topology) -> Desired {
    let containers = &topology.containers;
    let mut lowering = driver::Lowering::of(topology);
    let networks = lowering.networks();
    let last = if lowering.is_divisible() { containers.len() / SHARE } else { 0 };
    let (most, last) = containers.split_at(containers.len() - last);
    let (others, mut objects) = halves::both(
        containers.len(),
        || {
            let mut others: Vec<_> = firewall::lower(topology).into_iter().map(Placed::from).collect();
            others.extend(lowering.containers(last));
            Placed::in_order(others)
        },
        || {
            let mut objects: Vec<_> = networks.into_iter().map(Placed::from).collect();
            objects.extend(lowering.containers(most));
            Placed::in_order(objects)
        },
    );
    objects.extend(others);
    Desired(objects.into())
}

/// Returns what is wanted besides while a daemon answers for names: the files that point the containers at it.
pub fn resolver_files(topology: &Topology, resolv_conf: &str) -> Vec<Entry> {
    driver::resolver_files(topology, resolv_conf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::state::State;
    use crate::topology::facts::Facts;
    use crate::topology::sketch::resolved;

    /// Checks that many containers become what they would become in one piece.
    #[track_caller]
    fn check_pieces(name: impl Fn(usize) -> String, is_divisible: bool) {
        let containers = (0..200).map(|n| format!("\nctr {} @front @back", name(n)));
        let text = format!("net front 10.0.0.0/16\nnet back 10.1.0.0/16{}", containers.collect::<String>());
        let topology = resolved(&text, &Facts::default()).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(driver::Lowering::of(&topology).is_divisible(), is_divisible);
        let mut lowering = driver::Lowering::of(&topology);
        let others = lowering.networks().into_iter().chain(firewall::lower(&topology)).map(Placed::from);
        let whole: Vec<_> = lowering.containers(&topology.containers).into_iter().chain(others).collect();
        assert_eq!(desired(&topology).0, State::from(whole));
    }

    #[test]
    fn many_containers_are_lowered_in_pieces_unless_names_may_be_taken_for_each_other() {
        check_pieces(|n| format!("web{n}"), true);
        check_pieces(|n| format!("web.{n}"), false);
    }
}
