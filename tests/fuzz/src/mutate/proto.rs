//! Protobuf messages by their fields, at any depth: lengths around a change stay true.

use fastrand::Rng;

/// A field as it stood on the wire: its key, and what follows.
#[derive(Clone)]
struct Field {
    key: u64,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Number(u64),
    Fixed(Vec<u8>),
    Bytes(Vec<u8>),
}

pub(super) fn mutate(input: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let Some(mut fields) = read(input) else {
        return super::bytes(input.to_vec(), other, &[], rng);
    };
    let at = rng.usize(..fields.len().max(1));
    match rng.u8(..12) {
        0 if !fields.is_empty() => drop(fields.remove(at)),
        1 => {
            if let Some(field) = fields.get(at).cloned() {
                let times = if rng.u8(..20) == 0 { rng.usize(1..100) } else { 1 };
                fields.splice(at..at, std::iter::repeat_n(field, times));
            }
        }
        2 => {
            let foreign = read(other).unwrap_or_default();
            if let Some(field) = rng.choice(&foreign) {
                fields.insert(at.min(fields.len()), field.clone());
            }
        }
        3 => {
            if let Some(field) = fields.get_mut(at) {
                field.key = u64::from(rng.u8(1..40)) << 3 | (field.key & 7);
            }
        }
        _ => {
            if let Some(field) = fields.get_mut(at) {
                change(field, other, rng);
            }
        }
    }
    write(&fields)
}

fn change(field: &mut Field, other: &[u8], rng: &mut Rng) {
    match &mut field.value {
        Value::Number(number) => {
            *number = if rng.bool() { super::edge(rng) } else { rng.u64(..20) };
        }
        Value::Fixed(bytes) => bytes.iter_mut().for_each(|byte| *byte = rng.u8(..)),
        Value::Bytes(bytes) => {
            let nested = rng.u8(..10) < 8 && !bytes.is_empty();
            *bytes = if nested {
                mutate(bytes, other, rng)
            } else {
                super::bytes(std::mem::take(bytes), other, &[], rng)
            };
        }
    }
}

/// The fields of a message, if the bytes can be one.
fn read(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            1 => Value::Fixed(take(&mut bytes, 8)?),
            5 => Value::Fixed(take(&mut bytes, 4)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Value::Bytes(take(&mut bytes, length)?)
            }
            _ => return None,
        };
        fields.push(Field { key, value });
    }
    Some(fields)
}

fn write(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for Field { key, value } in fields {
        put(&mut out, *key);
        match value {
            Value::Number(number) => put(&mut out, *number),
            Value::Fixed(bytes) => out.extend_from_slice(bytes),
            Value::Bytes(bytes) => {
                put(&mut out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
        }
    }
    out
}

fn take(bytes: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part.to_vec())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // Seven bits always fit.
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_again() {
        let bytes = b"\x0a\x03abc\x10\x96\x01\x1d\x01\x02\x03\x04";
        assert_eq!(write(&read(bytes).unwrap()), bytes);
        assert!(read(b"\x0a\x05abc").is_none());
    }
}
