//! One request and its response as an h2 stream.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{
    HeaderMap, Request, Response, Uri, Version,
    header::HOST,
    uri::{Parts, Scheme},
};
use http_body::Frame;

use super::StreamSlot;
use crate::{
    fault::{Fault, Processed},
    upstream::{Answer, Failure, Outgoing, Upload},
};

/// Drives both directions of one stream from whoever polls it.
#[derive(Debug)]
pub(crate) struct Exchange {
    upload: Upload,
    sending: Sending,
    receiving: Receiving,
    _slot: StreamSlot,
}

#[derive(Debug)]
enum Sending {
    /// Frames may come.
    Body(SendStream<Bytes>),
    /// This much of a frame waits for room in the peer's window.
    Data(SendStream<Bytes>, Bytes),
    /// The request has ended.
    Done,
}

#[derive(Debug)]
enum Receiving {
    /// The stream could not be opened.
    Refused(Failure),
    Head(ResponseFuture),
    Body(RecvStream),
    Done,
}

impl Exchange {
    pub(super) fn new(
        mut sender: SendRequest<Bytes>,
        slot: StreamSlot,
        outgoing: &mut Outgoing,
        upload: Upload,
    ) -> Self {
        let (sending, receiving) = match open_stream(&mut sender, outgoing, &upload) {
            Ok((response, stream)) if upload.is_finished() => {
                drop(stream);
                (Sending::Done, Receiving::Head(response))
            }
            Ok((response, stream)) => (Sending::Body(stream), Receiving::Head(response)),
            Err(failure) => (Sending::Done, Receiving::Refused(failure)),
        };
        Self { upload, sending, receiving, _slot: slot }
    }

    pub(crate) fn upload(&self) -> &Upload {
        &self.upload
    }

    pub(crate) fn into_upload(self) -> Upload {
        self.upload
    }

    /// Goes on sending the request while nobody asks for the response.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>) {
        // What goes wrong is seen by whoever asks for the response.
        let _ = self.poll_send(cx);
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match &self.receiving {
            Receiving::Body(stream) => stream.is_end_stream(),
            Receiving::Done => true,
            Receiving::Head(_) | Receiving::Refused(_) => false,
        }
    }

    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        if let Poll::Ready(Err(fault)) = self.poll_send(cx) {
            return Poll::Ready(Err(Failure::unknown(fault)));
        }
        let response = match &mut self.receiving {
            Receiving::Head(response) => response,
            Receiving::Refused(failure) => return Poll::Ready(Err(*failure)),
            Receiving::Body(_) | Receiving::Done => {
                return Poll::Ready(Err(Failure::unknown(Fault::UpstreamReset)));
            }
        };
        match ready!(Pin::new(response).poll(cx)) {
            Ok(response) => {
                let (head, body) = response.into_parts();
                self.receiving = Receiving::Body(body);
                Poll::Ready(Ok(Answer::Final(Response::from_parts(head, ()))))
            }
            Err(error) => Poll::Ready(Err(failure_of(&error))),
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Poll::Ready(Err(fault)) = self.poll_send(cx) {
            self.receiving = Receiving::Done;
            return Poll::Ready(Some(Err(fault)));
        }
        let Receiving::Body(stream) = &mut self.receiving else { return Poll::Ready(None) };
        let frame = match ready!(stream.poll_data(cx)) {
            Some(Ok(data)) => {
                // The window opens again as the client takes the bytes, which is back-pressure.
                let _ = stream.flow_control().release_capacity(data.len());
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Some(Err(error)) => Some(Err(error)),
            None => match ready!(stream.poll_trailers(cx)) {
                Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
                Ok(None) => None,
                Err(error) => Some(Err(error)),
            },
        };
        self.receiving = Receiving::Done;
        Poll::Ready(match frame {
            // RFC 9113 §8.1: NO_ERROR after a complete response only stops the request's body.
            Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => None,
            Some(Err(error)) => Some(Err(failure_of(&error).fault)),
            Some(Ok(frame)) => Some(Ok(frame)),
            None => None,
        })
    }

    /// Sends as much of the request's body as the peer's window takes.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            match std::mem::replace(&mut self.sending, Sending::Done) {
                Sending::Done => return Poll::Ready(Ok(())),
                Sending::Data(mut stream, data) => {
                    stream.reserve_capacity(data.len());
                    match stream.poll_capacity(cx) {
                        Poll::Ready(Some(Ok(room))) => {
                            self.sending = send_data(stream, data, room, self.upload.is_finished());
                        }
                        // The peer has reset the stream; its answer, if any, tells why.
                        Poll::Ready(Some(Err(_)) | None) => {}
                        Poll::Pending => {
                            self.sending = Sending::Data(stream, data);
                            return Poll::Pending;
                        }
                    }
                }
                Sending::Body(mut stream) => match self.upload.poll_frame(cx) {
                    Poll::Pending => {
                        if stream.poll_reset(cx).is_pending() {
                            self.sending = Sending::Body(stream);
                        }
                        return Poll::Pending;
                    }
                    Poll::Ready(Some(Ok(frame))) => self.sending = self.send_frame(stream, frame),
                    Poll::Ready(None) => {
                        let _ = stream.send_data(Bytes::new(), true);
                    }
                    Poll::Ready(Some(Err(_))) => {
                        stream.send_reset(Reason::CANCEL);
                        return Poll::Ready(Err(Fault::ClientGone));
                    }
                },
            }
        }
    }

    fn send_frame(&self, mut stream: SendStream<Bytes>, frame: Frame<Bytes>) -> Sending {
        match frame.into_data() {
            // No room in the window is needed for no bytes, and none would ever be given.
            Ok(data) if data.is_empty() => send_data(stream, data, 0, self.upload.is_finished()),
            Ok(data) => Sending::Data(stream, data),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                let _ = stream.send_trailers(trailers);
                Sending::Done
            }
        }
    }
}

/// Sends what fits; the last piece ends the stream when nothing follows.
fn send_data(mut stream: SendStream<Bytes>, mut data: Bytes, room: usize, last: bool) -> Sending {
    let piece = data.split_to(room.min(data.len()));
    let ends = last && data.is_empty();
    if stream.send_data(piece, ends).is_err() || ends {
        return Sending::Done;
    }
    if data.is_empty() { Sending::Body(stream) } else { Sending::Data(stream, data) }
}

fn open_stream(
    sender: &mut SendRequest<Bytes>,
    outgoing: &mut Outgoing,
    upload: &Upload,
) -> Result<(ResponseFuture, SendStream<Bytes>), Failure> {
    let mut uri = Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    let authority = outgoing.authority.to_uri();
    uri.authority = Some(
        authority.ok_or(Failure::unknown(Fault::BadRequest("authority is not valid for h2")))?,
    );
    uri.path_and_query = Some(outgoing.path.clone());
    let uri = Uri::from_parts(uri)
        .map_err(|_| Failure::unknown(Fault::BadRequest("path is not valid for h2")))?;
    let mut request = Request::new(());
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers_for(outgoing, upload);
    sender.send_request(request, upload.is_finished()).map_err(|error| failure_of(&error))
}

/// A request with a body is sent once only, so its headers move; others may be sent again.
fn headers_for(outgoing: &mut Outgoing, upload: &Upload) -> HeaderMap {
    outgoing.headers.remove(HOST);
    if upload.is_finished() {
        outgoing.headers.clone()
    } else {
        std::mem::take(&mut outgoing.headers)
    }
}

fn failure_of(error: &h2::Error) -> Failure {
    let refused = error.reason() == Some(Reason::REFUSED_STREAM);
    // GOAWAY resets only streams above the last one that the peer will process.
    let beyond_goaway = error.is_go_away() && error.is_remote();
    let fault = if refused {
        Fault::UpstreamRefused
    } else if error.is_io() || beyond_goaway {
        Fault::UpstreamClosed
    } else if error.is_library() {
        Fault::UpstreamProtocol
    } else {
        Fault::UpstreamReset
    };
    let processed = if refused || beyond_goaway { Processed::No } else { Processed::Unknown };
    Failure { fault, processed }
}
