//! One HTTP/1.1 backend connection: every request gets the same response.

use super::Failure;
use super::engine::Reply;
use super::wire::Wire;

/// The backend's end of a connection.
pub(crate) struct Http1Backend {
    wire: Wire,
    /// Bytes of a request whose head did not arrive in one piece.
    head: Vec<u8>,
    /// The client has asked for the end of the connection.
    closing: bool,
}

impl Http1Backend {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, head: Vec::new(), closing: false }
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Writes what the socket takes; `Err` ends a connection whose last response is sent.
    pub(crate) fn send(&mut self) -> Result<(), Failure> {
        self.wire.flush()?;
        if self.closing && self.wire.pending() == 0 {
            return Err(Failure::Closed);
        }
        Ok(())
    }

    pub(crate) fn take(&mut self, bytes: &[u8], reply: &Reply) -> Result<u64, Failure> {
        let mut served = 0;
        if self.head.is_empty() {
            let mut rest = bytes;
            while let Some((after, close)) = behind_head(rest)? {
                self.closing |= close;
                self.wire.out().extend_from_slice(reply.http1());
                served += 1;
                rest = after;
            }
            self.head.extend_from_slice(rest);
            return Ok(served);
        }
        let mut whole = std::mem::take(&mut self.head);
        whole.extend_from_slice(bytes);
        self.take(&whole, reply)
    }
}

/// What follows the first request's head, and whether the connection is to be closed
/// after its response; `None` while there is no whole head.
fn behind_head(bytes: &[u8]) -> Result<Option<(&[u8], bool)>, Failure> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => {
            let close = request.headers.iter().any(|header| {
                header.name.eq_ignore_ascii_case("connection")
                    && header.value.eq_ignore_ascii_case(b"close")
            });
            Ok(bytes.get(head..).map(|rest| (rest, close)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(Failure::Protocol("not an HTTP/1.1 request")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let two = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nconnection: Close\r\n\r\n";
        let (second, close) = behind_head(two).unwrap().unwrap();
        assert!(!close);
        assert!(second.starts_with(b"GET /b"));
        assert_eq!(behind_head(second), Ok(Some((&b""[..], true))));
        assert_eq!(behind_head(&second[..6]), Ok(None));
        assert!(behind_head(b"\x16\x03\x01").is_err());
    }
}
