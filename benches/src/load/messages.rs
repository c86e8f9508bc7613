//! Messages on connections that carry nothing else: raw TCP, and WebSocket (RFC 6455)
//! after its upgrade. A message of 64 bytes goes there, an answer of known length comes back.

use std::time::Instant;

use super::wire::{Input, Wire};
use super::{Failure, Load, Protocol};

/// Bytes that a message of the client carries, whatever it is wrapped in.
pub(crate) const CARRIED: usize = 64;

/// FIN and the opcode of binary data.
const BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
/// The client's masking key. A fixed one serves: nothing between reads these bytes.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// The example of RFC 6455 §1.3, key and answer.
const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A gRPC message of [`CARRIED`] bytes: not compressed, its length, its bytes.
pub(crate) fn grpc() -> Vec<u8> {
    let inside = CARRIED - 5;
    let mut message = vec![0, 0, 0, 0, u8::try_from(inside).unwrap_or(0)];
    message.resize(CARRIED, b'm');
    message
}

/// What one side sends in a protocol's framing, masked when it is the client (§5.2).
fn framed(protocol: Protocol, carried: &[u8], client: bool) -> Vec<u8> {
    if protocol != Protocol::WebSocket {
        return carried.to_vec();
    }
    // Messages here carry 64 bytes; up to 125 the length is one byte.
    let length = u8::try_from(carried.len()).unwrap_or(0);
    let mut frame = vec![BINARY, if client { MASKED | length } else { length }];
    if client {
        frame.extend_from_slice(&KEY);
        frame.extend(carried.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    } else {
        frame.extend_from_slice(carried);
    }
    frame
}

/// The one message that a session repeats.
pub(crate) struct MessageRequest {
    handshake: Option<Vec<u8>>,
    message: Vec<u8>,
}

impl MessageRequest {
    pub(crate) fn new(load: &Load) -> Self {
        let handshake = (load.protocol == Protocol::WebSocket).then(|| {
            format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n\r\n",
                load.path, load.authority
            )
            .into_bytes()
        });
        Self { handshake, message: framed(load.protocol, &[b'm'; CARRIED], true) }
    }
}

/// The backend's answer in the protocol's framing, and the head that upgrades to it.
pub(crate) struct MessageReply {
    upgrade: Option<Vec<u8>>,
    message: usize,
    answer: Vec<u8>,
}

impl MessageReply {
    pub(crate) fn new(protocol: Protocol, body: &[u8]) -> Self {
        let upgrade = (protocol == Protocol::WebSocket).then(|| {
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
            )
            .into_bytes()
        });
        let message = framed(protocol, &[b'm'; CARRIED], true).len();
        Self { upgrade, message, answer: framed(protocol, body, false) }
    }
}

/// A connection to the peer under test.
pub(crate) struct MessageClient {
    wire: Wire,
    due: Option<Instant>,
    received: usize,
    stage: Stage,
    /// What came of the head that answers the upgrade.
    head: Vec<u8>,
}

enum Stage {
    /// Nothing was sent.
    New,
    /// The upgrade was asked for; this message waits for it.
    Upgrading(Vec<u8>),
    /// Messages flow.
    Open,
}

impl MessageClient {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, due: None, received: 0, stage: Stage::New, head: Vec::new() }
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Whether a message waits for its answer.
    pub(crate) fn in_flight(&self) -> bool {
        self.due.is_some()
    }

    pub(crate) fn issue(&mut self, due: Instant, request: &MessageRequest) {
        self.due = Some(due);
        match (&self.stage, &request.handshake) {
            (Stage::New, Some(handshake)) => {
                self.wire.out().extend_from_slice(handshake);
                self.stage = Stage::Upgrading(request.message.clone());
            }
            _ => {
                self.stage = Stage::Open;
                self.wire.out().extend_from_slice(&request.message);
            }
        }
    }

    /// Reads what is there. `finished` receives when each answered message was due.
    pub(crate) fn read(
        &mut self,
        scratch: &mut [u8],
        until_end: bool,
        load: &Load,
        finished: &mut Vec<Instant>,
    ) -> Result<(), Failure> {
        let framing = if load.protocol == Protocol::WebSocket { 2 } else { 0 };
        loop {
            match self.wire.read(scratch)? {
                Input::Nothing => return Ok(()),
                Input::End => return Err(Failure::Closed),
                Input::Bytes { length, last } => {
                    let bytes = scratch.get(..length).unwrap_or_default();
                    self.take(bytes, load.body + framing, finished)?;
                    if last && !until_end {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn take(
        &mut self,
        bytes: &[u8],
        expected: usize,
        finished: &mut Vec<Instant>,
    ) -> Result<(), Failure> {
        if let Stage::Upgrading(message) = &self.stage {
            self.head.extend_from_slice(bytes);
            if upgraded(&self.head)? {
                self.wire.out().extend_from_slice(message);
                self.stage = Stage::Open;
            }
            return Ok(());
        }
        self.received += bytes.len();
        if self.received > expected {
            return Err(Failure::Length(self.received));
        }
        if self.received == expected {
            self.received = 0;
            let due = self.due.take();
            finished.push(due.ok_or(Failure::Protocol("a message nobody asked for"))?);
        }
        Ok(())
    }
}

/// Whether the answer to an upgrade is there, which must be 101 and all there is.
fn upgraded(head: &[u8]) -> Result<bool, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Partial) => Ok(false),
        Ok(httparse::Status::Complete(_)) if response.code != Some(101) => Err(Failure::Status),
        Ok(httparse::Status::Complete(length)) if length == head.len() => Ok(true),
        Ok(_) => Err(Failure::Protocol("bytes behind the upgrade")),
        Err(_) => Err(Failure::Protocol("not an HTTP/1.1 response")),
    }
}

/// The backend's end of a connection.
pub(crate) struct MessageBackend {
    wire: Wire,
    head: Vec<u8>,
    upgraded: bool,
    received: usize,
}

impl MessageBackend {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, head: Vec::new(), upgraded: false, received: 0 }
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    pub(crate) fn take(&mut self, bytes: &[u8], reply: &MessageReply) -> u64 {
        if let Some(upgrade) = reply.upgrade.as_ref().filter(|_| !self.upgraded) {
            self.head.extend_from_slice(bytes);
            // A client sends nothing more before its upgrade is answered.
            if self.head.ends_with(b"\r\n\r\n") {
                self.wire.out().extend_from_slice(upgrade);
                self.upgraded = true;
                self.head = Vec::new();
            }
            return 0;
        }
        self.received += bytes.len();
        let whole = self.received / reply.message;
        self.received %= reply.message;
        for _ in 0..whole {
            self.wire.out().extend_from_slice(&reply.answer);
        }
        whole as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_client_masks_and_only_websockets_frame() {
        let client = framed(Protocol::WebSocket, &[b'm'; CARRIED], true);
        assert_eq!(client.len(), CARRIED + 6);
        assert_eq!(client[..2], [0x82, 0xc0]);
        assert_eq!(client[6], b'm' ^ KEY[0]);
        let server = framed(Protocol::WebSocket, &[b'm'; CARRIED], false);
        assert_eq!(server[..3], [0x82, 0x40, b'm']);
        assert_eq!(framed(Protocol::Tcp, b"abc", true), b"abc");
    }

    #[test]
    fn an_upgrade_is_101_and_nothing_else() {
        let yes = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(upgraded(yes), Ok(true));
        assert_eq!(upgraded(&yes[..20]), Ok(false));
        assert!(upgraded(&[&yes[..], b"x"].concat()).is_err());
        assert_eq!(upgraded(b"HTTP/1.1 403 Forbidden\r\n\r\n"), Err(Failure::Status));
    }
}
