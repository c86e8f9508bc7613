//! Plain values: numbers, strings, bytes, enums.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Error;
use super::document::{Node, Value};
use crate::schema::{Enum, Field, Kind};
use crate::wire;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A scalar on its way to the wire.
pub(super) enum Scalar<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Cow<'a, [u8]>),
}

impl Scalar<'_> {
    pub(super) fn is_default(&self) -> bool {
        match self {
            Self::Varint(value) | Self::Fixed64(value) => *value == 0,
            Self::Fixed32(value) => *value == 0,
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>, number: u32) {
        let value = match self {
            Self::Varint(value) => wire::Value::Varint(*value),
            Self::Fixed64(value) => wire::Value::Fixed64(*value),
            Self::Fixed32(value) => wire::Value::Fixed32(*value),
            Self::Bytes(bytes) => wire::Value::Bytes(bytes),
        };
        wire::put(out, number, value);
    }

    /// Writes the value alone, as an element of a packed list.
    pub(super) fn put_packed(&self, out: &mut Vec<u8>) {
        match self {
            Self::Varint(value) => wire::put_varint(out, *value),
            Self::Fixed64(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Fixed32(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
        }
    }
}

/// Reads a value of the field's kind.
pub(super) fn read<'a>(node: &'a Node, field: &Field) -> Result<Scalar<'a>, Error> {
    let Value::Scalar { text, quoted } = &node.value else {
        return Err(expected(node, field));
    };
    let wrong = || expected(node, field);
    Ok(match field.kind {
        Kind::String if *quoted => Scalar::Bytes(Cow::Borrowed(text.as_bytes())),
        Kind::String if is_plain_string(text) => Scalar::Bytes(Cow::Borrowed(text.as_bytes())),
        Kind::String => {
            return Err(node.error(format!("a string is expected; write it \"{text}\"")));
        }
        Kind::Bytes => Scalar::Bytes(Cow::Owned(read_base64(text).ok_or_else(wrong)?)),
        Kind::Bool if !quoted => Scalar::Varint(u64::from(read_bool(text).ok_or_else(wrong)?)),
        Kind::Enum => Scalar::Varint(read_enum(node, text, *quoted, field)?),
        Kind::Uint32 => Scalar::Varint(u64::from(whole::<u32>(text).ok_or_else(wrong)?)),
        Kind::Uint64 => Scalar::Varint(whole(text).ok_or_else(wrong)?),
        Kind::Int32 => {
            Scalar::Varint(i64::from(whole::<i32>(text).ok_or_else(wrong)?).cast_unsigned())
        }
        Kind::Int64 => Scalar::Varint(whole::<i64>(text).ok_or_else(wrong)?.cast_unsigned()),
        Kind::Sint32 => Scalar::Varint(zigzag(whole::<i32>(text).ok_or_else(wrong)?.into())),
        Kind::Sint64 => Scalar::Varint(zigzag(whole(text).ok_or_else(wrong)?)),
        Kind::Fixed32 => Scalar::Fixed32(whole(text).ok_or_else(wrong)?),
        Kind::Fixed64 => Scalar::Fixed64(whole(text).ok_or_else(wrong)?),
        Kind::Sfixed32 => Scalar::Fixed32(whole::<i32>(text).ok_or_else(wrong)?.cast_unsigned()),
        Kind::Sfixed64 => Scalar::Fixed64(whole::<i64>(text).ok_or_else(wrong)?.cast_unsigned()),
        Kind::Double => Scalar::Fixed64(read_float(text).ok_or_else(wrong)?.to_bits()),
        Kind::Float => {
            let value = read_float(text).ok_or_else(wrong)?;
            #[expect(clippy::cast_possible_truncation, reason = "the nearest float is meant")]
            let narrow = value as f32;
            if narrow.is_infinite() != value.is_infinite() {
                return Err(wrong());
            }
            Scalar::Fixed32(narrow.to_bits())
        }
        Kind::Bool | Kind::Message => return Err(wrong()),
    })
}

fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// Whether YAML's core schema takes the plain text for a string.
pub(super) fn is_plain_string(text: &str) -> bool {
    let null = matches!(text, "" | "~" | "null" | "Null" | "NULL");
    !null && read_bool(text).is_none() && read_float(text).is_none()
}

pub(super) fn read_bool(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

pub(super) fn read_float(text: &str) -> Option<f64> {
    match text {
        "NaN" | ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        "Infinity" | ".inf" | ".Inf" | ".INF" => return Some(f64::INFINITY),
        "-Infinity" | "-.inf" | "-.Inf" | "-.INF" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    // Rust also reads words such as `inf`, which are strings here.
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|value: &f64| numeric && value.is_finite())
}

/// Reads a whole number, which may be written `1.0` or `1e3`.
fn whole<T: std::str::FromStr + TryFrom<i128>>(text: &str) -> Option<T> {
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let value = read_float(text)?;
    // Beyond 2^53 not every whole number has a float, and a rounded one is a wrong one.
    let exact = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "within 53 bits")]
    exact.then(|| T::try_from(value as i128).ok()).flatten()
}

pub(super) fn read_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

pub(super) fn print_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The number of an enum value, as the varint that stands for it.
fn read_enum(node: &Node, text: &str, quoted: bool, field: &Field) -> Result<u64, Error> {
    let Some(kind) = field.enumeration() else { return Err(expected(node, field)) };
    if let Some(value) = kind.value_named(text) {
        return Ok(i64::from(value.number).cast_unsigned());
    }
    match text.parse::<i32>() {
        Ok(number) if !quoted => Ok(i64::from(number).cast_unsigned()),
        _ => Err(node.error(format!("`{text}` is none of the values {}", value_names(kind)))),
    }
}

fn value_names(kind: &Enum) -> String {
    kind.values().iter().map(|value| value.name()).collect::<Vec<_>>().join(", ")
}

fn expected(node: &Node, field: &Field) -> Error {
    let wanted = match field.kind {
        Kind::Double | Kind::Float => "a number",
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            "a whole number from -2147483648 to 2147483647"
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "a whole number of 64 bits",
        Kind::Uint32 | Kind::Fixed32 => "a whole number from 0 to 4294967295",
        Kind::Uint64 | Kind::Fixed64 => "a whole number from 0 to 18446744073709551615",
        Kind::Bool => "true or false",
        Kind::String => "a string",
        Kind::Bytes => "bytes in base64",
        Kind::Message => "a map",
        Kind::Enum => "the name of a value",
    };
    let found = match &node.value {
        Value::Scalar { text, quoted: false } if !node.is_null() => format!("`{text}`"),
        Value::Scalar { text, quoted: true } => format!("{text:?}"),
        _ => node.kind().to_owned(),
    };
    node.error(format!("{wanted} is expected, not {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_exact() {
        assert_eq!(whole::<u32>("4294967295"), Some(u32::MAX));
        assert_eq!(whole::<u32>("4294967296"), None);
        assert_eq!(whole::<u32>("-1"), None);
        assert_eq!(whole::<u64>("18446744073709551615"), Some(u64::MAX));
        assert_eq!(whole::<u32>("1e3"), Some(1000));
        assert_eq!(whole::<i32>("-1.0"), Some(-1));
        assert_eq!(whole::<u32>("1.5"), None);
        assert_eq!(whole::<u64>("1e16"), None);
        assert_eq!(whole::<u32>("0x10"), None);
    }

    #[test]
    fn plain_strings_are_what_yaml_says() {
        for text in ["a", "0.25s", "10.0.0.1", "yes", "1.2.3", "inf", "nan", "0x1f", "-", "e"] {
            assert!(is_plain_string(text), "{text}");
        }
        for text in ["", "~", "null", "true", "False", "1", "-1.5", "1e3", ".inf", ".5"] {
            assert!(!is_plain_string(text), "{text}");
        }
    }

    #[test]
    fn zigzag_alternates() {
        assert_eq!([0, -1, 1, -2, i64::MIN].map(zigzag), [0, 1, 2, 3, u64::MAX]);
    }

    #[test]
    fn base64_comes_in_all_spellings() {
        for text in ["+/8=", "+/8", "-_8=", "-_8"] {
            assert_eq!(read_base64(text), Some(vec![0xfb, 0xff]), "{text}");
        }
        assert_eq!(read_base64("?"), None);
        assert_eq!(print_base64(&[0xfb, 0xff]), "+/8=");
    }
}
