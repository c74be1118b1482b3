//! The integration tests.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod diagnostics;
mod fuzz;
mod load;
mod schema;
