//! `grpc_web`: gRPC for clients that see no trailers (PROTOCOL-WEB.md of gRPC). Messages pass as they
//! are, in base64 where the client asks for text; the trailers become the last message.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, TE},
};
use http_body::{Body as _, Frame};

use super::Coming;
use crate::{
    body::Body,
    downstream::{RequestBody, RequestBroken},
    local_reply,
};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const PROTO: HeaderValue = HeaderValue::from_static("application/grpc-web+proto");
const TEXT_PROTO: HeaderValue = HeaderValue::from_static("application/grpc-web-text+proto");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The flag of the message that holds the trailers.
const TRAILERS: u8 = 0x80;

/// Bytes of an answer that is no gRPC that become its message.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// What is remembered of a gRPC-Web request.
#[derive(Debug)]
pub(super) struct GrpcWeb {
    wants_text: bool,
    must_read: bool,
}

fn is_text(value: Option<&HeaderValue>) -> bool {
    value.is_some_and(|value| {
        matches!(
            value.as_bytes(),
            b"application/grpc-web-text" | b"application/grpc-web-text+proto"
        )
    })
}

impl GrpcWeb {
    /// Makes a gRPC request of a gRPC-Web request.
    pub(super) fn begin(coming: &mut Coming) -> Option<Self> {
        let headers = &mut coming.parts.headers;
        let content = headers.get(CONTENT_TYPE)?;
        let sends_text = is_text(Some(content));
        let is_binary =
            matches!(content.as_bytes(), b"application/grpc-web" | b"application/grpc-web+proto");
        if !sends_text && !is_binary {
            return None;
        }
        let wants_text = is_text(headers.get(ACCEPT));
        // It is the length of what the client sends.
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, GRPC);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let plain = HeaderValue::from_static("identity");
        headers.entry(GRPC_ACCEPT_ENCODING).or_insert(plain);
        if sends_text && !coming.body.is_end_stream() {
            let body = std::mem::replace(&mut coming.body, RequestBody::None);
            coming.body = body.decoded();
        }
        Some(Self { wants_text, must_read: false })
    }

    /// Makes a gRPC-Web answer of what came.
    pub(super) fn back(&mut self, response: &mut Response<Body>) {
        let is_bodiless = response.body().is_end_stream();
        let is_understood = is_grpc(response, is_bodiless) || is_grpc_web(response);
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, if self.wants_text { TEXT_PROTO } else { PROTO });
        if is_bodiless {
            return;
        }
        if is_understood {
            response.body_mut().encode(Encoding::new(self.wants_text));
        } else {
            self.must_read = true;
        }
    }

    /// Whether the answer is no gRPC, so that its body becomes the message of a status.
    pub(super) fn must_read(&self) -> bool {
        self.must_read
    }
}

fn is_grpc(response: &Response<Body>, is_bodiless: bool) -> bool {
    let headers = response.headers();
    if is_bodiless {
        return headers.contains_key(GRPC_STATUS);
    }
    response.status() == StatusCode::OK && local_reply::is_grpc(headers)
}

fn is_grpc_web(response: &Response<Body>) -> bool {
    let Some(content) = response.headers().get(CONTENT_TYPE) else { return false };
    let content = content.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let content = content.trim_ascii_end();
    response.status() == StatusCode::OK
        && (content.eq_ignore_ascii_case(PROTO.as_bytes())
            || content.eq_ignore_ascii_case(b"application/grpc-web"))
}

/// Makes a status of an answer that is no gRPC, with as much of its body as fits for the message.
pub(crate) async fn read_as_message(response: &mut Response<Body>) {
    let mut body = std::mem::replace(response.body_mut(), Body::empty());
    let mut message = Vec::new();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Some(data) = frame.data_ref() else { continue };
        let room = LONGEST_MESSAGE - message.len();
        message.extend(data.iter().take(room));
        if data.len() >= room {
            break;
        }
    }
    let code = local_reply::grpc_code(response.status());
    let headers = response.headers_mut();
    if let Some(message) = local_reply::grpc_message(&message) {
        headers.insert(GRPC_MESSAGE, message);
    }
    headers.insert(GRPC_STATUS, HeaderValue::from(code));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
}

/// Undoes base64 as it comes: groups of four bytes, each piece of which may end in padding.
#[derive(Debug, Default)]
pub(crate) struct Decoding {
    /// The beginning of a group, up to three bytes.
    begun: Vec<u8>,
}

impl Decoding {
    /// Whether everything was made of whole groups.
    pub(crate) fn is_whole(&self) -> bool {
        self.begun.is_empty()
    }

    /// The bytes of these groups, and of those that began before.
    ///
    /// # Errors
    /// When this is no base64.
    pub(crate) fn decode(&mut self, text: &[u8]) -> Result<Bytes, RequestBroken> {
        self.begun.extend_from_slice(text);
        let whole = self.begun.len() / 4 * 4;
        let rest = self.begun.split_off(whole);
        let groups = std::mem::replace(&mut self.begun, rest);
        let mut decoded = Vec::with_capacity(whole / 4 * 3);
        let (quads, _) = groups.as_chunks::<4>();
        for piece in quads.split_inclusive(|group| group.ends_with(b"=")) {
            let piece = piece.as_flattened();
            STANDARD.decode_vec(piece, &mut decoded).map_err(|_| RequestBroken::NotBase64)?;
        }
        Ok(decoded.into())
    }
}

/// Messages towards a gRPC-Web client.
#[derive(Debug)]
pub(crate) struct Encoding {
    /// For a client that asks for text.
    text: Option<Frames>,
}

impl Encoding {
    fn new(wants_text: bool) -> Self {
        Self { text: wants_text.then(Frames::default) }
    }

    /// The next part of a body; `None` at its end.
    pub(crate) fn poll<E>(
        &mut self,
        cx: &mut Context<'_>,
        mut inner: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        loop {
            let frame = match ready!(inner(cx)) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            };
            let data = match frame.into_data() {
                Ok(data) => match &mut self.text {
                    None => data,
                    Some(text) => text.encode(&data),
                },
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else { continue };
                    let message = last_message(&trailers);
                    match &self.text {
                        None => message,
                        Some(_) => STANDARD.encode(message).into(),
                    }
                }
            };
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }
}

/// The message that holds the trailers.
fn last_message(trailers: &HeaderMap) -> Bytes {
    let mut message = BytesMut::from(&[TRAILERS, 0, 0, 0, 0][..]);
    for (name, value) in trailers {
        message.put_slice(name.as_str().as_bytes());
        message.put_u8(b':');
        message.put_slice(value.as_bytes());
        message.put_slice(b"\r\n");
    }
    let length = u32::try_from(message.len() - HEAD).unwrap_or(u32::MAX);
    if let Some(place) = message.get_mut(1..HEAD) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    message.freeze()
}

/// Bytes before a message: a flag and its length.
const HEAD: usize = 5;

/// Writes messages in base64, each with its own padding, as they come.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// What was seen of the head of the message under way.
    head: Vec<u8>,
    /// Bytes of its content that are still to come, once its head was seen.
    left: usize,
    /// Up to two bytes that fill no group yet.
    begun: Vec<u8>,
}

impl Frames {
    fn encode(&mut self, mut data: &[u8]) -> Bytes {
        let mut text = String::with_capacity(data.len() / 3 * 4 + 8);
        while !data.is_empty() {
            let wanted = if self.head.len() < HEAD { HEAD - self.head.len() } else { self.left };
            let (part, rest) = data.split_at(wanted.min(data.len()));
            data = rest;
            self.begun.extend_from_slice(part);
            if self.head.len() < HEAD {
                self.head.extend_from_slice(part);
                if let [_, length @ ..] = &*self.head
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                }
            } else {
                self.left -= part.len();
            }
            if self.head.len() == HEAD && self.left == 0 {
                STANDARD.encode_string(&self.begun, &mut text);
                self.begun.clear();
                self.head.clear();
            } else {
                let rest = self.begun.split_off(self.begun.len() / 3 * 3);
                STANDARD.encode_string(&self.begun, &mut text);
                self.begun = rest;
            }
        }
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[0][..], &length, content].concat()
    }

    #[test]
    fn messages_are_padded_one_by_one_however_they_come() {
        let messages = [message(b""), message(b"a"), message(b"abcdef"), message(&[0xff; 300])];
        let expected: String = messages.iter().map(|it| STANDARD.encode(it)).collect();
        let bytes = messages.concat();
        for step in [1, 2, 3, 5, 7, 100, bytes.len()] {
            let mut frames = Frames::default();
            let text: Vec<u8> = bytes.chunks(step).flat_map(|it| frames.encode(it)).collect();
            assert_eq!(String::from_utf8(text).unwrap(), expected, "in steps of {step}");
        }
    }

    #[test]
    fn pieces_of_base64_are_decoded_however_they_come() {
        let text = ["YQ==", "YWI=", "YWJj", "AAAA"].concat();
        for step in 1..=text.len() {
            let mut decoding = Decoding::default();
            let parts = text.as_bytes().chunks(step).map(|it| decoding.decode(it).unwrap());
            assert_eq!(parts.collect::<Vec<_>>().concat(), b"aababc\0\0\0", "in steps of {step}");
            assert!(decoding.is_whole());
        }
        for bad in ["a===", "====", "ab=c", "a b=", "YQ==\n\n\n\n", "----"] {
            assert_eq!(Decoding::default().decode(bad.as_bytes()), Err(RequestBroken::NotBase64));
        }
        let mut begun = Decoding::default();
        assert_eq!(begun.decode(b"YWJjY").unwrap(), &b"abc"[..]);
        assert!(!begun.is_whole());
    }

    #[test]
    fn trailers_are_the_last_message() {
        let mut trailers = HeaderMap::new();
        trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
        trailers.insert("x", HeaderValue::from_static("y z"));
        let expected = b"\x80\0\0\0\x16grpc-status:0\r\nx:y z\r\n";
        assert_eq!(last_message(&trailers), &expected[..]);
    }
}
