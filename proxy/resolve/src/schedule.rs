//! When names are looked up.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use weft_compile::Question;
use weft_resources::DnsRefresh;

/// Lookups under way at a time; more wait, so that ten thousand names do not take ten thousand
/// sockets.
const AT_A_TIME: usize = 64;
/// However small the rates, a name is not looked up again sooner.
const SHORTEST: Duration = Duration::from_millis(1);
/// Beyond this a failure doubles no wait any more.
const MOST_DOUBLINGS: u32 = 30;

/// Every name that clusters are found by, with when it is due.
#[derive(Debug, Default)]
pub struct Schedule {
    entries: BTreeMap<(Arc<str>, Question), Entry>,
}

#[derive(Debug)]
struct Entry {
    refresh: DnsRefresh,
    /// `None` while a lookup is under way.
    due: Option<Instant>,
    failures: u32,
}

/// How a lookup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With an answer, and how long it says it holds.
    Found {
        /// The time to live, if there is one.
        ttl: Option<Duration>,
    },
    /// Without.
    Failed,
}

impl Schedule {
    /// What there is to be looked up from now on. What is new is due at once.
    pub fn follow<'n>(
        &mut self,
        names: impl Iterator<Item = (&'n Arc<str>, &'n Question, DnsRefresh)>,
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.entries);
        self.entries = names
            .map(|(cluster, question, refresh)| {
                let key = (Arc::clone(cluster), question.clone());
                let entry = match before.remove(&key) {
                    Some(entry) if entry.refresh == refresh => entry,
                    // Other rates count from now.
                    Some(entry) => Entry { refresh, due: entry.due.map(|_| now), ..entry },
                    None => Entry { refresh, due: Some(now), failures: 0 },
                };
                (key, entry)
            })
            .collect();
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Instant> {
        if self.under_way() >= AT_A_TIME {
            return None;
        }
        self.entries.values().filter_map(|entry| entry.due).min()
    }

    /// What is due, as far as there is room for it. Each is under way until it has
    /// [`Self::ended`].
    pub fn take_due(&mut self, now: Instant) -> Vec<(Arc<str>, Question)> {
        let room = AT_A_TIME.saturating_sub(self.under_way());
        self.entries
            .iter_mut()
            .filter(|(_, entry)| entry.due.is_some_and(|due| due <= now))
            .take(room)
            .map(|(key, entry)| {
                entry.due = None;
                key.clone()
            })
            .collect()
    }

    /// A lookup has ended. Returns whether anybody still wants to know. `random` is uniformly
    /// random.
    pub fn ended(
        &mut self,
        cluster: &Arc<str>,
        question: &Question,
        ended: Ended,
        now: Instant,
        random: u64,
    ) -> bool {
        let key = (Arc::clone(cluster), question.clone());
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        entry.failures = match ended {
            Ended::Found { .. } => 0,
            Ended::Failed => entry.failures.saturating_add(1),
        };
        entry.due = Some(now + entry.wait(ended, random).max(SHORTEST));
        true
    }

    fn under_way(&self) -> usize {
        self.entries.values().filter(|entry| entry.due.is_none()).count()
    }
}

impl Entry {
    /// How long to wait before the next lookup.
    fn wait(&self, ended: Ended, random: u64) -> Duration {
        let DnsRefresh { rate, respect_ttl, min_rate, jitter, failure } = self.refresh;
        match (ended, failure) {
            (Ended::Found { ttl: Some(ttl) }, _) if respect_ttl => {
                ttl.max(min_rate) + part_of(jitter, random)
            }
            (Ended::Failed, Some(failure)) => {
                let doublings = self.failures.saturating_sub(1).min(MOST_DOUBLINGS);
                let longest = failure.base.saturating_mul(1 << doublings).min(failure.max);
                part_of(longest, random)
            }
            _ => rate + part_of(jitter, random),
        }
    }
}

/// A random part of a duration.
fn part_of(whole: Duration, random: u64) -> Duration {
    let nanos = whole.as_nanos().saturating_mul(u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weft_resources::{DnsQuery, DnsResolver, FailureRefresh, LookupFamily};

    use super::*;

    fn refresh() -> DnsRefresh {
        DnsRefresh {
            rate: Duration::from_secs(5),
            respect_ttl: false,
            min_rate: Duration::from_secs(2),
            jitter: Duration::ZERO,
            failure: None,
        }
    }

    fn question(host: &str) -> Question {
        let query = DnsQuery { family: LookupFamily::Auto, resolver: DnsResolver::default() };
        Question { host: Arc::from(host), is_service: false, query: Arc::new(query) }
    }

    /// One name of one cluster, looked up at `now`.
    fn one(refresh: DnsRefresh, now: Instant) -> (Schedule, Arc<str>, Question) {
        let (cluster, question) = (Arc::from("c"), question("a.test"));
        let mut schedule = Schedule::default();
        schedule.follow([(&cluster, &question, refresh)].into_iter(), now);
        assert_eq!(schedule.take_due(now).len(), 1);
        assert_eq!(schedule.next(), None, "nothing else while it is under way");
        (schedule, cluster, question)
    }

    fn wait_after(refresh: DnsRefresh, ended: &[Ended], random: u64) -> Duration {
        let now = Instant::now();
        let (mut schedule, cluster, question) = one(refresh, now);
        for outcome in ended {
            assert!(schedule.ended(&cluster, &question, *outcome, now, random));
        }
        schedule.next().unwrap() - now
    }

    #[test]
    fn answers_hold_for_the_rate_or_as_long_as_they_say() {
        let second = Duration::from_secs(1);
        let found = |seconds| Ended::Found { ttl: Some(Duration::from_secs(seconds)) };
        assert_eq!(wait_after(refresh(), &[found(60)], 0), 5 * second);
        let by_ttl = DnsRefresh { respect_ttl: true, ..refresh() };
        assert_eq!(wait_after(by_ttl, &[found(60)], 0), 60 * second);
        assert_eq!(wait_after(by_ttl, &[found(1)], 0), 2 * second, "no sooner than the minimum");
        assert_eq!(wait_after(by_ttl, &[Ended::Found { ttl: None }], 0), 5 * second);
        assert_eq!(wait_after(by_ttl, &[Ended::Failed], 0), 5 * second);
        let late = DnsRefresh { jitter: 4 * second, ..refresh() };
        assert_eq!(
            wait_after(late, &[found(9)], u64::MAX / 2),
            7 * second - Duration::from_nanos(1)
        );
    }

    #[test]
    fn failures_wait_longer_and_longer() {
        let second = Duration::from_secs(1);
        let failure = Some(FailureRefresh { base: second, max: 10 * second });
        let doubling = DnsRefresh { failure, ..refresh() };
        for (failures, longest) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (50, 10)] {
            let wait = wait_after(doubling, &vec![Ended::Failed; failures], u64::MAX);
            assert!(longest * second - wait <= Duration::from_nanos(1), "{failures}: {wait:?}");
        }
        let recovered = [Ended::Failed, Ended::Failed, Ended::Found { ttl: None }, Ended::Failed];
        assert!(wait_after(doubling, &recovered, u64::MAX) <= second);
    }

    #[test]
    fn what_nobody_wants_any_more_is_forgotten() {
        let now = Instant::now();
        let (mut schedule, cluster, question) = one(refresh(), now);
        schedule.follow(std::iter::empty(), now);
        assert!(!schedule.ended(&cluster, &question, Ended::Failed, now, 0));
        assert_eq!(schedule.next(), None);
        schedule.follow([(&cluster, &question, refresh())].into_iter(), now);
        assert_eq!(schedule.next(), Some(now), "wanted anew");
    }

    #[test]
    fn only_so_many_are_under_way() {
        let now = Instant::now();
        let cluster: Arc<str> = Arc::from("c");
        let questions: Vec<_> = (0..200).map(|n| question(&format!("h{n}.test"))).collect();
        let mut schedule = Schedule::default();
        schedule.follow(questions.iter().map(|q| (&cluster, q, refresh())), now);
        let first = schedule.take_due(now);
        assert_eq!(first.len(), AT_A_TIME);
        assert!(schedule.take_due(now).is_empty());
        assert_eq!(schedule.next(), None);
        let (cluster, question) = &first[0];
        schedule.ended(cluster, question, Ended::Failed, now, 0);
        assert_eq!(schedule.next(), Some(now));
        assert_eq!(schedule.take_due(now).len(), 1);
    }

    proptest! {
        /// Whatever is asked for: no name is forgotten, and none is under way twice.
        #[test]
        fn every_name_comes_up_again(
            rates in prop::collection::vec((0u64..20, any::<bool>()), 1..10),
            outcomes in prop::collection::vec((any::<bool>(), any::<u64>()), 50),
        ) {
            let mut now = Instant::now();
            let cluster: Arc<str> = Arc::from("c");
            let wanted: Vec<_> = rates.iter().enumerate().map(|(n, (rate, respect_ttl))| {
                let rate = Duration::from_secs(*rate);
                (question(&n.to_string()), DnsRefresh { rate, respect_ttl: *respect_ttl, ..refresh() })
            }).collect();
            let mut schedule = Schedule::default();
            schedule.follow(wanted.iter().map(|(q, refresh)| (&cluster, q, *refresh)), now);
            let mut seen = vec![0u32; wanted.len()];
            for (fails, random) in outcomes {
                now = schedule.next().expect("something is always due").max(now);
                for (cluster, question) in schedule.take_due(now) {
                    seen[question.host.parse::<usize>().unwrap()] += 1;
                    let ended = if fails { Ended::Failed } else { Ended::Found { ttl: None } };
                    prop_assert!(schedule.ended(&cluster, &question, ended, now, random));
                }
            }
            prop_assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
        }
    }
}
