//! Names that follow the containers: a resolver at 127.0.0.11 in every attached namespace, served by one daemon.
//!
//! - [`zone`] (pure): what each container may know, from the topology and the set of containers that run;
//! - [`name`] (pure): names as they are on the wire;
//! - `answer` and `wire` (pure): what a resolver says to a packet, byte for byte;
//! - [`server`]: opens and closes namespaces, and runs the two threads that serve them, of which `udp` answers datagrams,
//!   and the other streams (`tcp`) and questions for others (`forward`, `exchange`, with the host's `hostfile`);
//! - `seat`: the sockets of one namespace, and how a container that itself serves port 53 still starts;
//! - `cache` (pure): answers from elsewhere;
//! - [`resolv`] (pure): what `resolv.conf` says, the host's and a container's.
//!
//! # How a daemon uses it
//!
//! ```no_run
//! use std::collections::BTreeSet;
//!
//! use netform::dns::server::{Options, Server};
//! use netform::dns::zone::Zones;
//! use netform::names::ContainerName;
//! use netform::topology::Topology;
//!
//! # async fn example(topology: &Topology, mut running: BTreeSet<ContainerName>) -> std::io::Result<()> {
//! let mut server = Server::new(Options::default())?;
//! // After each apply: sockets are opened where containers came, closed where they went, and all names are swapped.
//! for failure in server.set(&Zones::new(topology, &running)).await {
//!     eprintln!("{failure}"); // the others are served; the next `set` tries again
//! }
//! // A container stopped: whoever shares its aliases answers from now on.
//! running.retain(|name| name.as_str() != "web");
//! server.set(&Zones::new(topology, &running)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Queries are answered on threads of the server's own, so that a reconcile that keeps the daemon's runtime busy delays no
//! name. A socket keeps its namespace alive: whoever sees a namespace go ([`server::Server::gone`]) calls
//! [`server::Server::set`] without it.

mod answer;
mod cache;
mod exchange;
mod forward;
mod hostfile;
pub mod name;
pub mod resolv;
mod seat;
pub mod server;
mod shared;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod wire;
pub mod zone;
