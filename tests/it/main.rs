//! The integration tests: one binary, so that it links once.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test may panic, and nobody else reads its names"
)]

mod cli;
mod compose;
mod costs;
mod diagnostics;
mod edit;
mod examples;
mod fuzz;
mod laws;
mod live;
mod load;
mod schema;
mod tidy;
