//! Request heads from the wire, and what makes them refused (RFC 9112 §3, §5, §6, §11).

use std::{mem::MaybeUninit, ops::Range};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE},
    uri::Scheme,
};
use weft_compile::Http1Settings;

use crate::{
    http1::{
        BodyLength, Malformed, Spelling, fields,
        framing::{connection_says, content_length, is_chunked, keeps_alive},
    },
    request::names_a_host,
};

/// Fields that are parsed without an allocation; a setting may allow more.
const FIELDS_IN_PLACE: usize = 100;

/// A complete head, and what it says about its message and its connection.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request<()>,
    pub(super) spelling: Spelling,
    pub(super) length: BodyLength,
    pub(super) keep_alive: bool,
    /// `expect: 100-continue`.
    pub(super) expects_continue: bool,
    /// Asks for another protocol on this connection: `upgrade`, or CONNECT.
    pub(super) wants_tunnel: bool,
}

/// Why a head gets no further. The connection closes with the answer, because nobody can tell where
/// a next request would begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Not an HTTP/1 request, or one whose framing is in doubt.
    #[error("not an HTTP/1 request, or its length is in doubt")]
    Malformed,
    /// More bytes than `max_request_headers_kb`.
    #[error("the head is larger than max_request_headers_kb")]
    TooLarge,
    /// More fields than `max_headers_count`.
    #[error("the head has more fields than max_headers_count")]
    TooManyFields,
    /// A transfer coding other than chunked.
    #[error("the only transfer coding known is chunked")]
    UnknownCoding,
    /// HTTP/1.0 without `accept_http_10`, or a version that nobody here speaks.
    #[error("this version of HTTP is not accepted")]
    UpgradeRequired,
    /// Not complete within `request_headers_timeout`.
    #[error("the head did not come in time")]
    TooSlow,
}

impl Refusal {
    /// The status of the answer, as Envoy chooses it.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The body of the answer, as Envoy words it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::TooSlow => "request header timeout",
            _ => self.status().canonical_reason().unwrap_or_default(),
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

/// Takes a head from the front of `buffer`; `None` while it is incomplete.
pub(super) fn take(
    buffer: &mut BytesMut,
    settings: &Http1Settings,
) -> Result<Option<Head>, Refusal> {
    let most = usize::try_from(settings.max_headers_count).unwrap_or(FIELDS_IN_PLACE);
    let outline = if most == FIELDS_IN_PLACE {
        outline(buffer, &mut [const { MaybeUninit::uninit() }; FIELDS_IN_PLACE])?
    } else {
        let mut places = Vec::new();
        places.resize_with(most, MaybeUninit::uninit);
        outline(buffer, &mut places)?
    };
    let length = outline.as_ref().map_or(buffer.len(), |outline| outline.length);
    if length > settings.max_head_bytes {
        return Err(Refusal::TooLarge);
    }
    let Some(outline) = outline else { return Ok(None) };
    let block = buffer.split_to(outline.length).freeze();
    outline.into_head(&block, settings).map(Some)
}

/// A head by its places in the bytes.
struct Outline {
    length: usize,
    method: Method,
    target: Range<usize>,
    is_http_11: bool,
    fields: fields::Places,
}

fn outline<'b>(
    bytes: &'b [u8],
    places: &mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<Option<Outline>, Refusal> {
    let mut parsed = httparse::Request::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_request_with_uninit_headers(&mut parsed, bytes, places) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooManyFields),
        Err(_) if speaks_another_version(bytes) => return Err(Refusal::UpgradeRequired),
        Err(_) => return Err(Refusal::Malformed),
    };
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Refusal::Malformed);
    };
    if !fields::end_in_crlf(parsed.headers, bytes, length) {
        return Err(Refusal::Malformed);
    }
    let from = target.as_ptr() as usize - bytes.as_ptr() as usize;
    Ok(Some(Outline {
        length,
        method: Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::Malformed)?,
        target: from..from + target.len(),
        is_http_11: version == 1,
        fields: fields::places(parsed.headers, bytes)?,
    }))
}

/// Whether the request line is one of HTTP/0.9, which names no version, or of another version than
/// 1.0 and 1.1.
#[cold]
fn speaks_another_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version, more) = (words.next(), words.next(), words.next(), words.next());
    let is_method = method.is_some_and(|it| Method::from_bytes(it).is_ok());
    let is_version = |it: &[u8]| {
        it.len() == 8 && it.starts_with(b"HTTP/") && !matches!(it, b"HTTP/1.0" | b"HTTP/1.1")
    };
    is_method && target.is_some() && more.is_none() && version.is_none_or(is_version)
}

impl Outline {
    fn into_head(self, block: &Bytes, settings: &Http1Settings) -> Result<Head, Refusal> {
        if !self.is_http_11 && !settings.accept_http_10 {
            return Err(Refusal::UpgradeRequired);
        }
        let uri =
            Uri::from_maybe_shared(block.slice(self.target)).map_err(|_| Refusal::Malformed)?;
        if uri.scheme().is_some_and(|it| *it != Scheme::HTTP && *it != Scheme::HTTPS) {
            // Nobody here can ask by it, and who hears of it next would.
            return Err(Refusal::Malformed);
        }
        let spelling = self.fields.spelling(block, settings.key_format);
        let mut headers = self.fields.to_map(block)?;
        let authority = uri.authority().map(|it| it.as_str().as_bytes());
        let hosts = headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
        if !authority.into_iter().chain(hosts).all(names_a_host) {
            return Err(Refusal::Malformed);
        }
        if !self.is_http_11
            && !headers.contains_key(HOST)
            && let Some(host) = &settings.default_host_for_http_10
        {
            headers.insert(HOST, host.clone());
        }
        let length = length(&mut headers, self.is_http_11, settings)?;
        let is_connect = self.method == Method::CONNECT;
        if is_connect && length != BodyLength::Known(0) {
            // Whether the tunnel begins before or after such a body, nobody can tell.
            return Err(Refusal::Malformed);
        }
        let keep_alive = keeps_alive(&headers, self.is_http_11);
        let expects_continue = self.is_http_11
            && length != BodyLength::Known(0)
            && headers
                .get(EXPECT)
                .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let wants_tunnel = is_connect
            || (self.is_http_11
                && headers.contains_key(UPGRADE)
                && connection_says(&headers, b"upgrade"));
        let mut request = Request::new(());
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        *request.version_mut() = if self.is_http_11 { Version::HTTP_11 } else { Version::HTTP_10 };
        *request.headers_mut() = headers;
        Ok(Head { request, spelling, length, keep_alive, expects_continue, wants_tunnel })
    }
}

/// How long the body is. Whatever two hops might read differently is refused.
fn length(
    headers: &mut HeaderMap,
    is_http_11: bool,
    settings: &Http1Settings,
) -> Result<BodyLength, Refusal> {
    if headers.contains_key(TRANSFER_ENCODING) {
        if !is_http_11 {
            return Err(Refusal::Malformed);
        }
        if headers.contains_key(CONTENT_LENGTH) {
            if !settings.allow_chunked_length {
                return Err(Refusal::Malformed);
            }
            headers.remove(CONTENT_LENGTH);
        }
        is_chunked(headers, is_http_11).map_err(|Malformed| Refusal::UnknownCoding)?;
        return Ok(BodyLength::Chunked);
    }
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Refusal::Malformed);
    }
    Ok(BodyLength::Known(content_length(headers)?.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Http1Settings {
        Http1Settings::default()
    }

    fn refusal(text: &str) -> Refusal {
        take(&mut BytesMut::from(text), &settings()).unwrap_err()
    }

    fn head(text: &str) -> Head {
        take(&mut BytesMut::from(text), &settings()).unwrap().unwrap()
    }

    #[test]
    fn whatever_two_hops_could_read_differently_is_refused() {
        for fields in [
            "content-length: 1\r\ncontent-length: 2\r\n",
            "content-length: 1\r\ncontent-length: 1\r\n",
            "content-length: 1, 1\r\n",
            "content-length: +1\r\n",
            "content-length: -1\r\n",
            "content-length: 0x1\r\n",
            "content-length: 18446744073709551616\r\n",
            "content-length: \r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "content-length : 1\r\n",
            "x: 1\r\n folded\r\n",
            " x: 1\r\n",
            "x: a\rb\r\n",
            "x: a\ny: b\r\n",
            "x: a\n",
            "x: a\0b\r\n",
            "host: user@b\r\n",
            "host: b c\r\n",
            ": x\r\n",
            "nonsense\r\n",
        ] {
            let text = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
            assert_eq!(refusal(&text), Refusal::Malformed, "{}", fields.escape_debug());
        }
        for coding in
            ["gzip", "gzip, chunked", "chunked, chunked", "identity", "chunked;q=1", "xchunked"]
        {
            let text = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: {coding}\r\n\r\n");
            assert_eq!(refusal(&text), Refusal::UnknownCoding, "{coding}");
        }
    }

    #[test]
    fn request_lines_are_strict() {
        for line in [
            "GET /a b HTTP/1.1",
            "GET  / HTTP/1.1",
            "G\u{1}T / HTTP/1.1",
            "GET / HTTP/1.1\nx: 1",
            "GET / http/1.1",
            "GET /\u{0} HTTP/1.1",
            "GET /<script> HTTP/1.1",
            "GET ftp://a/ HTTP/1.1",
            "GET http://user@a/ HTTP/1.1",
            "CONNECT a:1 HTTP/1.1\r\ncontent-length: 3",
            "(GET) / HTTP/1.1",
        ] {
            let text = format!("{line}\r\nhost: a\r\n\r\n");
            assert_eq!(refusal(&text), Refusal::Malformed, "{}", line.escape_debug());
        }
    }

    #[test]
    fn a_bare_line_feed_ends_no_head() {
        for text in
            ["GET / HTTP/1.1\n\n", "GET / HTTP/1.1\r\n\n", "GET / HTTP/1.1\r\nhost: a\r\n\n"]
        {
            assert_eq!(refusal(text), Refusal::Malformed, "{}", text.escape_debug());
        }
    }

    #[test]
    fn other_versions_are_told_to_upgrade() {
        for line in
            ["GET / HTTP/1.2", "GET / HTTP/2.0", "GET / HTTP/0.9", "GET /", "GET / HTTP/1.0"]
        {
            assert_eq!(
                refusal(&format!("{line}\r\nhost: a\r\n\r\n")),
                Refusal::UpgradeRequired,
                "{line}"
            );
        }
    }

    #[test]
    fn settings_loosen_what_they_name() {
        let text =
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n";
        let allowing = Http1Settings { allow_chunked_length: true, ..settings() };
        let head = take(&mut BytesMut::from(text), &allowing).unwrap().unwrap();
        assert_eq!(head.length, BodyLength::Chunked);
        assert!(!head.request.headers().contains_key(CONTENT_LENGTH));
        let text = "GET / HTTP/1.0\r\n\r\n";
        assert_eq!(refusal(text), Refusal::UpgradeRequired);
        let accepting = Http1Settings { accept_http_10: true, ..settings() };
        let head = take(&mut BytesMut::from(text), &accepting).unwrap().unwrap();
        assert!(!head.keep_alive);
    }

    #[test]
    fn heads_are_bounded_in_bytes_and_fields() {
        let small = Http1Settings { max_head_bytes: 64, max_headers_count: 2, ..settings() };
        let take = |text: &str| take(&mut BytesMut::from(text), &small);
        assert!(take("GET / HTTP/1.1\r\na: 1\r\nb: 2\r\n\r\n").unwrap().is_some());
        let three = "GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n";
        assert_eq!(take(three).unwrap_err(), Refusal::TooManyFields);
        let long = format!("GET / HTTP/1.1\r\na: {}", "v".repeat(64));
        assert_eq!(take(&long).unwrap_err(), Refusal::TooLarge, "before it is complete");
        assert_eq!(take(&format!("{long}\r\n\r\n")).unwrap_err(), Refusal::TooLarge);
    }

    #[test]
    fn a_head_says_what_becomes_of_its_connection() {
        assert!(head("GET / HTTP/1.1\r\n\r\n").keep_alive);
        assert!(!head("GET / HTTP/1.1\r\nconnection: x, Close\r\n\r\n").keep_alive);
        let upgrade = head("GET / HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
        assert!(upgrade.wants_tunnel);
        assert!(!head("GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n").wants_tunnel);
        assert!(head("CONNECT a:1 HTTP/1.1\r\n\r\n").wants_tunnel);
        let expecting = "POST / HTTP/1.1\r\nexpect: 100-Continue\r\ncontent-length: 1\r\n\r\n";
        assert!(head(expecting).expects_continue);
    }

    #[test]
    fn a_head_may_be_cut_anywhere() {
        let text = b"GET /p?q HTTP/1.1\r\nHost: a\r\nx: \xff\r\n\r\nnext";
        for cut in 0..text.len() - 4 {
            let mut buffer = BytesMut::from(&text[..cut]);
            assert!(take(&mut buffer, &settings()).unwrap().is_none(), "cut at {cut}");
            buffer.extend_from_slice(&text[cut..]);
            let head = take(&mut buffer, &settings()).unwrap().unwrap();
            assert_eq!(head.request.uri(), "/p?q");
            assert_eq!(head.request.headers()["x"].as_bytes(), b"\xff");
            assert_eq!(buffer, &b"next"[..]);
        }
    }
}
