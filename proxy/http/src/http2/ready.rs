//! Which streams of a connection have news.
//!
//! Each stream has a waker of its own, so that news for one does not mean asking all. Wakers may be
//! sent to other threads, hence the lock and the atomic; in a worker nobody ever contends for them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

/// The streams with news, in the order in which it came.
#[derive(Debug, Default)]
pub(crate) struct Ready(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    streams: Vec<u32>,
    /// The connection's task, while it rests.
    rests: Option<Waker>,
}

/// Wakes one stream.
#[derive(Debug)]
pub(crate) struct StreamWaker {
    ready: Arc<Ready>,
    stream: u32,
    queued: AtomicBool,
}

impl Ready {
    fn with<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The waker of the stream in this place.
    pub(crate) fn waker(self: &Arc<Self>, stream: u32) -> Arc<StreamWaker> {
        Arc::new(StreamWaker { ready: Arc::clone(self), stream, queued: AtomicBool::new(false) })
    }

    /// Moves those with news into `streams`. Each must then be [taken](StreamWaker::take).
    pub(crate) fn swap(&self, streams: &mut Vec<u32>) {
        streams.clear();
        self.with(|state| {
            state.rests = None;
            std::mem::swap(&mut state.streams, streams);
        });
    }

    /// Lets the task rest until there is news; false if there is some already.
    pub(crate) fn rest(&self, cx: &Context<'_>) -> bool {
        self.with(|state| {
            if state.streams.is_empty() {
                state.rests = Some(cx.waker().clone());
            }
            state.streams.is_empty()
        })
    }
}

impl StreamWaker {
    /// The stream is about to be asked for its news.
    pub(crate) fn take(&self) {
        self.queued.store(false, Ordering::Release);
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let task = self.ready.with(|state| {
            state.streams.push(self.stream);
            state.rests.take()
        });
        if let Some(task) = task {
            task.wake();
        }
    }
}
