//! The integration tests.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test may panic")]

mod live;
