//! When to connect again.

use std::time::Duration;

/// Exponential backoff with full jitter: the n-th attempt waits for a random part of
/// `base × 2ⁿ`, at most of `cap`. Many clients that lose one server come back spread out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the first attempt.
    pub base: Duration,
    /// The longest wait before any attempt.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(500), cap: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait before an attempt after `failures` earlier ones. `random` is uniform.
    pub fn wait(self, failures: u32, random: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        let ceiling = self.base.saturating_mul(factor).min(self.cap);
        ceiling.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap_and_jitter_fills_it() {
        let backoff = Backoff::default();
        let ceilings =
            [0, 1, 2, 6, 31, 32, u32::MAX].map(|n| backoff.wait(n, u32::MAX).as_millis());
        assert_eq!(ceilings, [500, 1000, 2000, 30_000, 30_000, 30_000, 30_000]);
        assert_eq!(backoff.wait(5, 0), Duration::ZERO);
    }
}
