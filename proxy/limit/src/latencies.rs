//! How long things took, as counts that all threads add to.

use std::sync::atomic::{AtomicU32, Ordering};

/// Each power of two is told apart into so many parts, so a value is known to 3 %.
const PARTS: usize = 32;
const PART_BITS: u32 = PARTS.trailing_zeros();
/// Longer than this power of two of nanoseconds (18 minutes) is all the same.
const LONGEST: u32 = 40;
const PLACES: usize = (LONGEST - PART_BITS + 2) as usize * PARTS;

/// Counts of nanoseconds by their size.
#[derive(Debug)]
pub(crate) struct Latencies {
    places: Box<[AtomicU32]>,
    samples: AtomicU32,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let places = (0..PLACES).map(|_| AtomicU32::new(0)).collect();
        Self { places, samples: AtomicU32::new(0) }
    }

    pub(crate) fn record(&self, nanos: u64) {
        if let Some(place) = self.places.get(place_of(nanos)) {
            place.fetch_add(1, Ordering::Relaxed);
            self.samples.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many there are.
    pub(crate) fn samples(&self) -> u32 {
        self.samples.load(Ordering::Relaxed)
    }

    /// Takes all out, and says below what so many millionths of them are.
    pub(crate) fn take(&self, millionths: u32) -> Option<u64> {
        self.lessen(millionths, |_| 0)
    }

    /// Says below what so many millionths of them are. From here on they count half as much; the
    /// samples are counted anew.
    pub(crate) fn halve(&self, millionths: u32) -> Option<u64> {
        self.lessen(millionths, |count| count / 2)
    }

    fn lessen(&self, millionths: u32, left: impl Fn(u32) -> u32) -> Option<u64> {
        self.samples.store(0, Ordering::Relaxed);
        let counts = || self.places.iter().map(|place| u64::from(place.load(Ordering::Relaxed)));
        let rank = (counts().sum::<u64>() * u64::from(millionths)).div_ceil(1_000_000).max(1);
        let mut below = 0;
        let found = counts().position(|count| {
            below += count;
            below >= rank
        });
        for place in &self.places {
            // Always succeeds in the end: the closure never declines.
            let _ = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| Some(left(it)));
        }
        found.map(middle_of)
    }
}

fn place_of(nanos: u64) -> usize {
    let nanos = nanos.min((1 << (LONGEST + 1)) - 1);
    // Below the first power of two with parts, each value has its own place.
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(PART_BITS + 1);
    let part = usize::try_from(nanos >> shift).unwrap_or(usize::MAX);
    shift as usize * PARTS + part
}

fn middle_of(place: usize) -> u64 {
    let shift = (place / PARTS).saturating_sub(1);
    let part = (place - shift * PARTS) as u64;
    (part << shift) + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_of_them_is_below() {
        let latencies = Latencies::new();
        assert_eq!(latencies.take(500_000), None);
        (1..=20).for_each(|nanos| latencies.record(nanos));
        assert_eq!(latencies.samples(), 20);
        assert_eq!(latencies.take(500_000), Some(10));
        assert_eq!((latencies.samples(), latencies.take(500_000)), (0, None));
        (1..=20).for_each(|nanos| latencies.record(nanos));
        assert_eq!(latencies.take(0), Some(1));
        (1..=20).for_each(|nanos| latencies.record(nanos));
        assert_eq!(latencies.take(1_000_000), Some(20));
        (0..10).for_each(|_| latencies.record(3));
        (0..4).for_each(|_| latencies.record(7));
        assert_eq!(latencies.halve(900_000), Some(7));
        assert_eq!(latencies.samples(), 0);
        (0..3).for_each(|_| latencies.record(7));
        assert_eq!(latencies.take(500_000), Some(3), "5 and 2 + 3 are left");
    }

    proptest! {
        #[test]
        fn a_value_is_known_to_three_percent(nanos: u64, small in 0_u64..1 << LONGEST) {
            prop_assert!(place_of(nanos) < PLACES);
            let told = middle_of(place_of(small));
            prop_assert!(told.abs_diff(small) * 32 <= small, "{small}: {told}");
        }
    }
}
