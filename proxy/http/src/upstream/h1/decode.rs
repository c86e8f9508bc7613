//! Response heads from the wire (RFC 9112).

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{HeaderMap, Method, Response, StatusCode, Version};

use crate::http1::{
    BodyLength, Malformed, Spelling,
    fields::{self, MAX_FIELDS},
    framing::{content_length, is_chunked, keeps_alive},
};

/// Bytes of one response head at most.
const MAX_HEAD: usize = 64 * 1024;

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
pub(super) fn head(buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut parsed, buffer, &mut fields);
    let length = match status {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() < MAX_HEAD => return Ok(None),
        _ => return Err(Malformed),
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed)?;
    let http_1_1 = parsed.version == Some(1);
    let places = fields::places(parsed.headers, buffer)?;
    // Values are slices of the received bytes: one reference count each instead of a copy.
    let block = buffer.split_to(length).freeze();
    let spelling = places.spelling(&block);
    let headers = places.into_map(&block)?;
    let body = body_length(&headers, status, method, http_1_1)?;
    let keep_alive = keeps_alive(&headers, http_1_1) && body != BodyLength::UntilClose;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = Version::HTTP_11;
    *response.headers_mut() = headers;
    Ok(Some(Head { response, body, keep_alive, spelling }))
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

    fn parse(text: &str) -> Result<Option<Head>, Malformed> {
        head(&mut BytesMut::from(text), &Method::GET)
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
        let answer = head(&mut buffer, &Method::HEAD).unwrap().unwrap();
        assert_eq!(answer.body, BodyLength::Known(0));
        assert_eq!(answer.response.headers()["content-length"], "9");
    }

    #[test]
    fn interim_responses_come_before_the_final_one() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let mut buffer = BytesMut::from(text);
        for status in [100, 103, 200] {
            let head = head(&mut buffer, &Method::GET).unwrap().unwrap();
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
            let parsed = head(&mut buffer, &Method::GET).unwrap();
            assert_eq!(parsed.is_some(), at + 1 == text.len() - 4, "at {at}");
            if parsed.is_some() {
                break;
            }
        }
        let mut endless = BytesMut::from("HTTP/1.1 200 OK\r\n");
        endless.extend_from_slice(&vec![b'a'; MAX_HEAD]);
        assert!(head(&mut endless, &Method::GET).is_err());
    }
}
