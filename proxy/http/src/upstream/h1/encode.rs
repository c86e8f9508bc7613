//! Request heads and chunks on the wire (RFC 9112).

use bytes::{BufMut as _, BytesMut};
use http::{
    HeaderMap, Method,
    header::{CONTENT_LENGTH, HOST, TE, TRAILER},
};

use crate::upstream::{Outgoing, upload::Framing};

/// Writes the head of a request. Everything in it was validated when it was parsed: a `Method`, a
/// `PathAndQuery` and `HeaderValue`s hold no line breaks.
pub(super) fn head(out: &mut BytesMut, outgoing: &Outgoing, framing: Framing) {
    let method = outgoing.method.as_str().as_bytes();
    let path = outgoing.path.as_str().as_bytes();
    let authority = outgoing.authority.as_bytes();
    out.reserve(256 + path.len() + authority.len() + outgoing.headers.len() * 48);
    out.put_slice(method);
    out.put_slice(b" ");
    out.put_slice(path);
    out.put_slice(b" HTTP/1.1\r\nhost: ");
    out.put_slice(authority);
    out.put_slice(b"\r\n");
    for (name, value) in &outgoing.headers {
        // `te` would have to be named by `connection` here; gRPC over HTTP/1.1 does not exist.
        if name != HOST && name != TE {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    match framing {
        Framing::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        // Some servers ask for a length (411) where a body would have a meaning.
        Framing::None if means_body(&outgoing.method) && !has_length(&outgoing.headers) => {
            out.put_slice(b"content-length: 0\r\n");
        }
        Framing::None | Framing::Length => {}
    }
    out.put_slice(b"\r\n");
}

/// RFC 9110 §8.6.
fn means_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn has_length(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH)
}

/// The line before a chunk's data, after the line break that closes an open chunk.
pub(super) fn chunk_size(out: &mut BytesMut, size: usize, chunk_open: bool) {
    close_chunk(out, chunk_open);
    let mut digits = [0u8; 16];
    let mut at = digits.len();
    let mut rest = size;
    loop {
        at -= 1;
        if let (Some(place), Some(digit)) =
            (digits.get_mut(at), b"0123456789abcdef".get(rest & 0xf))
        {
            *place = *digit;
        }
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(digits.get(at..).unwrap_or_default());
    out.put_slice(b"\r\n");
}

/// The last chunk, with trailers if there are any.
pub(super) fn last_chunk(out: &mut BytesMut, trailers: Option<&HeaderMap>, chunk_open: bool) {
    close_chunk(out, chunk_open);
    out.put_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        if name != TRAILER {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    out.put_slice(b"\r\n");
}

fn close_chunk(out: &mut BytesMut, chunk_open: bool) {
    if chunk_open {
        out.put_slice(b"\r\n");
    }
}

fn field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_hexadecimal_without_padding() {
        for size in [0, 1, 9, 10, 15, 16, 255, 4096, 65_535, 1 << 20] {
            let mut out = BytesMut::new();
            chunk_size(&mut out, size, false);
            assert_eq!(out, format!("{size:x}\r\n").as_bytes());
        }
    }
}
