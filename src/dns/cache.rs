//! Answers from elsewhere, for as long as they may be kept. Pure: the time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::wire::Query;
use super::zone::Forward;

/// How many answers of a generation there are at most; there are two.
const GENERATION: usize = 4096;

/// The longest answer that is kept, in bytes.
const LONGEST: usize = 4096;

/// An answer from elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The answer as bytes, without an OPT record.
    pub(super) answer: Vec<u8>,
    /// When it came.
    pub(super) since: Instant,
    /// From when on it must not be used.
    pub(super) until: Instant,
}

/// Answers by their questions. What has not been asked for during a whole generation is forgotten.
#[derive(Debug, Default)]
pub(super) struct Cache {
    young: HashMap<Box<[u8]>, Arc<Kept>>,
    old: HashMap<Box<[u8]>, Arc<Kept>>,
}

impl Cache {
    /// Returns the answer to a question, unless it is too old.
    pub(super) fn get(&mut self, key: &[u8], now: Instant) -> Option<Arc<Kept>> {
        if let Some(kept) = self.young.get(key) {
            return (now < kept.until).then(|| Arc::clone(kept));
        }
        let (key, kept) = self.old.remove_entry(key)?;
        let fresh = (now < kept.until).then(|| Arc::clone(&kept));
        if fresh.is_some() {
            self.insert(key, kept);
        }
        fresh
    }

    /// Keeps an answer, when it may be kept at all.
    pub(super) fn put(&mut self, key: Box<[u8]>, kept: Arc<Kept>) {
        if kept.since < kept.until && kept.answer.len() <= LONGEST {
            self.insert(key, kept);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn insert(&mut self, key: Box<[u8]>, kept: Arc<Kept>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, kept);
    }
}

/// Writes what tells one question from another: the name, the type, the flags that change the answer, and who is asked.
pub(super) fn key(query: &Query, forward: &Forward, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(query.name());
    out.extend_from_slice(&query.kind.to_be_bytes());
    out.push(u8::from(query.dnssec_ok()) | u8::from(query.checking_disabled()) << 1);
    match forward {
        Forward::Nowhere | Forward::Host => {}
        Forward::To(servers) => {
            for server in servers.iter() {
                match server {
                    IpAddr::V4(addr) => out.extend_from_slice(&addr.octets()),
                    IpAddr::V6(addr) => out.extend_from_slice(&addr.octets()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn kept(since: Instant, lasts: u64) -> Arc<Kept> {
        Arc::new(Kept { answer: vec![], since, until: since + Duration::from_secs(lasts) })
    }

    #[test]
    fn an_answer_is_kept_for_as_long_as_it_says() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put([1].into(), kept(now, 10));
        cache.put([2].into(), kept(now, 0));

        assert!(cache.get(&[1], now + Duration::from_millis(9_999)).is_some());
        assert!(cache.get(&[1], now + Duration::from_secs(10)).is_none());
        assert!(cache.get(&[2], now).is_none(), "what must not be kept is not");
    }

    #[test]
    fn the_cache_stays_small_and_keeps_what_is_asked_for() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(b"asked".as_slice().into(), kept(now, 10));
        for number in 0..3 * GENERATION {
            cache.put(number.to_be_bytes().into(), kept(now, 10));
            assert!(cache.get(b"asked", now).is_some());
        }

        assert!(cache.young.len() + cache.old.len() <= 2 * GENERATION);
        assert!(cache.get(&0_usize.to_be_bytes(), now).is_none());
    }
}
