//! A limit of how fast requests follow each other (`rate_limit_settings`).

use std::time::{Duration, Instant};

use weft_compile::RateLimit;

/// A bucket of tokens, full at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    limit: Option<RateLimit>,
    tokens: u32,
    filled: Instant,
}

impl Throttle {
    pub(crate) fn new(limit: Option<RateLimit>, now: Instant) -> Self {
        Self { limit, tokens: limit.map_or(0, |limit| limit.burst), filled: now }
    }

    /// Takes a token, and says how long to wait for it.
    pub(crate) fn take(&mut self, now: Instant) -> Duration {
        let Some(RateLimit { burst, interval }) = self.limit else { return Duration::ZERO };
        let interval = interval.max(Duration::from_nanos(1));
        let fresh = now.saturating_duration_since(self.filled).as_nanos() / interval.as_nanos();
        let fresh = u32::try_from(fresh).unwrap_or(u32::MAX);
        if fresh > 0 {
            self.tokens = self.tokens.saturating_add(fresh).min(burst);
            let full = self.tokens == burst;
            self.filled = if full { now } else { self.filled + interval * fresh };
        }
        if self.tokens > 0 {
            self.tokens -= 1;
            return Duration::ZERO;
        }
        // The next token is spoken for.
        self.filled += interval;
        self.filled.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_its_rate() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let limit = RateLimit { burst: 2, interval: second };
        let mut throttle = Throttle::new(Some(limit), start);
        let waits: Vec<_> = (0..4).map(|_| throttle.take(start).as_secs()).collect();
        assert_eq!(waits, [0, 0, 1, 2]);
        let later = start + Duration::from_secs(60);
        let waits: Vec<_> = (0..3).map(|_| throttle.take(later).as_secs()).collect();
        assert_eq!(waits, [0, 0, 1], "no more than a burst is saved up");
        let mut free = Throttle::new(None, start);
        assert!((0..1000).all(|_| free.take(start).is_zero()));
    }
}
