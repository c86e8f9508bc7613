//! JSON whose strings are formats.

use crate::{
    operator::{Operator, Plain},
    parse::{Format, Part},
    view::{MetadataValues, View},
};

const NULL: &[u8] = b"null";

/// A JSON value whose strings are formats, written out for each request. A string that is one
/// operator becomes what the operator yields: a number, a string, or null for what is not known.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonFormat {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string, or what its one operator yields.
    Text(Format),
    /// A list.
    List(Box<[Self]>),
    /// An object, whose members are written in the order of their names.
    Object(Box<[(Box<str>, Self)]>),
}

impl JsonFormat {
    /// An object of these members.
    pub fn object(members: impl IntoIterator<Item = (Box<str>, Self)>) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by(|(left, _), (right, _)| left.cmp(right));
        Self::Object(members.into())
    }

    /// Writes the value for a request. With `omit_empty` what is null has no place in lists and
    /// objects, nor have objects without members; otherwise `-` stands for it within longer strings.
    pub fn render(&self, view: &View<'_>, omit_empty: bool, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(NULL),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Text(format) => text(format, view, omit_empty, out),
            Self::List(values) => {
                out.push(b'[');
                let mut list = Sequence { is_first: true, omit_empty };
                for value in values {
                    list.element(out, |_| {}, |out| value.render(view, omit_empty, out));
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                let mut list = Sequence { is_first: true, omit_empty };
                for (name, value) in members {
                    let name = |out: &mut Vec<u8>| {
                        string(name.as_bytes(), out);
                        out.push(b':');
                    };
                    list.element(out, name, |out| value.render(view, omit_empty, out));
                }
                out.push(b'}');
            }
        }
    }
}

/// What stands between the brackets of a list or an object.
struct Sequence {
    is_first: bool,
    omit_empty: bool,
}

impl Sequence {
    fn element(
        &mut self,
        out: &mut Vec<u8>,
        name: impl FnOnce(&mut Vec<u8>),
        value: impl FnOnce(&mut Vec<u8>),
    ) {
        let before = out.len();
        if !self.is_first {
            out.push(b',');
        }
        name(out);
        let at = out.len();
        value(out);
        let is_empty = out.get(at..).is_some_and(|value| value == NULL || value == b"{}");
        if self.omit_empty && is_empty {
            out.truncate(before);
        } else {
            self.is_first = false;
        }
    }
}

fn text(format: &Format, view: &View<'_>, omit_empty: bool, out: &mut Vec<u8>) {
    let mut value = Vec::new();
    let [Part::Operator(operator)] = &*format.parts else {
        format.render(view, if omit_empty { "" } else { "-" }, &mut value);
        return string(&value, out);
    };
    if !operator.render(view, &mut value) {
        out.extend_from_slice(NULL);
    } else if operator.is_json() {
        out.append(&mut value);
    } else {
        string(&value, out);
    }
}

impl Operator {
    /// Whether what it yields is a number, or an object, in JSON, too.
    fn is_json(&self) -> bool {
        let plain = match self {
            Self::Plain(plain) => plain,
            Self::Metadata(asked) => return asked.key.is_none() && asked.at_most.is_none(),
            _ => return false,
        };
        matches!(
            plain,
            Plain::BytesReceived
                | Plain::BytesSent
                | Plain::DirectRemotePort
                | Plain::Duration
                | Plain::LocalPort
                | Plain::RemotePort
                | Plain::RequestHeadersBytes
                | Plain::ResponseCode
                | Plain::ResponseHeadersBytes
                | Plain::UpstreamPort
        )
    }
}

/// Writes values as an object.
pub(crate) fn object_of(values: &MetadataValues, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(name.as_bytes(), out);
        out.push(b':');
        string(value.as_bytes(), out);
    }
    out.push(b'}');
}

/// Writes a JSON string. What is no UTF-8 cannot be said in JSON, and is replaced.
fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            c if c.is_ascii_control() => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &JsonFormat, view: &View<'_>) -> String {
        let mut out = Vec::new();
        value.render(view, false, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn text(format: &str) -> JsonFormat {
        JsonFormat::Text(format.parse().unwrap())
    }

    #[test]
    fn one_operator_keeps_its_type() {
        let view = View { status: Some(503), local_reply: Some(b"a \"b\""), ..View::default() };
        assert_eq!(shown(&text("%RESPONSE_CODE%"), &view), "503");
        assert_eq!(shown(&text("code %RESPONSE_CODE%"), &view), "\"code 503\"");
        assert_eq!(shown(&text("%LOCAL_REPLY_BODY%"), &view), r#""a \"b\"""#);
        assert_eq!(shown(&text("%ROUTE_NAME%"), &view), "null");
        assert_eq!(shown(&text("%ROUTE_NAME%!"), &view), "\"-!\"");
    }

    #[test]
    fn members_are_in_order_and_values_nest() {
        let list = JsonFormat::List(Box::new([JsonFormat::Null, JsonFormat::Bool(true)]));
        let inner = JsonFormat::object([("x".into(), JsonFormat::Number(1.5))]);
        let outer = [("b".into(), list), ("a".into(), inner), ("c".into(), text("é\u{1}\\"))];
        let shown = shown(&JsonFormat::object(outer), &View::default());
        assert_eq!(shown, r#"{"a":{"x":1.5},"b":[null,true],"c":"é\u0001\\"}"#);
    }

    #[test]
    fn what_is_empty_may_be_left_out() {
        let inner = || JsonFormat::object([("x".into(), text("%PROTOCOL%"))]);
        let list = JsonFormat::List(Box::new([text("%PROTOCOL%"), text("a"), JsonFormat::Null]));
        let members =
            [("a".into(), inner()), ("b".into(), list), ("c".into(), text("%PROTOCOL%!"))];
        let mut out = Vec::new();
        JsonFormat::object(members).render(&View::default(), true, &mut out);
        assert_eq!(out, br#"{"b":["a"],"c":"!"}"#);
    }

    #[test]
    fn foreign_bytes_stay_within_their_string() {
        let view = View { local_reply: Some(b"\xff\"},{\n\x7f"), ..View::default() };
        let shown = shown(&text("%LOCAL_REPLY_BODY%"), &view);
        assert_eq!(shown, "\"\u{fffd}\\\"},{\\n\\u007f\"");
    }
}
