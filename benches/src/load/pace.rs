//! When requests are due.

use std::time::{Duration, Instant};

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// A request is due as soon as another has ended: the most a peer can do.
    Closed,
    /// Requests are due by the clock, whether or not earlier ones were answered, and
    /// their latency counts from then. A peer that stalls is thereby charged for
    /// everybody who had to wait, not for one slow request. The gaps between them vary
    /// as with many independent users (a Poisson process), alike in every session.
    Open {
        /// Requests due per second, on average.
        per_second: u32,
    },
}

/// The same gaps for every peer.
const SEED: u64 = 0x5EED;

/// A pace under way.
pub(crate) struct Schedule {
    timed: Option<Timed>,
    /// No request is due from this instant on.
    end: Option<Instant>,
}

struct Timed {
    mean_gap: f64,
    gaps: fastrand::Rng,
    /// When the next request is due.
    next: Instant,
}

impl Schedule {
    pub(crate) fn new(pace: Pace, start: Instant) -> Self {
        let timed = match pace {
            Pace::Closed => None,
            Pace::Open { per_second } => Some(Timed {
                mean_gap: 1.0 / f64::from(per_second.max(1)),
                gaps: fastrand::Rng::with_seed(SEED),
                next: start,
            }),
        };
        Self { timed, end: None }
    }

    /// Lets nothing be due at or after `end`.
    pub(crate) fn stop_at(&mut self, end: Instant) {
        self.end = Some(end);
    }

    /// Takes the next request that is due, and says since when.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.peek(now)?;
        if let Some(timed) = &mut self.timed {
            // 1 - u lies in (0, 1], so that its logarithm is finite and at most 0.
            let gap = -(1.0 - timed.gaps.f64()).ln() * timed.mean_gap;
            timed.next = due + Duration::from_secs_f64(gap);
        }
        Some(due)
    }

    /// When the request was due that nobody has taken, if there is one.
    pub(crate) fn peek(&self, now: Instant) -> Option<Instant> {
        let due = self.timed.as_ref().map_or(now, |timed| timed.next);
        (due <= now && self.end.is_none_or(|end| due < end)).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_pace_keeps_its_schedule_while_nobody_takes() {
        let start = Instant::now();
        let pace = Pace::Open { per_second: 1000 };
        let mut prompt = Schedule::new(pace, start);
        let mut late = Schedule::new(pace, start);
        let end = start + Duration::from_secs(10);
        let mut dues = Vec::new();
        while let Some(due) = prompt.take(prompt.timed.as_ref().unwrap().next) {
            if due > end {
                break;
            }
            dues.push(due);
        }
        assert!((9_500..10_500).contains(&dues.len()), "{}", dues.len());
        assert!(dues.is_sorted());
        let all: Vec<_> = std::iter::from_fn(|| late.take(end)).collect();
        assert_eq!(all, dues);
    }

    #[test]
    fn nothing_is_due_after_the_end() {
        let start = Instant::now();
        let end = start + Duration::from_millis(100);
        let mut open = Schedule::new(Pace::Open { per_second: 1000 }, start);
        open.stop_at(end);
        let later = end + Duration::from_secs(1);
        let count = std::iter::from_fn(|| open.take(later)).count();
        assert!((50..150).contains(&count), "{count}");
        let mut closed = Schedule::new(Pace::Closed, start);
        assert_eq!(closed.take(start), Some(start));
        closed.stop_at(end);
        assert_eq!(closed.take(end), None);
    }
}
