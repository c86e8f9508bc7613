//! How long nearly all answers take, as far as was seen lately.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::latencies::Latencies;

const MILLION: u32 = 1_000_000;
/// Nothing is said before so many answers were seen.
const LEAST_SAMPLES: u32 = 100;
/// So many of them took longer than what is said, or chance says it.
const LEAST_BEYOND: u32 = 10;
/// What was seen counts half as much after this time, or after as many answers as it takes to say anything if
/// those take longer to come.
const HALVED_AFTER: Duration = Duration::from_secs(1);

/// A share of answers, which is neither none nor all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantile {
    millionths: u32,
}

impl Quantile {
    /// A share from a millionth to all but a millionth; `None` for any other number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1")]
    pub fn of(share: f64) -> Option<Self> {
        let is_share = share > 0.0 && share < 1.0;
        let millionths = if is_share { (share * f64::from(MILLION)).round() as u32 } else { 0 };
        (1..MILLION).contains(&millionths).then_some(Self { millionths })
    }

    /// As a number between 0 and 1.
    pub fn share(self) -> f64 {
        f64::from(self.millionths) / f64::from(MILLION)
    }

    /// How many answers say something about it.
    fn samples(self) -> u32 {
        let beyond = MILLION - self.millionths;
        LEAST_SAMPLES.max((LEAST_BEYOND * (MILLION / beyond)).min(MILLION))
    }
}

/// Says within which time that share of answers came, by what all threads tell it. Nobody waits for
/// anybody.
#[derive(Debug)]
pub struct Usual {
    quantile: Quantile,
    began: OnceLock<Instant>,
    latencies: Latencies,
    /// From when on what was seen may be halved, in nanoseconds.
    due: AtomicU64,
    /// What is said, in nanoseconds; 0 for nothing.
    said: AtomicU64,
}

impl Usual {
    /// One that has seen nothing.
    #[must_use]
    pub fn new(quantile: Quantile) -> Self {
        Self {
            quantile,
            began: OnceLock::new(),
            latencies: Latencies::new(),
            due: AtomicU64::new(0),
            said: AtomicU64::new(0),
        }
    }

    /// The share of answers that it is about.
    pub fn quantile(&self) -> Quantile {
        self.quantile
    }

    /// Takes note of an answer, or of somebody who did not wait for it any longer than this.
    pub fn took(&self, time: Duration, now: Instant) {
        self.latencies.record(nanos(time));
        if self.latencies.samples() < self.quantile.samples() {
            return;
        }
        let now = nanos(now.saturating_duration_since(*self.began.get_or_init(|| now)));
        let due = self.due.load(Ordering::Relaxed);
        let next = now.saturating_add(nanos(HALVED_AFTER));
        // One thread reckons; the others go on.
        if now >= due
            && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            && let Some(found) = self.latencies.halve(self.quantile.millionths)
        {
            self.said.store(found.max(1), Ordering::Relaxed);
        }
    }

    /// The time; `None` where too little was seen.
    pub fn time(&self) -> Option<Duration> {
        let said = self.said.load(Ordering::Relaxed);
        (said > 0).then(|| Duration::from_nanos(said))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn usual(share: f64) -> Usual {
        Usual::new(Quantile::of(share).unwrap())
    }

    #[test]
    fn a_share_is_neither_none_nor_all() {
        for share in [0.0, 1.0, -0.5, 1.5, f64::NAN, f64::INFINITY, 1e-9, 1.0 - 1e-9] {
            assert_eq!(Quantile::of(share), None, "{share}");
        }
        assert_eq!(Quantile::of(0.95).unwrap().samples(), 200);
        assert_eq!(Quantile::of(0.5).unwrap().samples(), LEAST_SAMPLES);
        assert!(Quantile::of(0.999_999).unwrap().samples() <= MILLION);
    }

    #[test]
    fn nothing_is_said_of_what_was_hardly_seen() {
        let (usual, now) = (usual(0.95), Instant::now());
        for _ in 1..200 {
            usual.took(MS, now);
            assert_eq!(usual.time(), None);
        }
        usual.took(MS, now);
        let said = usual.time().unwrap();
        assert!(said.abs_diff(MS) <= MS / 32, "{said:?}");
    }

    #[test]
    fn what_changed_is_said_before_long() {
        let (usual, mut now) = (usual(0.9), Instant::now());
        (0..1_000).for_each(|_| usual.took(MS, now));
        for _ in 0..10 {
            now += HALVED_AFTER;
            (0..1_000).for_each(|_| usual.took(20 * MS, now));
        }
        assert!(usual.time().unwrap() > 19 * MS);
    }

    #[test]
    fn all_threads_tell_the_same_one() {
        let (usual, now) = (usual(0.5), Instant::now());
        thread::scope(|scope| {
            for at in 0..4_u32 {
                let usual = &usual;
                scope.spawn(move || {
                    for turn in 0..2_000_u32 {
                        usual.took(MS * (1 + at), now + HALVED_AFTER * turn);
                    }
                });
            }
        });
        let said = usual.time().unwrap();
        assert!(said >= MS * 31 / 32 && said <= 5 * MS, "{said:?}");
    }

    proptest! {
        #[test]
        fn it_agrees_with_all_that_was_seen(
            times in prop::collection::vec(1_u64..10_000_000_000, 300..600),
            share in 0.05..0.97_f64,
        ) {
            let usual = usual(share);
            let now = Instant::now();
            let quantile = usual.quantile();
            let enough = quantile.samples() as usize;
            prop_assume!(times.len() >= enough);
            times.iter().for_each(|time| usual.took(Duration::from_nanos(*time), now));
            // It is reckoned when there are enough for the first time.
            let mut seen = times[..enough].to_vec();
            seen.sort_unstable();
            let rank = (enough * quantile.millionths as usize).div_ceil(MILLION as usize);
            let (said, exact) = (nanos(usual.time().unwrap()), seen[rank.max(1) - 1]);
            prop_assert!(said.abs_diff(exact) <= exact / 32 + 1, "{said} for {exact}");
        }
    }
}
