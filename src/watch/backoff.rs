//! How long to wait before what failed is tried again.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Counts failures in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a failure and returns how long to wait: twice as long each time, from a second to five minutes, less up to
    /// a quarter by `chance`, which is between 0 and 1. It never says to give up.
    pub fn failed(&mut self, chance: f64) -> Duration {
        let pause = SHORTEST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        pause.mul_f64(1.0 - 0.25 * chance.clamp(0.0, 1.0))
    }

    /// Notes a success.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Returns how many failures there were in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_second_to_five_minutes_and_start_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..11).map(|_| backoff.failed(0.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.failed(1.0), Duration::from_secs(225));
        assert_eq!(backoff.failures(), 12);

        backoff.succeeded();
        assert_eq!(backoff.failed(0.5), Duration::from_millis(875));
    }
}
