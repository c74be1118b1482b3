//! netform: declarative container networking for Linux.

pub mod apply;
pub mod cli;
pub mod desired;
pub mod driver;
pub mod firewall;
pub mod kernel;
pub mod manifest;
pub mod names;
pub mod plan;
pub mod resource;
pub mod topology;
