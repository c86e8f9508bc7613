//! The rules of protoc-gen-validate, evaluated.

use crate::schema::{Field, Kind, Rule};

/// A value that rules speak of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plain<'a> {
    Bool(bool),
    Uint(u64),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Enum(i32),
    Duration(i64, i32),
}

impl Plain<'_> {
    fn is_empty(self) -> bool {
        match self {
            Self::Bool(value) => !value,
            Self::Uint(value) => value == 0,
            Self::Int(value) => value == 0,
            Self::Float(value) => value == 0.0,
            Self::Text(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Enum(number) => number == 0,
            Self::Duration(..) => false,
        }
    }
}

/// The first rule that the value breaks.
pub(super) fn broken(
    rules: &'static [Rule],
    value: Plain<'_>,
    field: &Field,
) -> Option<&'static Rule> {
    for rule in rules {
        if matches!(rule, Rule::IgnoreEmpty) {
            if value.is_empty() {
                return None;
            }
            continue;
        }
        if !holds(rule, value, field) {
            return Some(rule);
        }
    }
    None
}

fn holds(rule: &Rule, value: Plain<'_>, field: &Field) -> bool {
    match (value, rule) {
        (Plain::Bool(value), Rule::BoolIs(wanted)) => value == *wanted,
        (Plain::Uint(value), Rule::UintAtLeast(bound)) => value >= *bound,
        (Plain::Uint(value), Rule::UintAtMost(bound)) => value <= *bound,
        (Plain::Int(value), Rule::IntAtLeast(bound)) => value >= *bound,
        (Plain::Int(value), Rule::IntAtMost(bound)) => value <= *bound,
        // Written so that NaN breaks every bound.
        (Plain::Float(value), Rule::FloatAtLeast(bound)) => value >= *bound,
        (Plain::Float(value), Rule::FloatAbove(bound)) => value > *bound,
        (Plain::Float(value), Rule::FloatAtMost(bound)) => value <= *bound,
        (Plain::Float(value), Rule::FloatBelow(bound)) => value < *bound,
        (Plain::Duration(s, n), Rule::DurationAtLeast(bs, bn)) => (s, n) >= (*bs, *bn),
        (Plain::Duration(s, n), Rule::DurationAbove(bs, bn)) => (s, n) > (*bs, *bn),
        (Plain::Duration(s, n), Rule::DurationAtMost(bs, bn)) => (s, n) <= (*bs, *bn),
        (Plain::Duration(s, n), Rule::DurationBelow(bs, bn)) => (s, n) < (*bs, *bn),
        (Plain::Text(text), rule) => text_holds(rule, text),
        (Plain::Bytes(bytes), Rule::BytesAtLeast(bound)) => bytes.len() >= *bound as usize,
        (Plain::Bytes(bytes), Rule::BytesAtMost(bound)) => bytes.len() <= *bound as usize,
        (Plain::Enum(number), Rule::Defined) => {
            field.enumeration().is_none_or(|kind| kind.value(number).is_some())
        }
        (Plain::Enum(number), Rule::NotIn(numbers)) => !Rule::numbers(*numbers).contains(&number),
        // A rule of another kind than the value's: the build does not produce one.
        _ => true,
    }
}

fn text_holds(rule: &Rule, text: &str) -> bool {
    match rule {
        Rule::CharsAtLeast(bound) => text.chars().count() >= *bound as usize,
        Rule::CharsAtMost(bound) => text.chars().count() <= *bound as usize,
        Rule::BytesAtLeast(bound) => text.len() >= *bound as usize,
        Rule::BytesAtMost(bound) => text.len() <= *bound as usize,
        Rule::Prefix(prefix) => text.starts_with(prefix.get()),
        Rule::Suffix(suffix) => text.ends_with(suffix.get()),
        Rule::OneOf(words) => Rule::words(*words).any(|word| word == text),
        Rule::HeaderName => {
            let name = text.strip_prefix(':').unwrap_or(text);
            !name.is_empty() && name.bytes().all(is_token)
        }
        Rule::HeaderValue => {
            !text.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
        }
        Rule::HeaderLoose => !text.bytes().any(|byte| matches!(byte, 0 | b'\r' | b'\n')),
        Rule::PathSeparatedPrefix => {
            // The pattern wants two characters at least, and its `/` only at the end.
            text.chars().count() >= 2 && !text.contains(['?', '#']) && !text.ends_with('/')
        }
        _ => true,
    }
}

/// A character of a token, RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What the rule demands.
pub(super) fn explain(rule: &Rule, field: &Field) -> String {
    match rule {
        Rule::IgnoreEmpty => String::new(),
        Rule::BoolIs(wanted) => format!("must be {wanted}"),
        Rule::UintAtLeast(bound) => format!("must be at least {bound}"),
        Rule::IntAtLeast(bound) => format!("must be at least {bound}"),
        Rule::FloatAtLeast(bound) => format!("must be at least {bound}"),
        Rule::UintAtMost(bound) => format!("must be at most {bound}"),
        Rule::IntAtMost(bound) => format!("must be at most {bound}"),
        Rule::FloatAtMost(bound) => format!("must be at most {bound}"),
        Rule::FloatAbove(bound) => format!("must be more than {bound}"),
        Rule::FloatBelow(bound) => format!("must be less than {bound}"),
        Rule::DurationAtLeast(s, n) => format!("must be at least {}", seconds(*s, *n)),
        Rule::DurationAbove(s, n) => format!("must be more than {}", seconds(*s, *n)),
        Rule::DurationAtMost(s, n) => format!("must be at most {}", seconds(*s, *n)),
        Rule::DurationBelow(s, n) => format!("must be less than {}", seconds(*s, *n)),
        Rule::CharsAtLeast(1) | Rule::BytesAtLeast(1) => "must not be empty".into(),
        Rule::CharsAtLeast(bound) => format!("must have at least {bound} characters"),
        Rule::CharsAtMost(bound) => format!("must have at most {bound} characters"),
        Rule::BytesAtLeast(bound) => format!("must have at least {bound} bytes"),
        Rule::BytesAtMost(bound) => format!("must have at most {bound} bytes"),
        Rule::Prefix(prefix) => format!("must begin with {:?}", prefix.get()),
        Rule::Suffix(suffix) => format!("must end with {:?}", suffix.get()),
        Rule::OneOf(words) => {
            format!("must be one of {}", Rule::words(*words).collect::<Vec<_>>().join(", "))
        }
        Rule::HeaderName => "must be a header name".into(),
        Rule::HeaderValue => "must be a header value, without control characters".into(),
        Rule::HeaderLoose => "must not contain NUL, CR or LF".into(),
        Rule::PathSeparatedPrefix => {
            "must have at least 2 characters, no `?` or `#`, and not end with `/`".into()
        }
        Rule::Defined => "must be a value that is defined".into(),
        Rule::NotIn(numbers) => {
            let names = Rule::numbers(*numbers).iter().map(|number| {
                let value = field.enumeration().and_then(|kind| kind.value(*number));
                value.map_or_else(|| number.to_string(), |value| value.name().to_owned())
            });
            format!("must not be {}", names.collect::<Vec<_>>().join(", "))
        }
    }
}

fn seconds(seconds: i64, nanos: i32) -> String {
    crate::json::time::print_duration(seconds, nanos).unwrap_or_default()
}

/// A value off the wire as the kind of its field; `None` when it cannot be one.
#[expect(clippy::cast_possible_truncation, reason = "32-bit kinds are the low half of a varint")]
pub(super) fn plain(kind: Kind, value: crate::wire::Value<'_>) -> Option<Plain<'_>> {
    use crate::wire::Value::{Bytes, Fixed32, Fixed64, Varint};
    Some(match (kind, value) {
        (Kind::Double, Fixed64(bits)) => Plain::Float(f64::from_bits(bits)),
        (Kind::Float, Fixed32(bits)) => Plain::Float(f64::from(f32::from_bits(bits))),
        (Kind::Uint32, Varint(value)) => Plain::Uint(u64::from(value as u32)),
        (Kind::Uint64, Varint(value)) | (Kind::Fixed64, Fixed64(value)) => Plain::Uint(value),
        (Kind::Fixed32, Fixed32(value)) => Plain::Uint(u64::from(value)),
        (Kind::Int32, Varint(value)) => Plain::Int(i64::from(value as i32)),
        (Kind::Int64, Varint(value)) => Plain::Int(value.cast_signed()),
        (Kind::Sint32 | Kind::Sint64, Varint(value)) => {
            Plain::Int((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
        }
        (Kind::Sfixed32, Fixed32(value)) => Plain::Int(i64::from(value.cast_signed())),
        (Kind::Sfixed64, Fixed64(value)) => Plain::Int(value.cast_signed()),
        (Kind::Bool, Varint(value)) => Plain::Bool(value != 0),
        (Kind::Enum, Varint(value)) => Plain::Enum(value as i32),
        (Kind::String, Bytes(bytes)) => Plain::Text(std::str::from_utf8(bytes).ok()?),
        (Kind::Bytes, Bytes(bytes)) => Plain::Bytes(bytes),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Message;

    /// Any field will do where the rule does not ask about it.
    fn field() -> &'static Field {
        Message::find("envoy.config.core.v3.SocketAddress")
            .unwrap()
            .field_named("protocol")
            .unwrap()
    }

    fn check(rule: Rule, good: &[Plain<'_>], bad: &[Plain<'_>]) {
        let demand = explain(&rule, field());
        assert!(demand.starts_with("must"), "{demand}");
        for value in good {
            assert!(holds(&rule, *value, field()), "{value:?} {demand}");
        }
        for value in bad {
            assert!(!holds(&rule, *value, field()), "{value:?} {demand}");
        }
    }

    #[test]
    fn bounds_of_numbers() {
        use Plain::{Float, Int, Uint};
        check(Rule::UintAtLeast(2), &[Uint(2), Uint(3)], &[Uint(1)]);
        check(Rule::UintAtMost(2), &[Uint(2), Uint(0)], &[Uint(3)]);
        check(Rule::IntAtLeast(-2), &[Int(-2), Int(0)], &[Int(-3)]);
        check(Rule::IntAtMost(-2), &[Int(-2), Int(-9)], &[Int(-1)]);
        check(Rule::FloatAtLeast(1.0), &[Float(1.0)], &[Float(0.9), Float(f64::NAN)]);
        check(Rule::FloatAbove(1.0), &[Float(1.1)], &[Float(1.0), Float(f64::NAN)]);
        check(Rule::FloatAtMost(1.0), &[Float(1.0)], &[Float(1.1), Float(f64::NAN)]);
        check(Rule::FloatBelow(1.0), &[Float(0.9)], &[Float(1.0), Float(f64::NAN)]);
        check(Rule::BoolIs(true), &[Plain::Bool(true)], &[Plain::Bool(false)]);
    }

    #[test]
    fn bounds_of_durations() {
        use Plain::Duration;
        let (less, same, more) = (Duration(0, 999_999), Duration(0, 1_000_000), Duration(1, 0));
        check(Rule::DurationAtLeast(0, 1_000_000), &[same, more], &[less, Duration(-1, 0)]);
        check(Rule::DurationAbove(0, 1_000_000), &[more], &[less, same]);
        check(Rule::DurationAtMost(0, 1_000_000), &[less, same], &[more]);
        check(Rule::DurationBelow(0, 1_000_000), &[less], &[same, more]);
    }

    #[test]
    fn shapes_of_text() {
        use Plain::{Bytes, Text};
        check(Rule::CharsAtLeast(2), &[Text("éé")], &[Text("é"), Text("")]);
        check(Rule::CharsAtMost(2), &[Text("éé")], &[Text("abc")]);
        check(Rule::BytesAtLeast(2), &[Text("é"), Bytes(b"ab")], &[Text("a"), Bytes(b"a")]);
        check(Rule::BytesAtMost(2), &[Text("é"), Bytes(b"ab")], &[Text("éa"), Bytes(b"abc")]);
        check(
            Rule::HeaderName,
            &[Text(":path"), Text("x-a_b.c")],
            &[Text(""), Text(":"), Text("a b"), Text("a:b"), Text("é")],
        );
        check(Rule::HeaderValue, &[Text(""), Text("a\tb é")], &[Text("a\x7f"), Text("a\x01")]);
        check(Rule::HeaderLoose, &[Text("a b\t\x01")], &[Text("a\0"), Text("a\r"), Text("\n")]);
        check(
            Rule::PathSeparatedPrefix,
            &[Text("/a"), Text("/a/b")],
            &[Text("/"), Text("a"), Text("/a/"), Text("/a?b"), Text("/a#")],
        );
    }

    #[test]
    fn values_of_enums() {
        check(Rule::Defined, &[Plain::Enum(0), Plain::Enum(1)], &[Plain::Enum(2), Plain::Enum(-1)]);
    }

    /// The rules that refer to generated data, at a field that has them.
    #[test]
    fn rules_with_words() {
        let router = Message::find("envoy.extensions.filters.http.router.v3.Router").unwrap();
        let headers = router.field_named("strict_check_headers").unwrap();
        let rules = headers.place().unwrap().rules();
        assert!(broken(rules, Plain::Text("x-envoy-retry-on"), headers).is_none());
        let rule = broken(rules, Plain::Text("x-other"), headers).unwrap();
        assert!(explain(rule, headers).contains("x-envoy-max-retries, x-envoy-retry-grpc-on"));

        let check = Message::find("envoy.config.core.v3.HealthCheck.HttpHealthCheck").unwrap();
        let method = check.field_named("method").unwrap();
        let rules = method.place().unwrap().rules();
        assert!(broken(rules, Plain::Enum(1), method).is_none());
        let rule = broken(rules, Plain::Enum(6), method).unwrap();
        assert_eq!(explain(rule, method), "must not be CONNECT");

        let addend = Message::find("envoy.config.route.v3.RateLimit.HitsAddend").unwrap();
        let format = addend.field_named("format").unwrap();
        let rules = format.place().unwrap().rules();
        for good in ["", "%BYTES_RECEIVED%"] {
            assert!(broken(rules, Plain::Text(good), format).is_none());
        }
        let explained = |text| explain(broken(rules, Plain::Text(text), format).unwrap(), format);
        assert_eq!(explained("BYTES%"), "must begin with \"%\"");
        assert_eq!(explained("%BYTES"), "must end with \"%\"");
    }

    #[test]
    fn values_off_the_wire() {
        use crate::wire::Value::{Bytes, Fixed32, Fixed64, Varint};
        for (kind, value, expected) in [
            (Kind::Double, Fixed64(1.5_f64.to_bits()), Plain::Float(1.5)),
            (Kind::Float, Fixed32(1.5_f32.to_bits()), Plain::Float(1.5)),
            (Kind::Uint32, Varint(u64::MAX), Plain::Uint(u64::from(u32::MAX))),
            (Kind::Uint64, Varint(u64::MAX), Plain::Uint(u64::MAX)),
            (Kind::Fixed32, Fixed32(7), Plain::Uint(7)),
            (Kind::Fixed64, Fixed64(7), Plain::Uint(7)),
            (Kind::Int32, Varint(u64::MAX), Plain::Int(-1)),
            (Kind::Int64, Varint(u64::MAX), Plain::Int(-1)),
            (Kind::Sint32, Varint(1), Plain::Int(-1)),
            (Kind::Sint64, Varint(2), Plain::Int(1)),
            (Kind::Sfixed32, Fixed32(u32::MAX), Plain::Int(-1)),
            (Kind::Sfixed64, Fixed64(u64::MAX), Plain::Int(-1)),
            (Kind::Bool, Varint(2), Plain::Bool(true)),
            (Kind::Enum, Varint(3), Plain::Enum(3)),
            (Kind::String, Bytes(b"a"), Plain::Text("a")),
            (Kind::Bytes, Bytes(b"\xff"), Plain::Bytes(b"\xff")),
        ] {
            assert_eq!(plain(kind, value), Some(expected), "{kind:?}");
        }
        assert_eq!(plain(Kind::String, Bytes(b"\xff")), None);
        assert_eq!(plain(Kind::String, Varint(1)), None);
        assert_eq!(plain(Kind::Uint32, Bytes(b"")), None);
    }
}
