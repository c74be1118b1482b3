//! Tests on the real kernel. Each runs in user, network and mount namespaces of its own, and never touches the host's.

mod adopt;
mod apply;
mod bad;
mod disk;
mod dns;
mod drift;
mod events;
mod failure;
mod firewall;
mod flows;
mod kernel;
mod management;
mod names;
mod pairs;
mod part;
mod private;
mod publish;
mod readme;
mod safety;
mod sandbox;
mod show;
mod signals;
mod snapshot;
mod steps;
mod walk;
pub(crate) mod world;
