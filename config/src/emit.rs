//! JSON values → block-style YAML that this crate, and any other reader, reads back the same.

use serde_json::Value;

use crate::tree::{Meaning, Scalar};

/// Writes a value as a YAML document, without `---`.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => object(&mut out, map, 0, false),
        Value::Array(items) if !items.is_empty() => list(&mut out, items, 0),
        leaf => {
            scalar(&mut out, leaf);
            out.push('\n');
        }
    }
    out
}

/// `inline`: the first key continues a line that already has its `- `.
fn object(out: &mut String, map: &serde_json::Map<String, Value>, indent: usize, inline: bool) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 || !inline {
            pad(out, indent);
        }
        text(out, key);
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                object(out, inner, indent + 2, false);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                list(out, items, indent);
            }
            leaf => {
                out.push(' ');
                scalar(out, leaf);
                out.push('\n');
            }
        }
    }
}

fn list(out: &mut String, items: &[Value], indent: usize) {
    for item in items {
        pad(out, indent);
        match item {
            Value::Object(inner) if !inner.is_empty() => {
                out.push_str("- ");
                object(out, inner, indent + 2, true);
            }
            Value::Array(inner) if !inner.is_empty() => {
                out.push_str("-\n");
                list(out, inner, indent + 2);
            }
            leaf => {
                out.push_str("- ");
                scalar(out, leaf);
                out.push('\n');
            }
        }
    }
}

fn scalar(out: &mut String, value: &Value) {
    match value {
        Value::String(string) => text(out, string),
        // Empty collections, numbers, booleans and null are the same in JSON and YAML.
        other => out.push_str(&other.to_string()),
    }
}

fn text(out: &mut String, string: &str) {
    if is_plain(string) {
        out.push_str(string);
    } else {
        // A JSON string is a YAML double-quoted scalar.
        out.push_str(&Value::String(string.to_owned()).to_string());
    }
}

/// Whether a string can stand without quotes for every reader, YAML 1.1 ones included.
fn is_plain(string: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':');
    let word = string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && string.chars().all(safe)
        && !string.ends_with(':');
    let old_boolean =
        ["y", "n", "yes", "no", "on", "off"].iter().any(|word| word.eq_ignore_ascii_case(string));
    let scalar = Scalar { text: string.to_owned(), quoted: false };
    word && !old_boolean && scalar.meaning() == Meaning::String
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn back(yaml: &str) -> Value {
        fn value(node: &crate::tree::Node) -> Value {
            match &node.value {
                crate::tree::Value::Scalar(scalar) => match scalar.meaning() {
                    Meaning::String => json!(scalar.text),
                    Meaning::Null => Value::Null,
                    Meaning::Boolean(b) => json!(b),
                    Meaning::Number => serde_json::from_str(&scalar.text).expect("a number"),
                },
                crate::tree::Value::List(items) => items.iter().map(value).collect(),
                crate::tree::Value::Map(entries) => {
                    Value::Object(entries.iter().map(|e| (e.key.clone(), value(&e.node))).collect())
                }
            }
        }
        let (documents, stop) = crate::yaml::parse(yaml);
        assert!(stop.is_none(), "{stop:?}\n{yaml}");
        value(&documents[0])
    }

    #[test]
    fn what_is_written_reads_back() {
        let value = json!({
            "a": [{"b": 1, "c": [[], [1, [2]], {}]}, "x: y", "yes", "80", "", " lead", "#no", "null"],
            "80": true,
            "k": {"n": null, "t": "tab\t\"quote\" ü \u{1}"},
            "address": "127.0.0.1:80",
            "empty": {},
        });
        assert_eq!(back(&to_yaml(&value)), value);
    }

    #[test]
    fn reads_like_what_people_write() {
        let value =
            json!({"kind": "Service", "spec": {"ports": [{"port": 80, "protocol": "http"}]}});
        assert_eq!(
            to_yaml(&value),
            "kind: Service\nspec:\n  ports:\n  - port: 80\n    protocol: http\n"
        );
    }
}
