//! A token bucket without a lock.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Parts of a nanosecond that times are counted in, so that billions of tokens a second are told
/// apart. A count lasts for 36 years.
const TICKS: u128 = 16;
/// Bits of the ticks in which a bucket fills up.
const CAPACITY_BITS: u32 = 62;

/// `envoy.type.v3.TokenBucket`: how many tokens a bucket has, and how they come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fill {
    /// `max_tokens`: so many at first, and never more.
    pub most: u32,
    /// `tokens_per_fill` come back,
    pub tokens: u32,
    /// evenly over each `fill_interval`.
    pub interval: Duration,
}

/// Tokens that are taken one by one and come back with time, evenly. Exact, however many threads
/// take at once: between two moments no more are given out than were there at the first and have come
/// back since.
///
/// What is kept is the moment at which the bucket would have been empty: the tokens that have come
/// back since then are there.
#[derive(Debug)]
pub struct TokenBucket {
    /// When it was asked first. Until then it is full, whenever it was made.
    began: OnceLock<Instant>,
    most: u64,
    /// Ticks in which one token comes back.
    pace: u64,
    /// Where filling up takes longer than can be counted, ticks are longer by this power of two.
    coarser: u32,
    /// Ticks since it was empty last, counted from `most * pace` before it began.
    empty_at: AtomicU64,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(fill: Fill) -> Self {
        let whole = fill.interval.as_nanos() * TICKS;
        // No token may come back early, so what does not divide is rounded up.
        let pace = whole.div_ceil(u128::from(fill.tokens.max(1))).max(1);
        let most = u64::from(fill.most);
        let bits = (u128::BITS - pace.leading_zeros()) + (u64::BITS - most.leading_zeros());
        let coarser = bits.saturating_sub(CAPACITY_BITS);
        let rounded = if coarser == 0 { pace } else { (pace >> coarser) + 1 };
        let pace = u64::try_from(rounded).unwrap_or(u64::MAX);
        Self { began: OnceLock::new(), most, pace, coarser, empty_at: AtomicU64::new(0) }
    }

    /// Takes a token, if there is one.
    pub fn take(&self, now: Instant) -> bool {
        self.take_all(now, 1)
    }

    /// Takes so many tokens, if there are as many.
    pub fn take_all(&self, now: Instant, tokens: u64) -> bool {
        let now = self.ticks(now);
        let cost = self.pace.saturating_mul(tokens);
        let taken = |empty_at: u64| {
            let from = empty_at.max(now.saturating_sub(self.capacity()));
            let left = from.saturating_add(cost);
            (left <= now).then_some(left)
        };
        self.empty_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// How many tokens there are.
    pub fn left(&self, now: Instant) -> u64 {
        let back = self.ticks(now).saturating_sub(self.empty_at.load(Ordering::Relaxed));
        (back / self.pace).min(self.most)
    }

    /// How many there are when it is full.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// How long it is from one token to the next where they come back.
    pub fn pace(&self) -> Duration {
        let ticks = u128::from(self.pace) << self.coarser;
        Duration::from_nanos(u64::try_from(ticks.div_ceil(TICKS)).unwrap_or(u64::MAX))
    }

    /// How long it is until there is a token; nothing when there is one.
    pub fn wait(&self, now: Instant) -> Duration {
        let next = self.empty_at.load(Ordering::Relaxed).saturating_add(self.pace);
        let ticks = u128::from(next.saturating_sub(self.ticks(now))) << self.coarser;
        Duration::from_nanos(u64::try_from(ticks.div_ceil(TICKS)).unwrap_or(u64::MAX))
    }

    /// Ticks in which it fills up.
    fn capacity(&self) -> u64 {
        self.most.saturating_mul(self.pace)
    }

    /// A moment as ticks. It begins full.
    fn ticks(&self, now: Instant) -> u64 {
        let began = *self.began.get_or_init(|| now);
        let since = (now.saturating_duration_since(began).as_nanos() * TICKS) >> self.coarser;
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(self.capacity())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    fn fill(most: u32, tokens: u32, millis: u64) -> Fill {
        Fill { most, tokens, interval: Duration::from_millis(millis) }
    }

    fn taken(bucket: &TokenBucket, now: Instant) -> usize {
        std::iter::repeat_with(|| bucket.take(now)).take_while(|taken| *taken).count()
    }

    #[test]
    fn tokens_come_back_evenly_and_no_more_than_fit() {
        let began = Instant::now();
        let bucket = TokenBucket::new(fill(4, 2, 100));
        let at = |millis| began + Duration::from_millis(millis);
        assert_eq!((bucket.left(began), bucket.wait(began)), (4, Duration::ZERO));
        assert_eq!(taken(&bucket, began), 4);
        assert_eq!(bucket.wait(began), Duration::from_millis(50));
        assert_eq!(taken(&bucket, at(49)), 0);
        assert_eq!(taken(&bucket, at(50)), 1);
        assert_eq!(taken(&bucket, at(149)), 1);
        assert_eq!(bucket.wait(at(149)), Duration::from_millis(1));
        assert_eq!(taken(&bucket, at(150)), 1);
        assert_eq!(bucket.left(at(10_000)), 4);
        assert_eq!(taken(&bucket, at(10_000)), 4);
        assert_eq!(taken(&bucket, began), 0, "time that runs backwards brings nothing");
    }

    #[test]
    fn absurd_settings_neither_panic_nor_give_too_much() {
        let began = Instant::now();
        let years = Duration::from_secs(u64::MAX);
        let endless = TokenBucket::new(Fill { most: 2, tokens: 1, interval: years });
        assert_eq!(taken(&endless, began + Duration::from_secs(3600)), 2);
        let fast = TokenBucket::new(fill(3, u32::MAX, 1));
        assert_eq!(taken(&fast, began), 3);
        assert_eq!(taken(&fast, began + Duration::from_secs(1)), 3);
        let huge = TokenBucket::new(Fill { most: u32::MAX, tokens: 1, interval: years });
        assert!(huge.take(began));
        assert_eq!(huge.left(began + Duration::from_secs(3600)), u64::from(u32::MAX) - 1);
        let slow = TokenBucket::new(fill(u32::MAX, 1, 3_600_000));
        assert!(slow.take(began));
        assert!(slow.wait(began + Duration::from_secs(1)) == Duration::ZERO);
        assert_eq!(slow.left(began + Duration::from_secs(3599)), u64::from(u32::MAX) - 1);
        assert_eq!(slow.left(began + Duration::from_secs(3601)), u64::from(u32::MAX));
        let none = TokenBucket::new(fill(0, 1, 1));
        assert_eq!(taken(&none, began + Duration::from_secs(9)), 0);
    }

    #[test]
    fn tokens_are_taken_together_or_not_at_all() {
        let began = Instant::now();
        let bucket = TokenBucket::new(fill(4, 1, 100));
        assert!(!bucket.take_all(began, 5) && !bucket.take_all(began, u64::MAX));
        assert!(bucket.take_all(began, 3) && !bucket.take_all(began, 2));
        assert!(bucket.take_all(began, 0) && bucket.take_all(began, 1));
        assert_eq!(bucket.left(began), 0);
    }

    #[test]
    fn many_threads_take_no_more_than_there_is() {
        let began = Instant::now();
        let bucket = TokenBucket::new(fill(1000, 1, 3_600_000));
        let all: usize = thread::scope(|scope| {
            let takers: Vec<_> = (0..4).map(|_| scope.spawn(|| taken(&bucket, began))).collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(all, 1000);
    }

    proptest! {
        /// Against counting with fractions: whatever the settings and whenever it is asked.
        #[test]
        fn it_never_gives_more_than_it_should(
            most in 1u32..50,
            tokens in 1u32..50,
            millis in 1u64..500,
            steps in prop::collection::vec(0u64..400, 1..60),
        ) {
            let began = Instant::now();
            let bucket = TokenBucket::new(fill(most, tokens, millis));
            let mut now = began;
            let mut there = f64::from(most);
            for step in steps {
                now += Duration::from_millis(step);
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let back = step as f64 * f64::from(tokens) / millis as f64;
                there = (there + back).min(f64::from(most));
                let may = there + 1e-6 >= 1.0;
                let left = bucket.left(now);
                let took = bucket.take(now);
                prop_assert_eq!(took, left > 0);
                // A fraction of a token may be missing by rounding, never be too much.
                if took {
                    prop_assert!(may);
                    there -= 1.0;
                } else {
                    prop_assert!(there < 1.0 + 1e-3);
                }
            }
        }
    }
}
