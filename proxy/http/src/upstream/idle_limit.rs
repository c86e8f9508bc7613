//! How long an upstream keeps an idle connection, as far as that can be known.
//!
//! A request that is sent on a connection just when the upstream closes it for being idle may be
//! lost. So connections are not used any more shortly before that: upstreams say when it is
//! (`Keep-Alive: timeout=5`), or can be seen to close again and again at the same age.

use std::time::{Duration, Instant};

/// Ages at which connections were closed count as the same within this: they are looked through
/// once a second.
const SAME: Duration = Duration::from_millis(1_500);
/// Two closes within this have one cause, such as a restart, and are one observation.
const ONE_CAUSE: Duration = Duration::from_secs(2);
/// What was observed is forgotten after this, since an upstream may have been configured anew.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Connections are given up this much earlier than the upstream is expected to.
const MARGIN: Duration = Duration::from_secs(1);

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct IdleLimit {
    announced: Option<Duration>,
    /// An age at which a connection was closed, and when that was.
    suspected: Option<(Duration, Instant)>,
    /// An age that was seen twice, and when last.
    observed: Option<(Duration, Instant)>,
}

impl IdleLimit {
    /// The upstream said `Keep-Alive: timeout=…`.
    pub(crate) fn announce(&mut self, limit: Duration) {
        self.announced = Some(limit);
    }

    /// The upstream closed a connection that had been idle for `age`.
    pub(crate) fn closed(&mut self, age: Duration, now: Instant) {
        match self.suspected {
            Some((_, at)) if now.saturating_duration_since(at) < ONE_CAUSE => {}
            Some((before, _)) if before.abs_diff(age) <= SAME => {
                self.observed = Some((before.min(age), now));
                self.suspected = Some((before.min(age), now));
            }
            _ => self.suspected = Some((age, now)),
        }
    }

    /// How long a connection may be idle and still be used; `None` when nothing is known.
    pub(crate) fn usable_for(&self, now: Instant) -> Option<Duration> {
        let observed = self
            .observed
            .filter(|(_, at)| now.saturating_duration_since(*at) < FORGET_AFTER)
            // It was seen up to a look later than it happened.
            .map(|(age, _)| age.saturating_sub(MARGIN));
        let limit = match (self.announced, observed) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other)?,
        };
        Some(limit.saturating_sub(MARGIN.min(limit / 2)))
    }
}

/// The `timeout` parameter of a `Keep-Alive` header.
pub(crate) fn announced(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    text.split(',').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
        let seconds = value.trim().trim_matches('"').parse::<u32>().ok().filter(|_| is_timeout)?;
        Some(Duration::from_secs(seconds.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn what_is_announced_is_undercut() {
        let mut limit = IdleLimit::default();
        let now = Instant::now();
        assert_eq!(limit.usable_for(now), None);
        limit.announce(seconds(5));
        assert_eq!(limit.usable_for(now), Some(seconds(4)));
        limit.announce(seconds(1));
        assert_eq!(limit.usable_for(now), Some(seconds(1) / 2));
        limit.announce(seconds(0));
        assert_eq!(limit.usable_for(now), Some(seconds(0)));
    }

    #[test]
    fn closes_at_the_same_age_are_learnt_from_and_forgotten_again() {
        let mut limit = IdleLimit::default();
        let began = Instant::now();
        limit.closed(seconds(10), began);
        assert_eq!(limit.usable_for(began), None, "once is chance");
        let again = began + seconds(60);
        limit.closed(seconds(11), again);
        assert_eq!(limit.usable_for(again), Some(seconds(8)));
        assert_eq!(limit.usable_for(again + seconds(599)), Some(seconds(8)));
        assert_eq!(limit.usable_for(again + seconds(601)), None);
    }

    #[test]
    fn a_restart_says_nothing_about_idle_connections() {
        let mut limit = IdleLimit::default();
        let now = Instant::now();
        for age in [3, 3, 3, 40] {
            limit.closed(seconds(age), now);
        }
        assert_eq!(limit.usable_for(now), None);
        limit.closed(seconds(20), now + seconds(100));
        assert_eq!(limit.usable_for(now + seconds(100)), None, "another age");
    }

    #[test]
    fn keep_alive_headers() {
        assert_eq!(announced(b"timeout=5, max=100"), Some(seconds(5)));
        assert_eq!(announced(b"max=100, Timeout = \"7\""), Some(seconds(7)));
        for other in ["", "timeout", "timeout=", "timeout=-1", "max=3", "timeout=99999999999"] {
            assert_eq!(announced(other.as_bytes()), None, "{other}");
        }
        assert_eq!(announced(b"timeout=\xff"), None);
    }
}
