//! Peers that do not take what is sent to them.

use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::timer::Timer;

/// Since when nothing has moved while something waits for the peer to take it. `P` tells how far both
/// have come.
#[derive(Debug)]
pub(crate) struct Stall<P> {
    since: Option<(P, Instant)>,
}

impl<P> Default for Stall<P> {
    fn default() -> Self {
        Self { since: None }
    }
}

impl<P: PartialEq> Stall<P> {
    /// Nothing waits (any more).
    pub(crate) fn over(&mut self) {
        self.since = None;
    }

    /// Something waits. Ready when that is so for as long as `limit` and nothing has moved.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        timer: &mut Timer,
        progress: P,
        limit: Duration,
    ) -> Poll<()> {
        let since = match &self.since {
            Some((before, since)) if *before == progress => *since,
            _ => tokio::time::Instant::now().into_std(),
        };
        self.since = Some((progress, since));
        timer.poll_at(cx, since + limit)
    }
}

#[cfg(test)]
mod tests {
    use std::{rc::Rc, task::Waker};

    use super::*;
    use crate::timer::Timers;

    #[tokio::test(start_paused = true)]
    async fn what_moves_is_no_stall() {
        let mut timer = Timer::new(&Rc::<Timers>::default());
        let mut stall = Stall::default();
        let mut stalls = async |after, progress| {
            tokio::time::advance(Duration::from_secs(after)).await;
            let mut cx = Context::from_waker(Waker::noop());
            stall.poll(&mut cx, &mut timer, progress, Duration::from_secs(10)).is_ready()
        };
        assert!(!stalls(0, 0).await);
        assert!(!stalls(9, 0).await);
        assert!(!stalls(9, 1).await, "it has moved meanwhile");
        assert!(!stalls(9, 1).await);
        assert!(stalls(2, 1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_wait_is_no_stall() {
        let mut timer = Timer::new(&Rc::<Timers>::default());
        let mut stall = Stall::default();
        let mut cx = Context::from_waker(Waker::noop());
        let limit = Duration::from_secs(10);
        assert!(stall.poll(&mut cx, &mut timer, 7, limit).is_pending());
        stall.over();
        tokio::time::advance(limit).await;
        assert!(stall.poll(&mut cx, &mut timer, 7, limit).is_pending());
    }
}
