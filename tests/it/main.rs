//! The integration tests.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod diagnostics;
mod fuzz;
mod load;
mod schema;
