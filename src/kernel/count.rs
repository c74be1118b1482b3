//! How much this process has asked of the kernel so far: costs that do not depend on the machine.
//!
//! It is counted for the whole process, since sockets are opened on threads that come and go.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static TRANSACTIONS: AtomicU64 = AtomicU64::new(0);
static LISTINGS: AtomicU64 = AtomicU64::new(0);

/// How much was asked of the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Route netlink requests; a dump is one.
    pub requests: u64,
    /// nft transactions.
    pub transactions: u64,
    /// nft tables that were read.
    pub listings: u64,
}

impl Counts {
    /// Returns what was asked since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests - earlier.requests,
            transactions: self.transactions - earlier.transactions,
            listings: self.listings - earlier.listings,
        }
    }
}

/// Returns how much was asked so far.
pub fn counts() -> Counts {
    Counts {
        requests: REQUESTS.load(Ordering::Relaxed),
        transactions: TRANSACTIONS.load(Ordering::Relaxed),
        listings: LISTINGS.load(Ordering::Relaxed),
    }
}

/// Counts a netlink request.
pub(super) fn request() {
    REQUESTS.fetch_add(1, Ordering::Relaxed);
}

/// Counts an nft transaction.
pub(super) fn transaction() {
    TRANSACTIONS.fetch_add(1, Ordering::Relaxed);
}

/// Counts an nft table that is read.
pub(super) fn listing() {
    LISTINGS.fetch_add(1, Ordering::Relaxed);
}
