//! The manifest that is measured: one address for each container, one bridge for each network, and one published port
//! for every fifth container.

use std::fmt::Write;
use std::net::Ipv4Addr;

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Containers with one attachment each.
    pub attachments: usize,
    /// Networks that they are spread over, in order.
    pub networks: usize,
}

impl Size {
    /// Returns the network that a container is on.
    pub fn network_of(self, container: usize) -> usize {
        container / self.attachments.div_ceil(self.networks)
    }

    /// Returns a container's address.
    pub fn address(self, container: usize) -> Ipv4Addr {
        let host = 2 + container % self.attachments.div_ceil(self.networks);
        within(self.network_of(container), host)
    }

    /// Returns the containers with a published port, and the port.
    pub fn ports(self) -> impl Iterator<Item = (usize, u16)> {
        (0..self.attachments).step_by(5).map(|container| (container, port(container)))
    }
}

/// Returns the address of a network's bridge.
pub fn gateway(network: usize) -> Ipv4Addr {
    within(network, 1)
}

/// The container whose address changes in the case of one changed attachment.
pub const MOVED: usize = 7;

/// The last part of its other address.
pub const ELSEWHERE: usize = 200;

/// The port that replaces the first container's.
pub const OTHER_PORT: u16 = 60_000;

/// Returns an address of a network.
pub fn within(network: usize, host: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(network).unwrap().to_be_bytes();
    Ipv4Addr::new(10, high, low, u8::try_from(host).unwrap())
}

/// Returns the port that is published for a container.
pub fn port(container: usize) -> u16 {
    10_000 + u16::try_from(container / 5).unwrap()
}

/// What differs from the manifest that was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Nothing.
    Plain,
    /// One container has another address.
    OneMoved,
    /// One container has another published port.
    OtherPort,
}

/// Returns a manifest.
pub fn manifest(size: Size, variant: Variant) -> String {
    let mut text = "netform: 1\nproject: bench\nnetworks:\n".to_owned();
    for network in 0..size.networks {
        writeln!(text, "  n{network}: {{subnets: [{}/24]}}", within(network, 0)).unwrap();
    }
    text.push_str("containers:\n");
    for container in 0..size.attachments {
        let network = size.network_of(container);
        let address = match variant {
            Variant::OneMoved if container == MOVED => within(network, ELSEWHERE),
            Variant::Plain | Variant::OneMoved | Variant::OtherPort => size.address(container),
        };
        write!(text, "  c{container}: {{networks: {{n{network}: {{address: {address}}}}}").unwrap();
        if container % 5 == 0 {
            let port = match variant {
                Variant::OtherPort if container == 0 => OTHER_PORT,
                Variant::Plain | Variant::OneMoved | Variant::OtherPort => port(container),
            };
            write!(text, ", publish: ['{port}:80']").unwrap();
        }
        text.push_str("}\n");
    }
    text
}
