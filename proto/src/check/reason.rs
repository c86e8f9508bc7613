//! What findings say.

use super::Verdict;
use super::leaf::wrapped;
use super::rule::{self, Plain};
use crate::schema::{Enum, Field, Message, Place, Special};
use crate::wire::Value;

/// Why the field is reported, which arms of its oneof would do, and what it is.
pub(super) fn unsupported(
    message: &Message,
    field: &Field,
    place: &Place,
    value: Value<'_>,
) -> String {
    let mut reason = match place.note() {
        "" if field.oneof().is_some() => "selects behaviour that is not supported".to_owned(),
        "" => "not supported".to_owned(),
        note => format!("not supported: {note}"),
    };
    if let Some(shown) = shown(field, value) {
        reason = format!("{reason} (it is {shown})");
    }
    let arms: Vec<_> = message
        .fields()
        .iter()
        .filter(|other| field.oneof().is_some() && other.oneof() == field.oneof())
        .filter(|other| other.place().is_some_and(|place| place.verdict == Verdict::Honour))
        .map(Field::name)
        .collect();
    if !arms.is_empty() {
        reason = format!("{reason}; supported: {}", arms.join(", "));
    }
    reason
}

/// That a value of an enum is not honoured, and which are; none given are all.
pub(super) fn value(kind: &Enum, number: i32, honoured: &[i32]) -> String {
    let shown =
        kind.value(number).map_or_else(|| number.to_string(), |value| value.name().to_owned());
    let supported: Vec<_> = kind
        .values()
        .iter()
        .filter(|value| honoured.is_empty() || honoured.contains(&value.number))
        .map(|value| value.name())
        .collect();
    format!("{shown} is not supported; supported: {}", supported.join(", "))
}

/// A scalar, or one in a wrapper, as text for people.
fn shown(field: &Field, value: Value<'_>) -> Option<String> {
    let (field, plain) = match (field.message(), value) {
        (Some(message), Value::Bytes(bytes)) if message.special == Special::Wrapper => {
            let inner = message.field(1)?;
            (inner, wrapped(inner, bytes)?)
        }
        (Some(_), _) => return None,
        (None, value) => (field, rule::plain(field.kind, value)?),
    };
    Some(match plain {
        Plain::Bool(value) => value.to_string(),
        Plain::Uint(value) => value.to_string(),
        Plain::Int(value) => value.to_string(),
        Plain::Float(value) => value.to_string(),
        Plain::Enum(number) => {
            let value = field.enumeration().and_then(|kind| kind.value(number));
            value.map_or_else(|| number.to_string(), |value| value.name().to_owned())
        }
        Plain::Text(text) if text.len() <= 64 => format!("{text:?}"),
        Plain::Text(_) | Plain::Bytes(_) | Plain::Duration(..) => return None,
    })
}
