//! Trees → the wire format, by the schema.

use super::document::{Entry, Node, Value};
use super::{Error, scalar, time};
use crate::schema::{Field, Kind, Label, Message, Special};
use crate::type_url::message_name;
use crate::wire;

/// Encodes the tree as a message of the given type.
pub(super) fn message(node: &Node, name: &str) -> Result<Vec<u8>, Error> {
    let Some(message) = Message::find(name) else {
        return Err(node.error(format!("the type `{name}` is not known")));
    };
    encode(node, message)
}

impl Error {
    /// Says that the error is within `segment`.
    fn within(mut self, segment: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{segment}{dot}{}", self.path);
        self.more = self.more.into_iter().map(|error| error.within(segment)).collect();
        self
    }
}

/// Errors of neighbours: one does not hide the others.
#[derive(Default)]
struct Faults(Option<Error>);

impl Faults {
    /// More than this do not help anyone; a hostile text could have a million.
    const MOST: usize = 100;

    /// The value, or nothing after an error, which is kept.
    fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match (result, &mut self.0) {
            (Ok(value), _) => return Some(value),
            (Err(error), None) => self.0 = Some(error),
            (Err(error), Some(first)) if first.more.len() < Self::MOST => first.more.push(error),
            (Err(_), Some(_)) => {}
        }
        None
    }

    fn end(self) -> Result<(), Error> {
        self.0.map_or(Ok(()), Err)
    }
}

fn encode(node: &Node, message: &'static Message) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    match message.special {
        Special::None => put_fields(&mut out, entries(node, message)?, message)?,
        Special::Any => put_any(&mut out, node, message)?,
        Special::Duration => {
            let parsed = text(node).and_then(time::parse_duration);
            put_time(
                &mut out,
                parsed.ok_or_else(|| {
                    node.error("a duration is expected: seconds with an `s`, such as 0.25s")
                })?,
            );
        }
        Special::Timestamp => {
            let parsed = text(node).and_then(time::parse_timestamp);
            put_time(
                &mut out,
                parsed.ok_or_else(|| {
                    node.error("a time is expected, such as 2001-02-03T04:05:06Z")
                })?,
            );
        }
        Special::Wrapper => {
            if let Some(field) = message.field(1) {
                let value = scalar::read(node, field)?;
                if !value.is_default() {
                    value.put(&mut out, 1);
                }
            }
        }
        Special::Struct => put_struct(&mut out, node)?,
        Special::Value => put_value(&mut out, node)?,
        Special::List => put_list(&mut out, node)?,
    }
    Ok(out)
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

fn entries<'a>(node: &'a Node, message: &Message) -> Result<&'a [Entry], Error> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        _ => {
            let found = node.kind();
            Err(node.error(format!("{} is expected as a map, not {found}", message.name())))
        }
    }
}

fn put_fields<'a>(
    out: &mut Vec<u8>,
    entries: impl IntoIterator<Item = &'a Entry>,
    message: &'static Message,
) -> Result<(), Error> {
    let mut given: Vec<(&'static Field, &Entry)> = Vec::new();
    let mut faults = Faults::default();
    for entry in entries {
        let mut fail = |reason: String| {
            let error = super::document::error(entry.at, reason).within(&entry.key);
            faults.note::<()>(Err(error));
        };
        let Some(field) = message.field_named(&entry.key) else {
            fail(unknown_field(&entry.key, message));
            continue;
        };
        if given.iter().any(|(other, _)| other.number == field.number) {
            fail("is given twice".into());
            continue;
        }
        let is_value = field.message().is_some_and(|kind| kind.special == Special::Value);
        if entry.value.is_null() && !(is_value && field.label == Label::Present) {
            continue;
        }
        let rival = given
            .iter()
            .find(|(other, _)| other.oneof().is_some() && other.oneof() == field.oneof());
        if let Some((other, _)) = rival {
            fail(format!("excludes `{}`, which is given too", other.name()));
            continue;
        }
        given.push((field, entry));
    }
    // What is in an Any shall not depend on the order in which a document gives it.
    given.sort_by_key(|(field, _)| field.number);
    for (field, entry) in given {
        let put = put_field(out, &entry.value, field);
        faults.note(put.map_err(|error| error.within(&entry.key)));
    }
    faults.end()
}

fn unknown_field(key: &str, message: &Message) -> String {
    let near = message
        .fields()
        .iter()
        .map(|field| (distance(key, field.name()), field.name()))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4);
    match near {
        Some((_, name)) => format!("unknown field; did you mean `{name}`?"),
        None => format!("unknown field of {}", message.name()),
    }
}

/// How many letters must be inserted, removed or replaced to turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(b.bytes()) {
            let replaced = diagonal + usize::from(left != right);
            diagonal = *cell;
            before = replaced.min(before + 1).min(*cell + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

fn put_field(out: &mut Vec<u8>, node: &Node, field: &'static Field) -> Result<(), Error> {
    match field.label {
        Label::Map => put_map(out, node, field),
        Label::Repeated => put_repeated(out, node, field),
        Label::Implicit | Label::Present => match field.message() {
            Some(message) => {
                wire::put(out, field.number, wire::Value::Bytes(&encode(node, message)?));
                Ok(())
            }
            None => {
                let value = scalar::read(node, field)?;
                if field.label == Label::Present || !value.is_default() {
                    value.put(out, field.number);
                }
                Ok(())
            }
        },
    }
}

fn put_repeated(out: &mut Vec<u8>, node: &Node, field: &'static Field) -> Result<(), Error> {
    let Value::List(items) = &node.value else {
        return Err(node.error(format!("a list is expected, not {}", node.kind())));
    };
    let mut packed = Vec::new();
    let mut faults = Faults::default();
    for (index, item) in items.iter().enumerate() {
        let within = |error: Error| error.within(&format!("[{index}]"));
        match field.message() {
            Some(message) => {
                let bytes = faults.note(encode(item, message).map_err(within));
                let Some(bytes) = bytes else { continue };
                wire::put(out, field.number, wire::Value::Bytes(&bytes));
            }
            None => {
                let value = faults.note(scalar::read(item, field).map_err(within));
                let Some(value) = value else { continue };
                if field.packed {
                    value.put_packed(&mut packed);
                } else {
                    value.put(out, field.number);
                }
            }
        }
    }
    if !packed.is_empty() {
        wire::put(out, field.number, wire::Value::Bytes(&packed));
    }
    faults.end()
}

fn put_map(out: &mut Vec<u8>, node: &Node, field: &'static Field) -> Result<(), Error> {
    let Value::Map(entries) = &node.value else {
        return Err(node.error(format!("a map is expected, not {}", node.kind())));
    };
    let Some(pair) = field.message() else { return Ok(()) };
    let (Some(key_field), Some(value_field)) = (pair.field(1), pair.field(2)) else {
        return Ok(());
    };
    let mut keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    keys.sort_unstable();
    let mut faults = Faults::default();
    for entry in entries {
        let segment = format!("[{:?}]", entry.key);
        let first = keys.partition_point(|key| *key < entry.key.as_str());
        if keys.get(first + 1) == Some(&entry.key.as_str()) {
            let error = super::document::error(entry.at, "is given twice");
            faults.note::<()>(Err(error.within(&segment)));
            continue;
        }
        let mut bytes = Vec::new();
        // A key is text in the document whatever its kind; only a bool is never quoted.
        let value = Value::Scalar { text: entry.key.clone(), quoted: key_field.kind != Kind::Bool };
        let key = Node { at: entry.at, value };
        let key = scalar::read(&key, key_field).map_err(|error| error.within(&segment));
        if let Some(key) = faults.note(key) {
            key.put(&mut bytes, 1);
        }
        let value = put_field(&mut bytes, &entry.value, value_field);
        faults.note(value.map_err(|error| error.within(&segment)));
        wire::put(out, field.number, wire::Value::Bytes(&bytes));
    }
    faults.end()
}

fn put_any(out: &mut Vec<u8>, node: &Node, any: &'static Message) -> Result<(), Error> {
    let entries = entries(node, any)?;
    let Some(named) = entries.iter().find(|entry| entry.key == "@type") else {
        if entries.is_empty() {
            return Ok(()); // an Any of no type, which is a message like another
        }
        return Err(node.error("`@type` is missing, which names the type of this message"));
    };
    let Some(type_url) = text(&named.value).filter(|url| !url.is_empty()) else {
        return Err(named.value.error("the name of a type is expected").within("@type"));
    };
    let others = || entries.iter().filter(|entry| entry.key != "@type");
    let alone = || {
        let mut others = others();
        others.next().filter(|entry| entry.key == "value" && others.next().is_none())
    };
    let bytes = match Message::find(message_name(type_url)) {
        Some(message) if message.special == Special::None => {
            let mut bytes = Vec::new();
            put_fields(&mut bytes, others(), message)?;
            bytes
        }
        Some(message) => match alone() {
            Some(entry) => encode(&entry.value, message).map_err(|error| error.within("value"))?,
            None => return Err(node.error(format!("{type_url} is given as `value`, alone"))),
        },
        // The form in which such a message is printed.
        None => match alone().and_then(|entry| text(&entry.value)).map(scalar::read_base64) {
            Some(Some(bytes)) => bytes,
            _ => {
                let reason = format!("the type `{}` is not known", message_name(type_url));
                return Err(named.value.error(reason).within("@type"));
            }
        },
    };
    wire::put(out, 1, wire::Value::Bytes(type_url.as_bytes()));
    if !bytes.is_empty() {
        wire::put(out, 2, wire::Value::Bytes(&bytes));
    }
    Ok(())
}

fn put_time(out: &mut Vec<u8>, (seconds, nanos): (i64, i32)) {
    if seconds != 0 {
        wire::put(out, 1, wire::Value::Varint(seconds.cast_unsigned()));
    }
    if nanos != 0 {
        wire::put(out, 2, wire::Value::Varint(i64::from(nanos).cast_unsigned()));
    }
}

fn put_struct(out: &mut Vec<u8>, node: &Node) -> Result<(), Error> {
    let Value::Map(entries) = &node.value else {
        return Err(node.error(format!("a map is expected, not {}", node.kind())));
    };
    for entry in entries {
        let mut value = Vec::new();
        put_value(&mut value, &entry.value)
            .map_err(|error| error.within(&format!("[{:?}]", entry.key)))?;
        let mut pair = Vec::new();
        wire::put(&mut pair, 1, wire::Value::Bytes(entry.key.as_bytes()));
        wire::put(&mut pair, 2, wire::Value::Bytes(&value));
        wire::put(out, 1, wire::Value::Bytes(&pair));
    }
    Ok(())
}

fn put_list(out: &mut Vec<u8>, node: &Node) -> Result<(), Error> {
    let Value::List(items) = &node.value else {
        return Err(node.error(format!("a list is expected, not {}", node.kind())));
    };
    for (index, item) in items.iter().enumerate() {
        let mut value = Vec::new();
        put_value(&mut value, item).map_err(|error| error.within(&format!("[{index}]")))?;
        wire::put(out, 1, wire::Value::Bytes(&value));
    }
    Ok(())
}

fn put_value(out: &mut Vec<u8>, node: &Node) -> Result<(), Error> {
    let mut nested = Vec::new();
    let (number, value) = match &node.value {
        Value::Map(_) => {
            put_struct(&mut nested, node)?;
            (5, wire::Value::Bytes(&nested))
        }
        Value::List(_) => {
            put_list(&mut nested, node)?;
            (6, wire::Value::Bytes(&nested))
        }
        Value::Scalar { text, quoted: true } => (3, wire::Value::Bytes(text.as_bytes())),
        Value::Scalar { .. } if node.is_null() => (1, wire::Value::Varint(0)),
        Value::Scalar { text, .. } => {
            if let Some(value) = scalar::read_bool(text) {
                (4, wire::Value::Varint(u64::from(value)))
            } else if let Some(value) = scalar::read_float(text).filter(|value| value.is_finite()) {
                (2, wire::Value::Fixed64(value.to_bits()))
            } else {
                (3, wire::Value::Bytes(text.as_bytes()))
            }
        }
    };
    wire::put(out, number, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("name", "name"), 0);
        assert_eq!(distance("nmae", "name"), 2);
        assert_eq!(distance("lb_polcy", "lb_policy"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
