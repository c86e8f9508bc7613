//! One load on one target: connections, requests as they are due, what came back.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::connection::Request;
use super::engine::{Engine, Ready};
use super::pace::Schedule;
use super::{Failure, Histogram, Load, Pace, Reuse};

/// After so many failures a session gives up: its numbers would mean nothing.
const FAILURES_BORNE: u64 = 50;
/// Nothing coming back for so long means that the peer is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a session that found nothing ready rests: what its latencies are exact to.
const REST: Duration = Duration::from_micros(5);

/// What came back since the session began or was marked.
#[derive(Clone, Default)]
pub struct Tally {
    /// Requests answered as they should be.
    pub completed: u64,
    /// Requests that were not.
    pub failed: u64,
    /// The first failure, as a sample of what went wrong.
    pub first_failure: Option<Failure>,
    /// From when a request was due until its last byte came.
    pub latency: Histogram,
}

/// Room for a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// On an open connection.
    On(usize),
    /// On a connection to be opened for it.
    Fresh,
}

/// A load under way; its connections close when it is dropped.
pub struct Session<'e> {
    engine: &'e mut Engine,
    load: Load,
    request: Request,
    schedule: Schedule,
    slots: VecDeque<Slot>,
    dirty: Vec<usize>,
    ready: VecDeque<Ready>,
    finished: Vec<Instant>,
    tally: Tally,
    last_progress: Instant,
}

impl<'e> Session<'e> {
    /// Opens the connections; requests go out as the session is driven.
    pub fn begin(engine: &'e mut Engine, load: Load, pace: Pace) -> io::Result<Self> {
        let request = Request::new(&load).ok_or(io::ErrorKind::InvalidInput)?;
        let now = Instant::now();
        let mut session = Self {
            engine,
            request,
            schedule: Schedule::new(pace, now),
            slots: VecDeque::new(),
            dirty: Vec::new(),
            ready: VecDeque::new(),
            finished: Vec::new(),
            tally: Tally::default(),
            last_progress: now,
            load,
        };
        for _ in 0..session.load.connections {
            session.add_slots()?;
            // The backends take what has come, or connections asked for all at once would
            // overflow their queues, and wait a second for their second try.
            session.engine.turn(Duration::ZERO, &mut session.ready)?;
        }
        Ok(session)
    }

    /// What came back so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Forgets what came back so far, at the end of a warm-up.
    pub fn mark(&mut self) {
        self.tally = Tally::default();
    }

    /// Sends and receives for a while, without ever sleeping. A timer's slack would be
    /// counted as latency, and a sleeping client would have to be woken by the peer under
    /// test: on loopback that is a good part of what a request costs, and it would be
    /// charged to the peer, the more the faster it is.
    ///
    /// `Err` when the peer is stuck or fails all the time.
    pub fn drive(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        self.drive_until(end, |_| false)
    }

    /// Sends and receives until `count` requests were answered, or fails after `limit`.
    pub fn drive_to(&mut self, count: u64, limit: Duration) -> io::Result<()> {
        let end = Instant::now() + limit;
        self.drive_until(end, |tally| tally.completed >= count)?;
        if self.tally.completed < count {
            return Err(self.tally.first_failure.unwrap_or(Failure::Timeout).into());
        }
        Ok(())
    }

    /// Lets nothing more be due, and waits until all that was due is answered. What is
    /// not answered within `limit` counts as failed: a peer that cannot keep the rate
    /// must not look fast because its late answers were left out.
    pub fn settle(&mut self, limit: Duration) -> io::Result<()> {
        let now = Instant::now();
        self.schedule.stop_at(now);
        let end = now + limit;
        while self.open_requests() > 0 && Instant::now() < end {
            self.step(Duration::from_millis(1))?;
        }
        let mut missing = self.open_requests() as u64;
        while self.schedule.take(end).is_some() {
            missing += 1;
        }
        if missing > 0 {
            self.tally.failed += missing;
            self.tally.first_failure.get_or_insert(Failure::Timeout);
        }
        Ok(())
    }

    /// Requests sent and not answered, or due and not sent.
    fn open_requests(&self) -> usize {
        let room = self.load.connections * self.load.streams;
        let waiting = usize::from(self.schedule.peek(Instant::now()).is_some());
        room - self.slots.len() + waiting
    }

    fn drive_until(&mut self, end: Instant, enough: impl Fn(&Tally) -> bool) -> io::Result<()> {
        self.last_progress = Instant::now();
        loop {
            let now = Instant::now();
            if now >= end || enough(&self.tally) {
                return Ok(());
            }
            if now.duration_since(self.last_progress) > PATIENCE {
                return Err(Failure::Timeout.into());
            }
            self.step(Duration::ZERO)?;
        }
    }

    fn step(&mut self, wait: Duration) -> io::Result<()> {
        self.issue()?;
        let mut ready = std::mem::take(&mut self.ready);
        self.engine.turn(wait, &mut ready)?;
        if ready.is_empty() && wait.is_zero() {
            rest();
        }
        while let Some(event) = ready.pop_front() {
            self.on_ready(event)?;
        }
        self.ready = ready;
        Ok(())
    }

    /// Hands due requests to free slots.
    fn issue(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while let Some(&slot) = self.slots.front() {
            let Some(due) = self.schedule.take(now) else {
                break;
            };
            self.slots.pop_front();
            let token = match slot {
                Slot::On(token) => token,
                Slot::Fresh => self.engine.connect(self.load.target, self.load.protocol)?,
            };
            if let Some((client, _)) = self.engine.client(token) {
                client.issue(due, &self.request);
                // Requests of one turn on one connection leave in one write.
                if self.dirty.last() != Some(&token) {
                    self.dirty.push(token);
                }
            }
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        for token in dirty.drain(..) {
            let Some((client, _)) = self.engine.client(token) else {
                continue;
            };
            if let Err(error) = client.wire().flush() {
                self.fail(token, error.into())?;
            }
        }
        self.dirty = dirty;
        Ok(())
    }

    fn on_ready(&mut self, event: Ready) -> io::Result<()> {
        let Some((client, scratch)) = self.engine.client(event.token) else {
            return Ok(());
        };
        if event.writable
            && client.wire().pending() > 0
            && let Err(error) = client.wire().flush()
        {
            return self.fail(event.token, error.into());
        }
        if !event.readable && !event.ended {
            return Ok(());
        }
        let outcome = client.read(scratch, event.ended, &self.load, &mut self.finished);
        let now = Instant::now();
        for due in self.finished.drain(..) {
            self.tally.completed += 1;
            self.tally.latency.record(now.saturating_duration_since(due));
            self.last_progress = now;
            if self.load.reuse == Reuse::KeepAlive {
                self.slots.push_back(Slot::On(event.token));
            }
        }
        match (outcome, self.load.reuse) {
            (Ok(true), _) => Ok(()),
            (Ok(false), Reuse::PerRequest) => {
                self.engine.disconnect(event.token);
                self.slots.push_back(Slot::Fresh);
                Ok(())
            }
            (Ok(false), Reuse::KeepAlive) => self.fail(event.token, Failure::Closed),
            (Err(failure), _) => self.fail(event.token, failure),
        }
    }

    /// Counts a broken connection and opens another in its place.
    fn fail(&mut self, token: usize, failure: Failure) -> io::Result<()> {
        let lost = self.engine.client(token).map(|(c, _)| c.in_flight());
        self.tally.failed += lost.unwrap_or(0).max(1) as u64;
        self.tally.first_failure.get_or_insert(failure);
        self.engine.disconnect(token);
        self.slots.retain(|slot| *slot != Slot::On(token));
        if self.tally.failed > FAILURES_BORNE {
            return Err(failure.into());
        }
        self.add_slots()
    }

    fn add_slots(&mut self) -> io::Result<()> {
        let slot = match self.load.reuse {
            Reuse::PerRequest => Slot::Fresh,
            Reuse::KeepAlive => {
                let load = &self.load;
                Slot::On(self.engine.connect(load.target, load.protocol)?)
            }
        };
        for _ in 0..self.load.streams {
            self.slots.push_back(slot);
        }
        Ok(())
    }
}

/// Lets a moment go by without a system call. The loop's next look at its sockets would
/// only contend for them with the peer under test, and where the two cores are threads
/// of one, for its execution units, too.
fn rest() {
    let began = Instant::now();
    while began.elapsed() < REST {
        std::hint::spin_loop();
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.engine.disconnect_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Protocol;

    fn load(engine: &Engine, protocol: Protocol, body: usize) -> Load {
        let backends = engine.backends(protocol).unwrap();
        Load {
            target: match body {
                Engine::SMALL => backends.small,
                Engine::LARGE => backends.large,
                _ => backends.huge,
            },
            protocol,
            reuse: Reuse::KeepAlive,
            authority: "bench.local",
            path: "/small",
            body,
            connections: 2,
            streams: if protocol.is_h2() { 3 } else { 1 },
        }
    }

    #[test]
    fn all_protocols_and_bodies_complete_without_failure() {
        let bodies = [Engine::SMALL, Engine::LARGE, Engine::HUGE];
        let mut engine = Engine::new().unwrap();
        for protocol in Protocol::ALL {
            let bodies = match protocol {
                Protocol::Http1 | Protocol::H2c | Protocol::Tcp => &bodies[..],
                _ => &bodies[..1],
            };
            for &body in bodies {
                let before = engine.served();
                let load = load(&engine, protocol, body);
                let mut session = Session::begin(&mut engine, load, Pace::Closed).unwrap();
                session.drive_to(Engine::HUGE as u64 / body as u64 / 8 + 20, PATIENCE).unwrap();
                assert_eq!(session.tally().failed, 0);
                let completed = session.tally().completed;
                assert_eq!(session.tally().latency.total(), completed);
                drop(session);
                assert!(engine.served() - before >= completed);
            }
        }
    }

    #[test]
    fn messages_outlast_every_window() {
        // 40,000 messages of 64 bytes on one stream are more than either side grants at once.
        let mut engine = Engine::new().unwrap();
        let load = load(&engine, Protocol::GrpcStream, Engine::SMALL);
        let load = Load { connections: 1, streams: 1, ..load };
        let mut session = Session::begin(&mut engine, load, Pace::Closed).unwrap();
        session.drive_to(40_000, 4 * PATIENCE).unwrap();
        assert_eq!(session.tally().failed, 0);
    }

    #[test]
    fn a_connection_per_request_is_opened_and_closed() {
        let mut engine = Engine::new().unwrap();
        for body in [Engine::SMALL, Engine::LARGE] {
            let load = Load { reuse: Reuse::PerRequest, ..load(&engine, Protocol::Http1, body) };
            let mut session = Session::begin(&mut engine, load, Pace::Closed).unwrap();
            session.drive_to(100, PATIENCE).unwrap();
            session.settle(PATIENCE).unwrap();
            assert_eq!(session.tally().failed, 0);
        }
    }

    #[test]
    fn an_open_pace_sends_what_is_due_and_no_more() {
        let mut engine = Engine::new().unwrap();
        let load = load(&engine, Protocol::H2c, Engine::SMALL);
        let pace = Pace::Open { per_second: 2000 };
        let mut session = Session::begin(&mut engine, load, pace).unwrap();
        session.drive(Duration::from_millis(100)).unwrap();
        session.settle(PATIENCE).unwrap();
        let tally = session.tally();
        assert_eq!(tally.failed, 0);
        // A busy machine may enter the loop late, but what was due is sent.
        assert!(tally.completed >= 120, "{}", tally.completed);
    }

    #[test]
    fn a_wrong_body_is_a_failure_and_ends_the_session() {
        let mut engine = Engine::new().unwrap();
        for protocol in [Protocol::Http1, Protocol::H2c] {
            let mut load = load(&engine, protocol, Engine::SMALL);
            load.body = 65;
            let mut session = Session::begin(&mut engine, load, Pace::Closed).unwrap();
            assert!(session.drive(PATIENCE).is_err());
            assert_eq!(session.tally().completed, 0);
            assert_eq!(session.tally().first_failure, Some(Failure::Length(64)));
        }
    }
}
