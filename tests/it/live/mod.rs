//! The real kernel, in private namespaces: packets really flow.

mod firewall;
