//! `grpc_health_check`: `grpc.health.v1.Health.Check`.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, TE, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use prost::Message;
use weft_compile::GrpcCheck;

use super::{
    Place,
    http::{AGENT, apply},
    ill,
    wire::Wire,
};
use crate::course::{Answer, Illness};

const PATH: &str = "/grpc.health.v1.Health/Check";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const DEGRADED: HeaderName = HeaderName::from_static("x-envoy-degraded");
/// Flag and length before a message.
const PREFIX: usize = 5;
/// The answer has two bytes; a service that sends more than this is another one.
const LONGEST: usize = 64 * 1024;
/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: i32 = 1;

#[derive(Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Debug)]
pub(super) struct Grpc {
    check: GrpcCheck,
    authority: Box<str>,
    keep: bool,
    wire: Option<Wire>,
}

impl Grpc {
    pub(super) fn new(check: GrpcCheck, authority: Box<str>, keep: bool) -> Self {
        Self { check, authority, keep, wire: None }
    }

    pub(super) fn hang_up(&mut self) {
        self.wire = None;
    }

    pub(super) async fn ask(&mut self, place: &Place) -> Answer {
        let Some(request) = self.request() else { return ill(Illness::Network) };
        let kept = self.wire.take().filter(Wire::is_open);
        let (mut wire, is_kept) = match kept {
            Some(wire) => (wire, true),
            None => match Wire::open(place, true).await {
                Some(wire) => (wire, false),
                None => return ill(Illness::Network),
            },
        };
        let mut sent = wire.send(request.clone()).await;
        if sent.is_err() && is_kept {
            let Some(fresh) = Wire::open(place, true).await else { return ill(Illness::Network) };
            wire = fresh;
            sent = wire.send(request).await;
        }
        let Ok(response) = sent else { return ill(Illness::Network) };
        let answer = judge(response).await;
        if self.keep {
            self.wire = Some(wire);
        }
        answer
    }

    fn request(&self) -> Option<Request<Full<Bytes>>> {
        let question = HealthCheckRequest { service: self.check.service.to_string() };
        let length = question.encoded_len();
        let mut body = BytesMut::with_capacity(PREFIX + length);
        body.put_u8(0);
        body.put_u32(u32::try_from(length).ok()?);
        question.encode(&mut body).ok()?;
        let uri: Uri = format!("http://{}{PATH}", self.authority).parse().ok()?;
        let mut request = Request::new(Full::new(body.freeze()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let fields = request.headers_mut();
        fields.insert(USER_AGENT, AGENT);
        fields.insert(CONTENT_TYPE, GRPC);
        fields.insert(TE, HeaderValue::from_static("trailers"));
        apply(&self.check.metadata, fields);
        Some(request)
    }
}

async fn judge(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        return ill(Illness::Told);
    }
    let Ok(collected) = Limited::new(body, LONGEST).collect().await else {
        return ill(Illness::Network);
    };
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let is_ok = |fields: &HeaderMap| fields.get(STATUS).map(|status| status.as_bytes() == b"0");
    let is_ok = is_ok(&trailers).or_else(|| is_ok(&head.headers)).unwrap_or(false);
    let is_serving = serving(&collected.to_bytes()) == Some(SERVING);
    if is_ok && is_serving {
        Answer::Well { degraded: head.headers.contains_key(DEGRADED), excluded: false }
    } else {
        ill(Illness::Told)
    }
}

/// The status in the one message of an answer.
fn serving(body: &[u8]) -> Option<i32> {
    let (prefix, message) = body.split_at_checked(PREFIX)?;
    let (flag, length) = prefix.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let is_plain = *flag == 0 && u32::try_from(message.len()) == Ok(length);
    is_plain.then(|| HealthCheckResponse::decode(message).ok())?.map(|answer| answer.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 2]), Some(2));
        // All defaults: UNKNOWN.
        assert_eq!(serving(&[0, 0, 0, 0, 0]), Some(0));
        for broken in [&[][..], &[0; 4], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 3, 8, 1]] {
            assert_eq!(serving(broken), None, "{broken:?}");
        }
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 255]), None);
    }
}
