//! Client and backend on one thread: one `epoll` loop over both.
//!
//! A proxy under test makes about four system calls per request; so does what
//! stands around it. With client and backend in one loop there are no switches
//! between them, so that the core they share does not become the limit, and the loop
//! can spin without starving the backend: see [`Session::drive`]. Both sides of HTTP/2
//! are written out here: requests and responses never vary, so their header blocks
//! are built once.

mod connection;
mod engine;
pub(crate) mod frames;
mod h2_backend;
mod h2_client;
mod histogram;
pub(crate) mod hpack;
mod http1_backend;
mod http1_client;
mod messages;
mod pace;
mod session;
pub(crate) mod wire;

use std::net::SocketAddr;

pub use engine::{Backends, Engine};
pub use histogram::Histogram;
pub use pace::Pace;
pub use session::{Session, Tally};

/// What is spoken on both sides of a proxy, and in which shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, one request at a time per connection.
    Http1,
    /// HTTP/2 without TLS and with prior knowledge (RFC 9113 §3.3).
    H2c,
    /// gRPC over h2c: a message there, a message and trailers back.
    GrpcUnary,
    /// gRPC over h2c: streams that stay open, and messages to and fro on them.
    GrpcStream,
    /// Messages over HTTP/1.1 connections that were upgraded (RFC 6455).
    WebSocket,
    /// Bytes over TCP: 64 there, an answer back.
    Tcp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Http1, Self::H2c, Self::GrpcUnary, Self::GrpcStream, Self::WebSocket, Self::Tcp];

    /// Whether HTTP/2 carries it.
    pub fn is_h2(self) -> bool {
        matches!(self, Self::H2c | Self::GrpcUnary | Self::GrpcStream)
    }
}

/// How long a client connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Every connection carries requests until the session ends.
    KeepAlive,
    /// Every request opens its connection and asks for its close (HTTP/1.1 only).
    PerRequest,
}

/// What a session asks for, again and again.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Where requests go: a proxy's listener or a backend itself.
    pub target: SocketAddr,
    /// What is spoken to `target`.
    pub protocol: Protocol,
    /// Whether connections are kept.
    pub reuse: Reuse,
    /// The `Host` of HTTP/1.1, the `:authority` of HTTP/2, nothing to TCP. At most 126 bytes.
    pub authority: &'static str,
    /// The path, with its leading slash. At most 126 bytes.
    pub path: &'static str,
    /// The exact length every response body must have, in bytes; of a message, what it carries.
    pub body: usize,
    /// Connections open at the same time.
    pub connections: usize,
    /// Requests or messages in flight per connection; above 1 only for HTTP/2.
    pub streams: usize,
}

/// Why a request did not end in the expected response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The connection ended before the response did, or between two requests.
    #[error("connection closed early")]
    Closed,
    /// The socket reported an error.
    #[error("socket error: {0}")]
    Socket(std::io::ErrorKind),
    /// The status was not 200.
    #[error("status other than 200")]
    Status,
    /// The body was not as long as it must be.
    #[error("body of {0} bytes")]
    Length(usize),
    /// The stream was reset (HTTP/2).
    #[error("stream reset with code {0}")]
    Reset(u32),
    /// The connection is being shut down by the other side (HTTP/2).
    #[error("GOAWAY with code {0}")]
    GoAway(u32),
    /// Bytes that this client cannot take.
    #[error("protocol: {0}")]
    Protocol(&'static str),
    /// The answer did not come in time.
    #[error("no answer in time")]
    Timeout,
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Socket(error.kind())
    }
}
