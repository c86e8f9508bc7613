//! Small values, read where they stand.

use super::rule::{self, Plain};
use crate::json::time::is_duration;
use crate::schema::{Field, Kind, Place, Special};
use crate::wire::{Fields, Value};

/// Whether the value is the one that the field has when it is absent.
pub(super) fn is_default(field: &Field, value: Value<'_>) -> bool {
    let zero = match value {
        Value::Varint(value) | Value::Fixed64(value) => value == 0,
        Value::Fixed32(value) => value == 0,
        Value::Bytes(bytes) => bytes.is_empty(),
    };
    zero && rule::plain(field.kind, value).is_some()
}

/// Whether the value means what happens anyway.
pub(super) fn is_harmless(field: &Field, place: &Place, value: Value<'_>) -> bool {
    let Some(unless) = place.unless() else { return false };
    let number = match (field.message(), value) {
        (None, Value::Varint(number)) => Some(number),
        (Some(message), Value::Bytes(bytes)) if message.special == Special::Wrapper => {
            Fields::of(bytes).try_fold(0, |last, found| match found {
                Ok((1, Value::Varint(number))) => Some(number),
                Ok((2.., _)) => Some(last),
                _ => None,
            })
        }
        _ => None,
    };
    number == Some(unless)
}

/// The value in a wrapper; an empty wrapper holds the default.
pub(super) fn wrapped<'a>(inner: &Field, bytes: &'a [u8]) -> Option<Plain<'a>> {
    let mut value = match inner.kind {
        Kind::String | Kind::Bytes => Value::Bytes(&[]),
        Kind::Double => Value::Fixed64(0),
        Kind::Float => Value::Fixed32(0),
        _ => Value::Varint(0),
    };
    for found in Fields::of(bytes) {
        if let (1, found) = found.ok()? {
            value = found;
        }
    }
    rule::plain(inner.kind, value)
}

pub(super) fn duration(bytes: &[u8]) -> Option<(i64, i32)> {
    let (mut seconds, mut nanos) = (0, 0);
    for found in Fields::of(bytes) {
        match found.ok()? {
            (1, Value::Varint(value)) => seconds = value.cast_signed(),
            (2, Value::Varint(value)) => nanos = value.cast_signed(),
            (1 | 2, _) => return None,
            _ => {}
        }
    }
    let nanos = i32::try_from(nanos).ok()?;
    is_duration(seconds, nanos).then_some((seconds, nanos))
}

/// Whether the bool of that number is true in the message; field 0 is none.
pub(super) fn flag(container: &[u8], number: u32) -> bool {
    let values = Fields::of(container).flatten().filter(|(found, _)| *found == number);
    values.last().is_some_and(|(_, value)| matches!(value, Value::Varint(1..)))
}
