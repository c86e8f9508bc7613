//! The client's messages, out of the body of its request.

use std::marker::PhantomData;

use bytes::{Buf as _, BytesMut};
use http_body_util::BodyExt as _;
use prost::Message;
use tonic::{Status, body::Body};

/// The most that one message may take: names of a hundred thousand resources.
const LIMIT: usize = 8 * 1024 * 1024;
/// A flag and a length stand before every message of gRPC.
const HEAD: usize = 5;

/// Messages of one client. Between two of them it holds no buffer.
pub(crate) struct Requests<M> {
    body: Body,
    partial: BytesMut,
    message: PhantomData<fn() -> M>,
}

impl<M: Message + Default> Requests<M> {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, partial: BytesMut::new(), message: PhantomData }
    }

    /// The next message; `None` when the client has said all. Nothing is lost when this is dropped
    /// before it is done.
    pub(crate) async fn next(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = self.split()? {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                Some(frame) => {
                    // Trailers of a request mean nothing.
                    let Ok(data) = frame?.into_data() else { continue };
                    if self.partial.is_empty() {
                        self.partial = data.into();
                    } else {
                        self.partial.extend_from_slice(&data);
                    }
                }
                None if self.partial.is_empty() => return Ok(None),
                None => return Err(Status::internal("the stream ended within a message")),
            }
        }
    }

    fn split(&mut self) -> Result<Option<M>, Status> {
        let Some(([flag, length @ ..], rest)) = self.partial.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        if *flag != 0 {
            return Err(Status::unimplemented("compressed requests are not supported"));
        }
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > LIMIT {
            let text = format!("a request of {length} bytes is more than the {LIMIT} allowed");
            return Err(Status::resource_exhausted(text));
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.partial.advance(HEAD);
        let message = self.partial.split_to(length).freeze();
        if self.partial.is_empty() {
            self.partial = BytesMut::new();
        }
        let wrong = |error| Status::internal(format!("a request cannot be read: {error}"));
        M::decode(message).map(Some).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::StreamBody;
    use weft_proto::discovery::DiscoveryRequest;

    use super::*;

    fn requests(chunks: Vec<Vec<u8>>) -> Requests<DiscoveryRequest> {
        let frames = chunks
            .into_iter()
            .map(|chunk| Ok::<_, Status>(http_body::Frame::data(Bytes::from(chunk))));
        Requests::new(Body::new(StreamBody::new(tokio_stream::iter(frames))))
    }

    fn framed(version: &str) -> Vec<u8> {
        let message =
            DiscoveryRequest { version_info: version.into(), ..Default::default() }.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0], &length[..], &message].concat()
    }

    #[tokio::test]
    async fn messages_are_the_same_however_the_bytes_arrive() {
        let bytes = [framed("one"), framed(""), framed("three")].concat();
        for size in [1, 3, 8, bytes.len()] {
            let mut requests = requests(bytes.chunks(size).map(<[u8]>::to_vec).collect());
            for expected in ["one", "", "three"] {
                let heard = requests.next().await.unwrap().unwrap();
                assert_eq!(heard.version_info, expected, "in chunks of {size}");
            }
            assert!(requests.next().await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn what_is_no_message_ends_the_stream_with_a_reason() {
        use tonic::Code;
        let cases = [
            (vec![1, 0, 0, 0, 0], Code::Unimplemented),
            (vec![0, 0xff, 0xff, 0xff, 0xff], Code::ResourceExhausted),
            (vec![0, 0, 0, 0, 2, 0x0a, 0x7f], Code::Internal),
            (vec![0, 0, 0, 0, 9, 0x0a], Code::Internal),
            (vec![0, 0], Code::Internal),
        ];
        for (bytes, expected) in cases {
            let status = requests(vec![bytes.clone()]).next().await.unwrap_err();
            assert_eq!(status.code(), expected, "{bytes:?}: {status:?}");
        }
    }
}
