//! Integers with a prefix (RFC 7541 §5.1).

use bytes::{BufMut, BytesMut};

use crate::DecodeError;

/// Continuation bytes that an integer may have: indices, sizes and lengths of 28 bits are far beyond
/// any limit of a connection, and no sum of them overflows.
const CONTINUATIONS: u32 = 4;

/// The integer whose first byte is `first`, in its lowest `bits` bits, and what follows it.
#[inline]
pub(crate) fn decode(first: u8, bits: u32, rest: &[u8]) -> Result<(usize, &[u8]), DecodeError> {
    let full = (1usize << bits) - 1;
    let value = usize::from(first) & full;
    if value < full { Ok((value, rest)) } else { continued(full, rest) }
}

fn continued(mut value: usize, rest: &[u8]) -> Result<(usize, &[u8]), DecodeError> {
    let mut rest = rest;
    for place in 0..CONTINUATIONS {
        let (byte, tail) = rest.split_first().ok_or(DecodeError::Truncated)?;
        rest = tail;
        value += usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok((value, rest));
        }
    }
    Err(DecodeError::IntegerOverflow)
}

/// Writes `value` into the lowest `bits` bits of a byte whose other bits are `flags`, and bytes after it.
#[inline]
pub(crate) fn encode(flags: u8, bits: u32, value: usize, out: &mut BytesMut) {
    let full = u8::MAX >> (8 - bits);
    match u8::try_from(value) {
        Ok(small) if small < full => out.put_u8(flags | small),
        _ => {
            out.put_u8(flags | full);
            continuation(value - usize::from(full), out);
        }
    }
}

fn continuation(mut value: usize, out: &mut BytesMut) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.put_u8(low & 0x7f);
        }
        out.put_u8(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bits: u32, value: usize) -> Vec<u8> {
        let mut out = BytesMut::new();
        encode(0, bits, value, &mut out);
        out.to_vec()
    }

    fn read(bits: u32, bytes: &[u8]) -> Result<usize, DecodeError> {
        let (first, rest) = bytes.split_first().unwrap();
        decode(*first, bits, rest).map(|(value, _)| value)
    }

    #[test]
    fn examples_of_the_rfc() {
        assert_eq!(written(5, 10), [10]);
        assert_eq!(written(5, 1337), [31, 154, 10]);
        assert_eq!(written(8, 42), [42]);
        assert_eq!(read(5, &[0b1110_1010]), Ok(10));
        assert_eq!(read(5, &[31, 154, 10]), Ok(1337));
    }

    #[test]
    fn what_is_written_is_read() {
        for bits in 1..=8 {
            for value in (0..=1024).chain([16_383, 16_384, 0x0fff_ffff]) {
                assert_eq!(read(bits, &written(bits, value)), Ok(value), "{value} in {bits} bits");
            }
        }
    }

    #[test]
    fn no_integer_overflows() {
        assert_eq!(read(7, &[0x7f, 0xff, 0xff, 0xff, 0x7f]), Ok(0x7f + 0x0fff_ffff));
        assert_eq!(read(7, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0]), Err(DecodeError::IntegerOverflow));
        assert_eq!(
            read(5, &[0x1f, 0x80, 0x80, 0x80, 0x80, 0x80]),
            Err(DecodeError::IntegerOverflow)
        );
        assert_eq!(read(5, &[0x1f, 0x80]), Err(DecodeError::Truncated));
    }
}
