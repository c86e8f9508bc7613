//! An upstream that answers each connection with given bytes, and ends.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// What is sent to whoever comes.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// Wait for the preface of HTTP/2 instead of the end of a head.
    pub(super) http2: bool,
}

pub(super) struct Upstream {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
}

impl Upstream {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("start the upstream")?;
        let address = listener.local_addr().context("start the upstream")?;
        let well = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok".to_vec();
        let answer = Arc::new(Mutex::new(Answer { bytes: well, http2: false }));
        let shared = Arc::clone(&answer);
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                thread::spawn(move || serve(stream, &answer));
            }
        });
        Ok(Self { address, answer })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers like this from now on.
    pub(super) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

/// The proxy may close at any time, after which there is nothing to do.
fn serve(mut stream: TcpStream, answer: &Answer) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
    let mut request = Vec::new();
    let mut part = [0; 8192];
    let asked = |request: &[u8]| match answer.http2 {
        true => request.len() > 24,
        false => request.windows(4).any(|end| end == b"\r\n\r\n"),
    };
    while !asked(&request) {
        let length = stream.read(&mut part).ok().filter(|&length| length > 0)?;
        request.extend_from_slice(part.get(..length)?);
    }
    stream.write_all(&answer.bytes).ok()?;
    stream.shutdown(Shutdown::Write).ok()?;
    // What still comes is taken, so that closing does not reset what was sent.
    while stream.read(&mut part).ok()? > 0 {}
    Some(())
}
