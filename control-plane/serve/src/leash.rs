//! Connections that can be cut from elsewhere.
//!
//! A client that reads nothing cannot be told that its stream has ended: that would wait behind
//! what it does not read. What can be done about it is to end its connection.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// What a connection can be cut by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leash(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cut: AtomicBool,
    reader: AtomicWaker,
}

impl Leash {
    /// Ends the connection, whatever it is doing.
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        self.0.reader.wake();
    }

    fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Acquire)
    }
}

/// A connection on a leash. Every request on it carries the [`Leash`].
#[derive(Debug)]
pub(crate) struct Leashed<C> {
    connection: C,
    leash: Leash,
}

impl<C> Leashed<C> {
    pub(crate) fn new(connection: C) -> Self {
        Self { connection, leash: Leash::default() }
    }
}

impl<C> Connected for Leashed<C> {
    type ConnectInfo = Leash;

    fn connect_info(&self) -> Leash {
        self.leash.clone()
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the peer did not answer for too long")
}

impl<C: AsyncRead + Unpin> AsyncRead for Leashed<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // The waker comes first: a cut between both would go unnoticed.
        self.leash.0.reader.register(context.waker());
        if self.leash.is_cut() {
            return Poll::Ready(Err(cut()));
        }
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Leashed<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.leash.is_cut() {
            return Poll::Ready(Err(cut()));
        }
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.leash.is_cut() {
            return Poll::Ready(Err(cut()));
        }
        Pin::new(&mut self.connection).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_connection_ends_while_it_waits() {
        let (near, _far) = tokio::io::duplex(16);
        let mut leashed = Leashed::new(near);
        let leash = leashed.connect_info();
        let reading = tokio::spawn(async move { leashed.read_u8().await });
        tokio::task::yield_now().await;
        leash.cut();
        let error = reading.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
}
