//! How long a connection has had no stream (`idle_timeout`).

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

use crate::http2::Link;

/// Armed again when it fires, so that a busy connection never touches the timer.
#[derive(Debug)]
pub(super) struct Quiet {
    limit: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when; none while there are streams.
    since: Option<Instant>,
}

impl Quiet {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        let timer = limit.map(|limit| Box::pin(sleep(limit)));
        Self { limit, timer, since: Some(Instant::now()) }
    }

    /// A stream has been opened.
    pub(super) fn over(&mut self) {
        self.since = None;
    }

    /// Ready, once, when that was so for as long as it may be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<()> {
        if self.since.is_none() && link.open_streams() == 0 {
            self.since = Some(Instant::now());
        }
        let (Some(limit), Some(timer)) = (self.limit, &mut self.timer) else {
            return Poll::Pending;
        };
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = self.since.unwrap_or(now) + limit;
            if due <= now {
                self.timer = None;
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}
