//! How many requests may be under way at once, by how long they take: while they take as long as
//! those of an idle server there may be more, and where they take longer there may be fewer.

use std::{
    sync::{
        Mutex, OnceLock, TryLockError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::latencies::Latencies;

const MILLION: u64 = 1_000_000;
/// After so many windows at the least limit in a row, the server is measured anew: it may have become
/// slower for good.
const WINDOWS_AT_LEAST: u32 = 5;

/// `GradientControllerConfig`. Shares are millionths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gradient {
    /// `sample_aggregate_percentile`: what stands for all latencies of a window.
    pub percentile: u32,
    /// `max_concurrency_limit`.
    pub most: u32,
    /// `min_concurrency_limit`.
    pub least: u32,
    /// `concurrency_update_interval`: how long a window is.
    pub window: Duration,
    /// `buffer`: by how much latencies may be longer than those of an idle server.
    pub buffer: u32,
    /// How long an idle server takes.
    pub idle: Idle,
}

/// How it is known how long an idle server takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idle {
    /// `fixed_value`.
    Fixed(Duration),
    /// It is measured again and again, with few requests at once.
    Measured {
        /// `interval`, from the end of one measurement to the next.
        interval: Duration,
        /// `jitter`: the interval is longer by up to this share.
        jitter: u32,
        /// `request_count`: so many requests are measured.
        requests: u32,
        /// `min_concurrency`: so many at once.
        at_once: u32,
    },
}

/// What a controller has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// So many may be under way at once.
    pub limit: u32,
    /// By what the limit was changed, in thousandths.
    pub gradient: u64,
    /// How much of the limit is there to let it grow.
    pub room: u32,
    /// How long an idle server takes.
    pub idle: Duration,
    /// How long requests took.
    pub sample: Duration,
    /// Whether an idle server is being measured.
    pub is_measuring: bool,
}

/// A request that may go on, until it is [completed](Controller::complete) or
/// [given up](Controller::give_up).
#[derive(Debug)]
#[must_use]
pub struct Ticket {
    began: u64,
}

/// Decides which requests may go on. All threads ask the same one: there are never more requests under
/// way than its limit allowed when they came.
#[derive(Debug)]
pub struct Controller {
    settings: Gradient,
    began: OnceLock<Instant>,
    limit: AtomicU32,
    under_way: AtomicU32,
    /// When its course goes on, in nanoseconds; never while it measures.
    due: AtomicU64,
    /// How many samples are waited for; `u32::MAX` while it does not measure.
    awaited: AtomicU32,
    /// Requests that came before are not measured: more were under way with them.
    epoch: AtomicU64,
    latencies: Latencies,
    course: Mutex<Course>,
}

#[derive(Debug)]
struct Course {
    phase: Phase,
    idle: u64,
    sample: u64,
    gradient: u64,
    room: u32,
    measure_at: u64,
    windows_at_least: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    /// Measures an idle server; the limit from before comes back then.
    Measuring {
        before: u32,
    },
    Sampling,
}

impl Controller {
    /// One that has seen nothing.
    #[must_use]
    pub fn new(settings: Gradient) -> Self {
        let course = Course {
            phase: Phase::New,
            idle: 0,
            sample: 0,
            gradient: 0,
            room: 0,
            measure_at: u64::MAX,
            windows_at_least: 0,
        };
        Self {
            limit: AtomicU32::new(settings.least),
            settings,
            began: OnceLock::new(),
            under_way: AtomicU32::new(0),
            due: AtomicU64::new(0),
            awaited: AtomicU32::new(u32::MAX),
            epoch: AtomicU64::new(0),
            latencies: Latencies::new(),
            course: Mutex::new(course),
        }
    }

    /// Lets a request go on, if there may be one more.
    pub fn admit(&self, now: Instant) -> Option<Ticket> {
        self.admit_below(self.limit.load(Ordering::Relaxed), now)
    }

    /// Lets a request go on that goes before others: for it there may be a quarter more under way than
    /// for those, and one in any case, so that it finds room where they take all that they may.
    pub fn admit_first(&self, now: Instant) -> Option<Ticket> {
        let limit = self.limit.load(Ordering::Relaxed);
        self.admit_below(limit.saturating_add(limit.div_ceil(4)), now)
    }

    fn admit_below(&self, limit: u32, now: Instant) -> Option<Ticket> {
        let one_more = |under_way: u32| (under_way < limit).then(|| under_way + 1);
        let admitted = self.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        admitted.ok().map(|_| Ticket { began: self.nanos(now) })
    }

    /// A request was answered as a whole.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is used up")]
    pub fn complete(&self, ticket: Ticket, now: Instant) {
        let Ticket { began } = ticket;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        if began >= self.epoch.load(Ordering::Relaxed) {
            self.latencies.record(self.nanos(now).saturating_sub(began));
        }
    }

    /// A request was not answered as a whole: how long it took says nothing.
    pub fn give_up(&self, _ticket: Ticket) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many are under way.
    pub fn under_way(&self) -> u32 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Goes on with its course where that is due, and says what was found then. To be called often;
    /// it costs two loads mostly. Windows that nobody asked in are one.
    pub fn turn(&self, now: Instant, random: u64) -> Option<Reading> {
        let now = self.nanos(now);
        if !self.is_due(now) {
            return None;
        }
        let mut course = match self.course.try_lock() {
            Ok(course) => course,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Another thread does it.
            Err(TryLockError::WouldBlock) => return None,
        };
        if !self.is_due(now) {
            return None;
        }
        match course.phase {
            Phase::New => self.begin(&mut course, now),
            Phase::Measuring { before } => self.end_measuring(&mut course, before, now, random),
            Phase::Sampling if now >= course.measure_at => self.measure(&mut course, now),
            Phase::Sampling => self.end_window(&mut course, now),
        }
        Some(Reading {
            limit: self.limit.load(Ordering::Relaxed),
            gradient: course.gradient,
            room: course.room,
            idle: Duration::from_nanos(course.idle),
            sample: Duration::from_nanos(course.sample),
            is_measuring: matches!(course.phase, Phase::Measuring { .. }),
        })
    }

    fn is_due(&self, now: u64) -> bool {
        now >= self.due.load(Ordering::Relaxed)
            || self.latencies.samples() >= self.awaited.load(Ordering::Relaxed)
    }

    fn begin(&self, course: &mut Course, now: u64) {
        match self.settings.idle {
            Idle::Fixed(idle) => {
                course.idle = nanos(idle);
                self.sample(course, now);
            }
            Idle::Measured { .. } => self.measure(course, now),
        }
    }

    fn measure(&self, course: &mut Course, now: u64) {
        let Idle::Measured { requests, at_once, .. } = self.settings.idle else { return };
        let before = self.limit.swap(at_once, Ordering::Relaxed);
        course.phase = Phase::Measuring { before };
        course.windows_at_least = 0;
        self.epoch.store(now, Ordering::Relaxed);
        let _ = self.latencies.take(0);
        self.due.store(u64::MAX, Ordering::Relaxed);
        self.awaited.store(requests, Ordering::Relaxed);
    }

    fn end_measuring(&self, course: &mut Course, before: u32, now: u64, random: u64) {
        let Idle::Measured { interval, jitter, .. } = self.settings.idle else { return };
        if let Some(idle) = self.latencies.take(self.settings.percentile) {
            course.idle = idle;
        }
        self.limit.store(before, Ordering::Relaxed);
        let more = share_of(nanos(interval), jitter);
        let more = random.checked_rem(more).unwrap_or(0);
        course.measure_at = now.saturating_add(nanos(interval)).saturating_add(more);
        self.awaited.store(u32::MAX, Ordering::Relaxed);
        self.sample(course, now);
    }

    fn sample(&self, course: &mut Course, now: u64) {
        course.phase = Phase::Sampling;
        let end = now.saturating_add(nanos(self.settings.window));
        self.due.store(end.min(course.measure_at), Ordering::Relaxed);
    }

    fn end_window(&self, course: &mut Course, now: u64) {
        if let Some(sample) = self.latencies.take(self.settings.percentile) {
            let limit = self.limit.load(Ordering::Relaxed);
            let allowed = course.idle.saturating_add(share_of(course.idle, self.settings.buffer));
            course.sample = sample;
            course.gradient = gradient(allowed, sample);
            let (next, room) = next_limit(limit, course.gradient);
            course.room = room;
            let next = next.clamp(self.settings.least, self.settings.most);
            self.limit.store(next, Ordering::Relaxed);
            let stays = next == limit && next == self.settings.least;
            course.windows_at_least = if stays { course.windows_at_least + 1 } else { 0 };
            let is_measured = matches!(self.settings.idle, Idle::Measured { .. });
            if is_measured && course.windows_at_least >= WINDOWS_AT_LEAST {
                return self.measure(course, now);
            }
        }
        self.sample(course, now);
    }

    fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(*self.began.get_or_init(|| now)))
    }
}

/// By what the limit changes, in thousandths: by no more than half or double.
fn gradient(allowed: u64, sample: u64) -> u64 {
    let thousandths = u128::from(allowed) * 1000 / u128::from(sample.max(1));
    u64::try_from(thousandths).unwrap_or(u64::MAX).clamp(500, 2000)
}

/// The limit after that, with room for a few more, and this room: without it the limit would never
/// grow.
fn next_limit(limit: u32, gradient: u64) -> (u32, u32) {
    let thousandths = u64::from(limit) * gradient;
    let room = (thousandths * 1000).isqrt();
    let whole = |thousandths: u64| u32::try_from(thousandths / 1000).unwrap_or(u32::MAX);
    (whole(thousandths + room), whole(room))
}

fn share_of(whole: u64, millionths: u32) -> u64 {
    let share = u128::from(whole) * u128::from(millionths) / u128::from(MILLION);
    u64::try_from(share).unwrap_or(u64::MAX)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "gradient/tests.rs"]
mod tests;
