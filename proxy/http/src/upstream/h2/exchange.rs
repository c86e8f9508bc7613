//! One request and its response as an h2 stream.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, header::CONTENT_LENGTH};
use http_body::Frame;
use weft_h2::{Code, RequestHead, ResetCause, StreamKey};

use super::StreamSlot;
use crate::{
    fault::Fault,
    http2::{Broken, Handle},
    tunnel::Tunnel,
    upstream::{Answer, Authority, Failure, Outgoing, Upload},
};

/// Drives both directions of one stream from whoever polls it. Dropping it before its end breaks the
/// stream off.
#[derive(Debug)]
pub(crate) struct Exchange {
    stream: Stream,
    upload: Option<Upload>,
    sending: Sending,
    /// Bytes go both ways.
    is_tunnel: bool,
    /// The response says how long it is.
    has_length: bool,
    _slot: StreamSlot,
}

/// The stream, or why there is none.
#[derive(Debug)]
enum Stream {
    Open(Handle, StreamKey),
    Refused(Failure),
}

#[derive(Debug)]
enum Sending {
    /// What goes into a tunnel waits until there is one.
    Held,
    /// Frames may come.
    Body,
    /// This much of a frame waits for room in the peer's window.
    Data(Bytes),
    /// The request has ended.
    Done,
}

impl Exchange {
    pub(super) fn new(link: Handle, slot: StreamSlot, outgoing: &Outgoing, upload: Upload) -> Self {
        let asks = outgoing.tunnel.is_some();
        let end = upload.is_finished() && !asks;
        let stream = match open_stream(&link, outgoing, end) {
            Ok(key) => Stream::Open(link, key),
            Err(failure) => Stream::Refused(failure),
        };
        let sending = match (asks, end) {
            (true, _) => Sending::Held,
            (false, true) => Sending::Done,
            (false, false) => Sending::Body,
        };
        let upload = Some(upload);
        Self { stream, upload, sending, is_tunnel: false, has_length: false, _slot: slot }
    }

    pub(crate) fn is_tunnel(&self) -> bool {
        self.is_tunnel
    }

    /// The answer to a request for a tunnel: any 2xx agrees (RFC 9110 §9.3.6).
    fn settle(&mut self, agrees: bool) {
        let (Stream::Open(link, key), Some(upload)) = (&self.stream, &mut self.upload) else {
            return;
        };
        self.is_tunnel = agrees;
        if agrees {
            upload.begin_tunnel();
            self.sending = Sending::Body;
        } else {
            // The peer may have ended the stream already.
            let _ = link.send_data(*key, &mut Bytes::new(), true);
            self.sending = Sending::Done;
        }
    }

    pub(crate) fn upload(&self) -> Option<&Upload> {
        self.upload.as_ref()
    }

    pub(crate) fn upload_mut(&mut self) -> Option<&mut Upload> {
        self.upload.as_mut()
    }

    pub(crate) fn into_upload(mut self) -> Option<Upload> {
        self.upload.take()
    }

    /// Goes on sending the request while nobody asks for the response.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>) {
        // What goes wrong is seen by whoever asks for the response.
        let _ = self.poll_send(cx);
    }

    /// Whether more of the request is to be sent.
    pub(crate) fn takes_more(&self) -> bool {
        !matches!(self.sending, Sending::Done)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match &self.stream {
            Stream::Open(link, key) => link.is_drained(*key),
            Stream::Refused(_) => false,
        }
    }

    /// The whole body, if it has come already. What is of unknown length stays so for the client.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        match &self.stream {
            Stream::Open(link, key) if self.has_length => link.take_whole(*key),
            Stream::Open(..) | Stream::Refused(_) => None,
        }
    }

    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        if let Poll::Ready(Err(fault)) = self.poll_send(cx) {
            return Poll::Ready(Err(Failure::unknown(fault)));
        }
        let (link, key) = match &self.stream {
            Stream::Open(link, key) => (link, *key),
            Stream::Refused(failure) => return Poll::Ready(Err(*failure)),
        };
        Poll::Ready(match ready!(link.poll_head(key, cx)) {
            Ok(head) if head.status().is_informational() => Ok(Answer::Interim(head)),
            Ok(head) => {
                self.has_length = head.headers().contains_key(CONTENT_LENGTH);
                if matches!(self.sending, Sending::Held) {
                    self.settle(head.status().is_success());
                }
                Ok(Answer::Final(head))
            }
            Err(broken) => Err(failure_of(broken)),
        })
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Poll::Ready(Err(fault)) = self.poll_send(cx) {
            return Poll::Ready(Some(Err(fault)));
        }
        match &self.stream {
            Stream::Open(link, key) => link
                .poll_frame(*key, cx)
                .map(|frame| frame.map(|it| it.map_err(|broken| failure_of(broken).fault))),
            Stream::Refused(_) => Poll::Ready(None),
        }
    }

    /// Sends as much of the request's body as the peer's window takes.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let (Stream::Open(link, key), Some(upload)) = (&self.stream, &mut self.upload) else {
            return Poll::Ready(Ok(()));
        };
        loop {
            match &mut self.sending {
                Sending::Held | Sending::Done => return Poll::Ready(Ok(())),
                Sending::Data(data) => match link.send_data(*key, data, upload.is_finished()) {
                    Ok(true) if upload.is_finished() => self.sending = Sending::Done,
                    Ok(true) => self.sending = Sending::Body,
                    Ok(false) => {
                        link.wait(*key, cx);
                        return Poll::Pending;
                    }
                    // The peer has reset the stream; its answer, if any, tells why.
                    Err(_gone) => self.sending = Sending::Done,
                },
                Sending::Body => match ready!(upload.poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        self.sending = match frame.into_data() {
                            Ok(data) => Sending::Data(data),
                            Err(frame) => {
                                let trailers = frame.into_trailers().unwrap_or_default();
                                let _ = link.send_trailers(*key, &trailers);
                                Sending::Done
                            }
                        }
                    }
                    None => self.sending = Sending::Data(Bytes::new()),
                    Some(Err(broken)) => {
                        self.sending = Sending::Done;
                        link.reset(*key, Code::Cancel);
                        return Poll::Ready(Err(broken.fault()));
                    }
                },
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Stream::Open(link, key) = &self.stream {
            link.reset(*key, Code::Cancel);
        }
    }
}

fn open_stream(link: &Handle, outgoing: &Outgoing, end: bool) -> Result<StreamKey, Failure> {
    if matches!(outgoing.authority, Authority::Field(_)) && outgoing.authority.to_uri().is_none() {
        return Err(Failure::unsent(Fault::BadRequest("authority is not valid for h2")));
    }
    let protocol = match &outgoing.tunnel {
        Some(Tunnel::Upgrade(to)) => Some(to.as_bytes()),
        Some(Tunnel::Connect | Tunnel::Terminated) | None => None,
    };
    let head = RequestHead {
        method: if protocol.is_some() { &Method::CONNECT } else { &outgoing.method },
        scheme: "http",
        authority: outgoing.authority.as_bytes(),
        path: outgoing.path.as_str(),
        protocol,
        headers: &outgoing.headers,
    };
    link.open(head, end).map_err(|_| Failure::unsent(Fault::UpstreamRefused))
}

fn failure_of(broken: Broken) -> Failure {
    match broken {
        Broken::Reset(ResetCause::Peer(Code::RefusedStream)) => {
            Failure::unsent(Fault::UpstreamRefused)
        }
        Broken::Reset(ResetCause::NotProcessed) => Failure::unsent(Fault::UpstreamClosed),
        Broken::Reset(ResetCause::Peer(_)) => Failure::unknown(Fault::UpstreamReset),
        Broken::Reset(ResetCause::Refused(_)) | Broken::Malformed => {
            Failure::answered(Fault::UpstreamProtocol)
        }
        Broken::Closed => Failure::unknown(Fault::UpstreamClosed),
    }
}
