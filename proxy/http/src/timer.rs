//! Timers that are used again while they are armed.
//!
//! Nearly every request is over long before its limit. Arming a timer for it and disarming it again
//! would cost two operations on the runtime's timer wheel each time. Here a timer stays armed when
//! its request is over, and serves the next one as it is: if it fires before that one's limit, it is
//! armed again then.

use std::{
    cell::RefCell,
    future::Future as _,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::time::{Sleep, sleep_until};

/// Timers kept for the next request; more are let go.
const KEPT: usize = 1024;

/// A worker's spare timers, the most recently used last.
#[derive(Debug, Default)]
pub(crate) struct Timers(RefCell<Vec<Pin<Box<Sleep>>>>);

/// A timer that is taken when it is first waited for, and given back.
#[derive(Debug)]
pub(crate) struct Timer {
    spare: Rc<Timers>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    pub(crate) fn new(spare: &Rc<Timers>) -> Self {
        Self { spare: Rc::clone(spare), sleep: None }
    }

    /// Whether nothing has been waited for yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.sleep.is_none()
    }

    /// Ready once `at` has passed; wakes the task then, or before.
    pub(crate) fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let spare = &self.spare;
        let sleep = self.sleep.get_or_insert_with(|| {
            let kept = spare.0.borrow_mut().pop();
            kept.unwrap_or_else(|| Box::pin(sleep_until(at.into())))
        });
        loop {
            if sleep.is_elapsed() || sleep.deadline().into_std() > at {
                sleep.as_mut().reset(at.into());
            }
            ready!(sleep.as_mut().poll(cx));
            if tokio::time::Instant::now().into_std() >= at {
                return Poll::Ready(());
            }
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(sleep) = self.sleep.take() {
            let mut spare = self.spare.0.borrow_mut();
            if spare.len() < KEPT {
                spare.push(sleep);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    async fn wait(timers: &Rc<Timers>, limit: Duration) -> Duration {
        let began = tokio::time::Instant::now();
        let at = (began + limit).into_std();
        let mut timer = Timer::new(timers);
        poll_fn(|cx| timer.poll_at(cx, at)).await;
        began.elapsed()
    }

    /// Waits for `limit` but is over after `after`.
    async fn give_up(timers: &Rc<Timers>, limit: Duration, after: Duration) {
        let waited = tokio::time::timeout(after, wait(timers, limit)).await;
        assert!(waited.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_used_again_fires_neither_early_nor_late() {
        let timers = Rc::<Timers>::default();
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        // Left armed for an earlier and for a later moment than the next one.
        give_up(&timers, second, second / 2).await;
        assert_eq!(wait(&timers, minute).await.as_secs(), 60);
        give_up(&timers, minute, second).await;
        assert_eq!(wait(&timers, second).await.as_secs(), 1);
        assert_eq!(wait(&timers, second).await.as_secs(), 1);
        assert_eq!(timers.0.borrow().len(), 1);
    }
}
