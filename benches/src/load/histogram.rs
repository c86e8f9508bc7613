//! Latencies counted in buckets that are fine everywhere: 64 per doubling.

use std::time::Duration;

/// Each doubling of the value has `1 << FINE` buckets: values are off by 1.6 % at most.
const FINE: u32 = 6;
const BUCKETS: usize = (64 - FINE as usize + 1) << FINE;

/// A histogram of durations with nanosecond input and at most 1.6 % error.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// How many durations were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration that `per_mille` of 1,000 stay within; `None` while empty.
    pub fn percentile(&self, per_mille: u64) -> Option<Duration> {
        if self.total == 0 {
            return None;
        }
        let wanted = (self.total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        self.counts.iter().enumerate().find_map(|(index, count)| {
            seen += count;
            (seen >= wanted).then(|| Duration::from_nanos(upper_bound(index)))
        })
    }
}

/// The bucket of a value: exact below 64, then the top 7 bits decide.
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - FINE).saturating_sub(value.leading_zeros() + 1);
    let bucket = (u64::from(shift) << FINE) + (value >> shift);
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// The largest value that falls into a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket >> FINE).saturating_sub(1);
    let top = bucket - (shift << FINE);
    (top << shift) | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_close_to_its_bound() {
        let mut value = 1_u64;
        while value < u64::MAX / 3 {
            for candidate in [value - 1, value, value + 1, value + value / 3] {
                let index = bucket(candidate);
                let upper = upper_bound(index);
                assert!(index < BUCKETS, "{candidate}");
                assert!(upper >= candidate, "{candidate} above {upper}");
                assert!(upper - candidate <= candidate / 64, "{candidate} {upper}");
                if index > 0 {
                    assert!(upper_bound(index - 1) < candidate, "{candidate}");
                }
            }
            value *= 2;
        }
    }

    #[test]
    fn percentiles_of_a_known_series() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(500), None);
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        assert_eq!(histogram.total(), 1000);
        for (per_mille, micros) in [(500, 500.0), (990, 990.0), (999, 999.0)] {
            let found = histogram.percentile(per_mille).unwrap().as_secs_f64() * 1e6;
            assert!((found / micros - 1.0).abs() < 0.017, "{found} {micros}");
        }
    }
}
