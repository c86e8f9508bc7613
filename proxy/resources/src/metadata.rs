//! Metadata `envoy.lb`: labels of endpoints, and what requests ask of them.

use std::{collections::BTreeMap, sync::Arc};

use weft_proto::pb::{
    envoy::config::core::v3 as core,
    google::protobuf::{self, value::Kind},
};

/// Where it stands among the metadata.
const NAMESPACE: &str = "envoy.lb";

/// Names with the texts of their values, in order.
pub type Labels = BTreeMap<Arc<str>, LabelValue>;

/// A value as text that tells types apart: `"1"` is a string and `1` a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelValue {
    /// All of it.
    pub text: Arc<str>,
    /// The items, where it is a list.
    pub items: Option<Box<[Arc<str>]>>,
}

/// What metadata says in `envoy.lb`.
pub(crate) fn labels(metadata: Option<&core::Metadata>) -> Labels {
    let said = metadata.and_then(|metadata| metadata.filter_metadata.get(NAMESPACE));
    said.map(of_struct).unwrap_or_default()
}

/// Every field of a struct.
pub(crate) fn of_struct(said: &protobuf::Struct) -> Labels {
    let label = |(key, value): (&String, &protobuf::Value)| {
        let items = match &value.kind {
            Some(Kind::ListValue(list)) => Some(list.values.iter().map(text).collect()),
            _ => None,
        };
        (Arc::from(key.as_str()), LabelValue { text: text(value), items })
    };
    said.fields.iter().map(label).collect()
}

fn text(value: &protobuf::Value) -> Arc<str> {
    let mut out = String::new();
    write(value, &mut out);
    Arc::from(out)
}

/// Messages are decoded to a limited depth, which bounds this.
fn write(value: &protobuf::Value, out: &mut String) {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => out.push_str("null"),
        Some(Kind::BoolValue(value)) => out.push_str(if *value { "true" } else { "false" }),
        // Zero has two forms that are equal.
        Some(Kind::NumberValue(value)) => out.push_str(&(value + 0.0).to_string()),
        Some(Kind::StringValue(value)) => quote(value, out),
        Some(Kind::ListValue(list)) => {
            out.push('[');
            for (at, item) in list.values.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write(item, out);
            }
            out.push(']');
        }
        Some(Kind::StructValue(inner)) => {
            let ordered: BTreeMap<_, _> = inner.fields.iter().collect();
            out.push('{');
            for (at, (key, value)) in ordered.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                quote(key, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for each in text.chars() {
        if matches!(each, '"' | '\\') {
            out.push('\\');
        }
        out.push(each);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind) -> protobuf::Value {
        protobuf::Value { kind: Some(kind) }
    }

    #[test]
    fn texts_tell_types_apart() {
        let string = |text: &str| value(Kind::StringValue(text.to_owned()));
        let list = |values| value(Kind::ListValue(protobuf::ListValue { values }));
        for (value, expected) in [
            (string("1"), r#""1""#),
            (value(Kind::NumberValue(1.0)), "1"),
            (value(Kind::NumberValue(-0.0)), "0"),
            (value(Kind::NumberValue(1.5)), "1.5"),
            (value(Kind::BoolValue(true)), "true"),
            (string("true"), r#""true""#),
            (string(r#"a"b"#), r#""a\"b""#),
            (protobuf::Value { kind: None }, "null"),
            (list(vec![string("a"), string("b")]), r#"["a","b"]"#),
            (list(vec![string("a,b")]), r#"["a,b"]"#),
        ] {
            assert_eq!(&*text(&value), expected);
        }
    }
}
