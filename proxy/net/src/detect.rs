//! Which HTTP a client speaks, from its first bytes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// RFC 9113 §3.4. No HTTP/1 request begins so: `PRI` is reserved.
pub(crate) const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// Anything that is not the h2 preface.
    Http1,
    /// The h2 preface.
    Http2,
    /// The client closed before it said enough.
    Nothing,
}

/// Reads until the protocol is certain: one byte is enough unless it is the preface's. Returns the
/// stream with those bytes put back.
///
/// # Errors
/// What reading says.
pub async fn detect_http<S: AsyncRead + Unpin>(
    rewound: Rewind<S>,
) -> io::Result<(Detected, Rewind<S>)> {
    if let Some(detected) = told_by(&rewound.prefix) {
        return Ok((detected, rewound));
    }
    let Rewind { prefix, mut stream } = rewound;
    let mut seen = BytesMut::with_capacity(H2_PREFACE.len());
    seen.extend_from_slice(&prefix);
    let detected = loop {
        // `take` keeps whatever follows in the socket, where the HTTP machine reads it in place.
        let missing = H2_PREFACE.len().saturating_sub(seen.len()) as u64;
        if (&mut stream).take(missing).read_buf(&mut seen).await? == 0 {
            break if seen.is_empty() { Detected::Nothing } else { Detected::Http1 };
        }
        if let Some(detected) = told_by(&seen) {
            break detected;
        }
    };
    Ok((detected, Rewind { prefix: seen.freeze(), stream }))
}

/// What these first bytes say, if they are enough.
fn told_by(seen: &[u8]) -> Option<Detected> {
    if seen.starts_with(H2_PREFACE) {
        return Some(Detected::Http2);
    }
    (!H2_PREFACE.starts_with(seen)).then_some(Detected::Http1)
}

/// A stream with bytes put back in front of it.
#[derive(Debug)]
pub struct Rewind<S> {
    prefix: Bytes,
    stream: S,
}

impl<S> Rewind<S> {
    /// A stream with nothing put back.
    pub fn fresh(stream: S) -> Self {
        Self { prefix: Bytes::new(), stream }
    }

    /// A stream with `prefix` put back.
    pub fn new(prefix: Bytes, stream: S) -> Self {
        Self { prefix, stream }
    }

    /// What was put back and not read again, and the stream.
    pub fn into_parts(self) -> (Bytes, S) {
        (self.prefix, self.stream)
    }

    /// Whether everything that was put back was read again.
    pub(crate) fn is_drained(&self) -> bool {
        self.prefix.is_empty()
    }

    /// The stream behind what was put back.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewind<S> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let n = this.prefix.len().min(buf.remaining());
        buf.put_slice(&this.prefix.split_to(n));
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // Whatever follows is read in the same call: one wake less for each new connection.
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewind<S> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn detect(pieces: &[&[u8]]) -> (Detected, Vec<u8>) {
        let (mut client, server) = tokio::io::duplex(64);
        let feed = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let serve = async {
            let (detected, mut stream) = detect_http(Rewind::fresh(server)).await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            (detected, all)
        };
        tokio::join!(feed, serve).1
    }

    #[tokio::test]
    async fn nothing_is_lost_whatever_the_pieces() {
        let h2 = [H2_PREFACE, b"\0\0\0\x04\0\0\0\0\0"].concat();
        for cut in 0..h2.len() {
            let (detected, all) = detect(&[&h2[..cut], &h2[cut..]]).await;
            assert_eq!(detected, Detected::Http2, "cut at {cut}");
            assert_eq!(all, h2);
        }
        for h1 in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRIX / HTTP/1.1\r\n\r\n", b"P"] {
            let (detected, all) = detect(&[h1]).await;
            assert_eq!(detected, Detected::Http1);
            assert_eq!(all, h1);
        }
        assert_eq!(detect(&[]).await.0, Detected::Nothing);
    }

    #[tokio::test]
    async fn what_was_read_before_counts() {
        let h2 = [H2_PREFACE, b"\0\0\0\x04\0\0\0\0\0"].concat();
        for cut in 0..=h2.len() {
            let (mut client, server) = tokio::io::duplex(64);
            client.write_all(&h2[cut..]).await.unwrap();
            drop(client);
            let rewound = Rewind::new(Bytes::copy_from_slice(&h2[..cut]), server);
            let (detected, mut stream) = detect_http(rewound).await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            assert_eq!((detected, all), (Detected::Http2, h2.clone()), "cut at {cut}");
        }
    }
}
