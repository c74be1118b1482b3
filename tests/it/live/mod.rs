//! Tests on the real kernel. Each runs in user, network and mount namespaces of its own, and never touches the host's.

mod apply;
mod bad;
mod daemon;
mod disk;
mod failure;
mod firewall;
mod kernel;
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
mod watch;
mod world;
