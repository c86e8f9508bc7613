//! Which HTTP a client begins with, from the first line (RFC 9112 §3, RFC 9113 §3.4).

use crate::detect::H2_PREFACE;

/// Bytes of a request line at most. What is longer is not told apart.
const MAX_LINE: usize = 16 * 1024;
/// No method is longer.
const MAX_METHOD: usize = 64;

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpLine {
    /// It cannot be said before there are this many bytes.
    Incomplete(usize),
    /// The h2 preface.
    Http2,
    /// A request line of HTTP/1.1.
    Http11,
    /// A request line of another version, or of none.
    Http10,
    /// Something else.
    Other,
}

/// Reads the first line.
pub fn inspect_http_line(bytes: &[u8]) -> HttpLine {
    if bytes.starts_with(H2_PREFACE) {
        return HttpLine::Http2;
    }
    if H2_PREFACE.starts_with(bytes) {
        return HttpLine::Incomplete(bytes.len() + 1);
    }
    let method = bytes.iter().position(|byte| !is_token(*byte)).unwrap_or(bytes.len());
    match bytes.get(method) {
        None if method <= MAX_METHOD => return HttpLine::Incomplete(bytes.len() + 1),
        Some(b' ') if (1..=MAX_METHOD).contains(&method) => {}
        _ => return HttpLine::Other,
    }
    let line = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', line) else {
        return match bytes.len() {
            ..MAX_LINE => HttpLine::Incomplete(bytes.len() + 1),
            _ => HttpLine::Other,
        };
    };
    let line = bytes.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    version(line.get(method + 1..).unwrap_or_default())
}

/// What follows the method: a target, and a version unless the client is of before HTTP/1.0. As in
/// Envoy, whatever is not 1.1 is taken for 1.0, whose rules ask the least of a client.
fn version(rest: &[u8]) -> HttpLine {
    match rest {
        [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'] => HttpLine::Http11,
        [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            HttpLine::Http10
        }
        [b'/', target @ ..] if !target.contains(&b' ') => HttpLine::Http10,
        _ => HttpLine::Other,
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_told_by_the_end_of_the_line() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\nhost: x"[..], HttpLine::Http11),
            (b"M-SEARCH * HTTP/1.1\n", HttpLine::Http11),
            (b"GET / HTTP/1.0\r\n", HttpLine::Http10),
            (b"PRI / HTTP/1.1\r\n", HttpLine::Http11),
            (H2_PREFACE, HttpLine::Http2),
            (b"GET /\r\n", HttpLine::Http10),
            (b"GET / HTTP/2.0\r\n", HttpLine::Http10),
            (b"GET / HTTP/x.0\r\n", HttpLine::Other),
            (b"EHLO host\r\n", HttpLine::Other),
            (b"\x16\x03\x01", HttpLine::Other),
            (b" GET", HttpLine::Other),
            (b"G\0", HttpLine::Other),
            (b"", HttpLine::Incomplete(1)),
            (b"PRI * HT", HttpLine::Incomplete(9)),
            (b"GET / HTTP/1.1\r", HttpLine::Incomplete(16)),
        ] {
            assert_eq!(inspect_http_line(bytes), expected, "{bytes:?}");
        }
        assert_eq!(inspect_http_line(&[b'A'; 65]), HttpLine::Other);
        let long = [b"GET /", &[b'a'; MAX_LINE][..]].concat();
        assert_eq!(inspect_http_line(&long), HttpLine::Other);
    }

    proptest! {
        #[test]
        fn an_answer_does_not_change_with_what_follows(
            line in "(GET|PRI|x) [ -~]{0,6}( HTTP/1\\.[0-2])?\r?\n", rest: Vec<u8>
        ) {
            let whole = inspect_http_line(line.as_bytes());
            let more = [line.as_bytes(), &rest].concat();
            prop_assert_eq!(inspect_http_line(&more), whole);
            for cut in 0..line.len() {
                match inspect_http_line(&line.as_bytes()[..cut]) {
                    HttpLine::Incomplete(need) => prop_assert!(need > cut),
                    early => prop_assert_eq!(early, whole),
                }
            }
        }
    }
}
