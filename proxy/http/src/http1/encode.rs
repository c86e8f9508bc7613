//! Field lines and chunks on the wire (RFC 9112). Everything in them was validated when it was parsed:
//! names and values hold no line breaks.

use bytes::{BufMut as _, BytesMut};
use http::{
    HeaderMap, HeaderName,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING},
};

use super::Spelling;

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
pub(crate) fn last_chunk(out: &mut BytesMut, trailers: Option<&HeaderMap>, chunk_open: bool) {
    close_chunk(out, chunk_open);
    out.put_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        fields(out, trailers, &Spelling::default(), may_follow);
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

/// Field lines, as they were spelled when they came.
#[inline]
pub(crate) fn fields(
    out: &mut BytesMut,
    headers: &HeaderMap,
    spelling: &Spelling,
    mut which: impl FnMut(&HeaderName) -> bool,
) {
    for (name, value) in headers {
        if which(name) {
            let spelled = spelling.of(name, value).unwrap_or(name.as_str().as_bytes());
            field(out, spelled, value.as_bytes());
        }
    }
}

/// One field line.
#[inline]
pub(crate) fn field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
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
