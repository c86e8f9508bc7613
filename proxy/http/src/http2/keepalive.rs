//! Whether the peer is still there: PINGs, and what is made of their answers.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep};
use weft_compile::Keepalive as Rules;

use super::Link;

/// `connection_keepalive` of one connection. Whatever comes from the peer answers a PING: one that
/// waits behind a large body is late, and yet its peer is alive.
#[derive(Debug)]
pub(crate) struct Keepalive {
    rules: Rules,
    timer: Pin<Box<Sleep>>,
    state: State,
    /// Since when no stream is open.
    idle_since: Option<Instant>,
    /// Streams opened when that was last looked at.
    opened: u64,
    pings: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The timer, if there is an interval, is the next PING's.
    Resting,
    /// A PING is on its way, and the timer is its answer's.
    Asked,
}

impl Keepalive {
    pub(crate) fn new(rules: Rules) -> Self {
        let first = rules.interval.map_or(rules.timeout, |interval| jittered(interval, rules));
        Self {
            rules,
            timer: Box::pin(sleep(first)),
            state: State::Resting,
            idle_since: Some(Instant::now()),
            opened: 0,
            pings: 0,
        }
    }

    /// Something came from the peer.
    pub(crate) fn heard(&mut self) {
        if self.state == State::Asked {
            self.state = State::Resting;
            if let Some(interval) = self.rules.interval {
                self.arm(jittered(interval, self.rules));
            }
        }
    }

    /// Sends the PINGs that are due. Ready when the peer does not answer.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<()> {
        self.look_at_streams(link);
        if self.state == State::Resting && self.rules.interval.is_none() {
            return Poll::Pending;
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.state == State::Asked {
                return Poll::Ready(());
            }
            self.ask(link);
        }
        Poll::Pending
    }

    /// `connection_idle_interval`: the first stream after a rest is preceded by the question.
    fn look_at_streams(&mut self, link: &Link) {
        let Some(limit) = self.rules.idle_interval else { return };
        let before = std::mem::replace(&mut self.opened, link.opened_streams());
        if self.opened > before
            && self.idle_since.take().is_some_and(|since| since.elapsed() >= limit)
            && self.state == State::Resting
        {
            self.ask(link);
        }
        if link.open_streams() == 0 && self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
    }

    fn ask(&mut self, link: &Link) {
        self.pings += 1;
        link.ping(self.pings);
        self.state = State::Asked;
        self.arm(self.rules.timeout);
    }

    fn arm(&mut self, after: Duration) {
        self.timer.as_mut().reset(tokio::time::Instant::now() + after);
    }
}

/// The interval and a part of its jitter, so that connections do not all ask at once.
fn jittered(interval: Duration, rules: Rules) -> Duration {
    later(interval, rules.jitter_percent, fastrand::f64())
}

fn later(interval: Duration, jitter_percent: u8, part: f64) -> Duration {
    interval + interval.mul_f64(part * f64::from(jitter_percent) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_later_by_a_part_of_the_jitter() {
        let second = Duration::from_secs(1);
        assert_eq!(later(10 * second, 0, 0.9), 10 * second);
        assert_eq!(later(10 * second, 50, 0.0), 10 * second);
        assert_eq!(later(10 * second, 50, 0.5), 12 * second + second / 2);
        assert_eq!(later(10 * second, 100, 1.0), 20 * second);
    }
}
