//! The integration tests.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod live;
