//! One request and its response on an HTTP/1.1 connection.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncWrite as _;
use weft_compile::KeyFormat;

use super::{
    Connection,
    decode::{self, Bounds},
    encode, give_back,
};
use crate::{
    fault::Fault,
    forward::is_safe,
    http1::{
        self, Malformed, Spelling,
        encode::{chunk_size, last_chunk},
    },
    tunnel::Tunnel,
    upstream::{
        Answer, Failure, Outgoing, Upload, idle_limit::announced, pool::Pool, upload::Framing,
    },
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Drives both directions of one exchange from whoever polls it.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Taken when the exchange has ended: back to the pool, or closed.
    connection: Option<Connection>,
    pool: Rc<Pool>,
    upload: Upload,
    /// What is to be written next: a head or what frames a chunk, and the data that follows.
    out: Bytes,
    data: Bytes,
    /// A chunk's data was buffered, so its closing line break goes before whatever comes next.
    chunk_open: bool,
    sending: Sending,
    method: Method,
    reused: bool,
    anything_written: bool,
    anything_read: bool,
    keep_alive: bool,
    key_format: KeyFormat,
    body: http1::Body,
    tunnel: Option<TunnelState>,
    /// How the upstream spelled its header names.
    spelling: Spelling,
}

/// How far a tunnel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TunnelState {
    /// The upstream has not answered.
    Asked,
    /// There is nobody to ask: the connection itself is the agreement.
    Given,
    /// Bytes go both ways.
    Open,
}

/// How far the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// More frames may come.
    Body,
    /// Everything is in the buffers.
    LastBytes,
    /// The client's side of a tunnel has ended, and the upstream is told.
    Finish,
    /// Everything is on the wire.
    Done,
    /// The connection takes no more, but a response may still come.
    Broken,
}

impl Exchange {
    pub(super) fn new(
        mut connection: Connection,
        pool: Rc<Pool>,
        reused: bool,
        outgoing: &Outgoing,
        upload: Upload,
    ) -> Self {
        connection.requests += 1;
        let tunnel = outgoing.tunnel.as_ref().map(|tunnel| match tunnel {
            Tunnel::Terminated => TunnelState::Given,
            Tunnel::Upgrade(_) | Tunnel::Connect => TunnelState::Asked,
        });
        let out = match tunnel {
            Some(TunnelState::Given) => Bytes::new(),
            _ => {
                let (format, framing) = (connection.settings.key_format, upload.framing());
                pool.buffers.write(|out| encode::head(out, outgoing, framing, format))
            }
        };
        // What goes into a tunnel waits until there is one.
        let is_whole = upload.is_finished() || tunnel.is_some();
        let sending = if is_whole { Sending::LastBytes } else { Sending::Body };
        Self {
            key_format: connection.settings.key_format,
            connection: Some(connection),
            pool,
            upload,
            out,
            data: Bytes::new(),
            chunk_open: false,
            sending,
            method: outgoing.method.clone(),
            reused,
            anything_written: false,
            anything_read: false,
            keep_alive: false,
            body: http1::Body::UntilClose,
            tunnel,
            spelling: Spelling::default(),
        }
    }

    pub(crate) fn is_tunnel(&self) -> bool {
        self.tunnel == Some(TunnelState::Open)
    }

    /// The upstream has agreed.
    fn begin_tunnel(&mut self) {
        self.tunnel = Some(TunnelState::Open);
        self.upload.begin_tunnel();
        self.keep_alive = false;
        self.body = http1::Body::UntilClose;
        self.sending = Sending::Body;
    }

    pub(crate) fn upload(&self) -> &Upload {
        &self.upload
    }

    pub(crate) fn upload_mut(&mut self) -> &mut Upload {
        &mut self.upload
    }

    pub(crate) fn into_upload(self) -> Upload {
        self.upload
    }

    /// How the upstream spelled its header names, and what it asks for in names.
    pub(crate) fn spelling(&self) -> (Spelling, KeyFormat) {
        (self.spelling.clone(), self.key_format)
    }

    /// Goes on sending the request while nobody asks for the response.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>) {
        // What goes wrong is seen by whoever asks for the response.
        let _ = self.poll_send(cx);
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.body.is_done()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.body {
            http1::Body::Done => SizeHint::with_exact(0),
            http1::Body::Length(left) => SizeHint::with_exact(left),
            http1::Body::Chunked(_) | http1::Body::UntilClose => SizeHint::default(),
        }
    }

    /// The rest of the body, if it has been received already.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        let connection = self.connection.as_mut()?;
        let http1::Body::Length(left) = self.body else { return None };
        if (connection.read.len() as u64) < left {
            return None;
        }
        match self.body.step(&mut connection.read) {
            Ok(http1::Step::Data(data)) => {
                self.end();
                Some(data)
            }
            _ => None,
        }
    }

    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        if let Poll::Ready(Err(fault)) = self.poll_send(cx) {
            return Poll::Ready(Err(Failure::unknown(fault)));
        }
        if self.tunnel == Some(TunnelState::Given) {
            self.begin_tunnel();
            return Poll::Ready(Ok(Answer::Final(Response::new(()))));
        }
        loop {
            let Some(connection) = &mut self.connection else {
                return Poll::Ready(Err(Failure::unknown(Fault::UpstreamClosed)));
            };
            if !connection.read.is_empty() {
                let bounds = Bounds::of(&connection.settings);
                match decode::head(&mut connection.read, &self.method, bounds) {
                    Ok(None) => {}
                    Ok(Some(head)) if self.agrees(head.response.status()) => {
                        self.spelling = head.spelling;
                        self.begin_tunnel();
                        return Poll::Ready(Ok(Answer::Final(head.response)));
                    }
                    // Nobody asked for another protocol.
                    Ok(Some(head)) if head.response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                        return Poll::Ready(Err(Failure::answered(self.make_nothing_of_it())));
                    }
                    Ok(Some(head)) if head.response.status().is_informational() => {
                        return Poll::Ready(Ok(Answer::Interim(head.response)));
                    }
                    Ok(Some(head)) => {
                        self.keep_alive = head.keep_alive;
                        self.learn(head.response.headers());
                        self.spelling = head.spelling;
                        self.body = http1::Body::new(&head.body);
                        if self.body.is_done() {
                            self.end();
                        }
                        return Poll::Ready(Ok(Answer::Final(head.response)));
                    }
                    Err(Malformed) => {
                        return Poll::Ready(Err(Failure::answered(self.make_nothing_of_it())));
                    }
                }
            }
            match ready!(connection.poll_read(cx, &self.pool.buffers)) {
                Ok(n) if n > 0 => self.anything_read = true,
                Ok(_) | Err(_) => return Poll::Ready(Err(self.closed_before_response())),
            }
        }
    }

    /// Whether this answer opens the tunnel that was asked for.
    fn agrees(&self, status: StatusCode) -> bool {
        self.tunnel == Some(TunnelState::Asked)
            && (status == StatusCode::SWITCHING_PROTOCOLS
                || (self.method == Method::CONNECT && status.is_success()))
    }

    /// Counts an endpoint that breaks the rules.
    fn make_nothing_of_it(&self) -> Fault {
        if let Some(connection) = &self.connection {
            connection.stats.upstream_cx_protocol_error.inc();
        }
        Fault::UpstreamProtocol
    }

    /// Takes note of how long the upstream keeps idle connections, if it says so.
    fn learn(&self, headers: &HeaderMap) {
        let said = headers.get(KEEP_ALIVE).and_then(|value| announced(value.as_bytes()));
        if let Some(limit) = said.filter(|_| self.keep_alive) {
            self.pool.idle_limit.borrow_mut().announce(limit);
        }
    }

    /// A connection that was used before and ends without a byte was closed by the peer for being
    /// idle while the request was on its way. Still only a request that asks for no change is
    /// taken as not processed once bytes of it have left.
    fn closed_before_response(&self) -> Failure {
        let harmless = !self.anything_written
            || (self.reused && is_safe(&self.method) && self.upload.framing() == Framing::None);
        if self.anything_read {
            Failure::answered(Fault::UpstreamClosed)
        } else if harmless {
            Failure::unsent(Fault::UpstreamClosed)
        } else {
            Failure::unknown(Fault::UpstreamClosed)
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Poll::Ready(Err(fault)) = self.poll_send(cx) {
            self.connection = None;
            return Poll::Ready(Some(Err(fault)));
        }
        loop {
            let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
            let step = match self.body.step(&mut connection.read) {
                Ok(step) => step,
                Err(Malformed) => {
                    let fault = self.make_nothing_of_it();
                    return self.break_off(fault);
                }
            };
            let frame = match step {
                http1::Step::Data(data) => Some(Frame::data(data)),
                http1::Step::Trailers(map) => Some(Frame::trailers(map)),
                http1::Step::End => None,
                http1::Step::More => match connection.poll_read(cx, &self.pool.buffers) {
                    Poll::Ready(Ok(n)) if n > 0 => continue,
                    Poll::Ready(Ok(_)) if matches!(self.body, http1::Body::UntilClose) => {
                        self.body = http1::Body::Done;
                        None
                    }
                    Poll::Ready(_) => return self.break_off(Fault::UpstreamClosed),
                    Poll::Pending => {
                        if self.tunnel.is_some() {
                            // It may be quiet for long.
                            connection.let_go();
                        }
                        return Poll::Pending;
                    }
                },
            };
            if self.body.is_done() {
                self.end();
            }
            return Poll::Ready(frame.map(Ok));
        }
    }

    fn break_off(&mut self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.connection = None;
        Poll::Ready(Some(Err(fault)))
    }

    /// The response is complete: the connection is kept only if nothing is left on it either way.
    fn end(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.keep_alive && self.sending == Sending::Done && connection.read.is_empty() {
            give_back(&self.pool, connection);
        }
    }

    /// Sends as much of the request as the connection takes. Only a client that broke off is an
    /// error: an upstream that stops reading may have answered already.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            match self.sending {
                Sending::Done | Sending::Broken => return Poll::Ready(Ok(())),
                Sending::Finish => {
                    let Some(connection) = &mut self.connection else { return Poll::Ready(Ok(())) };
                    let _ = ready!(Pin::new(&mut connection.io).poll_shutdown(cx));
                    self.sending = Sending::Done;
                    continue;
                }
                Sending::Body | Sending::LastBytes => {}
            }
            if ready!(self.poll_write(cx)).is_err() {
                self.sending = Sending::Broken;
                continue;
            }
            if self.sending == Sending::LastBytes {
                self.sending = if self.is_tunnel() { Sending::Finish } else { Sending::Done };
                continue;
            }
            let frame = match ready!(self.upload.poll_frame(cx)) {
                Some(Ok(frame)) => Some(frame),
                None => None,
                Some(Err(broken)) => return Poll::Ready(Err(broken.fault())),
            };
            self.buffer_frame(frame);
        }
    }

    fn buffer_frame(&mut self, frame: Option<Frame<Bytes>>) {
        let chunked = self.upload.framing() == Framing::Chunked;
        let trailers = match frame.map(Frame::into_data) {
            Some(Ok(data)) if data.is_empty() => return,
            Some(Ok(data)) => {
                if chunked {
                    let (size, open) = (data.len(), self.chunk_open);
                    self.out = self.pool.buffers.write(|out| chunk_size(out, size, open));
                    self.chunk_open = true;
                }
                self.data = data;
                if !chunked && self.upload.is_finished() {
                    self.sending = Sending::LastBytes;
                }
                return;
            }
            Some(Err(frame)) => frame.into_trailers().ok(),
            None => None,
        };
        if chunked {
            let (trailers, format, open) = (trailers.as_ref(), self.key_format, self.chunk_open);
            self.out = self.pool.buffers.write(|out| last_chunk(out, trailers, format, open));
        }
        self.sending = Sending::LastBytes;
    }

    /// Writes what is to be written next.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        loop {
            let io = Pin::new(&mut connection.io);
            let n = match (self.out.is_empty(), self.data.is_empty()) {
                (true, true) => return Poll::Ready(Ok(())),
                (false, true) => ready!(io.poll_write(cx, &self.out))?,
                (true, false) => ready!(io.poll_write(cx, &self.data))?,
                (false, false) => {
                    let both = [IoSlice::new(&self.out), IoSlice::new(&self.data)];
                    ready!(io.poll_write_vectored(cx, &both))?
                }
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            connection.stats.zone_bytes.sent(connection.crosses, n);
            self.anything_written = true;
            let of_out = n.min(self.out.len());
            self.out.advance(of_out);
            self.data.advance(n - of_out);
            if self.out.is_empty() {
                // Its block is used again sooner when an empty rest does not hold on to it.
                self.out = Bytes::new();
            }
        }
    }
}
