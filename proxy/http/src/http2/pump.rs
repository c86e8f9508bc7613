//! A connection's socket: reading into the worker's block, writing what the machine has.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use weft_h2::Violation;

use super::{Blocks, Link};

/// Pieces of one write.
const PIECES: usize = 48;

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// Everything was said, by both sides.
    #[error("it was finished")]
    Finished,
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// The socket failed.
    #[error("the connection broke: {0}")]
    Broke(io::Error),
    /// The peer does not answer a PING.
    #[error("the peer does not answer")]
    Silent,
    /// The peer does not read what there is to say.
    #[error("the peer does not read")]
    Unread,
    /// A head that has begun does not come to its end.
    #[error("a head takes too long")]
    Slow,
    /// The peer broke a rule.
    #[error("{0}")]
    Malformed(Violation),
}

/// Both directions of a socket.
#[derive(Debug)]
pub(super) struct Pump<S> {
    io: S,
    /// The beginning of a frame whose rest is to come.
    carry: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pump<S> {
    pub(super) fn new(io: S) -> Self {
        Self { io, carry: BytesMut::new() }
    }

    /// Reads once.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        blocks: &Blocks,
    ) -> Poll<Result<BytesMut, Ended>> {
        blocks.poll_read(cx, &mut self.io, &mut self.carry).map(|read| match read {
            Ok(input) if input.is_empty() => Err(Ended::Closed),
            Ok(input) => Ok(input),
            Err(error) => Err(Ended::Broke(error)),
        })
    }

    /// Keeps what the machine has left of a read: never more than the beginning of one frame.
    pub(super) fn keep(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.carry = BytesMut::from(rest);
        }
    }

    /// Writes until nothing is left; returns whether anything was written.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        link: &Link,
    ) -> Poll<Result<bool, Ended>> {
        link.with_output(|output| {
            let mut wrote = false;
            while !output.is_empty() {
                let mut pieces = [IoSlice::new(&[]); PIECES];
                let filled = output.chunks(&mut pieces);
                let pieces = pieces.get(..filled).unwrap_or_default();
                match Pin::new(&mut self.io).poll_write_vectored(cx, pieces) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Ended::Closed)),
                    Poll::Ready(Ok(n)) => output.advance(n),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Ended::Broke(error))),
                    Poll::Pending if wrote => return Poll::Ready(Ok(true)),
                    Poll::Pending => return Poll::Pending,
                }
                wrote = true;
            }
            Poll::Ready(Ok(wrote))
        })
    }

    /// Says the end.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
