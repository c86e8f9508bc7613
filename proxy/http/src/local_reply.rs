//! Answers of our own: faults, direct responses and redirects.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use weft_compile::RouteNames;

use crate::{body::Body, fault::Fault};

/// gRPC's status of what took too long.
const DEADLINE_EXCEEDED: u16 = 4;
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

/// An answer of our own, until it has the form in which its client takes it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Empty for none.
    pub(crate) body: Bytes,
    /// What the route says, and where a redirect leads.
    pub(crate) headers: HeaderMap,
    /// What happened, in a word.
    pub(crate) details: &'static str,
    /// What went wrong, by its flag.
    pub(crate) flags: &'static str,
    /// The route that it comes from.
    pub(crate) names: Option<Arc<RouteNames>>,
    /// gRPC's status, where the status of HTTP does not say it.
    pub(crate) grpc_code: Option<u16>,
    /// What went wrong, as `Proxy-Status` says it; empty where nothing did.
    pub(crate) proxy_status: &'static str,
}

impl Answer {
    /// To a request that failed.
    pub(crate) fn fault(fault: Fault) -> Self {
        let body = Bytes::from_static(fault.message().as_bytes());
        let grpc_code = matches!(fault, Fault::StreamDuration(_) | Fault::SlowRequest(_));
        // Envoy sets the flag of a protocol error after the answer has got its form.
        let flags = if matches!(fault, Fault::BadRequest(_)) { "" } else { fault.flags() };
        Self {
            details: fault.details(),
            flags,
            grpc_code: grpc_code.then_some(DEADLINE_EXCEEDED),
            proxy_status: fault.proxy_status(),
            ..Self::direct(fault.status(), body, HeaderMap::new())
        }
    }

    /// To what is no request.
    pub(crate) fn malformed(status: StatusCode, text: &'static str) -> Self {
        Self { status, ..Self::fault(Fault::BadRequest(text)) }
    }

    /// A `direct_response`, or a redirect, whose headers say where to.
    pub(crate) fn direct(status: StatusCode, body: Bytes, headers: HeaderMap) -> Self {
        let details = "direct_response";
        let proxy_status = "";
        Self {
            status,
            body,
            headers,
            details,
            flags: "",
            names: None,
            grpc_code: None,
            proxy_status,
        }
    }

    /// The response. A gRPC client gets one of trailers only, because it treats any other HTTP
    /// status as UNKNOWN and never shows the body.
    pub(crate) fn into_response(self, request_is_grpc: bool) -> Response<Body> {
        let Self { status, body, mut headers, grpc_code, proxy_status, .. } = self;
        if !proxy_status.is_empty() {
            headers.insert(PROXY_STATUS, HeaderValue::from_static(proxy_status));
        }
        if request_is_grpc {
            let code = grpc_code.unwrap_or_else(|| self::grpc_code(status));
            grpc_trailers_only(code, &body, headers)
        } else {
            text(status, body, headers)
        }
    }
}

fn with_headers(status: StatusCode, headers: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// `content-type: application/grpc`, with or without a message format.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        value
            .as_bytes()
            .strip_prefix(b"application/grpc")
            .is_some_and(|rest| rest.first().is_none_or(|b| matches!(b, b'+' | b';')))
    })
}

/// What a route says of the type of the content holds; without, it is text.
fn text(status: StatusCode, body: Bytes, headers: HeaderMap) -> Response<Body> {
    let mut response = with_headers(status, headers);
    if !may_have_body(status) {
        return response;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if !body.is_empty() {
        headers.entry(CONTENT_TYPE).or_insert(TEXT);
        *response.body_mut() = Body::full(body);
    }
    response
}

fn may_have_body(status: StatusCode) -> bool {
    !(status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED)
}

fn grpc_trailers_only(code: u16, message: &[u8], headers: HeaderMap) -> Response<Body> {
    let mut response = with_headers(StatusCode::OK, headers);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert("grpc-status", HeaderValue::from(code));
    if !message.is_empty()
        && let Some(value) = grpc_message(message)
    {
        headers.insert("grpc-message", value);
    }
    response
}

/// The gRPC status of an HTTP status (gRPC's http-grpc-status-mapping), which knows no success: an
/// answer without a message is none.
pub(crate) fn grpc_code(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// What `grpc-message` escapes: all but printable ASCII, and the sign of escapes itself.
const UNPRINTABLE: &AsciiSet = &CONTROLS.add(b'%');

/// A text as the value of `grpc-message`.
pub(crate) fn grpc_message(text: &[u8]) -> Option<HeaderValue> {
    HeaderValue::try_from(percent_encode(text, UNPRINTABLE).to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_content_types() {
        let grpc = |value: &'static str| {
            is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        assert!(grpc("application/grpc"));
        assert!(grpc("application/grpc+proto"));
        assert!(grpc("application/grpc; charset=utf-8"));
        assert!(!grpc("application/grpc-web"));
        assert!(!grpc("application/json"));
    }

    #[test]
    fn a_grpc_fault_is_a_status_not_an_http_error() {
        let response = Answer::fault(Fault::NoHealthyUpstream).into_response(true);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["grpc-status"], "14");
        assert_eq!(response.headers()["grpc-message"], "no healthy upstream");
    }

    #[test]
    fn messages_are_encoded_for_grpc() {
        let message = grpc_message("50% größer\n".as_bytes()).unwrap();
        assert_eq!(message, "50%25 gr%C3%B6%C3%9Fer%0A");
    }
}
