//! The body of a request, whichever protocol it comes in.

use std::{
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use weft_compile::TrailerChange;

use super::{http1::Wire, http2::StreamBody};
use crate::{
    copied::CopiedBody, fault::Fault, filters::Decoding, mutation, tcp::RawBody, upstream::Upload,
};

/// A request's body on its way from the client. Nothing is read before it is asked for.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// There is none, or it has ended.
    None,
    /// Of an HTTP/1 message.
    Http1(Rc<Wire>),
    /// Of an h2 stream.
    Http2(StreamBody),
    /// Read as a whole before it goes on.
    Whole(Box<Whole>),
    /// Changed by a filter as it goes on.
    Changed(Box<Changed>),
    /// What a raw connection says.
    Raw(RawBody),
    /// A copy of one that goes elsewhere.
    Copied(Box<CopiedBody>),
    /// What was kept of a body that has been sent before.
    Again(Box<Upload>),
}

/// A body that is here as a whole.
#[derive(Debug)]
pub(crate) struct Whole {
    /// Empty once it was taken.
    data: Bytes,
    /// `None` once they were taken.
    trailers: Option<HeaderMap>,
}

/// A body that a filter changes.
#[derive(Debug)]
pub(crate) struct Changed {
    inner: RequestBody,
    change: Change,
}

#[derive(Debug)]
enum Change {
    /// Out of base64.
    Decode(Decoding),
    /// Other trailers.
    Trailers(Arc<[TrailerChange]>),
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
    /// What should be base64 is not.
    #[error("the body of the request is not base64")]
    NotBase64,
}

impl RequestBroken {
    /// What the client is told, if it is still there.
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::Gone | Self::Malformed => Fault::ClientGone,
            Self::NotBase64 => Fault::NotBase64,
        }
    }
}

impl RequestBody {
    /// One that was read before.
    pub(crate) fn whole(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self::Whole(Box::new(Whole { data, trailers }))
    }

    /// The same out of base64.
    pub(crate) fn decoded(self) -> Self {
        Self::Changed(Box::new(Changed {
            inner: self,
            change: Change::Decode(Decoding::default()),
        }))
    }

    /// The same with its trailers changed.
    pub(crate) fn with_trailers(self, changes: &Arc<[TrailerChange]>) -> Self {
        let change = Change::Trailers(Arc::clone(changes));
        Self::Changed(Box::new(Changed { inner: self, change }))
    }

    /// Whether nothing (more) comes.
    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Http1(wire) => wire.is_body_done(),
            Self::Http2(body) => body.is_end_stream(),
            Self::Again(body) => body.is_finished(),
            Self::Whole(whole) => whole.data.is_empty() && whole.trailers.is_none(),
            Self::Changed(changed) => changed.is_end_stream(),
            Self::Raw(_) => false,
            Self::Copied(copied) => copied.is_end_stream(),
        }
    }

    /// The bytes that follow are a tunnel's. On an h2 stream they come as its body anyway.
    pub(crate) fn begin_tunnel(&self) {
        match self {
            Self::Http1(wire) => wire.begin_tunnel(),
            Self::Changed(changed) => changed.inner.begin_tunnel(),
            Self::None
            | Self::Http2(_)
            | Self::Whole(_)
            | Self::Raw(_)
            | Self::Copied(_)
            | Self::Again(_) => {}
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
            Self::Again(body) => body.poll_frame(cx),
            Self::Whole(whole) => Poll::Ready(whole.next().map(Ok)),
            Self::Changed(changed) => changed.poll_frame(cx),
            Self::Raw(body) => body.poll_frame(cx),
            Self::Copied(copied) => copied.poll_frame(cx),
        }
    }
}

impl Whole {
    fn next(&mut self) -> Option<Frame<Bytes>> {
        let data = std::mem::take(&mut self.data);
        if !data.is_empty() {
            return Some(Frame::data(data));
        }
        self.trailers.take().map(Frame::trailers)
    }
}

impl Changed {
    fn is_end_stream(&self) -> bool {
        let is_whole = match &self.change {
            Change::Decode(decoding) => decoding.is_whole(),
            Change::Trailers(_) => true,
        };
        // Where a group of base64 is not whole at the end, that is still to be told.
        is_whole && self.inner.is_end_stream()
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        loop {
            let frame = match ready!(self.inner.poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
                None => return Poll::Ready(self.end()),
            };
            match (&mut self.change, frame.into_data()) {
                (Change::Decode(decoding), Ok(data)) => match decoding.decode(&data) {
                    Ok(data) if data.is_empty() => {}
                    decoded => return Poll::Ready(Some(decoded.map(Frame::data))),
                },
                (Change::Trailers(changes), Err(frame)) => {
                    let Ok(mut trailers) = frame.into_trailers() else { continue };
                    mutation::apply_to_trailers(changes, &mut trailers);
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                (_, Ok(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                (_, Err(frame)) => return Poll::Ready(Some(Ok(frame))),
            }
        }
    }

    fn end(&mut self) -> Option<Result<Frame<Bytes>, RequestBroken>> {
        match &mut self.change {
            Change::Decode(decoding) if !decoding.is_whole() => {
                *decoding = Decoding::default();
                Some(Err(RequestBroken::NotBase64))
            }
            _ => None,
        }
    }
}
