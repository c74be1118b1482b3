//! Tests on the real kernel. Each runs in user, network and mount namespaces of its own, and never touches the host's.

mod apply;
mod bad;
mod daemon;
mod firewall;
mod kernel;
mod names;
mod private;
mod publish;
mod readme;
mod safety;
mod sandbox;
mod walk;
mod watch;
mod world;
