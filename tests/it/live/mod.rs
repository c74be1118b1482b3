<<<<<<< HEAD
//! The real kernel, in private namespaces: packets really flow.

mod firewall;
=======
//! Tests on the real kernel. Each runs in user, network and mount namespaces of its own, and never touches the host's.

mod apply;
mod bad;
mod kernel;
mod names;
mod private;
mod readme;
mod sandbox;
mod walk;
mod world;
>>>>>>> main
