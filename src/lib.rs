//! netform: declarative container networking for Linux.
//!
//! Everything netform does is the difference between two values of one type:
//!
//! ```text
//! manifest --parse--> Manifest --resolve--> Topology --lower--> Desired
//! kernel   --observe---------------------------------------->   Observed
//! last apply --load----------------------------------------->   applied State
//!
//! plan(desired, observed, applied) -> Plan --apply--> observe again, verify
//! ```
//!
//! A dry run is the plan, printed. Destroy is a plan toward nothing; undo is a plan toward what was before. Drift is what
//! differs from the state that was applied; verification is a plan that must be empty.
//!
//! # Where to find what
//!
//! | module | what it does | pure |
//! | --- | --- | --- |
//! | [`halves`] | work for two threads | yes |
//! | [`names`] | names in hand are names checked | yes |
//! | [`resource`] | kernel objects: keys, what they provide and require, what they can become; states of them | yes |
//! | [`manifest`] | what the user wrote; the only module with places in text | yes, but for reading files |
//! | [`topology`] | what the user means: defaults, references, addresses | yes |
//! | [`driver`] | how a network is made of kernel objects | yes |
//! | [`firewall`] | topology to nft tables: a skeleton that does not grow, and elements | yes |
//! | [`dns`] | names that follow the containers: zones, and a resolver in every namespace, which the daemon serves | what it knows and says: `zone`, `answer`, `wire` |
//! | [`desired`] | all of a topology's kernel objects | yes |
//! | [`plan`] | two states to ordered operations, with causes; rendering | yes |
//! | [`kernel`] | the only module that talks to the kernel; a stricter fake for tests | no |
//! | [`apply`] | locks, journal, generations; done, or undone | no |
//! | [`runtime`] | whose namespace is it: containers of Docker and Podman, processes | no |
//! | [`explain`] | what anything on the host is, in a sentence: ours and others'; whether a packet gets there, and what decides | yes |
//! | [`doctor`] | why a container does not reach the host or the outside, with what cures it | yes |
//! | [`import`] | what others have, as a manifest: a Compose file, a Docker host | yes |
//! | [`watch`] | the daemon: what drifts is brought back, what is edited is applied | no |
//! | [`cli`] | one file for each verb; errors become exit codes in one place | no |
//!
//! A new driver is its file in `driver`, a line in the registry there, and, when it needs a kernel object that is new, that
//! object in `resource` and `kernel`. A new field of the manifest starts in `manifest`, and the compiler leads on: types
//! are unpacked whole between the stages.
//!
//! # What deliberately is not there
//!
//! - No decision below the plan: `apply` and `kernel` do what it says, in its order.
//! - No memory that is needed: ownership is on the kernel objects themselves, and files may be lost.
//! - No second source of order than `Resource::provides` and `Resource::requires`, the firewall's stance aside.
//! - No I/O, clock or chance in the pure modules; no unsafe code anywhere.
//! - No rule for each container, network or port: rules are constant, what grows are elements of sets and maps.

pub mod apply;
pub mod cli;
pub mod desired;
pub mod dns;
pub mod doctor;
pub mod driver;
pub mod explain;
pub mod firewall;
pub mod halves;
pub mod import;
pub mod kernel;
pub mod manifest;
pub mod names;
pub mod plan;
pub mod resource;
pub mod runtime;
pub mod topology;
pub mod watch;
