//! Fields that somebody else keeps changing: after a while they are left alone, since both sides would go on for ever.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::kernel::netns::Identity;
use crate::plan::Spot;
use crate::resource::ResourceId;
use crate::resource::netns::NsRef;

/// Within which time corrections count.
const WINDOW: Duration = Duration::from_secs(600);

/// Knows what was corrected, and what is contested.
#[derive(Debug, Default)]
pub struct Contest {
    /// How many corrections make a field contested; `None` is any number.
    limit: Option<usize>,
    corrected: BTreeMap<Spot, VecDeque<Instant>>,
    contested: BTreeSet<Spot>,
    /// The namespaces of others that what was corrected, or is contested, was in.
    homes: BTreeMap<ResourceId, Identity>,
}

impl Contest {
    /// Returns a contest in which nothing is contested yet.
    pub fn new(limit: Option<usize>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Notes which namespaces of others the objects are in; tells whether something is contested no more. Who makes one anew takes
    /// all that was in it away, and means none of it: that is no contest, and ends one.
    pub fn moved(&mut self, homes: &BTreeMap<ResourceId, Identity>) -> bool {
        let before = self.contested.len();
        for (object, home) in homes {
            if self.homes.insert(object.clone(), *home).is_some_and(|before| before != *home) {
                self.corrected.retain(|spot, _| spot.object != *object);
                self.contested.retain(|spot| spot.object != *object);
            }
        }
        self.contested.len() < before
    }

    /// Notes that something was corrected; tells whether that makes it contested. The firewall never is: whoever loads his
    /// own ruleset again and again would open all that ours keeps closed. Nor is what a link of the host is called: the rules
    /// know it by that.
    pub fn corrected(&mut self, spot: &Spot, now: Instant) -> bool {
        let Some(limit) = self.limit else { return false };
        let is_name = matches!(spot.object, ResourceId::Link(NsRef::Host, _))
            && spot.field.as_deref() == Some("interface");
        if is_name || spot.object.is_of_firewall() {
            return false;
        }
        let times = self.corrected.entry(spot.clone()).or_default();
        times.push_back(now);
        times.retain(|time| now.saturating_duration_since(*time) < WINDOW);
        if times.len() < limit {
            return false;
        }
        self.corrected.remove(spot);
        self.contested.insert(spot.clone())
    }

    /// Returns what is contested, and so left alone.
    pub fn contested(&self) -> &BTreeSet<Spot> {
        &self.contested
    }

    /// Starts anew: the user has had a say.
    pub fn settle(&mut self) {
        self.corrected.clear();
        self.contested.clear();
        self.homes.clear();
    }

    /// Forgets corrections that do not count any more.
    pub fn forget(&mut self, now: Instant) {
        self.corrected.retain(|_, times| {
            times.back().is_some_and(|time| now.saturating_duration_since(*time) < WINDOW)
        });
        let known: BTreeSet<_> =
            self.corrected.keys().chain(&self.contested).map(|spot| &spot.object).collect();
        self.homes.retain(|object, _| known.contains(object));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::netns;
    use crate::resource::nft::{NftFamily, NftTableId};

    fn spot(path: &str) -> Spot {
        Spot {
            object: ResourceId::File(std::path::Path::new(path).into()),
            field: Some("content".to_owned()),
        }
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn the_fifth_correction_within_ten_minutes_makes_a_field_contested_once() {
        let (mut contest, start) = (Contest::new(Some(5)), Instant::now());
        let told: Vec<_> = (0..5).map(|at| contest.corrected(&spot("a"), start + minutes(at))).collect();
        assert_eq!(told, [false, false, false, false, true]);
        assert_eq!(*contest.contested(), [spot("a")].into());
        assert!(!contest.corrected(&spot("b"), start));
    }

    #[test]
    fn what_is_corrected_now_and_then_is_never_contested() {
        let (mut contest, start) = (Contest::new(Some(5)), Instant::now());
        assert!((0..100).all(|at| !contest.corrected(&spot("a"), start + minutes(3 * at))));
        contest.forget(start + minutes(1000));
        assert!(contest.corrected.is_empty());
    }

    #[test]
    fn what_keeps_closed_is_put_back_however_often() {
        let table = NftTableId { family: NftFamily::Inet, name: "netform-shop".into() };
        let spot = Spot { object: ResourceId::NftTable(table), field: None };
        let (mut contest, now) = (Contest::new(Some(2)), Instant::now());
        assert!((0..100).all(|_| !contest.corrected(&spot, now)));
    }

    #[test]
    fn a_namespace_that_its_owner_makes_anew_is_no_contest_and_ends_one() {
        let (mut contest, now) = (Contest::new(Some(2)), Instant::now());
        // Which namespaces they are does not matter, as long as they are two.
        let homes: Vec<_> = ["net", "mnt"]
            .map(|kind| netns::identity(&NsRef::Path(format!("/proc/self/ns/{kind}").into())).unwrap())
            .map(|home| [(spot("a").object, home), (spot("b").object, home)].into())
            .into();

        for turn in 0..10 {
            assert!(!contest.moved(&homes[turn % 2]));
            assert!(!contest.corrected(&spot("a"), now), "the first in each");
        }
        assert!(contest.corrected(&spot("a"), now));
        assert!(!contest.moved(&homes[1]) && contest.contested().len() == 1, "it is the same still");
        contest.forget(now + minutes(1000));
        assert!(contest.moved(&homes[0]));
        assert!(contest.contested().is_empty());
    }

    #[test]
    fn without_a_limit_nothing_is_contested_and_the_user_settles_what_is() {
        let (mut contest, now) = (Contest::new(None), Instant::now());
        assert!((0..100).all(|_| !contest.corrected(&spot("a"), now)));

        let mut contest = Contest::new(Some(1));
        assert!(contest.corrected(&spot("a"), now));
        contest.settle();
        assert!(contest.contested().is_empty());
    }
}
