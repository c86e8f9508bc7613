//! How messages are framed (RFC 9112 §6 and §7). A message whose length is in doubt is refused, never
//! guessed at.

use bytes::{Buf as _, Bytes, BytesMut};
use http::{
    HeaderMap,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::fields::{self, MAX_FIELDS};

/// Bytes of one trailer section at most.
const MAX_TRAILERS: usize = 64 * 1024;
/// Bytes of one chunk-size line with its extensions at most.
const MAX_CHUNK_LINE: usize = 1024;

/// The bytes are not an HTTP/1 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// RFC 9112 §6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    Known(u64),
    Chunked,
    UntilClose,
}

/// `transfer-encoding` must be exactly `chunked`: any other coding would have to be undone here.
pub(crate) fn is_chunked(headers: &HeaderMap, http_1_1: bool) -> Result<bool, Malformed> {
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
pub(crate) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
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

/// Whether the connection outlives this message.
pub(crate) fn keeps_alive(headers: &HeaderMap, http_1_1: bool) -> bool {
    if http_1_1 {
        !connection_says(headers, b"close")
    } else {
        connection_says(headers, b"keep-alive")
    }
}

/// Whether `connection` has this option.
pub(crate) fn connection_says(headers: &HeaderMap, wanted: &[u8]) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        value
            .as_bytes()
            .split(|b| *b == b',')
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(wanted))
    })
}

/// What is left of a message's body.
#[derive(Debug)]
pub(crate) enum Body {
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
pub(crate) enum Chunk {
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
pub(crate) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    /// The body has ended.
    End,
    /// More bytes are needed.
    More,
}

impl Body {
    pub(crate) fn new(length: &BodyLength) -> Self {
        match length {
            BodyLength::Known(0) => Self::Done,
            BodyLength::Known(length) => Self::Length(*length),
            BodyLength::Chunked => Self::Chunked(Chunk::Size),
            BodyLength::UntilClose => Self::UntilClose,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Takes the next part from `buffer`.
    pub(crate) fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, Malformed> {
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
    let mut parsed = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match httparse::parse_headers(buffer, &mut parsed) {
        Ok(httparse::Status::Complete((length, parsed))) => {
            if length < 4
                || !fields::end_in_crlf(parsed.get(1..).unwrap_or_default(), buffer, length)
            {
                return Err(Malformed);
            }
            let places = fields::places(parsed, buffer)?;
            let block = buffer.split_to(length).freeze();
            Ok(Step::Trailers(places.to_map(&block)?))
        }
        Ok(httparse::Status::Partial) if buffer.len() < MAX_TRAILERS => Ok(Step::More),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            b"1\nx\r\n0\r\n\r\n",
            b"1\r\nx\n0\r\n\r\n",
            b"1\r\nx\r\n0\r\n\n",
            b"1\r\nx\r\n0\r\na: 1\n\n",
            b"1\r\nx\r\n0\r\na: 1\nb: 2\r\n\r\n",
            b"1\r\nx\r\n0\r\na: 1\r\n\n",
        ] {
            assert!(decode_chunked(&[wire]).is_err(), "{}", wire.escape_ascii());
        }
        assert!(decode_chunked(&[&[b'1'; MAX_CHUNK_LINE]]).is_err());
    }
}
