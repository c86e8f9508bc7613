//! What a connection tells its owner.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::error::{Code, Violation};

/// Names a stream. A key outlives its stream harmlessly: commands on it are answered with
/// [`Gone`](crate::Gone).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    pub(crate) index: u32,
    pub(crate) id: u32,
}

impl StreamKey {
    /// The stream's identifier on the wire.
    pub fn id(self) -> u32 {
        self.id
    }

    /// A small number, below the number of streams ever open at once, that no other open stream has.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// What an extended CONNECT asks for (RFC 8441 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol(pub HeaderValue);

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A request's head (servers only). `:authority`, `:scheme` and `:path` are its URI; without
    /// `:authority` the URI is the path alone. `:protocol` (RFC 8441) is an extension of type
    /// [`Protocol`].
    Request {
        /// The new stream.
        stream: StreamKey,
        /// The head.
        head: Request<()>,
        /// Whether neither body nor trailers follow.
        end: bool,
    },
    /// A final response's head (clients only).
    Response {
        /// The request's stream.
        stream: StreamKey,
        /// The head.
        head: Response<()>,
        /// Whether neither body nor trailers follow.
        end: bool,
    },
    /// An informational response, 100 to 199 but 101 (clients only).
    Informational {
        /// The request's stream.
        stream: StreamKey,
        /// The head.
        head: Response<()>,
    },
    /// A part of a body, which may be empty when it is the last one. Its bytes count against the
    /// windows until they are [released](crate::Connection::release).
    Data {
        /// The stream.
        stream: StreamKey,
        /// The bytes.
        data: Bytes,
        /// Whether the message ends here.
        end: bool,
    },
    /// Trailers: the message ends here.
    Trailers {
        /// The stream.
        stream: StreamKey,
        /// The fields.
        fields: HeaderMap,
    },
    /// The stream is over before its time. Its key is gone, and so is what was not released.
    Reset {
        /// The stream.
        stream: StreamKey,
        /// By whom, and why.
        cause: ResetCause,
    },
    /// A stream was refused before it was reported.
    Refused(Violation),
    /// The peer takes no more streams. Those that it will not process are reported as
    /// [`ResetCause::NotProcessed`].
    GoAway {
        /// Why.
        code: Code,
    },
    /// The answer to [`Connection::ping`](crate::Connection::ping).
    Pong(u64),
}

/// Who ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCause {
    /// The peer, by RST_STREAM.
    Peer(Code),
    /// This end, because the peer broke a rule.
    Refused(Violation),
    /// The peer said GOAWAY and will not look at this stream.
    NotProcessed,
}
