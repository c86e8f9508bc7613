//! Response heads and bodies from the wire (RFC 9112). A message whose length is in doubt is
//! refused, never guessed at.

use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};

/// Header fields of one response at most.
const MAX_FIELDS: usize = 128;
/// Bytes of one response head, or of one trailer section, at most.
const MAX_HEAD: usize = 64 * 1024;
/// Bytes of one chunk-size line with its extensions at most.
const MAX_CHUNK_LINE: usize = 1024;

/// The upstream's bytes are not an HTTP/1.1 response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A complete response head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) body: BodyLength,
    pub(super) keep_alive: bool,
}

/// RFC 9112 §6.3.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    Known(u64),
    Chunked,
    UntilClose,
}

/// Takes a final response head from the front of `buffer`; `None` while it is incomplete. Interim
/// responses (1xx) are dropped on the way.
pub(super) fn head(buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>, Malformed> {
    loop {
        let Some(head) = one_head(buffer, method)? else { return Ok(None) };
        match head.response.status() {
            // Nobody asked for another protocol.
            StatusCode::SWITCHING_PROTOCOLS => return Err(Malformed),
            status if status.is_informational() => {}
            _ => return Ok(Some(head)),
        }
    }
}

fn one_head(buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>, Malformed> {
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
    let start = buffer.as_ptr() as usize;
    let places: smallvec::SmallVec<[(HeaderName, usize, usize); 24]> = parsed
        .headers
        .iter()
        .map(|field| {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
            Ok((name, field.value.as_ptr() as usize - start, field.value.len()))
        })
        .collect::<Result<_, _>>()?;
    // Values are slices of the received bytes: one reference count each instead of a copy.
    let bytes = buffer.split_to(length).freeze();
    let mut headers = HeaderMap::with_capacity(places.len() + 4);
    for (name, from, len) in places {
        let value = if len == 0 { Bytes::new() } else { bytes.slice(from..from + len) };
        headers.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| Malformed)?);
    }
    let body = body_length(&headers, status, method, http_1_1)?;
    let keep_alive = keeps_alive(&headers, http_1_1) && body != BodyLength::UntilClose;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = Version::HTTP_11;
    *response.headers_mut() = headers;
    Ok(Some(Head { response, body, keep_alive }))
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

/// `transfer-encoding` must be exactly `chunked`: any other coding would have to be undone here.
fn is_chunked(headers: &HeaderMap, http_1_1: bool) -> Result<bool, Malformed> {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(one), None) if http_1_1 && one.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Ok(true)
        }
        _ => Err(Malformed),
    }
}

/// All `content-length` values, which must agree and be plain digits.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut found = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let digits = value.as_bytes();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Malformed);
        }
        let length = value.to_str().ok().and_then(|v| v.parse::<u64>().ok()).ok_or(Malformed)?;
        if found.is_some_and(|before| before != length) {
            return Err(Malformed);
        }
        found = Some(length);
    }
    Ok(found)
}

fn keeps_alive(headers: &HeaderMap, http_1_1: bool) -> bool {
    let says = |wanted: &[u8]| {
        headers.get_all(CONNECTION).iter().any(|value| {
            value
                .as_bytes()
                .split(|b| *b == b',')
                .any(|t| t.trim_ascii().eq_ignore_ascii_case(wanted))
        })
    };
    if http_1_1 { !says(b"close") } else { says(b"keep-alive") }
}

/// What is left of a response's body.
#[derive(Debug)]
pub(super) enum Body {
    /// All received.
    Done,
    /// This many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunk),
    /// Until the connection ends.
    UntilClose,
}

/// Where a chunked body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// At a chunk-size line.
    Size,
    /// Within data, this many bytes before its end.
    Data(u64),
    /// At the line break after data.
    DataEnd,
    /// After the last chunk.
    Trailers,
}

/// What could be taken from the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    /// The body has ended.
    End,
    /// More bytes are needed.
    More,
}

impl Body {
    pub(super) fn new(length: &BodyLength) -> Self {
        match length {
            BodyLength::Known(0) => Self::Done,
            BodyLength::Known(length) => Self::Length(*length),
            BodyLength::Chunked => Self::Chunked(Chunk::Size),
            BodyLength::UntilClose => Self::UntilClose,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Takes the next part from `buffer`.
    pub(super) fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, Malformed> {
        match self {
            Self::Done => Ok(Step::End),
            _ if buffer.is_empty() => Ok(Step::More),
            Self::UntilClose => Ok(Step::Data(buffer.split().freeze())),
            Self::Length(left) => {
                let data = take(buffer, left);
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(Step::Data(data))
            }
            Self::Chunked(chunk) => {
                let step = chunk_step(chunk, buffer)?;
                if matches!(step, Step::End | Step::Trailers(_)) {
                    *self = Self::Done;
                }
                Ok(step)
            }
        }
    }
}

fn chunk_step(chunk: &mut Chunk, buffer: &mut BytesMut) -> Result<Step, Malformed> {
    loop {
        match chunk {
            Chunk::Size => match size_line(buffer)? {
                None => return Ok(Step::More),
                Some(0) => *chunk = Chunk::Trailers,
                Some(size) => *chunk = Chunk::Data(size),
            },
            Chunk::Data(_) if buffer.is_empty() => return Ok(Step::More),
            Chunk::Data(left) => {
                let data = take(buffer, left);
                if *left == 0 {
                    *chunk = Chunk::DataEnd;
                }
                return Ok(Step::Data(data));
            }
            Chunk::DataEnd => match buffer.get(..2) {
                Some(b"\r\n") => {
                    buffer.advance(2);
                    *chunk = Chunk::Size;
                }
                Some(_) => return Err(Malformed),
                None => return Ok(Step::More),
            },
            Chunk::Trailers => return trailers(buffer),
        }
    }
}

fn take(buffer: &mut BytesMut, left: &mut u64) -> Bytes {
    let n = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    *left -= n as u64;
    buffer.split_to(n).freeze()
}

/// A chunk-size line (RFC 9112 §7.1); extensions are dropped.
fn size_line(buffer: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    let window = buffer.get(..buffer.len().min(MAX_CHUNK_LINE)).unwrap_or_default();
    let Some(end) = window.iter().position(|b| *b == b'\n') else {
        return if buffer.len() >= MAX_CHUNK_LINE { Err(Malformed) } else { Ok(None) };
    };
    let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Malformed)?;
    let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Malformed);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Malformed)?;
    let size = u64::from_str_radix(text, 16).map_err(|_| Malformed)?;
    buffer.advance(end + 1);
    Ok(Some(size))
}

fn trailers(buffer: &mut BytesMut) -> Result<Step, Malformed> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Step::End);
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match httparse::parse_headers(buffer, &mut fields) {
        Ok(httparse::Status::Complete((length, parsed))) => {
            let mut map = HeaderMap::with_capacity(parsed.len());
            for field in parsed {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
                map.append(name, HeaderValue::from_bytes(field.value).map_err(|_| Malformed)?);
            }
            buffer.advance(length);
            Ok(Step::Trailers(map))
        }
        Ok(httparse::Status::Partial) if buffer.len() < MAX_HEAD => Ok(Step::More),
        _ => Err(Malformed),
    }
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
    fn interim_responses_are_skipped_but_never_a_switch() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(parse(text).unwrap().unwrap().response.status(), 200);
        assert!(parse("HTTP/1.1 101 Switching Protocols\r\n\r\n").is_err());
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

    fn decode_chunked(
        pieces: &[&[u8]],
    ) -> Result<(Vec<u8>, Option<HeaderMap>, BytesMut), Malformed> {
        let mut body = Body::Chunked(Chunk::Size);
        let (mut data, mut trailers, mut buffer) = (Vec::new(), None, BytesMut::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match body.step(&mut buffer)? {
                    Step::Data(part) => data.extend_from_slice(&part),
                    Step::Trailers(map) => trailers = Some(map),
                    Step::End => return Ok((data, trailers, buffer)),
                    Step::More => break,
                }
            }
        }
        Err(Malformed)
    }

    #[test]
    fn chunks_may_be_cut_anywhere() {
        let wire = b"5;ext=\"x\"\r\nhello\r\n00006\r\n world\r\n0\r\nx-sum: 1\r\n\r\nNEXT";
        for cut in 0..wire.len() - 4 {
            let (data, trailers, rest) = decode_chunked(&[&wire[..cut], &wire[cut..]]).unwrap();
            assert_eq!(data, b"hello world");
            assert_eq!(trailers.unwrap()["x-sum"], "1");
            assert_eq!(rest, &b"NEXT"[..]);
        }
        let (data, trailers, _) = decode_chunked(&[b"1\r\nx\r\n0\r\n\r\n"]).unwrap();
        assert_eq!((data.as_slice(), trailers), (&b"x"[..], None));
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for wire in [
            &b"5\nhello\r\n0\r\n\r\n"[..],
            b"-1\r\nx\r\n",
            b"0x1\r\nx\r\n",
            b"\r\nx\r\n",
            b"11111111111111111\r\nx",
            b"1\r\nxx\r\n0\r\n\r\n",
            b"1 1\r\nx\r\n0\r\n\r\n",
        ] {
            assert!(decode_chunked(&[wire]).is_err(), "{}", wire.escape_ascii());
        }
        assert!(decode_chunked(&[&[b'1'; MAX_CHUNK_LINE]]).is_err());
    }
}
