//! The schema of every message of the protocol, as `build.rs` compiled it.
//!
//! Everything is found by index in statics that hold no pointers: loading the program
//! relocates nothing here, and only the pages that are read take memory. A proxy reads
//! its bootstrap, checks resources and prints its configuration from this alone.

mod place;

use std::ops::Range;

pub use place::Verdict;
use place::{H, N, W, X, o, p, r};
pub(crate) use place::{Place, Reached, Rule, Slot};

include!(concat!(env!("OUT_DIR"), "/schema.rs"));

/// A piece of [`TEXT`].
#[derive(Clone, Copy)]
pub(crate) struct Text {
    start: u32,
    length: u16,
}

impl Text {
    pub(crate) fn get(self) -> &'static str {
        let start = self.start as usize;
        TEXT.get(start..start + usize::from(self.length)).unwrap_or_default()
    }
}

/// A run of elements of one of the arrays.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    start: u16,
    length: u16,
}

impl Span {
    pub(crate) fn is_empty(self) -> bool {
        self.length == 0
    }

    fn range(self) -> Range<usize> {
        let start = usize::from(self.start);
        start..start + usize::from(self.length)
    }

    fn of<T>(self, array: &'static [T]) -> &'static [T] {
        array.get(self.range()).unwrap_or_default()
    }
}

/// How a value is encoded.
#[allow(dead_code, reason = "which of the kinds occur is for the descriptors to say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Message,
    Enum,
}

impl Kind {
    /// Whether the elements of a list may share one occurrence of its field.
    pub(crate) fn is_packable(self) -> bool {
        !matches!(self, Self::String | Self::Bytes | Self::Message)
    }
}

/// How often a field occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// Absent and default are the same.
    Implicit,
    /// Absent and default differ.
    Present,
    Repeated,
    Map,
}

/// Messages that JSON writes in a form of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    None,
    Any,
    Duration,
    Timestamp,
    Struct,
    Value,
    List,
    Wrapper,
}

pub(crate) struct Message {
    name: Text,
    fields: Span,
    pub(crate) special: Special,
    reached: u16,
}

pub(crate) struct Field {
    pub(crate) number: u32,
    name: Text,
    pub(crate) kind: Kind,
    pub(crate) label: Label,
    pub(crate) packed: bool,
    target: u16,
    /// One more than the position among the message's oneofs, so that 0 is none.
    oneof: u8,
    place: u16,
}

pub(crate) struct Enum {
    values: Span,
}

pub(crate) struct EnumValue {
    pub(crate) number: i32,
    name: Text,
}

impl Message {
    /// Finds a message by its full name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        let index = MESSAGES.binary_search_by(|message| message.name().cmp(name)).ok()?;
        MESSAGES.get(index)
    }

    /// Finds a message among those that may be checked by name.
    pub(crate) fn root(name: &str) -> Option<&'static Self> {
        ROOTS
            .iter()
            .filter_map(|index| MESSAGES.get(usize::from(*index)))
            .find(|message| message.name() == name)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name.get()
    }

    pub(crate) fn fields(&self) -> &'static [Field] {
        self.fields.of(&FIELDS)
    }

    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        self.position(number).map(|(_, field)| field)
    }

    /// Finds a field by its number, and its position among the fields.
    pub(crate) fn position(&self, number: u32) -> Option<(usize, &'static Field)> {
        let fields = self.fields();
        // Most messages number their first fields 1, 2, 3.
        let guess = (number as usize).wrapping_sub(1);
        if let Some(field) = fields.get(guess).filter(|field| field.number == number) {
            return Some((guess, field));
        }
        let position = fields.binary_search_by_key(&number, |field| field.number).ok()?;
        fields.get(position).map(|field| (position, field))
    }

    /// Finds a field by its name in the `.proto` or in JSON.
    pub(crate) fn field_named(&self, name: &str) -> Option<&'static Field> {
        self.fields().iter().find(|field| field.name() == name || is_camel_of(name, field.name()))
    }

    /// `None` when no root leads here.
    pub(crate) fn reached(&self) -> Option<&'static Reached> {
        REACHED.get(usize::from(self.reached)).filter(|_| self.reached != 0)
    }
}

/// Whether `json` is the lowerCamelCase form of `name`.
fn is_camel_of(json: &str, name: &str) -> bool {
    let mut json = json.bytes();
    let mut upper = false;
    for byte in name.bytes() {
        if byte == b'_' {
            upper = true;
            continue;
        }
        let expected = if upper { byte.to_ascii_uppercase() } else { byte };
        upper = false;
        if json.next() != Some(expected) {
            return false;
        }
    }
    json.next().is_none()
}

impl Field {
    pub(crate) fn name(&self) -> &'static str {
        self.name.get()
    }

    /// The type of a field of kind message; of the entry, for a map.
    pub(crate) fn message(&self) -> Option<&'static Message> {
        (self.kind == Kind::Message).then(|| MESSAGES.get(usize::from(self.target))).flatten()
    }

    pub(crate) fn enumeration(&self) -> Option<&'static Enum> {
        (self.kind == Kind::Enum).then(|| ENUMS.get(usize::from(self.target))).flatten()
    }

    /// Tells the oneofs of a message apart.
    pub(crate) fn oneof(&self) -> Option<u8> {
        (self.oneof != 0).then_some(self.oneof)
    }

    /// `None` when no root leads here.
    pub(crate) fn place(&self) -> Option<&'static Place> {
        PLACES.get(usize::from(self.place)).filter(|_| self.place != 0)
    }
}

impl Enum {
    pub(crate) fn values(&self) -> &'static [EnumValue] {
        self.values.of(&ENUM_VALUES)
    }

    pub(crate) fn value(&self, number: i32) -> Option<&'static EnumValue> {
        self.values().iter().find(|value| value.number == number)
    }

    pub(crate) fn value_named(&self, name: &str) -> Option<&'static EnumValue> {
        self.values().iter().find(|value| value.name() == name)
    }
}

impl EnumValue {
    pub(crate) fn name(&self) -> &'static str {
        self.name.get()
    }
}

// Constructors under which the generated arrays stay short.

const fn t(start: u32, length: u16) -> Text {
    Text { start, length }
}

const fn s(start: u16, length: u16) -> Span {
    Span { start, length }
}

const fn e(number: i32, name: Text) -> EnumValue {
    EnumValue { number, name }
}

const fn m(name: Text, fields: Span, special: Special, reached: u16) -> Message {
    Message { name, fields, special, reached }
}

#[expect(clippy::too_many_arguments, reason = "only generated code calls it")]
const fn f(
    number: u32,
    name: Text,
    kind: Kind,
    label: Label,
    packed: bool,
    target: u16,
    oneof: u8,
    place: u16,
) -> Field {
    Field { number, name, kind, label, packed, target, oneof, place }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_both_spellings() {
        let cluster = Message::find("envoy.config.cluster.v3.Cluster").unwrap();
        let field = cluster.field_named("connect_timeout").unwrap();
        assert_eq!(field.number, cluster.field_named("connectTimeout").unwrap().number);
        assert_eq!(cluster.field(field.number).unwrap().name(), "connect_timeout");
        assert!(cluster.field_named("connecttimeout").is_none());
        assert!(cluster.field_named("connectTimeou").is_none());
        assert!(cluster.field_named("connectTimeouts").is_none());
        assert!(cluster.field(0).is_none() && cluster.field(9999).is_none());
        assert!(Message::find("no.such.Message").is_none());
    }

    #[test]
    fn messages_are_sorted_and_fields_are_in_order() {
        assert!(MESSAGES.windows(2).all(|pair| pair[0].name() < pair[1].name()));
        for message in &MESSAGES {
            assert!(message.fields().windows(2).all(|pair| pair[0].number < pair[1].number));
        }
    }

    #[test]
    fn messages_that_envoy_types_lacks_are_there() {
        for name in [
            "udpa.type.v1.TypedStruct",
            "xds.type.v3.TypedStruct",
            "xds.type.matcher.v3.IPMatcher",
            "xds.type.matcher.v3.ServerNameMatcher",
        ] {
            assert!(Message::find(name).is_some(), "{name}");
        }
    }
}
