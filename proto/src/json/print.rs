//! The wire format → JSON, by the schema.

use serde_json::{Map, Number, Value, json};

use super::{scalar, time};
use crate::schema::{Field, Kind, Label, Message, Special};
use crate::type_url::{PREFIX, message_name};
use crate::wire::{self, Fields};

/// Levels of nesting, as many as prost decodes.
const MAX_DEPTH: usize = 100;

/// An encoded message as JSON, with `@type`, as it stands in an `Any`.
///
/// A type that is not known, or bytes that are no such message, are written in base64:
/// `{"@type": "...", "value": "..."}`.
#[must_use]
pub fn any_to_json(type_url: &str, bytes: &[u8]) -> Value {
    any(type_url, bytes, 0)
}

/// An encoded message as JSON, without `@type` if its type is known.
pub(super) fn message(name: &str, bytes: &[u8]) -> Value {
    let known = Message::find(name).and_then(|message| body(message, bytes, 0));
    known.unwrap_or_else(|| opaque(&format!("{PREFIX}{name}"), bytes))
}

fn opaque(type_url: &str, bytes: &[u8]) -> Value {
    json!({"@type": type_url, "value": scalar::print_base64(bytes)})
}

fn any(type_url: &str, bytes: &[u8], depth: usize) -> Value {
    let known = Message::find(message_name(type_url));
    let Some((message, value)) =
        known.and_then(|message| Some((message, body(message, bytes, depth + 1)?)))
    else {
        return opaque(type_url, bytes);
    };
    let mut out = Map::new();
    out.insert("@type".into(), type_url.into());
    match value {
        Value::Object(fields) if message.special == Special::None => out.extend(fields),
        value => {
            out.insert("value".into(), value);
        }
    }
    Value::Object(out)
}

/// `None` when the bytes are no such message.
fn body(message: &'static Message, bytes: &[u8], depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    match message.special {
        Special::None => fields(message, bytes, depth),
        Special::Any => {
            let (mut type_url, mut value): (&[u8], &[u8]) = (&[], &[]);
            for field in Fields::of(bytes) {
                match field.ok()? {
                    (1, wire::Value::Bytes(bytes)) => type_url = bytes,
                    (2, wire::Value::Bytes(bytes)) => value = bytes,
                    _ => {}
                }
            }
            if type_url.is_empty() {
                return Some(json!({}));
            }
            Some(any(std::str::from_utf8(type_url).ok()?, value, depth))
        }
        Special::Duration => {
            let (seconds, nanos) = time_parts(bytes)?;
            time::print_duration(seconds, nanos).map(Value::from)
        }
        Special::Timestamp => {
            let (seconds, nanos) = time_parts(bytes)?;
            time::print_timestamp(seconds, nanos).map(Value::from)
        }
        Special::Wrapper => {
            let field = message.field(1)?;
            let mut value = default_of(field.kind);
            for found in Fields::of(bytes) {
                if let (1, found) = found.ok()? {
                    value = plain(field, found)?;
                }
            }
            Some(value)
        }
        Special::Struct => {
            // One map field, which this prints like any other.
            let Value::Object(mut printed) = fields(message, bytes, depth)? else { return None };
            Some(printed.remove("fields").unwrap_or_else(|| json!({})))
        }
        Special::List => {
            let Value::Object(mut printed) = fields(message, bytes, depth)? else { return None };
            Some(printed.remove("values").unwrap_or_else(|| json!([])))
        }
        Special::Value => {
            let Value::Object(printed) = fields(message, bytes, depth)? else { return None };
            match printed.into_iter().next_back() {
                Some((name, _)) if name == "null_value" => Some(Value::Null),
                Some((_, value)) => Some(value),
                None => Some(Value::Null),
            }
        }
    }
}

fn fields(message: &'static Message, bytes: &[u8], depth: usize) -> Option<Value> {
    let mut out = Map::new();
    for found in Fields::of(bytes) {
        let (number, value) = found.ok()?;
        let Some(field) = message.field(number) else { continue };
        match field.label {
            Label::Map => {
                let entries = out.entry(field.name()).or_insert_with(|| json!({}));
                let (key, value) = pair(field, value, depth)?;
                entries.as_object_mut()?.insert(key, value);
            }
            Label::Repeated => {
                let items = out.entry(field.name()).or_insert_with(|| json!([]));
                elements(field, value, depth, items.as_array_mut()?)?;
            }
            Label::Present => {
                out.insert(field.name().into(), single(field, value, depth)?);
            }
            Label::Implicit => {
                let value = single(field, value, depth)?;
                if value != default_of(field.kind) {
                    out.insert(field.name().into(), value);
                }
            }
        }
    }
    // A hash map encodes in any order; the print is the same each time.
    for field in message.fields().iter().filter(|field| field.label == Label::Map) {
        if let Some(Value::Object(entries)) = out.get_mut(field.name()) {
            entries.sort_keys();
        }
    }
    Some(Value::Object(out))
}

fn pair(field: &'static Field, value: wire::Value<'_>, depth: usize) -> Option<(String, Value)> {
    let wire::Value::Bytes(bytes) = value else { return None };
    let message = field.message()?;
    let (key_field, value_field) = (message.field(1)?, message.field(2)?);
    let mut key = default_of(key_field.kind);
    let mut value = None;
    for found in Fields::of(bytes) {
        match found.ok()? {
            (1, found) => key = plain(key_field, found)?,
            (2, found) => value = Some(single(value_field, found, depth)?),
            _ => {}
        }
    }
    let key = match key {
        Value::String(key) => key,
        other => other.to_string(),
    };
    let value = match value {
        Some(value) => value,
        None => match value_field.message() {
            Some(message) => body(message, &[], depth + 1)?,
            None => default_of(value_field.kind),
        },
    };
    Some((key, value))
}

fn elements(
    field: &'static Field,
    value: wire::Value<'_>,
    depth: usize,
    out: &mut Vec<Value>,
) -> Option<()> {
    if let (wire::Value::Bytes(mut rest), true) = (value, field.kind.is_packable()) {
        while !rest.is_empty() {
            out.push(plain(field, wire::packed(&mut rest, field.kind).ok()?)?);
        }
        return Some(());
    }
    out.push(single(field, value, depth)?);
    Some(())
}

fn single(field: &'static Field, value: wire::Value<'_>, depth: usize) -> Option<Value> {
    match (field.message(), value) {
        (Some(message), wire::Value::Bytes(bytes)) => body(message, bytes, depth + 1),
        (Some(_), _) => None,
        (None, value) => plain(field, value),
    }
}

fn default_of(kind: Kind) -> Value {
    match kind {
        Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => json!("0"),
        Kind::Bool => json!(false),
        Kind::String | Kind::Bytes => json!(""),
        _ => json!(0),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "32-bit kinds are the low half of a varint")]
fn plain(field: &Field, value: wire::Value<'_>) -> Option<Value> {
    Some(match (field.kind, value) {
        (Kind::Double, wire::Value::Fixed64(bits)) => float(f64::from_bits(bits)),
        (Kind::Float, wire::Value::Fixed32(bits)) => {
            // By way of text: 0.1 shall not become 0.10000000149011612.
            let value = f32::from_bits(bits);
            float(value.to_string().parse().unwrap_or_else(|_| f64::from(value)))
        }
        (Kind::Int32, wire::Value::Varint(value)) => (value as i32).into(),
        (Kind::Int64, wire::Value::Varint(value)) => value.cast_signed().to_string().into(),
        (Kind::Uint32, wire::Value::Varint(value)) => (value as u32).into(),
        (Kind::Uint64, wire::Value::Varint(value)) => value.to_string().into(),
        (Kind::Sint32, wire::Value::Varint(value)) => (unzigzag(value) as i32).into(),
        (Kind::Sint64, wire::Value::Varint(value)) => unzigzag(value).to_string().into(),
        (Kind::Fixed32, wire::Value::Fixed32(value)) => value.into(),
        (Kind::Fixed64, wire::Value::Fixed64(value)) => value.to_string().into(),
        (Kind::Sfixed32, wire::Value::Fixed32(value)) => value.cast_signed().into(),
        (Kind::Sfixed64, wire::Value::Fixed64(value)) => value.cast_signed().to_string().into(),
        (Kind::Bool, wire::Value::Varint(value)) => (value != 0).into(),
        (Kind::String, wire::Value::Bytes(bytes)) => std::str::from_utf8(bytes).ok()?.into(),
        (Kind::Bytes, wire::Value::Bytes(bytes)) => scalar::print_base64(bytes).into(),
        (Kind::Enum, wire::Value::Varint(value)) => {
            let number = value as i32;
            match field.enumeration().and_then(|kind| kind.value(number)) {
                // What is default is left out, and that is told by the number.
                Some(value) if number != 0 || field.label != Label::Implicit => value.name().into(),
                _ => number.into(),
            }
        }
        _ => return None,
    })
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn float(value: f64) -> Value {
    // 2.0 is written 2, as protobuf implementations do.
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
        return (value as i64).into();
    }
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn time_parts(bytes: &[u8]) -> Option<(i64, i32)> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields::of(bytes) {
        match field.ok()? {
            (1, wire::Value::Varint(value)) => seconds = value.cast_signed(),
            (2, wire::Value::Varint(value)) => nanos = value.cast_signed(),
            _ => {}
        }
    }
    Some((seconds, i32::try_from(nanos).ok()?))
}
