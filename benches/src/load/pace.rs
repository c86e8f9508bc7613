//! When requests are due.

use std::time::{Duration, Instant};

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// A request is due as soon as another has ended: the most a peer can do.
    Closed,
    /// Requests are due by the clock, whether or not earlier ones were answered, and
    /// their latency counts from then. A peer that stalls is thereby charged for
    /// everybody who had to wait, not for one slow request.
    Open {
        /// Requests due per second.
        per_second: u32,
    },
}

/// A pace under way.
pub(crate) struct Schedule {
    start: Instant,
    interval: Option<Duration>,
    issued: u32,
    /// No request is due from this instant on.
    end: Option<Instant>,
}

impl Schedule {
    pub(crate) fn new(pace: Pace, start: Instant) -> Self {
        let interval = match pace {
            Pace::Closed => None,
            Pace::Open { per_second } => Some(Duration::from_secs(1) / per_second.max(1)),
        };
        Self { start, interval, issued: 0, end: None }
    }

    /// Whether the loop must watch the clock rather than wait for a socket.
    pub(crate) fn is_timed(&self) -> bool {
        self.interval.is_some()
    }

    /// Lets nothing be due at or after `end`.
    pub(crate) fn stop_at(&mut self, end: Instant) {
        self.end = Some(end);
    }

    /// Takes the next request that is due, and says since when.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.peek(now)?;
        self.issued += 1;
        Some(due)
    }

    /// Whether a request is due that nobody has taken.
    pub(crate) fn peek(&self, now: Instant) -> Option<Instant> {
        let due = match self.interval {
            None => now,
            Some(interval) => self.start + interval * self.issued,
        };
        (due <= now && self.end.is_none_or(|end| due < end)).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_pace_keeps_its_schedule_while_nobody_takes() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Pace::Open { per_second: 1000 }, start);
        let late = start + Duration::from_millis(2);
        assert_eq!(schedule.take(late), Some(start));
        assert_eq!(schedule.take(late), Some(start + Duration::from_millis(1)));
        assert_eq!(schedule.take(late), Some(late));
        assert_eq!(schedule.take(late), None);
    }

    #[test]
    fn nothing_is_due_after_the_end() {
        let start = Instant::now();
        let end = start + Duration::from_millis(1);
        let mut open = Schedule::new(Pace::Open { per_second: 1000 }, start);
        open.stop_at(end);
        assert_eq!(open.take(end), Some(start));
        assert_eq!(open.take(end), None);
        let mut closed = Schedule::new(Pace::Closed, start);
        assert_eq!(closed.take(start), Some(start));
        closed.stop_at(end);
        assert_eq!(closed.take(end), None);
    }
}
