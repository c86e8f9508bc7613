//! How long an endpoint takes to answer: an average that forgets what is old, and that anything
//! worse replaces at once (peak EWMA, after Finagle's description of it).

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A moment, in milliseconds after one that all who measure agree on. It starts anew after 49 days,
/// as only differences count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks(u32);

impl Ticks {
    /// The moment that is so long after the agreed one.
    pub fn after(start: Duration) -> Self {
        // What is above 32 bits is what starts anew.
        Self(u32::try_from(start.as_millis() & u128::from(u32::MAX)).unwrap_or(0))
    }

    /// Milliseconds from an earlier moment to this one; none where that was not earlier, which
    /// happens to threads that measure at the same time.
    fn since(self, earlier: Self) -> u32 {
        let passed = self.0.wrapping_sub(earlier.0);
        if passed > u32::MAX / 2 { 0 } else { passed }
    }
}

/// Time for which measurements count; at least a millisecond.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay(f32);

impl Decay {
    /// After this time a measurement counts by a factor of e less.
    pub const fn over(time: Duration) -> Self {
        Self((time.as_secs_f32() * 1_000.0).max(1.0))
    }

    /// What is left of a measurement.
    fn left(self, passed: u32) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "a share of a time need not be exact")]
        let passed = passed as f32;
        (-passed / self.0).exp()
    }
}

/// What was measured at an endpoint, by all workers.
///
/// Microseconds as a float in the lower half, the moment of the last measurement in the upper one:
/// both change together, and nobody waits for anybody.
#[derive(Debug, Default)]
pub(crate) struct Latency(AtomicU64);

/// Nothing took no time at all: 0 says that nothing was measured.
const LEAST: f32 = 1.0;

impl Latency {
    /// Takes note of an answer.
    pub(crate) fn answered(&self, took: Duration, now: Ticks, decay: Decay) {
        self.note(now, |before, passed| {
            let took = micros(took);
            if took > before {
                return took;
            }
            let left = decay.left(passed);
            before * left + took * (1.0 - left)
        });
    }

    /// Takes note of a failure: twice what answers take, if it did not take longer. An endpoint that
    /// is quick to fail is not quick.
    pub(crate) fn failed(&self, took: Duration, now: Ticks, decay: Decay) {
        self.note(now, |before, passed| micros(took).max(2.0 * before * decay.left(passed)));
    }

    /// Microseconds that an answer would take; `None` where nothing was measured yet.
    pub(crate) fn expected(&self, now: Option<Ticks>, decay: Decay) -> Option<f32> {
        let (at, micros) = unpack(self.0.load(Ordering::Relaxed));
        let passed = now.map_or(0, |now| now.since(at));
        (micros > 0.0).then(|| micros * decay.left(passed))
    }

    fn note(&self, now: Ticks, next: impl Fn(f32, u32) -> f32) {
        // Always succeeds in the end: the closure never declines.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            let (at, before) = unpack(held);
            Some(pack(now, next(before, now.since(at)).clamp(LEAST, f32::MAX)))
        });
    }
}

fn micros(took: Duration) -> f32 {
    (took.as_secs_f32() * 1e6).max(LEAST)
}

fn pack(at: Ticks, micros: f32) -> u64 {
    u64::from(at.0) << 32 | u64::from(micros.to_bits())
}

fn unpack(held: u64) -> (Ticks, f32) {
    let [a, b, c, d, e, f, g, h] = held.to_be_bytes();
    (Ticks(u32::from_be_bytes([a, b, c, d])), f32::from_bits(u32::from_be_bytes([e, f, g, h])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const DECAY: Decay = Decay(1_000.0);

    fn is_near(seen: Option<f32>, expected: f32) -> bool {
        seen.is_some_and(|seen| (seen - expected).abs() <= expected * 0.001)
    }

    #[test]
    fn what_is_worse_counts_at_once_and_what_is_better_with_time() {
        let latency = Latency::default();
        assert_eq!(latency.expected(Some(Ticks(0)), DECAY), None);
        latency.answered(10 * MS, Ticks(0), DECAY);
        assert!(is_near(latency.expected(Some(Ticks(0)), DECAY), 10_000.0));
        latency.answered(30 * MS, Ticks(1), DECAY);
        assert!(is_near(latency.expected(Some(Ticks(1)), DECAY), 30_000.0));
        // At the same moment there is no time that could have passed.
        latency.answered(10 * MS, Ticks(1), DECAY);
        assert!(is_near(latency.expected(Some(Ticks(1)), DECAY), 30_000.0));
        latency.answered(10 * MS, Ticks(1_001), DECAY);
        let left = (-1.0f32).exp();
        assert!(is_near(
            latency.expected(Some(Ticks(1_001)), DECAY),
            30_000.0 * left + 10_000.0 * (1.0 - left)
        ));
    }

    #[test]
    fn nothing_heard_is_forgotten() {
        let latency = Latency::default();
        latency.answered(10 * MS, Ticks(0), DECAY);
        assert!(is_near(latency.expected(Some(Ticks(2_000)), DECAY), 10_000.0 * (-2.0f32).exp()));
        assert!(is_near(latency.expected(None, DECAY), 10_000.0));
    }

    #[test]
    fn failing_fast_is_not_being_fast() {
        let latency = Latency::default();
        latency.answered(10 * MS, Ticks(0), DECAY);
        latency.failed(Duration::ZERO, Ticks(0), DECAY);
        assert!(is_near(latency.expected(Some(Ticks(0)), DECAY), 20_000.0));
        latency.failed(50 * MS, Ticks(0), DECAY);
        assert!(is_near(latency.expected(Some(Ticks(0)), DECAY), 50_000.0));
    }

    #[test]
    fn time_may_start_anew() {
        let latency = Latency::default();
        latency.answered(10 * MS, Ticks(u32::MAX - 499), DECAY);
        assert!(is_near(latency.expected(Some(Ticks(500)), DECAY), 10_000.0 * (-1.0f32).exp()));
        assert_eq!(Ticks::after(Duration::from_millis((1 << 32) + 7)), Ticks(7));
        assert_eq!(Ticks(3).since(Ticks(5)), 0);
    }

    proptest! {
        /// It is never above the worst that was seen nor below what is left of the best.
        #[test]
        fn the_average_stays_within_what_was_measured(
            measured in prop::collection::vec((1u64..1_000_000, 0u32..5_000), 1..60),
        ) {
            let latency = Latency::default();
            let mut now = 0;
            for (took, passed) in &measured {
                now += passed;
                latency.answered(Duration::from_micros(*took), Ticks(now), DECAY);
            }
            let seen = latency.expected(Some(Ticks(now)), DECAY).unwrap();
            let (least, most) = (
                measured.iter().map(|it| it.0).min().unwrap() as f32,
                measured.iter().map(|it| it.0).max().unwrap() as f32,
            );
            prop_assert!(seen >= least * 0.999 && seen <= most * 1.001, "{} in {}..{}", seen, least, most);
        }
    }
}
