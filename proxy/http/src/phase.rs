//! Where a worker is in its life, and how its connections learn of it.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
};

/// A worker's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything as usual.
    Serving,
    /// HTTP/1.1 responses say `connection: close`, h2 connections get their GOAWAY; idle HTTP/1.1
    /// connections stay open, because closing one may cross a request on its way.
    Draining,
    /// Idle connections are closed, the others as soon as they have answered.
    Closing,
}

/// The phase, and everyone who waits for the next one.
#[derive(Debug)]
pub(crate) struct PhaseCell {
    phase: Cell<Phase>,
    waiting: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

impl PhaseCell {
    pub(crate) fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Serving),
            waiting: RefCell::default(),
            free: RefCell::default(),
        }
    }

    pub(crate) fn get(&self) -> Phase {
        self.phase.get()
    }

    /// Moves on (never back) and wakes every connection.
    pub(crate) fn advance(&self, to: Phase) {
        if to <= self.phase.get() {
            return;
        }
        self.phase.set(to);
        for waker in self.waiting.borrow_mut().iter_mut() {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
    }
}

/// Does something until it is done, or until the cell closes: `None` then.
pub(crate) async fn unless_closing<T>(
    cell: &PhaseCell,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut watch = PhaseWatch::new(cell);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        while let Poll::Ready(phase) = watch.poll_changed(cx) {
            if phase == Phase::Closing {
                return Poll::Ready(None);
            }
        }
        Poll::Pending
    })
    .await
}

/// One connection's place among those who wait.
pub(crate) struct PhaseWatch<'a> {
    cell: &'a PhaseCell,
    seen: Phase,
    slot: Option<usize>,
}

impl<'a> PhaseWatch<'a> {
    pub(crate) fn new(cell: &'a PhaseCell) -> Self {
        Self { cell, seen: Phase::Serving, slot: None }
    }

    /// Ready with the phase whenever it differs from the one last returned.
    pub(crate) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        let now = self.cell.get();
        if now != self.seen {
            self.seen = now;
            return Poll::Ready(now);
        }
        let mut waiting = self.cell.waiting.borrow_mut();
        let slot = *self.slot.get_or_insert_with(|| {
            self.cell.free.borrow_mut().pop().unwrap_or_else(|| {
                waiting.push(None);
                waiting.len() - 1
            })
        });
        if let Some(place) = waiting.get_mut(slot)
            && !place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *place = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for PhaseWatch<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            if let Some(place) = self.cell.waiting.borrow_mut().get_mut(slot) {
                *place = None;
            }
            self.cell.free.borrow_mut().push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn each_phase_is_seen_once_and_slots_are_used_again() {
        let cell = PhaseCell::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = PhaseWatch::new(&cell);
        assert!(first.poll_changed(&mut cx).is_pending());
        cell.advance(Phase::Draining);
        assert_eq!(first.poll_changed(&mut cx), Poll::Ready(Phase::Draining));
        assert!(first.poll_changed(&mut cx).is_pending());
        cell.advance(Phase::Serving);
        assert!(first.poll_changed(&mut cx).is_pending(), "never back");
        drop(first);
        let mut second = PhaseWatch::new(&cell);
        assert_eq!(
            second.poll_changed(&mut cx),
            Poll::Ready(Phase::Draining),
            "late comers see it"
        );
        assert!(second.poll_changed(&mut cx).is_pending());
        assert_eq!(cell.waiting.borrow().len(), 1);
    }
}
