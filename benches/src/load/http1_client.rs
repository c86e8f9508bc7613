//! One HTTP/1.1 client connection.

use std::time::Instant;

use super::wire::{Input, Wire};
use super::{Failure, Load, Reuse};

/// A connection with at most one request in flight.
pub(crate) struct Http1Client {
    wire: Wire,
    due: Option<Instant>,
    /// The head of a response that did not arrive in one piece.
    head: Vec<u8>,
    /// Bytes of the body still to come, once its head was read.
    left: Option<usize>,
}

/// The bytes of a request.
pub(crate) fn request(load: &Load) -> Vec<u8> {
    let close = match load.reuse {
        Reuse::KeepAlive => "",
        Reuse::PerRequest => "Connection: close\r\n",
    };
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: weft-benches\r\nAccept: */*\r\n{close}\r\n",
        load.path, load.authority
    )
    .into_bytes()
}

impl Http1Client {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, due: None, head: Vec::new(), left: None }
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// When the request in flight was due.
    pub(crate) fn in_flight(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn issue(&mut self, due: Instant, request: &[u8]) {
        self.due = Some(due);
        self.wire.out().extend_from_slice(request);
    }

    /// Reads what is there. `finished` receives when each answered request was due;
    /// `Ok(false)` tells that the other side has closed after its last response.
    pub(crate) fn read(
        &mut self,
        scratch: &mut [u8],
        until_end: bool,
        body: usize,
        finished: &mut Vec<Instant>,
    ) -> Result<bool, Failure> {
        loop {
            match self.wire.read(scratch)? {
                Input::Nothing => return Ok(true),
                Input::End if self.due.is_some() => return Err(Failure::Closed),
                Input::End => return Ok(false),
                Input::Bytes { length, last } => {
                    let bytes = scratch.get(..length).unwrap_or_default();
                    self.take(bytes, body, finished)?;
                    if last && !until_end {
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn take(
        &mut self,
        bytes: &[u8],
        body: usize,
        finished: &mut Vec<Instant>,
    ) -> Result<(), Failure> {
        let got = match self.left {
            Some(left) => Some((left, bytes.len())),
            None if self.head.is_empty() => body_of(bytes, body)?,
            None => {
                self.head.extend_from_slice(bytes);
                let got = body_of(&self.head, body)?;
                if got.is_some() {
                    self.head.clear();
                }
                got
            }
        };
        let Some((left, got)) = got else {
            if self.head.is_empty() {
                self.head.extend_from_slice(bytes);
            }
            return Ok(());
        };
        let left = left.checked_sub(got).ok_or(Failure::Length(body + got))?;
        self.left = (left > 0).then_some(left);
        if left == 0 {
            let due = self.due.take();
            finished.push(due.ok_or(Failure::Protocol("a response nobody asked for"))?);
        }
        Ok(())
    }
}

/// The length of the body, which must be `expected`, and how much of it follows the
/// head within `bytes`; `None` while the head is not complete.
fn body_of(bytes: &[u8], expected: usize) -> Result<Option<(usize, usize)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Failure::Protocol("not an HTTP/1.1 response")),
    };
    if response.code != Some(200) {
        return Err(Failure::Status);
    }
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
        .ok_or(Failure::Protocol("a response without Content-Length"))?;
    if length != expected {
        return Err(Failure::Length(length));
    }
    Ok(Some((length, bytes.len() - head)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_and_judged() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab";
        assert_eq!(body_of(whole, 3), Ok(Some((3, 2))));
        assert_eq!(body_of(&whole[..20], 3), Ok(None));
        assert_eq!(body_of(whole, 4), Err(Failure::Length(3)));
        let busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 3\r\n\r\n";
        assert_eq!(body_of(busy, 3), Err(Failure::Status));
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(matches!(body_of(chunked, 3), Err(Failure::Protocol(_))));
    }
}
