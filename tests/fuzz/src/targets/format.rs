//! A format string, and what foreign bytes in a request make of it.

use std::mem::discriminant;

use http::{HeaderMap, HeaderName, HeaderValue};
use weft_format::{Format, JsonFormat, Request, View};

use crate::novelty::Behaviour;

pub(super) const WORDS: &[&[u8]] = &[
    b"%",
    b"%%",
    b"(",
    b")%",
    b"):3%",
    b"?",
    b"%REQ(x)%",
    b"%REQ(:path?host)%",
    b"%RESP(x):1%",
    b"%TRAILER(x)%",
    b"%START_TIME(%Y-%m-%dT%H:%M:%S.%9f %s)%",
    b"%LOCAL_REPLY_BODY%",
    b"%RESPONSE_CODE%",
    b"%DOWNSTREAM_REMOTE_ADDRESS%",
    b"%ENVIRONMENT(HOME)%",
];

/// The first line is the format, the rest what a client says.
pub(super) fn run(input: &[u8]) -> Behaviour {
    let (line, foreign) = match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => input.split_at(end),
        None => (input, &[][..]),
    };
    let text = String::from_utf8_lossy(line);
    let format: Format = match text.parse() {
        Ok(format) => format,
        Err(error) => {
            let error: weft_format::FormatError = error;
            assert!(text.get(error.position..).is_some_and(|rest| rest.starts_with('%')));
            return Behaviour::of(discriminant(&error.fault));
        }
    };
    assert_eq!(format.as_str(), text);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(foreign.trim_ascii()) {
        headers.insert(HeaderName::from_static("x"), value);
    }
    let path = String::from_utf8_lossy(foreign);
    let request = Request {
        method: "GET",
        path: &path,
        authority: foreign,
        scheme: "http",
        headers: &headers,
    };
    let view = View {
        request: Some(request),
        response: Some(&headers),
        trailers: Some(&headers),
        status: Some(503),
        local_reply: Some(foreign),
        ..View::default()
    };
    let mut shown = Vec::new();
    format.render(&view, "-", &mut shown);
    if let Some(literal) = format.as_literal() {
        assert_eq!(shown, literal.as_bytes());
    }
    is_one_value(format, &view);
    Behaviour::of((shown.len().min(64), shown.first().copied()))
}

/// Whatever a client says, it stays within its string.
fn is_one_value(format: Format, view: &View<'_>) {
    let whole = JsonFormat::object([("value".into(), JsonFormat::Text(format))]);
    let mut shown = Vec::new();
    whole.render(view, false, &mut shown);
    let value: serde_json::Value = match serde_json::from_slice(&shown) {
        Ok(value) => value,
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&shown)),
    };
    assert_eq!(value.as_object().map(serde_json::Map::len), Some(1));
}
