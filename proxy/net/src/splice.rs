//! Bytes both ways between two streams, each direction closing on its own.

use std::{
    future::{Future as _, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// Bytes held for one direction.
const BUFFER: usize = 16 * 1024;

/// How a copy ended, and how much went through.
#[derive(Debug)]
pub struct CopyResult {
    /// Why it ended.
    pub end: CopyEnd,
    /// Bytes from `a` to `b`.
    pub a_to_b: u64,
    /// Bytes from `b` to `a`.
    pub b_to_a: u64,
}

/// Why a copy ended.
#[derive(Debug)]
pub enum CopyEnd {
    /// Both directions reached their end.
    Finished,
    /// Nothing moved for the idle limit.
    Idle,
    /// A side broke.
    Broken(io::Error),
}

/// Copies until both sides have ended, one broke, or nothing moved for `idle`. The end of one
/// direction is passed on as a half-close while the other goes on.
pub async fn copy_both_ways<A, B>(a: &mut A, b: &mut B, idle: Option<Duration>) -> CopyResult
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Direction::new();
    let mut down = Direction::new();
    let mut watch = idle.map(IdleWatch::new);
    let mut watch = pin!(watch.as_mut());
    let end = poll_fn(|cx| {
        let moved_before = up.moved + down.moved;
        let up_done = match up.poll(cx, a, b) {
            Poll::Ready(Err(e)) => return Poll::Ready(CopyEnd::Broken(e)),
            polled => polled.is_ready(),
        };
        let down_done = match down.poll(cx, b, a) {
            Poll::Ready(Err(e)) => return Poll::Ready(CopyEnd::Broken(e)),
            polled => polled.is_ready(),
        };
        if up_done && down_done {
            return Poll::Ready(CopyEnd::Finished);
        }
        if let Some(watch) = watch.as_mut().get_mut().as_mut() {
            if up.moved + down.moved != moved_before {
                watch.touch();
            }
            ready!(watch.poll_expired(cx));
            return Poll::Ready(CopyEnd::Idle);
        }
        Poll::Pending
    })
    .await;
    CopyResult { end, a_to_b: up.moved, b_to_a: down.moved }
}

struct Direction {
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
    moved: u64,
    state: State,
}

enum State {
    Copying,
    Closing,
    Closed,
}

impl Direction {
    fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER].into_boxed_slice(),
            from: 0,
            to: 0,
            moved: 0,
            state: State::Copying,
        }
    }

    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            match self.state {
                State::Copying if self.from < self.to => {
                    let pending = self.buffer.get(self.from..self.to).unwrap_or_default();
                    let n = ready!(Pin::new(&mut *to).poll_write(cx, pending))?;
                    if n == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    self.from += n;
                    self.moved += n as u64;
                }
                State::Copying => {
                    let mut buf = ReadBuf::new(&mut self.buffer);
                    ready!(Pin::new(&mut *from).poll_read(cx, &mut buf))?;
                    (self.from, self.to) = (0, buf.filled().len());
                    if self.to == 0 {
                        self.state = State::Closing;
                    }
                }
                State::Closing => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.state = State::Closed;
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// An idle timer that is only re-armed when it fires, not at each byte.
struct IdleWatch {
    limit: Duration,
    last: Instant,
    timer: Pin<Box<Sleep>>,
}

impl IdleWatch {
    fn new(limit: Duration) -> Self {
        Self { limit, last: Instant::now(), timer: Box::pin(sleep(limit)) }
    }

    fn touch(&mut self) {
        self.last = Instant::now();
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let due = self.last + self.limit;
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn one_side_may_end_while_the_other_goes_on() {
        let (mut client, mut a) = duplex(8);
        let (mut server, mut b) = duplex(8);
        let proxy = copy_both_ways(&mut a, &mut b, None);
        let talk = async {
            // Nobody may write more than the pipes hold before somebody reads: do both at once.
            let ask = async {
                client.write_all(b"a question longer than a pipe").await.unwrap();
                client.shutdown().await.unwrap();
            };
            let mut asked = String::new();
            let (_, read) = tokio::join!(ask, server.read_to_string(&mut asked));
            read.unwrap();
            let reply = async {
                server.write_all(b"an answer after the end").await.unwrap();
                server.shutdown().await.unwrap();
            };
            let mut answer = String::new();
            let (_, read) = tokio::join!(reply, client.read_to_string(&mut answer));
            read.unwrap();
            (asked, answer)
        };
        let (result, (asked, answer)) = tokio::join!(proxy, talk);
        assert_eq!(asked, "a question longer than a pipe");
        assert_eq!(answer, "an answer after the end");
        assert!(matches!(result.end, CopyEnd::Finished));
        assert_eq!((result.a_to_b, result.b_to_a), (29, 23));
    }

    #[tokio::test(start_paused = true)]
    async fn movement_either_way_keeps_it_alive_until_the_limit() {
        let (mut client, mut a) = duplex(8);
        let (_server, mut b) = duplex(64);
        let began = Instant::now();
        let limit = Duration::from_secs(10);
        let proxy = copy_both_ways(&mut a, &mut b, Some(limit));
        let talk = async {
            sleep(Duration::from_secs(7)).await;
            client.write_all(b"x").await.unwrap();
        };
        let (result, ()) = tokio::join!(proxy, talk);
        assert!(matches!(result.end, CopyEnd::Idle));
        assert_eq!(began.elapsed().as_secs(), 17);
    }
}
