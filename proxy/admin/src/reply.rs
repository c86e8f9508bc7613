//! Responses.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use tokio::sync::mpsc;

/// A response of the admin interface.
pub(crate) type Reply = Response<ReplyBody>;

/// All at once, or piece by piece as it is made.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    Whole(Option<Bytes>),
    Pieces(mpsc::Receiver<Piece>),
    Grpc(tonic::body::Body),
    Ended,
}

/// A part of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    /// The body is complete. Without this the connection is cut, so that a client sees that
    /// something is missing.
    End,
}

/// The maker of a body gave up.
#[derive(Debug, thiserror::Error)]
#[error("the response was not completed")]
pub(crate) struct Interrupted;

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let next = match &mut *self {
            Self::Whole(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Self::Ended => None,
            Self::Grpc(body) => {
                let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
                frame.map(|frame| frame.map_err(|_| Interrupted))
            }
            Self::Pieces(pieces) => match std::task::ready!(pieces.poll_recv(cx)) {
                Some(Piece::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
                Some(Piece::End) => {
                    *self = Self::Ended;
                    None
                }
                None => {
                    *self = Self::Ended;
                    Some(Err(Interrupted))
                }
            },
        };
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Ended | Self::Whole(None) => true,
            Self::Whole(Some(_)) | Self::Pieces(_) => false,
            Self::Grpc(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Grpc(body) => body.size_hint(),
            Self::Pieces(_) => SizeHint::default(),
            Self::Ended => SizeHint::with_exact(0),
        }
    }
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=UTF-8");
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// Plain text with a status.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    build(status, TEXT, ReplyBody::Whole(Some(text.into())))
}

/// Plain text, 200.
pub(crate) fn ok(body: impl Into<Bytes>) -> Reply {
    text(StatusCode::OK, body)
}

/// A web page.
pub(crate) fn html(body: String) -> Reply {
    build(StatusCode::OK, HTML, ReplyBody::Whole(Some(body.into())))
}

/// Prometheus' exposition format.
pub(crate) fn prometheus(body: String) -> Reply {
    build(StatusCode::OK, PROMETHEUS, ReplyBody::Whole(Some(body.into())))
}

/// JSON that is already written.
pub(crate) fn raw_json(body: impl Into<Bytes>) -> Reply {
    build(StatusCode::OK, JSON, ReplyBody::Whole(Some(body.into())))
}

/// JSON, indented as Envoy does.
pub(crate) fn json(value: &impl Serialize) -> Reply {
    let mut out = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, indent);
    match value.serialize(&mut serializer) {
        Ok(()) => raw_json(out),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// JSON that is made piece by piece.
pub(crate) fn json_pieces(pieces: mpsc::Receiver<Piece>) -> Reply {
    build(StatusCode::OK, JSON, ReplyBody::Pieces(pieces))
}

fn build(status: StatusCode, content_type: HeaderValue, body: ReplyBody) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::SERVER, HeaderValue::from_static("weft"));
    reply
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_body_without_its_end_is_an_error() {
        for complete in [true, false] {
            let (pieces, body) = mpsc::channel(4);
            let reply = json_pieces(body);
            pieces.send(Piece::Bytes("{}".into())).await.unwrap();
            if complete {
                pieces.send(Piece::End).await.unwrap();
            }
            drop(pieces);
            let collected = reply.into_body().collect().await;
            assert_eq!(collected.map(|body| body.to_bytes()).ok(), complete.then(|| "{}".into()));
        }
    }
}
