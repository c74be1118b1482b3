//! Tests on a real kernel, each in user, network and mount namespaces of its own: nothing of the host is touched.

mod kernel;
mod world;
