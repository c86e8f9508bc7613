//! Field lines and chunks on the wire (RFC 9112). Everything in them was validated when it was parsed:
//! names and values hold no line breaks.

use bytes::{BufMut as _, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING},
};
use weft_compile::KeyFormat;

use super::Names;

/// The line before a chunk's data, after the line break that closes an open chunk.
pub(crate) fn chunk_size(out: &mut BytesMut, size: usize, chunk_open: bool) {
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
pub(crate) fn last_chunk(
    out: &mut BytesMut,
    trailers: Option<&HeaderMap>,
    format: KeyFormat,
    chunk_open: bool,
) {
    close_chunk(out, chunk_open);
    out.put_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        fields(out, trailers, Names::own(format), may_follow);
    }
    out.put_slice(b"\r\n");
}

/// What a trailer section must not say: it comes after the message was framed and routed.
fn may_follow(name: &HeaderName) -> bool {
    !matches!(*name, TRAILER | CONTENT_LENGTH | TRANSFER_ENCODING | CONNECTION | HOST)
}

fn close_chunk(out: &mut BytesMut, chunk_open: bool) {
    if chunk_open {
        out.put_slice(b"\r\n");
    }
}

/// Field lines.
#[inline]
pub(crate) fn fields(
    out: &mut BytesMut,
    headers: &HeaderMap,
    names: Names<'_>,
    mut which: impl FnMut(&HeaderName) -> bool,
) {
    for (name, value) in headers {
        if which(name) {
            field(out, names, name, value);
        }
    }
}

/// One field line.
#[inline]
pub(crate) fn field(out: &mut BytesMut, names: Names<'_>, name: &HeaderName, value: &HeaderValue) {
    out.reserve(name.as_str().len() + value.len() + 4);
    names.put(out, name, value);
    out.put_slice(b": ");
    out.put_slice(value.as_bytes());
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
