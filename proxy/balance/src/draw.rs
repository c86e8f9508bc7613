//! Several independent numbers from the one random number of a pick.

use crate::latency::Ticks;

/// The increment of SplitMix64: 2^64 divided by the golden ratio.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a pick is decided by besides the request: a number that is uniformly random, and the time,
/// where balancing goes by that.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    /// The number.
    pub random: u64,
    /// The time, if that is known.
    pub now: Option<Ticks>,
}

impl From<u64> for Chance {
    fn from(random: u64) -> Self {
        Self { random, now: None }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014). The caller uses the same random number for other
/// decisions, so it is never used unmixed.
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(random: u64) -> Self {
        Self(random)
    }

    #[inline]
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    #[inline]
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        scale(self.number(), bound)
    }
}

/// Maps all of `u64` evenly onto `0..bound`.
#[inline]
pub(crate) fn scale(number: u64, bound: u64) -> u64 {
    let product = u128::from(number) * u128::from(bound);
    // Always fits: the product of two u64 shifted by 64 is below `bound`.
    u64::try_from(product >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_evenly() {
        let mut counts = [0u32; 10];
        for random in 0..10_000 {
            counts[usize::try_from(Draw::new(random).below(10)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }

    #[test]
    fn scaling_covers_the_bounds() {
        assert_eq!(scale(0, 7), 0);
        assert_eq!(scale(u64::MAX, 7), 6);
        assert_eq!(scale(u64::MAX, u64::MAX), u64::MAX - 1);
    }
}
