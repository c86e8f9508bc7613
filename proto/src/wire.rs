//! Reading and writing the protobuf wire format, one field at a time.

use crate::schema::Kind;

/// A field as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The fields of an encoded message, in the order of the wire.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    whole: usize,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { whole: bytes.len(), rest: bytes }
    }

    /// Where the next field begins.
    pub(crate) fn position(&self) -> usize {
        self.whole - self.rest.len()
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let tag = u32::try_from(varint(&mut self.rest)?).map_err(|_| Malformed)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(Malformed);
        }
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(fixed64(self.take(8)?)?),
            2 => {
                let length = varint(&mut self.rest)?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(fixed32(self.take(4)?)?),
            _ => return Err(Malformed), // groups are not part of proto3
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[]; // what follows an error means nothing
        }
        Some(field)
    }
}

/// Takes a varint off the front.
pub(crate) fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        if shift == 63 && byte > 1 {
            return Err(Malformed);
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

/// Takes an element off the front of a packed list of numbers.
pub(crate) fn packed<'a>(bytes: &mut &'a [u8], kind: Kind) -> Result<Value<'a>, Malformed> {
    let mut take = |length| {
        let (taken, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
        *bytes = rest;
        Ok(taken)
    };
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Ok(Value::Fixed64(fixed64(take(8)?)?)),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Ok(Value::Fixed32(fixed32(take(4)?)?)),
        _ => Ok(Value::Varint(varint(bytes)?)),
    }
}

fn fixed32(bytes: &[u8]) -> Result<u32, Malformed> {
    bytes.try_into().map(u32::from_le_bytes).map_err(|_| Malformed)
}

fn fixed64(bytes: &[u8]) -> Result<u64, Malformed> {
    bytes.try_into().map(u64::from_le_bytes).map_err(|_| Malformed)
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "the low seven bits are meant")]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "less than 0x80 by the loop")]
    out.push(value as u8);
}

/// Appends a field.
pub(crate) fn put(out: &mut Vec<u8>, number: u32, value: Value<'_>) {
    let tag = |wire: u64| u64::from(number) << 3 | wire;
    match value {
        Value::Varint(value) => {
            put_varint(out, tag(0));
            put_varint(out, value);
        }
        Value::Fixed64(value) => {
            put_varint(out, tag(1));
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Bytes(bytes) => {
            put_varint(out, tag(2));
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        Value::Fixed32(value) => {
            put_varint(out, tag(5));
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read() {
        let mut out = Vec::new();
        let fields = [
            (1, Value::Varint(u64::MAX)),
            (2, Value::Varint(0)),
            (16, Value::Bytes(b"abc")),
            (17, Value::Fixed32(7)),
            (18, Value::Fixed64(8)),
        ];
        for (number, value) in fields {
            put(&mut out, number, value);
        }
        let read: Vec<_> = Fields::of(&out).map(Result::unwrap).collect();
        assert_eq!(read, fields);
    }

    #[test]
    fn malformed_bytes_end_the_reading() {
        for bytes in [
            b"\x08".as_slice(),                                  // value missing
            b"\x0a\x05abc",                                      // bytes cut
            b"\x00\x00",                                         // field number 0
            b"\x0b\x0c",                                         // a group
            b"\x09\x01",                                         // fixed64 cut
            b"\x0d\x01",                                         // fixed32 cut
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",     // more than 64 bits
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // more than ten bytes
        ] {
            let mut fields = Fields::of(bytes);
            assert_eq!(fields.next(), Some(Err(Malformed)), "{bytes:?}");
            assert_eq!(fields.next(), None);
        }
    }
}
