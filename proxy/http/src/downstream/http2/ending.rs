//! How a client's h2 connection ends: by its age or its number of requests or because it is told to,
//! in two steps, and never later than it may.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};
use weft_compile::HttpChain;

use crate::http2::Link;

/// What is left of a connection's life.
#[derive(Debug)]
pub(super) struct Ending {
    requests: u32,
    stage: Stage,
    /// Of `max_connection_duration`.
    age: Option<Pin<Box<Sleep>>>,
    /// Of the stage.
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// The client knows that it should open no more streams. Those on their way are still taken, until
    /// it has answered or `drain_timeout` is over.
    Announced,
    /// What is open is answered, and nothing else.
    Said,
    /// The last bytes are to be read by the client within `delayed_close_timeout`.
    Flushing,
}

impl Ending {
    pub(super) fn new(chain: &HttpChain) -> Self {
        let age = chain.client.max_connection_duration.map(|limit| Box::pin(sleep(limit)));
        Self { requests: 0, stage: Stage::Serving, age, timer: None }
    }

    /// Begins the end, if it has not begun.
    pub(super) fn begin(&mut self, link: &Link, chain: &HttpChain) {
        if self.stage == Stage::Serving {
            link.shut_down();
            self.stage = Stage::Announced;
            self.timer = Some(Box::pin(sleep(chain.client.drain_timeout)));
        }
    }

    /// One more request has come.
    pub(super) fn count_request(&mut self, link: &Link, chain: &HttpChain) {
        self.requests = self.requests.saturating_add(1);
        let most = chain.client.max_requests_per_connection;
        if self.stage == Stage::Serving && most.is_some_and(|most| self.requests >= most) {
            chain.stats.downstream_cx_max_requests_reached.inc();
            self.begin(link, chain);
        }
    }

    /// Takes the steps whose time has come.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, link: &Link, chain: &HttpChain) {
        if self.stage == Stage::Serving
            && self.age.as_mut().is_some_and(|age| age.as_mut().poll(cx).is_ready())
        {
            self.age = None;
            chain.stats.downstream_cx_max_duration_reached.inc();
            self.begin(link, chain);
        }
        if self.stage == Stage::Announced
            && self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready())
        {
            self.stage = Stage::Said;
            self.timer = None;
            link.shut_down_now();
        }
    }

    /// Ready when the client has had its time to read the last bytes.
    pub(super) fn poll_unread(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        if self.stage != Stage::Flushing {
            self.stage = Stage::Flushing;
            self.timer = Some(Box::pin(sleep(limit)));
        }
        self.timer.as_mut().map_or(Poll::Ready(()), |timer| timer.as_mut().poll(cx))
    }
}
