//! What a request's answer needs to know of the client beside the message itself.

use std::{rc::Rc, task::Context};

use http::Response;

use super::{http1::Wire, http2::StreamHints};
use crate::http1::Spelling;

/// The client's side of one request.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    /// Where interim responses go.
    pub(crate) interim: Interim,
    /// How the client spelled its header names.
    pub(crate) spelling: Spelling,
}

/// The way to the client for responses that are not the last one (1xx).
#[derive(Debug, Default)]
pub(crate) enum Interim {
    /// The client's protocol knows none.
    #[default]
    Unwanted,
    /// On an HTTP/1.1 connection.
    Http1(Rc<Wire>),
    /// On a stream of an h2 connection.
    Http2(StreamHints),
}

impl Interim {
    /// Passes one on if the client takes it now. They are hints: none is worth waiting for.
    pub(crate) fn send(&self, cx: &mut Context<'_>, head: &Response<()>) {
        match self {
            Self::Unwanted => {}
            Self::Http1(wire) => wire.interim(cx, head),
            Self::Http2(stream) => stream.send(head),
        }
    }
}
