//! Cookies of requests, and those that clients are given.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue, header::COOKIE};
use weft_resources::Cookie;

/// The first value of a cookie that is not empty, without its quotes.
pub fn find<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs =
        fields.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    for pair in pairs {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let (key, value) = (halves.next()?.trim_ascii(), halves.next());
        if key == name.as_bytes() {
            let value = value?.trim_ascii();
            let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            return Some(bare.unwrap_or(value)).filter(|value| !value.is_empty());
        }
    }
    None
}

/// The value of `set-cookie` that gives a client this cookie.
pub fn given(cookie: &Cookie, value: &str) -> Option<HeaderValue> {
    let mut text = format!("{}=\"{value}\"", cookie.name);
    let seconds = cookie.ttl.map_or(0, |ttl| ttl.as_secs());
    // Writing to a text does not fail.
    if seconds > 0 {
        let _ = write!(text, "; Max-Age={seconds}");
    }
    if !cookie.path.is_empty() {
        let _ = write!(text, "; Path={}", cookie.path);
    }
    for (name, value) in &cookie.attributes {
        let _ = match value.is_empty() {
            true => write!(text, "; {name}"),
            false => write!(text, "; {name}={value}"),
        };
    }
    text.push_str("; HttpOnly");
    HeaderValue::try_from(text).ok()
}
