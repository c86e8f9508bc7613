//! The loop that drives a connection, at either end.
//!
//! A turn reads once, lets what has news go on, and writes once; turns follow each other until there
//! is nothing left to do.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use weft_h2::{Event, StreamKey, Violation};

use super::{Blocks, Ended, Keepalive, Link, Pump};

/// What an end of a connection adds to the loop.
pub(crate) trait End {
    /// What is read into.
    fn blocks(&self) -> &Blocks;

    /// Something has come.
    fn handle(&mut self, link: &Rc<Link>, event: Event);

    /// All that was read has been handled.
    fn handled(&mut self, link: &Link);

    /// Goes on with whatever has news.
    fn go_on(&mut self, cx: &mut Context<'_>, link: &Rc<Link>);

    /// A stream that had to wait may send again.
    fn may_send(&mut self, key: StreamKey, link: &Link);

    /// Looks after time. Returns whether there is nothing to do until the task of `cx` is woken, or why
    /// the connection ends.
    fn rest(&mut self, cx: &mut Context<'_>, link: &Link) -> Result<bool, Ended>;

    /// No stream is open: gives back memory that only streams need.
    fn let_go(&mut self);

    /// The connection has failed, and its streams with it.
    fn fail(&mut self, link: &Link);

    /// Ready when a peer that does not read the last bytes is not waited for any longer.
    fn poll_unread(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<()>;
}

/// A connection under way.
#[derive(Debug)]
pub(crate) struct Driver<S> {
    link: Rc<Link>,
    pump: Pump<S>,
    keepalive: Option<Keepalive>,
    /// Why nothing is read any more; GOAWAY is on its way.
    failed: Option<Violation>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    pub(crate) fn new(link: Rc<Link>, io: S, keepalive: Option<Keepalive>) -> Self {
        Self { link, pump: Pump::new(io), keepalive, failed: None }
    }

    pub(crate) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// Takes turns until the connection has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, end: &mut impl End) -> Poll<Ended> {
        self.link.enter(cx);
        let ended = self.poll_turns(cx, end);
        self.link.leave();
        ended
    }

    fn poll_turns(&mut self, cx: &mut Context<'_>, end: &mut impl End) -> Poll<Ended> {
        loop {
            if let Some(violation) = self.failed {
                return self.poll_failed(cx, end, violation);
            }
            let read = match self.pump.poll_read(cx, end.blocks()) {
                Poll::Ready(Ok(input)) => {
                    self.take(input, end);
                    true
                }
                Poll::Ready(Err(ended)) => return Poll::Ready(ended),
                Poll::Pending => false,
            };
            end.go_on(cx, &self.link);
            if self.keepalive.as_mut().is_some_and(|it| it.poll(cx, &self.link).is_ready()) {
                self.link.stats().keepalive_timeout.inc();
                return Poll::Ready(Ended::Silent);
            }
            while let Some(key) = self.link.next_writable() {
                end.may_send(key, &self.link);
            }
            let wrote = match self.pump.poll_write(cx, &self.link) {
                Poll::Ready(Ok(wrote)) => wrote,
                Poll::Ready(Err(ended)) => return Poll::Ready(ended),
                Poll::Pending => false,
            };
            if self.failed.is_some() {
                continue;
            }
            if self.link.is_finished() {
                if self.link.has_written() {
                    // The peer sees the end before it sees that nobody listens.
                    let shut = ready!(self.pump.poll_shutdown(cx));
                    return Poll::Ready(shut.map_or_else(Ended::Broke, |()| Ended::Finished));
                }
                if end.poll_unread(cx, &self.link).is_ready() {
                    return Poll::Ready(Ended::Unread);
                }
            }
            if read || wrote {
                continue;
            }
            match end.rest(cx, &self.link) {
                Ok(true) => {
                    if self.link.open_streams() == 0 {
                        self.link.let_go();
                        end.let_go();
                    }
                    return Poll::Pending;
                }
                Ok(false) => {}
                Err(ended) => {
                    // What can still be said is said.
                    let _ = self.pump.poll_write(cx, &self.link);
                    return Poll::Ready(ended);
                }
            }
        }
    }

    /// Handles everything in what was read.
    fn take(&mut self, mut input: BytesMut, end: &mut impl End) {
        self.keepalive.iter_mut().for_each(Keepalive::heard);
        loop {
            match self.link.receive(&mut input) {
                Ok(Some(event)) => end.handle(&self.link, event),
                Ok(None) => break,
                Err(error) => {
                    self.failed = Some(error.0);
                    return;
                }
            }
        }
        end.handled(&self.link);
        self.pump.keep(&input);
    }

    /// Writes what is left, GOAWAY above all.
    fn poll_failed(
        &mut self,
        cx: &mut Context<'_>,
        end: &mut impl End,
        violation: Violation,
    ) -> Poll<Ended> {
        end.fail(&self.link);
        if self.pump.poll_write(cx, &self.link).is_pending() {
            ready!(end.poll_unread(cx, &self.link));
        }
        if self.link.has_written() {
            let _ = ready!(self.pump.poll_shutdown(cx));
        }
        Poll::Ready(Ended::Malformed(violation))
    }
}
