//! Answers that are slowed down on purpose (`response_rate_limit`): so many bytes go on in each
//! sixteenth of a second, as in Envoy.

use std::{
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::Frame;

use super::inject::Active;
use crate::{fault::Fault, timer::Timer};

/// Parts of a second.
const PARTS: u64 = 16;
const PART: Duration = Duration::from_nanos(1_000_000_000 / PARTS);
/// What was not used of the time before is made up for by no more than this.
const MADE_UP: Duration = Duration::from_secs(1);

/// Slows one answer down.
#[derive(Debug)]
pub(crate) struct Throttle {
    slices: Slices,
    timer: Timer,
    /// What has come and may not go on yet.
    held: Bytes,
    /// Counted as long as the answer goes on.
    _active: Option<Active>,
}

impl Throttle {
    /// For so many KiB a second.
    pub(super) fn new(kib: u64, timer: Timer) -> Self {
        Self { slices: Slices::of(kib), timer, held: Bytes::new(), _active: None }
    }

    /// The same, which is counted until its answer is over.
    pub(super) fn counted(self, active: Active) -> Self {
        Self { _active: Some(active), ..self }
    }

    /// Whether everything that has come has gone on.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }

    /// The next frame of a body, or as much of it as may go on now.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut inner: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if self.held.is_empty() {
            let frame = match ready!(inner(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => self.held = data,
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            }
        }
        let may = loop {
            match self.slices.take(self.held.len(), Instant::now()) {
                Ok(may) => break may,
                Err(at) => ready!(self.timer.poll_at(cx, at)),
            }
        };
        Poll::Ready(Some(Ok(Frame::data(self.held.split_to(may)))))
    }
}

/// How many bytes go on when.
#[derive(Debug)]
struct Slices {
    bytes: usize,
    /// Of the slice under way.
    left: usize,
    /// When the next slice begins, or could have; `None` before the first one.
    next: Option<Instant>,
}

impl Slices {
    fn of(kib: u64) -> Self {
        let bytes = kib.saturating_mul(1024 / PARTS);
        Self { bytes: usize::try_from(bytes).unwrap_or(usize::MAX), left: 0, next: None }
    }

    /// How many of so many bytes go on now, or when some do.
    fn take(&mut self, wanted: usize, now: Instant) -> Result<usize, Instant> {
        if self.left == 0 && wanted > 0 {
            let next = self.next.unwrap_or(now);
            if next > now {
                return Err(next);
            }
            let earliest = now.checked_sub(MADE_UP).unwrap_or(now);
            self.next = Some(next.max(earliest) + PART);
            self.left = self.bytes;
        }
        let taken = wanted.min(self.left);
        self.left -= taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_goes_on_in_each_part_of_a_second() {
        let began = Instant::now();
        let mut slices = Slices::of(1);
        assert_eq!(slices.take(40, began), Ok(40));
        assert_eq!(slices.take(40, began), Ok(24));
        assert_eq!(slices.take(40, began), Err(began + PART));
        assert_eq!(slices.take(0, began), Ok(0), "an empty frame waits for nothing");
        assert_eq!(slices.take(100, began + PART), Ok(64));
        assert_eq!(slices.take(100, began + PART), Err(began + PART * 2));
    }

    #[test]
    fn a_pause_is_made_up_for_by_a_second_at_most() {
        let began = Instant::now();
        let mut slices = Slices::of(1);
        assert_eq!(slices.take(64, began), Ok(64));
        let later = began + Duration::from_secs(60);
        let mut taken = 0;
        while let Ok(more) = slices.take(1000, later) {
            taken += more;
        }
        assert_eq!(taken, 17 * 64);
        let mut endless = Slices::of(u64::MAX);
        assert_eq!(endless.take(usize::MAX, began), Ok(usize::MAX));
    }
}
