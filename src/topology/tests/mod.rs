//! What the manifest means, and what it cannot mean.

mod addresses;
mod bandwidth;
mod barriers;
mod coexist;
mod devices;
mod environment;
mod existing;
mod external;
mod hosts;
mod interfaces;
mod isolated;
mod limits;
mod modes;
mod pairs;
mod parents;
mod ports;
mod problems;
mod proxy;
mod routes;
mod subnets;
mod switches;
mod vlans;

use super::facts::Facts;
use super::sketch::resolved;
use super::{Attachment, Container, Topology};

/// Returns the topology of a sketch that has no problem.
#[track_caller]
pub(super) fn topology(text: &str, facts: &Facts) -> Topology {
    resolved(text, facts).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Returns the problems of a sketch that has some.
#[track_caller]
pub(super) fn problems(text: &str, facts: &Facts) -> String {
    match resolved(text, facts) {
        Ok(_) => panic!("there is a problem in\n{text}"),
        Err(problems) => problems,
    }
}

impl Topology {
    fn container(&self, name: &str) -> &Container {
        self.containers.iter().find(|container| container.name.as_str() == name).unwrap()
    }

    fn attachment(&self, container: &str, network: &str) -> &Attachment {
        let attachments = &self.container(container).attachments;
        attachments.iter().find(|attachment| attachment.network.as_str() == network).unwrap()
    }

    /// Returns a container's addresses on a network, separated by blanks.
    fn addresses(&self, container: &str, network: &str) -> String {
        let addresses = &self.attachment(container, network).addresses;
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    /// Returns `network subnet gateway interface` of each network's subnets.
    fn subnets(&self) -> Vec<String> {
        let of = |network: &super::Network| {
            let subnets = network.subnets.iter().map(|s| match s.gateway {
                Some(gateway) => format!("{} {} via {gateway}", network.name, s.cidr),
                None => format!("{} {} via nobody", network.name, s.cidr),
            });
            subnets.collect::<Vec<_>>()
        };
        self.networks.iter().flat_map(of).collect()
    }
}
