//! A log-linear histogram of durations: eight buckets to each power of two, so any quantile is
//! right to within 12.5 %, in 2.2 KB that are only allocated when something is recorded.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Values below this have a bucket each.
const LINEAR: usize = 16;
/// Buckets to each power of two above.
const PER_OCTAVE: usize = 8;
/// Powers of two covered above [`LINEAR`]: up to 2^37 µs, 38 hours.
const OCTAVES: usize = 33;
const BUCKETS: usize = LINEAR + OCTAVES * PER_OCTAVE;

/// Durations, recorded in microseconds.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: OnceLock<Box<[AtomicU64; BUCKETS]>>,
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn record(&self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        let buckets = self.buckets.get_or_init(|| Box::new([const { AtomicU64::new(0) }; BUCKETS]));
        if let Some(bucket) = buckets.get(index_of(micros)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// A copy to compute from.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let counts: Vec<u64> = self
            .buckets
            .get()
            .map(|buckets| buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect())
            .unwrap_or_default();
        HistogramSnapshot {
            count: counts.iter().sum(),
            sum_micros: self.sum_micros.load(Ordering::Relaxed),
            counts,
        }
    }
}

/// The counts of a [`Histogram`] at one moment.
#[derive(Clone, Debug, Default)]
pub struct HistogramSnapshot {
    counts: Vec<u64>,
    /// Values recorded.
    pub count: u64,
    /// Their sum in microseconds.
    pub sum_micros: u64,
}

impl HistogramSnapshot {
    /// The value below which the share `quantile` (0 to 1) of all values lies, in microseconds;
    /// the middle of its bucket. `None` when nothing was recorded.
    pub fn quantile_micros(&self, quantile: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank between 1 and count"
        )]
        let rank = ((self.count as f64 * quantile).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                let (low, high) = bounds_of(index);
                #[expect(clippy::cast_precision_loss, reason = "microseconds below 2^53")]
                return Some((low as f64 + high as f64) / 2.0);
            }
        }
        None
    }

    /// How many values were at most `micros`. A bucket that the bound cuts counts when its middle
    /// lies below.
    pub fn at_most(&self, micros: u64) -> u64 {
        self.counts
            .iter()
            .enumerate()
            .take_while(|(index, _)| {
                let (low, high) = bounds_of(*index);
                low.midpoint(high) <= micros
            })
            .map(|(_, count)| count)
            .sum()
    }
}

#[inline]
fn index_of(micros: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "both are small")]
    if micros < LINEAR as u64 {
        micros as usize
    } else {
        let exponent = 63 - micros.leading_zeros() as usize;
        let sub = (micros >> (exponent - 3)) as usize & (PER_OCTAVE - 1);
        (LINEAR + (exponent - 4) * PER_OCTAVE + sub).min(BUCKETS - 1)
    }
}

/// The lowest and highest value of a bucket.
fn bounds_of(index: usize) -> (u64, u64) {
    if index < LINEAR {
        return (index as u64, index as u64);
    }
    let exponent = (index - LINEAR) / PER_OCTAVE + 4;
    let sub = ((index - LINEAR) % PER_OCTAVE) as u64;
    let width = 1u64 << (exponent - 3);
    let low = (1u64 << exponent) + sub * width;
    (low, low + width - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_within_its_bucket() {
        for shift in 0..37 {
            for near in [-1i64, 0, 1, 3] {
                let value = (1u64 << shift).saturating_add_signed(near);
                let (low, high) = bounds_of(index_of(value));
                assert!(low <= value && value <= high, "{value} not in {low}..={high}");
            }
        }
    }

    #[test]
    fn quantiles_are_within_an_eighth() {
        let histogram = Histogram::default();
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        let snapshot = histogram.snapshot();
        for (quantile, exact) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let found = snapshot.quantile_micros(quantile).unwrap();
            assert!((found - exact).abs() / exact < 0.125, "p{quantile}: {found} for {exact}");
        }
        assert_eq!(snapshot.count, 1000);
        assert_eq!(snapshot.sum_micros, 500_500);
    }

    #[test]
    fn an_untouched_histogram_has_no_quantile_and_no_buckets() {
        let histogram = Histogram::default();
        assert!(histogram.snapshot().quantile_micros(0.5).is_none());
        assert!(histogram.buckets.get().is_none());
    }
}
