//! The connections of both sides, whatever they speak.

use std::time::Instant;

use super::engine::Reply;
use super::h2_backend::H2Backend;
use super::h2_client::{H2Client, H2Request};
use super::http1_backend::Http1Backend;
use super::http1_client::{self, Http1Client};
use super::messages::{MessageBackend, MessageClient, MessageRequest};
use super::wire::{Input, Wire};
use super::{Failure, Load, Protocol};

/// A connection that the backend has accepted.
pub(crate) enum BackendConnection {
    Http1(Http1Backend),
    H2c(H2Backend),
    Messages(MessageBackend),
}

impl BackendConnection {
    pub(crate) fn new(protocol: Protocol, wire: Wire) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1(Http1Backend::new(wire)),
            Protocol::H2c | Protocol::GrpcUnary | Protocol::GrpcStream => {
                Self::H2c(H2Backend::new(wire))
            }
            Protocol::WebSocket | Protocol::Tcp => Self::Messages(MessageBackend::new(wire)),
        }
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        match self {
            Self::Http1(connection) => connection.wire(),
            Self::H2c(connection) => connection.wire(),
            Self::Messages(connection) => connection.wire(),
        }
    }

    /// Reads requests and answers them, adding to `served`; `Err` ends the connection.
    pub(crate) fn serve(
        &mut self,
        scratch: &mut [u8],
        until_end: bool,
        reply: &Reply,
        served: &mut u64,
    ) -> Result<(), Failure> {
        loop {
            match self.wire().read(scratch)? {
                Input::Nothing => break,
                Input::End => return Err(Failure::Closed),
                Input::Bytes { length, last } => {
                    *served += self.take(scratch.get(..length).unwrap_or_default(), reply)?;
                    if last && !until_end {
                        break;
                    }
                }
            }
        }
        self.resume(reply)
    }

    /// Puts the answers to what came behind what is to be written; how many they are.
    fn take(&mut self, bytes: &[u8], reply: &Reply) -> Result<u64, Failure> {
        match self {
            Self::Http1(connection) => connection.take(bytes, reply),
            Self::H2c(connection) => connection.take(bytes, reply),
            Self::Messages(connection) => Ok(connection.take(bytes, reply.messages())),
        }
    }

    /// Goes on writing once the socket takes more.
    pub(crate) fn resume(&mut self, reply: &Reply) -> Result<(), Failure> {
        match self {
            Self::Http1(connection) => connection.send(),
            Self::H2c(connection) => connection.send(reply),
            Self::Messages(connection) => Ok(connection.wire().flush()?),
        }
    }
}

/// The bytes of the one request that a session repeats.
pub(crate) enum Request {
    Http1(Vec<u8>),
    H2c(H2Request),
    Message(MessageRequest),
}

impl Request {
    pub(crate) fn new(load: &Load) -> Option<Self> {
        Some(match load.protocol {
            Protocol::Http1 => Self::Http1(http1_client::request(load)),
            Protocol::H2c | Protocol::GrpcUnary | Protocol::GrpcStream => {
                Self::H2c(H2Request::new(load)?)
            }
            Protocol::WebSocket | Protocol::Tcp => Self::Message(MessageRequest::new(load)),
        })
    }
}

/// A connection that the client has opened.
pub(crate) enum ClientConnection {
    Http1(Http1Client),
    H2c(H2Client),
    Messages(MessageClient),
}

impl ClientConnection {
    pub(crate) fn new(protocol: Protocol, wire: Wire) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1(Http1Client::new(wire)),
            Protocol::H2c | Protocol::GrpcUnary | Protocol::GrpcStream => {
                Self::H2c(H2Client::new(wire))
            }
            Protocol::WebSocket | Protocol::Tcp => Self::Messages(MessageClient::new(wire)),
        }
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        match self {
            Self::Http1(connection) => connection.wire(),
            Self::H2c(connection) => connection.wire(),
            Self::Messages(connection) => connection.wire(),
        }
    }

    /// How many requests wait for their response.
    pub(crate) fn in_flight(&self) -> usize {
        match self {
            Self::Http1(connection) => usize::from(connection.in_flight().is_some()),
            Self::H2c(connection) => connection.in_flight(),
            Self::Messages(connection) => usize::from(connection.in_flight()),
        }
    }

    /// Queues a request; the caller flushes.
    pub(crate) fn issue(&mut self, due: Instant, request: &Request) {
        match (self, request) {
            (Self::Http1(connection), Request::Http1(bytes)) => connection.issue(due, bytes),
            (Self::H2c(connection), Request::H2c(request)) => connection.issue(due, request),
            (Self::Messages(connection), Request::Message(request)) => {
                connection.issue(due, request);
            }
            // A session builds its request and its connections from one protocol.
            (Self::Http1(_) | Self::H2c(_) | Self::Messages(_), _) => {}
        }
    }

    /// Reads responses; `Ok(false)` when the connection has ended where it may.
    pub(crate) fn read(
        &mut self,
        scratch: &mut [u8],
        until_end: bool,
        load: &Load,
        finished: &mut Vec<Instant>,
    ) -> Result<bool, Failure> {
        match self {
            Self::Http1(connection) => connection.read(scratch, until_end, load.body, finished),
            Self::H2c(connection) => {
                connection.read(scratch, until_end, load, finished)?;
                connection.wire().flush()?;
                Ok(true)
            }
            Self::Messages(connection) => {
                connection.read(scratch, until_end, load, finished)?;
                connection.wire().flush()?;
                Ok(true)
            }
        }
    }
}
