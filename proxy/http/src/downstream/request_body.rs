//! The body of a request, whichever protocol it comes in.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;

use super::{http1::Wire, http2::StreamBody};

/// A request's body on its way from the client. Nothing is read before it is asked for.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// There is none, or it has ended.
    None,
    /// Of an HTTP/1 message.
    Http1(Rc<Wire>),
    /// Of an h2 stream.
    Http2(StreamBody),
}

/// Why a request's body does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestBroken {
    /// The client closed or reset its connection or stream.
    #[error("the client broke off its request")]
    Gone,
    /// The framing of the body makes no sense.
    #[error("the body of the request is malformed")]
    Malformed,
}

impl RequestBody {
    /// Whether nothing (more) comes.
    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Http1(wire) => wire.is_body_done(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    /// The bytes that follow are a tunnel's. On an h2 stream they come as its body anyway.
    pub(crate) fn begin_tunnel(&self) {
        if let Self::Http1(wire) = self {
            wire.begin_tunnel();
        }
    }

    /// The next frame; `None` at the end.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        match self {
            Self::None => Poll::Ready(None),
            Self::Http1(wire) => wire.poll_frame(cx),
            Self::Http2(body) => body.poll_frame(cx),
        }
    }
}
