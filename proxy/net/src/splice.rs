//! Bytes both ways between two streams, each direction closing on its own.

use std::{
    cell::RefCell,
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

use crate::{Rewind, Stream, pipes::Pipe};

/// Bytes that one direction moves at a time. As large as a socket's buffer, so that bulk costs few
/// system calls; a direction has one only while it holds bytes.
const BUFFER: usize = 64 * 1024;
/// Buffers that a thread keeps for the next direction.
const KEPT: usize = 64;
/// Bytes at a time below which going through a pipe costs more than copying them.
const BULK: usize = 32 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// One side of a copy.
pub trait Side: AsyncRead + AsyncWrite + Unpin {
    /// The socket that bytes can be moved from and to by the kernel itself: none where they must be
    /// seen, or where some were read already.
    fn socket(&self) -> Option<&Stream>;
}

impl Side for Stream {
    fn socket(&self) -> Option<&Stream> {
        Some(self)
    }
}

impl Side for Rewind<Stream> {
    fn socket(&self) -> Option<&Stream> {
        self.is_drained().then(|| self.get_ref())
    }
}

/// How much went through, also while it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
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

impl CopyEnd {
    /// Whether a side reset its connection, which the other is to learn.
    pub fn is_reset(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        matches!(self, Self::Broken(error) if matches!(error.kind(), ConnectionReset | BrokenPipe))
    }
}

/// Copies until both sides have ended, one broke, or nothing moved for `idle`. The end of one
/// direction is passed on as a half-close while the other goes on. Nothing is read that the other
/// side has not made room for. Dropping the future leaves `moved` true.
pub async fn copy_both_ways<A, B>(
    a: &mut A,
    b: &mut B,
    idle: Option<Duration>,
    moved: &mut Moved,
) -> CopyEnd
where
    A: Side,
    B: Side,
{
    let mut up = Direction::default();
    let mut down = Direction::default();
    let mut watch = idle.map(IdleWatch::new);
    let mut watch = pin!(watch.as_mut());
    poll_fn(|cx| {
        let before = *moved;
        let up_done = match up.poll(cx, a, b, &mut moved.a_to_b) {
            Poll::Ready(Err(e)) => return Poll::Ready(CopyEnd::Broken(e)),
            polled => polled.is_ready(),
        };
        let down_done = match down.poll(cx, b, a, &mut moved.b_to_a) {
            Poll::Ready(Err(e)) => return Poll::Ready(CopyEnd::Broken(e)),
            polled => polled.is_ready(),
        };
        if up_done && down_done {
            return Poll::Ready(CopyEnd::Finished);
        }
        if let Some(watch) = watch.as_mut().get_mut().as_mut() {
            if *moved != before {
                watch.touch();
            }
            ready!(watch.poll_expired(cx));
            return Poll::Ready(CopyEnd::Idle);
        }
        Poll::Pending
    })
    .await
}

/// A buffer for as long as a direction holds bytes.
struct Buffer(Option<Box<[u8]>>);

impl Buffer {
    fn take() -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        Self(Some(spare.unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice())))
    }

    fn bytes(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(buffer) = self.0.take() else { return };
        // At the end of a thread its spares may be gone already.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(buffer);
            }
        });
    }
}

#[derive(Default)]
struct Direction {
    state: State,
    /// Whether as much came at a time as a pipe is good for.
    is_bulk: bool,
}

#[derive(Default)]
enum State {
    /// Nothing is held.
    #[default]
    Reading,
    /// What was read and not written.
    Writing {
        buffer: Buffer,
        from: usize,
        to: usize,
    },
    /// What was not even read, but moved.
    Draining(Pipe),
    Closing,
    Closed,
}

impl Direction {
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        moved: &mut u64,
    ) -> Poll<io::Result<()>>
    where
        R: Side,
        W: Side,
    {
        loop {
            self.state = match &mut self.state {
                State::Reading => match (from.socket(), to.socket()) {
                    (Some(from), Some(_)) if self.is_bulk => ready!(self.fill(cx, from))?,
                    _ => ready!(self.read(cx, from))?,
                },
                State::Writing { buffer, from, to: end } => {
                    let pending = buffer.bytes().get(*from..*end).unwrap_or_default();
                    let n = ready!(Pin::new(&mut *to).poll_write(cx, pending))?;
                    if n == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    *moved += n as u64;
                    *from += n;
                    if *from < *end {
                        continue;
                    }
                    State::Reading
                }
                State::Draining(pipe) => {
                    let Some(socket) = to.socket() else {
                        return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
                    };
                    let n = ready!(socket.poll_writing(cx, |fd| pipe.drain(fd)))?;
                    if n == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    *moved += n as u64;
                    if !pipe.is_empty() {
                        continue;
                    }
                    State::Reading
                }
                State::Closing => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    State::Closed
                }
                State::Closed => return Poll::Ready(Ok(())),
            };
        }
    }

    /// Reads into a buffer, by which small things go best.
    fn read<R: Side>(&mut self, cx: &mut Context<'_>, from: &mut R) -> Poll<io::Result<State>> {
        let mut buffer = Buffer::take();
        let mut buf = ReadBuf::new(buffer.bytes());
        ready!(Pin::new(from).poll_read(cx, &mut buf))?;
        let to = buf.filled().len();
        self.is_bulk = to == BUFFER;
        Poll::Ready(Ok(match to {
            0 => State::Closing,
            to => State::Writing { buffer, from: 0, to },
        }))
    }

    /// Lets the kernel put what came into a pipe.
    fn fill(&mut self, cx: &mut Context<'_>, from: &Stream) -> Poll<io::Result<State>> {
        ready!(from.poll_readable(cx))?;
        let Some(mut pipe) = Pipe::take() else {
            self.is_bulk = false;
            return Poll::Ready(Ok(State::Reading));
        };
        let n = ready!(from.poll_reading(cx, |fd| pipe.fill(fd)))?;
        self.is_bulk = n >= BULK;
        Poll::Ready(Ok(match n {
            0 => State::Closing,
            _ => State::Draining(pipe),
        }))
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
    use bytes::Bytes;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    impl Side for DuplexStream {
        fn socket(&self) -> Option<&Stream> {
            None
        }
    }

    /// A connection: what the peer holds, and what the proxy does.
    async fn connection() -> (TcpStream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap());
        let (peer, accepted) = tokio::join!(peer, listener.accept());
        (peer.unwrap(), Stream::Tcp(accepted.unwrap().0))
    }

    /// Bytes whose order shows.
    fn bulk(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    #[tokio::test]
    async fn bulk_goes_through_a_pipe_both_ways_and_arrives_whole() {
        let (mut client, a) = connection().await;
        let (mut server, mut b) = connection().await;
        let mut a = Rewind::new(Bytes::from_static(b"first "), a);
        let mut moved = Moved::default();
        let (asked, answer) = (bulk(3_000_001), bulk(5_000_003));
        let proxy = copy_both_ways(&mut a, &mut b, None, &mut moved);
        let talk = async {
            let (mut client_reads, mut client_writes) = client.split();
            let (mut server_reads, mut server_writes) = server.split();
            let (mut there, mut back) = (Vec::new(), Vec::new());
            let ask = async {
                client_writes.write_all(&asked).await.unwrap();
                client_writes.shutdown().await.unwrap();
            };
            let tell = async {
                server_writes.write_all(&answer).await.unwrap();
                server_writes.shutdown().await.unwrap();
            };
            let hear = server_reads.read_to_end(&mut there);
            let take = client_reads.read_to_end(&mut back);
            let _ = tokio::join!(ask, tell, hear, take);
            (there, back)
        };
        let (end, (there, back)) = tokio::join!(proxy, talk);
        assert!(matches!(end, CopyEnd::Finished));
        assert!(there == [&b"first "[..], &asked].concat(), "{} bytes", there.len());
        assert!(back == answer, "{} bytes", back.len());
        assert_eq!(moved, Moved { a_to_b: 3_000_007, b_to_a: 5_000_003 });
        assert!(Pipe::spare() > 0, "no pipe was used");
    }

    #[tokio::test]
    async fn a_reader_that_stalls_holds_up_its_writer() {
        let (mut client, mut a) = connection().await;
        let (mut server, mut b) = connection().await;
        let mut moved = Moved::default();
        let flood = async {
            let piece = bulk(BUFFER);
            loop {
                if client.write_all(&piece).await.is_err() {
                    return;
                }
            }
        };
        let stalled = Duration::from_millis(300);
        let proxy = copy_both_ways(&mut a, &mut b, Some(stalled), &mut moved);
        let end = tokio::select! {
            end = proxy => end,
            () = flood => unreachable!("the proxy goes first"),
        };
        assert!(matches!(end, CopyEnd::Idle));
        drop((a, b));
        let mut there = Vec::new();
        // What was in the pipe is lost with the connection, and nothing that was counted is.
        let _ = server.read_to_end(&mut there).await;
        assert_eq!(there.len() as u64, moved.a_to_b);
    }

    #[tokio::test]
    async fn one_side_may_end_while_the_other_goes_on() {
        let (mut client, mut a) = duplex(8);
        let (mut server, mut b) = duplex(8);
        let mut moved = Moved::default();
        let proxy = copy_both_ways(&mut a, &mut b, None, &mut moved);
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
        let (end, (asked, answer)) = tokio::join!(proxy, talk);
        assert_eq!(asked, "a question longer than a pipe");
        assert_eq!(answer, "an answer after the end");
        assert!(matches!(end, CopyEnd::Finished));
        assert_eq!(moved, Moved { a_to_b: 29, b_to_a: 23 });
    }

    #[tokio::test(start_paused = true)]
    async fn movement_either_way_keeps_it_alive_until_the_limit() {
        let (mut client, mut a) = duplex(8);
        let (_server, mut b) = duplex(64);
        let began = Instant::now();
        let limit = Duration::from_secs(10);
        let mut moved = Moved::default();
        let proxy = copy_both_ways(&mut a, &mut b, Some(limit), &mut moved);
        let talk = async {
            sleep(Duration::from_secs(7)).await;
            client.write_all(b"x").await.unwrap();
        };
        let (end, ()) = tokio::join!(proxy, talk);
        assert!(matches!(end, CopyEnd::Idle));
        assert_eq!(began.elapsed().as_secs(), 17);
    }

    #[tokio::test]
    async fn who_holds_no_bytes_holds_no_buffer() {
        let (mut client, mut a) = duplex(8);
        let (mut server, mut b) = duplex(8);
        let mut moved = Moved::default();
        let proxy = copy_both_ways(&mut a, &mut b, None, &mut moved);
        let talk = async {
            let mut byte = [0; 1];
            for _ in 0..3 {
                client.write_all(b"x").await.unwrap();
                server.read_exact(&mut byte).await.unwrap();
            }
            // Both directions wait, and share nothing but the one buffer that was needed.
            tokio::task::yield_now().await;
            let spare = SPARE.with_borrow(Vec::len);
            drop((client, server));
            spare
        };
        let (_, spare) = tokio::join!(proxy, talk);
        assert_eq!(spare, 1);
    }
}
