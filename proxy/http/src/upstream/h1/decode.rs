//! Response heads from the wire (RFC 9112).

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{HeaderMap, Method, Response, StatusCode, Version};

use weft_compile::{ConnectionSettings, KeyFormat};

use crate::http1::{
    BodyLength, Malformed, Spelling,
    fields::{self, MAX_FIELDS, Places},
    framing::{content_length, is_chunked, keeps_alive},
};

/// How big a response's head may be, and what is kept of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) fields: usize,
    /// How names are to be passed on.
    pub(super) names: KeyFormat,
}

impl Bounds {
    pub(super) fn of(settings: &ConnectionSettings) -> Self {
        let size = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            bytes: size(settings.max_head_bytes),
            fields: size(settings.max_headers_count),
            names: settings.key_format,
        }
    }
}

/// A complete response head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) body: BodyLength,
    pub(super) keep_alive: bool,
    pub(super) spelling: Spelling,
}

/// Takes a response head from the front of `buffer`, interim ones (1xx) too; `None` while it is
/// incomplete.
pub(super) fn head(
    buffer: &mut BytesMut,
    method: &Method,
    bounds: Bounds,
) -> Result<Option<Head>, Malformed> {
    let found = if bounds.fields <= MAX_FIELDS {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        outline(buffer, fields.get_mut(..bounds.fields).unwrap_or_default())?
    } else {
        // As many as have come: what a setting allows costs nothing before it is used.
        let lines = buffer.iter().filter(|byte| **byte == b'\n').count();
        let mut fields = Vec::new();
        fields.resize_with(bounds.fields.min(lines), MaybeUninit::uninit);
        outline(buffer, &mut fields)?
    };
    let length = found.as_ref().map_or(buffer.len(), |found| found.length);
    if length > bounds.bytes {
        return Err(Malformed);
    }
    let Some(Outline { length, status, http_1_1, places }) = found else { return Ok(None) };
    // Values are slices of the received bytes: one reference count each instead of a copy.
    let block = buffer.split_to(length).freeze();
    let spelling = places.spelling(&block, bounds.names);
    let headers = places.to_map(&block)?;
    let body = body_length(&headers, status, method, http_1_1)?;
    let keep_alive = keeps_alive(&headers, http_1_1) && body != BodyLength::UntilClose;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = Version::HTTP_11;
    *response.headers_mut() = headers;
    Ok(Some(Head { response, body, keep_alive, spelling }))
}

/// A head by its places in the bytes.
struct Outline {
    length: usize,
    status: StatusCode,
    http_1_1: bool,
    places: Places,
}

fn outline<'b>(
    bytes: &'b [u8],
    fields: &mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<Option<Outline>, Malformed> {
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut parsed, bytes, fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Malformed),
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed)?;
    let http_1_1 = parsed.version == Some(1);
    Ok(Some(Outline { length, status, http_1_1, places: fields::places(parsed.headers, bytes)? }))
}

fn body_length(
    headers: &HeaderMap,
    status: StatusCode,
    method: &Method,
    http_1_1: bool,
) -> Result<BodyLength, Malformed> {
    let chunked = is_chunked(headers, http_1_1)?;
    let length = content_length(headers)?;
    if chunked && length.is_some() {
        return Err(Malformed);
    }
    let never = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || *method == Method::HEAD;
    Ok(match length {
        _ if never => BodyLength::Known(0),
        _ if chunked => BodyLength::Chunked,
        Some(length) => BodyLength::Known(length),
        None => BodyLength::UntilClose,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 4096, fields: 100, names: KeyFormat::AsReceived };

    fn parse(text: &str) -> Result<Option<Head>, Malformed> {
        head(&mut BytesMut::from(text), &Method::GET, BOUNDS)
    }

    #[test]
    fn heads_are_as_big_as_they_may_be() {
        let fields = |number| "a: b\r\n".repeat(number);
        let parse = |text: &str, bounds| head(&mut BytesMut::from(text), &Method::GET, bounds);
        for most in [0, 2, MAX_FIELDS, 200] {
            let bounds = Bounds { fields: most, ..BOUNDS };
            let text = format!("HTTP/1.1 204 No Content\r\n{}\r\n", fields(most));
            assert!(parse(&text, bounds).unwrap().is_some(), "{most}");
            let text = format!("HTTP/1.1 204 No Content\r\n{}\r\n", fields(most + 1));
            assert!(parse(&text, bounds).is_err(), "{most}");
        }
        let text = "HTTP/1.1 204 No Content\r\na: b\r\n\r\n";
        let bounds = |bytes| Bounds { bytes, ..BOUNDS };
        assert!(parse(text, bounds(text.len())).unwrap().is_some());
        assert!(parse(text, bounds(text.len() - 1)).is_err());
        assert!(parse(&text[..20], bounds(19)).is_err(), "what has come is too much already");
    }

    #[test]
    fn lengths_in_doubt_are_refused() {
        for fields in [
            "content-length: 1\r\ncontent-length: 2\r\n",
            "content-length: +1\r\n",
            "content-length: 1, 1\r\n",
            "content-length: \r\n",
            "content-length: 18446744073709551616\r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ] {
            assert_eq!(
                parse(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).unwrap_err(),
                Malformed,
                "{fields}"
            );
        }
        assert!(parse("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn lengths_follow_the_method_and_the_status() {
        let length = |text: &str| parse(text).unwrap().unwrap().body;
        assert_eq!(length("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"), BodyLength::Known(5));
        assert_eq!(length("HTTP/1.1 204 No Content\r\n\r\n"), BodyLength::Known(0));
        assert_eq!(length("HTTP/1.1 304 X\r\ncontent-length: 9\r\n\r\n"), BodyLength::Known(0));
        assert_eq!(length("HTTP/1.1 200 OK\r\n\r\n"), BodyLength::UntilClose);
        assert_eq!(
            length("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n"),
            BodyLength::Chunked
        );
        let mut buffer = BytesMut::from("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n");
        let answer = head(&mut buffer, &Method::HEAD, BOUNDS).unwrap().unwrap();
        assert_eq!(answer.body, BodyLength::Known(0));
        assert_eq!(answer.response.headers()["content-length"], "9");
    }

    #[test]
    fn interim_responses_come_before_the_final_one() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let mut buffer = BytesMut::from(text);
        for status in [100, 103, 200] {
            let head = head(&mut buffer, &Method::GET, BOUNDS).unwrap().unwrap();
            assert_eq!(head.response.status(), status);
            assert_eq!(head.body, BodyLength::Known(0));
        }
    }

    #[test]
    fn a_head_may_come_byte_by_byte_but_not_for_ever() {
        let text = b"HTTP/1.1 200 OK\r\nx: y\r\n\r\nrest";
        let mut buffer = BytesMut::new();
        for (at, byte) in text.iter().enumerate() {
            buffer.extend_from_slice(&[*byte]);
            let parsed = head(&mut buffer, &Method::GET, BOUNDS).unwrap();
            assert_eq!(parsed.is_some(), at + 1 == text.len() - 4, "at {at}");
            if parsed.is_some() {
                break;
            }
        }
        let mut endless = BytesMut::from("HTTP/1.1 200 OK\r\n");
        endless.extend_from_slice(&vec![b'a'; BOUNDS.bytes]);
        assert!(head(&mut endless, &Method::GET, BOUNDS).is_err());
    }
}
