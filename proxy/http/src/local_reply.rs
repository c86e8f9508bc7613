//! Answers of our own: faults, direct responses and redirects.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

use crate::{body::Body, fault::Fault};

/// gRPC's status of what took too long.
const DEADLINE_EXCEEDED: u16 = 4;
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The answer to a request that failed. A gRPC client gets a trailers-only response, because it
/// treats any other HTTP status as UNKNOWN and never shows the body.
pub(crate) fn fault(fault: Fault, request_is_grpc: bool) -> Response<Body> {
    fault_with(fault, request_is_grpc, HeaderMap::new())
}

/// The same with headers of a route.
pub(crate) fn fault_with(
    fault: Fault,
    request_is_grpc: bool,
    headers: HeaderMap,
) -> Response<Body> {
    if request_is_grpc {
        let code = match fault {
            Fault::StreamDuration | Fault::SlowRequest => DEADLINE_EXCEEDED,
            _ => grpc_code(fault.status()),
        };
        grpc_trailers_only(code, fault.message(), headers)
    } else {
        let message = Bytes::from_static(fault.message().as_bytes());
        text(fault.status(), message, headers)
    }
}

/// A `direct_response` with the headers of its route.
pub(crate) fn direct(
    status: StatusCode,
    body: Bytes,
    request_is_grpc: bool,
    headers: HeaderMap,
) -> Response<Body> {
    if request_is_grpc {
        grpc_trailers_only(grpc_code(status), &String::from_utf8_lossy(&body), headers)
    } else {
        text(status, body, headers)
    }
}

/// A redirect, whose headers say where to. A gRPC client follows none: it is told a status.
pub(crate) fn redirect(
    status: StatusCode,
    request_is_grpc: bool,
    headers: HeaderMap,
) -> Response<Body> {
    if request_is_grpc {
        return grpc_trailers_only(grpc_code(status), "", headers);
    }
    let mut response = with_headers(status, headers);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
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
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain"));
        *response.body_mut() = Body::full(body);
    }
    response
}

fn may_have_body(status: StatusCode) -> bool {
    !(status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED)
}

fn grpc_trailers_only(code: u16, message: &str, headers: HeaderMap) -> Response<Body> {
    let mut response = with_headers(StatusCode::OK, headers);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert("grpc-status", HeaderValue::from(code));
    if !message.is_empty()
        && let Ok(value) = HeaderValue::try_from(percent_encode(message))
    {
        headers.insert("grpc-message", value);
    }
    response
}

/// The gRPC status of an HTTP status (gRPC's http-grpc-status-mapping), which knows no success: an
/// answer without a message is none.
fn grpc_code(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// `grpc-message` encoding: printable ASCII but `%` stays, the rest is percent-encoded.
fn percent_encode(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        if (0x20..0x7f).contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 0xf] {
                out.push(
                    char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase(),
                );
            }
        }
    }
    out
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
        let response = fault(Fault::NoHealthyUpstream, true);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["grpc-status"], "14");
        assert_eq!(response.headers()["grpc-message"], "no healthy upstream");
    }

    #[test]
    fn messages_are_encoded_for_grpc() {
        assert_eq!(percent_encode("50% größer\n"), "50%25 gr%C3%B6%C3%9Fer%0A");
    }
}
