//! JSON values as YAML in block style.

use serde_json::Value;

use super::scalar::is_plain_string;

/// Writes a document.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    out
}

/// Writes a value that begins a line, whose indent has been written, and ends it.
fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    pad(out, indent);
                }
                text(out, key);
                out.push(':');
                match value {
                    Value::Object(inner) if !inner.is_empty() => {
                        out.push('\n');
                        pad(out, indent + 2);
                        block(out, value, indent + 2);
                    }
                    Value::Array(items) if !items.is_empty() => {
                        out.push('\n');
                        pad(out, indent);
                        block(out, value, indent);
                    }
                    _ => {
                        out.push(' ');
                        block(out, value, 0);
                    }
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    pad(out, indent);
                }
                out.push_str("- ");
                block(out, item, indent + 2);
            }
        }
        Value::String(string) => {
            text(out, string);
            out.push('\n');
        }
        // Numbers, words and empty collections are written as in JSON.
        _ => {
            out.push_str(&value.to_string());
            out.push('\n');
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Writes a string, quoted unless every reader takes it for a string as it is.
fn text(out: &mut String, text: &str) {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte);
    let plain = text.bytes().all(letters)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric() || "_/".contains(first))
        && is_plain_string(text)
        // Words and numbers of YAML 1.1.
        && !matches!(text.to_ascii_lowercase().as_str(), "y" | "n" | "yes" | "no" | "on" | "off")
        && !text.starts_with("0x")
        && !text.starts_with("0o");
    if plain {
        out.push_str(text);
    } else {
        // A JSON string is a double-quoted YAML scalar.
        out.push_str(&Value::from(text).to_string());
    }
}
