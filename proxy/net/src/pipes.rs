//! Pipes of the kernel: through one, bulk goes from socket to socket without being copied.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// Bytes that a pipe takes at a time. More are not out of the processor's caches yet when the other
/// side reads them, so larger pipes gain nothing.
pub(crate) const PIPE: usize = 256 * 1024;
/// Pipes that a thread may have, in use or not: each is two descriptors, of which there are few.
const MOST: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

/// Both ends of a pipe that nothing is in, as long as it is among the spares.
struct Ends {
    into: OwnedFd,
    out: OwnedFd,
}

impl Ends {
    fn open() -> io::Result<Self> {
        let (out, into) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // Who has used up what the system grants its user gets one of the ordinary size.
        let _ = fcntl_setpipe_size(&into, PIPE);
        OPEN.set(OPEN.get() + 1);
        Ok(Self { into, out })
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        // At the end of a thread its count may be gone already.
        let _ = OPEN.try_with(|open| open.set(open.get().saturating_sub(1)));
    }
}

/// A pipe for as long as a direction holds bytes.
pub(crate) struct Pipe {
    ends: Option<Ends>,
    held: usize,
}

impl Pipe {
    /// An empty one; `None` when this thread has as many as it may, or the system has none.
    pub(crate) fn take() -> Option<Self> {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let ends = match spare {
            None if OPEN.get() >= MOST => None,
            None => Ends::open().ok(),
            spare => spare,
        };
        ends.map(|ends| Self { ends: Some(ends), held: 0 })
    }

    /// How many of this thread wait to be used.
    #[cfg(test)]
    pub(crate) fn spare() -> usize {
        SPARE.with_borrow(Vec::len)
    }

    /// Whether everything that was put in was taken out.
    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Puts in what a socket has to read. Zero is its end. The pipe must be empty, so that
    /// `WouldBlock` can only be said of the socket.
    pub(crate) fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
        debug_assert!(self.is_empty(), "what is inside would be waited for at the wrong side");
        let Some(ends) = &self.ends else { return Ok(0) };
        let n = splice(from, None, &ends.into, None, PIPE, FLAGS)?;
        self.held = n;
        Ok(n)
    }

    /// Writes what is inside to a socket, as far as it takes it.
    pub(crate) fn drain(&mut self, to: impl AsFd) -> io::Result<usize> {
        let Some(ends) = &self.ends else { return Ok(0) };
        let n = splice(&ends.out, None, to, None, self.held, FLAGS)?;
        self.held = self.held.saturating_sub(n);
        Ok(n)
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take() else { return };
        // What is still inside belongs to a connection that is gone.
        if self.held == 0 {
            let _ = SPARE.try_with(|spare| spare.borrow_mut().push(ends));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixStream,
    };

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (near, far)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let ((from, mut source), (to, mut sink)) = (pair(), pair());
        let mut pipe = Pipe::take().unwrap();
        assert_eq!(pipe.fill(&from).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        source.write_all(b"some bytes").unwrap();
        assert_eq!(pipe.fill(&from).unwrap(), 10);
        assert_eq!(pipe.drain(&to).unwrap(), 10);
        assert!(pipe.is_empty());
        let mut read = [0; 10];
        sink.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"some bytes");
        drop(source);
        assert_eq!(pipe.fill(&from).unwrap(), 0);
    }

    #[test]
    fn a_pipe_that_still_holds_bytes_is_not_used_again() {
        let (from, mut source) = pair();
        source.write_all(b"left behind").unwrap();
        let mut left = Pipe::take().unwrap();
        left.fill(&from).unwrap();
        drop(left);
        assert_eq!((SPARE.with_borrow(Vec::len), OPEN.get()), (0, 0));
        drop(Pipe::take());
        assert_eq!((SPARE.with_borrow(Vec::len), OPEN.get()), (1, 1));
    }

    #[test]
    fn a_thread_has_no_more_than_it_may() {
        let held: Vec<_> = std::iter::from_fn(Pipe::take).collect();
        assert_eq!(held.len(), MOST);
        drop(held);
        assert_eq!((SPARE.with_borrow(Vec::len), OPEN.get()), (MOST, MOST));
        assert!(Pipe::take().is_some());
    }
}
