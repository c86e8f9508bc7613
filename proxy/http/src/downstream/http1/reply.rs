//! Responses to the wire.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{
    HeaderName, HeaderValue, Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING},
    response::Parts,
};
use http_body::{Body as _, Frame};
use weft_compile::KeyFormat;

use super::wire::Wire;
use crate::{
    body::{Body, BrokenOff},
    http1::{
        Names,
        encode::{chunk_size, field, fields, last_chunk},
    },
    worker::Worker,
};

const NOTHING: HeaderValue = HeaderValue::from_static("");

/// What a response answers, as far as that decides how it is written.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) version: Version,
}

/// A response on its way to the client.
#[derive(Debug)]
pub(super) struct Reply {
    /// Until it is put down, together with whatever part of the body is there by then.
    head: Option<Parts>,
    body: Body,
    delivery: Delivery,
    version: Version,
    /// How the client is written names.
    format: KeyFormat,
    keep_alive: bool,
    chunk_open: bool,
    ended: bool,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// There is none, whatever the head says.
    Nothing,
    /// This many bytes are left.
    Length(u64),
    Chunked,
    /// The end of the connection ends it, as in HTTP/1.0.
    UntilClose,
    /// There is no message any more: the connection is the peers' own until it ends.
    Tunnel,
}

impl Delivery {
    /// Decides, and says in the head what it does not say yet.
    fn decide(head: &mut Parts, body: &Body, asked: &Asked) -> io::Result<Self> {
        if is_tunnel(&asked.method, head.status) {
            head.headers.remove(CONTENT_LENGTH);
            return Ok(Self::Tunnel);
        }
        if head.status == StatusCode::NO_CONTENT {
            head.headers.remove(CONTENT_LENGTH);
        }
        let bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if asked.method == Method::HEAD || bodiless {
            return Ok(Self::Nothing);
        }
        if let Some(length) = head.headers.get(CONTENT_LENGTH) {
            let length = length.to_str().ok().and_then(|it| it.parse().ok());
            return length.map(Self::Length).ok_or_else(|| io::ErrorKind::InvalidData.into());
        }
        if let Some(length) = body.size_hint().exact() {
            head.headers.insert(CONTENT_LENGTH, length.into());
            return Ok(Self::Length(length));
        }
        Ok(if asked.version == Version::HTTP_10 { Self::UntilClose } else { Self::Chunked })
    }
}

/// Whether bytes go both ways after this answer.
pub(super) fn is_tunnel(method: &Method, status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || (*method == Method::CONNECT && status.is_success())
}

impl Reply {
    /// A response that is about to be written.
    pub(super) fn new(
        response: Response<Body>,
        asked: &Asked,
        format: KeyFormat,
        keep_alive: bool,
    ) -> io::Result<Self> {
        let (mut head, body) = response.into_parts();
        let delivery = Delivery::decide(&mut head, &body, asked)?;
        let keep_alive = keep_alive && !matches!(delivery, Delivery::UntilClose | Delivery::Tunnel);
        Ok(Self {
            head: Some(head),
            body,
            delivery,
            version: asked.version,
            format,
            keep_alive,
            chunk_open: false,
            ended: false,
        })
    }

    pub(super) fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// When the rest of the request last went on, if there is any.
    pub(super) fn upload_moved(&self) -> Option<Instant> {
        self.body.upload_moved()
    }

    /// Writes the response to its end. An error is the client's, or a body that broke off: then
    /// nothing more can be said on this connection.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        wire: &Wire,
        worker: &Worker,
    ) -> Poll<io::Result<()>> {
        loop {
            match wire.poll_write(cx)? {
                Poll::Ready(()) if self.ended => return Poll::Ready(Ok(())),
                Poll::Ready(()) => {}
                Poll::Pending => {
                    // What the client sends need not wait for what it does not take.
                    self.body.poll_upload(cx);
                    return Poll::Pending;
                }
            }
            match self.poll_part(cx) {
                Poll::Ready(part) => self.put_down(part, wire, worker)?,
                Poll::Pending if self.head.is_some() => self.put_down_head(wire, worker),
                Poll::Pending => return wire.poll_gone(cx).map(|()| Err(gone())),
            }
        }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.delivery {
            Delivery::Nothing => Poll::Ready(None),
            _ => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    fn put_down_head(&mut self, wire: &Wire, worker: &Worker) {
        let Some(head) = self.head.take() else { return };
        let out = worker.buffers().write(|out| self.write_head(out, &head, worker));
        wire.stage(out, Bytes::new());
    }

    fn put_down(
        &mut self,
        part: Option<Result<Frame<Bytes>, BrokenOff>>,
        wire: &Wire,
        worker: &Worker,
    ) -> io::Result<()> {
        let part = match part.transpose() {
            Ok(part) => part,
            Err(broken) => {
                self.put_down_head(wire, worker);
                return Err(io::Error::other(broken));
            }
        };
        let is_end = part.is_none();
        let (data, trailers) = match part.map(Frame::into_data) {
            Some(Ok(data)) => (data, None),
            Some(Err(frame)) => (Bytes::new(), frame.into_trailers().ok()),
            None => (Bytes::new(), None),
        };
        let over = self.body.is_end_stream() || trailers.is_some() || is_end;
        if data.is_empty() && !over {
            return Ok(());
        }
        // The last byte of a body of known length is its end; chunks need one more.
        self.ended = over && (data.is_empty() || self.delivery != Delivery::Chunked);
        if let Delivery::Length(left) = &mut self.delivery {
            *left = left.checked_sub(data.len() as u64).ok_or_else(gone)?;
            if self.ended && *left > 0 {
                return Err(gone());
            }
        }
        let head = self.head.take();
        let out = worker.buffers().write(|out| {
            if let Some(head) = &head {
                self.write_head(out, head, worker);
            }
            if self.delivery == Delivery::Chunked {
                if self.ended {
                    last_chunk(out, trailers.as_ref(), self.format, self.chunk_open);
                } else {
                    chunk_size(out, data.len(), self.chunk_open);
                }
            }
        });
        self.chunk_open |= !self.ended;
        wire.stage(out, data);
        Ok(())
    }

    fn write_head(&self, out: &mut BytesMut, head: &Parts, worker: &Worker) {
        status_line(out, self.version, head.status);
        let ours: fn(&HeaderName) -> bool = |name| name != CONNECTION && name != TRANSFER_ENCODING;
        let names = self.body.names(self.format);
        fields(out, &head.headers, names, ours);
        if !head.headers.contains_key(DATE) {
            names.put(out, &DATE, &NOTHING);
            out.put_slice(b": ");
            out.put_slice(&worker.date());
            out.put_slice(b"\r\n");
        }
        let mut own = |name, value| field(out, names, &name, &HeaderValue::from_static(value));
        if self.delivery == Delivery::Chunked {
            own(TRANSFER_ENCODING, "chunked");
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            own(CONNECTION, "upgrade");
        } else if !self.keep_alive && self.delivery != Delivery::Tunnel {
            own(CONNECTION, "close");
        } else if self.keep_alive && self.version == Version::HTTP_10 {
            own(CONNECTION, "keep-alive");
        }
        out.put_slice(b"\r\n");
    }
}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

fn status_line(out: &mut BytesMut, version: Version, status: StatusCode) {
    out.reserve(512);
    out.put_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.put_slice(status.as_str().as_bytes());
    out.put_slice(b" ");
    out.put_slice(status.canonical_reason().unwrap_or("Unknown").as_bytes());
    out.put_slice(b"\r\n");
}

/// The head of an interim response (1xx).
pub(super) fn interim(out: &mut BytesMut, head: &Response<()>, format: KeyFormat) {
    status_line(out, Version::HTTP_11, head.status());
    fields(out, head.headers(), Names::own(format), |name| name != CONNECTION);
    out.put_slice(b"\r\n");
}
