//! Asking a running proxy how it is: for container health checks, and for what starts after it.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is asked while waiting.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// More than an answer of `/ready` has.
const ANSWER: u64 = 16 * 1024;

/// Why a proxy is not ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReady {
    /// Nobody answers.
    #[error("no answer from the admin address {address}: {source}")]
    Away { address: SocketAddr, source: io::Error },
    /// It says so.
    #[error("the proxy at {address} is not ready: {state}")]
    State { address: SocketAddr, state: String },
}

/// Asks once.
///
/// # Errors
/// When the proxy is not ready.
pub(crate) fn ask(address: SocketAddr) -> Result<(), NotReady> {
    let answer = ready(address).map_err(|source| NotReady::Away { address, source })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let state = if body.is_empty() { format!("status {status:?}") } else { body.trim().to_owned() };
    Err(NotReady::State { address, state })
}

/// Asks until the proxy is ready.
///
/// # Errors
/// When it is not within the time.
pub(crate) fn wait(address: SocketAddr, at_most: Duration) -> Result<(), NotReady> {
    let began = Instant::now();
    loop {
        match ask(address) {
            Err(error) if began.elapsed() >= at_most => return Err(error),
            Err(_) => thread::sleep(ASK_AGAIN),
            Ok(()) => return Ok(()),
        }
    }
}

fn ready(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /ready HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
