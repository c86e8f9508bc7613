//! Our responses as the body of an answer.
//!
//! A body is asked for more when the transport has room for it. So a response is encoded piece by
//! piece as it leaves, and a client that does not read holds one piece of it. What a resource is
//! encoded to is not copied where that would cost more than a piece of its own: all clients are
//! sent the same bytes.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::Stream;
use http::HeaderMap;
use http_body::{Body, Frame};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len, string},
};
use tonic::Status;
use weft_proto::discovery::{Any, Resource};
use weft_xds::Response;

/// What one HTTP/2 frame holds.
const PIECE: usize = 16 * 1024;
/// What is at least as long is sent as it is.
const LONG: usize = 4 * 1024;
/// A flag and a length stand before every message of gRPC.
const HEAD: usize = 5;
/// `resources` in the responses of both modes.
const RESOURCES: u32 = 2;

/// Responses, and at the end why there are no more.
pub(crate) struct Replies {
    source: Pin<Box<dyn Stream<Item = Result<Response, Status>> + Send>>,
    sending: Option<Sending>,
    over: bool,
}

impl Replies {
    pub(crate) fn new(
        source: impl Stream<Item = Result<Response, Status>> + Send + 'static,
    ) -> Self {
        Self { source: Box::pin(source), sending: None, over: false }
    }
}

impl Body for Replies {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            if let Some(piece) = self.sending.as_mut().and_then(Sending::next) {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            self.sending = None;
            match ready!(self.source.as_mut().poll_next(context)) {
                Some(Ok(response)) => self.sending = Some(Sending::new(response)),
                Some(Err(status)) => {
                    self.over = true;
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))));
                }
                None => {
                    self.over = true;
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers(&Status::ok(""))))));
                }
            }
        }
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        trailers.insert("grpc-status", http::HeaderValue::from_static("13"));
    }
    trailers
}

/// One response on its way.
struct Sending {
    /// What is encoded and not sent.
    encoded: BytesMut,
    /// What follows it.
    long: Option<Bytes>,
    rest: vec::IntoIter<Part>,
}

/// One resource within a response: what stands before its encoding, and the encoding.
struct Part {
    /// Of a delta response: version and name.
    labels: Option<(String, String)>,
    content: Any,
}

impl Sending {
    fn new(response: Response) -> Self {
        let (outline, parts) = match response {
            Response::Sotw(mut response) => {
                let contents = std::mem::take(&mut response.resources).into_iter();
                let parts: Vec<_> =
                    contents.map(|content| Part { labels: None, content }).collect();
                (response.encode_to_vec(), parts)
            }
            Response::Delta(mut response) => {
                let resources = std::mem::take(&mut response.resources).into_iter();
                let parts: Vec<_> = resources.filter_map(Part::of).collect();
                (response.encode_to_vec(), parts)
            }
        };
        // Fields may come in any order, and the parts of a message one after the other.
        let length = outline.len() + parts.iter().map(Part::encoded_len).sum::<usize>();
        let mut encoded = BytesMut::with_capacity((HEAD + length).min(PIECE));
        encoded.put_u8(0);
        // A response of four gigabytes would not fit into any message of gRPC.
        encoded.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        encoded.put_slice(&outline);
        Self { encoded, long: None, rest: parts.into_iter() }
    }

    /// The next piece to send.
    fn next(&mut self) -> Option<Bytes> {
        while self.long.is_none() && self.encoded.len() < PIECE {
            let Some(part) = self.rest.next() else { break };
            part.encode(&mut self.encoded);
            if part.content.value.len() < LONG {
                self.encoded.put_slice(&part.content.value);
            } else {
                self.long = Some(part.content.value);
            }
        }
        if self.encoded.is_empty() {
            return self.long.take();
        }
        Some(std::mem::take(&mut self.encoded).freeze())
    }
}

impl Part {
    /// Ours always have content.
    fn of(resource: Resource) -> Option<Self> {
        let content = resource.resource?;
        Some(Self { labels: Some((resource.version, resource.name)), content })
    }

    fn content_len(&self) -> usize {
        let value = self.content.value.len();
        string::encoded_len(1, &self.content.type_url)
            + key_len(2)
            + encoded_len_varint(value as u64)
            + value
    }

    /// The length of the message that `resources` repeats.
    fn message_len(&self) -> usize {
        let content = self.content_len();
        match &self.labels {
            None => content,
            Some((version, name)) => {
                string::encoded_len(1, version)
                    + string::encoded_len(3, name)
                    + key_len(2)
                    + encoded_len_varint(content as u64)
                    + content
            }
        }
    }

    fn encoded_len(&self) -> usize {
        let length = self.message_len();
        key_len(RESOURCES) + encoded_len_varint(length as u64) + length
    }

    /// Everything but the resource's own encoding, which comes last.
    fn encode(&self, out: &mut BytesMut) {
        encode_key(RESOURCES, WireType::LengthDelimited, out);
        encode_varint(self.message_len() as u64, out);
        if let Some((version, name)) = &self.labels {
            string::encode(1, version, out);
            string::encode(3, name, out);
            encode_key(2, WireType::LengthDelimited, out);
            encode_varint(self.content_len() as u64, out);
        }
        string::encode(1, &self.content.type_url, out);
        encode_key(2, WireType::LengthDelimited, out);
        encode_varint(self.content.value.len() as u64, out);
    }
}

#[cfg(test)]
mod tests {
    use weft_proto::discovery::{DeltaDiscoveryResponse, DiscoveryResponse};

    use super::*;

    fn any(length: usize) -> Any {
        let value = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        Any { type_url: "type.googleapis.com/x".into(), value }
    }

    fn sent(response: Response) -> (Vec<Bytes>, Vec<u8>) {
        let mut sending = Sending::new(response);
        let pieces: Vec<_> = std::iter::from_fn(|| sending.next()).collect();
        let whole = pieces.concat();
        let length = u32::from_be_bytes(whole[1..HEAD].try_into().unwrap());
        assert_eq!((whole[0], usize::try_from(length).unwrap()), (0, whole.len() - HEAD));
        (pieces, whole[HEAD..].to_vec())
    }

    #[test]
    fn what_is_sent_in_pieces_is_what_was_meant() {
        for lengths in [&[][..], &[0], &[10, 5000, 20], &[100_000, 3, 3], &[1000; 100]] {
            let response = DiscoveryResponse {
                version_info: "v".into(),
                resources: lengths.iter().map(|&length| any(length)).collect(),
                type_url: "t".into(),
                nonce: "1".into(),
                ..Default::default()
            };
            let (_, bytes) = sent(Response::Sotw(response.clone()));
            assert_eq!(DiscoveryResponse::decode(&bytes[..]).unwrap(), response);

            let resource = |(at, &length): (usize, &usize)| Resource {
                version: "v".repeat(at % 300),
                name: at.to_string(),
                resource: Some(any(length)),
                ..Default::default()
            };
            let response = DeltaDiscoveryResponse {
                resources: lengths.iter().enumerate().map(resource).collect(),
                removed_resources: vec!["gone".into()],
                nonce: "1".into(),
                ..Default::default()
            };
            let (_, bytes) = sent(Response::Delta(response.clone()));
            assert_eq!(DeltaDiscoveryResponse::decode(&bytes[..]).unwrap(), response);
        }
    }

    #[test]
    fn long_resources_are_not_copied_and_pieces_stay_small() {
        let long = any(100_000);
        let resources = vec![any(1000), long.clone(), any(1000)];
        let (pieces, _) =
            sent(Response::Sotw(DiscoveryResponse { resources, ..Default::default() }));
        assert!(pieces.iter().any(|piece| piece.as_ptr() == long.value.as_ptr()));
        let many = vec![any(1000); 1000];
        let (pieces, _) =
            sent(Response::Sotw(DiscoveryResponse { resources: many, ..Default::default() }));
        assert!(pieces.iter().all(|piece| piece.len() < PIECE + LONG));
        assert!(pieces.len() > 60);
    }
}
