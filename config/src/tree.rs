//! A parsed document before it has a type: scalars, lists and maps, each with its position.

use std::fmt;

/// A place in a source: line and column, both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One value of a document.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it was written; `None` for what came out of a store.
    pub(crate) at: Option<Position>,
    /// What it is.
    pub(crate) value: Value,
}

/// The shapes a value can have.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value, in the order written.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Option<Position>,
    pub(crate) node: Node,
}

/// A leaf as it was written. Its type is decided by whoever reads it, so that a message
/// can name the text instead of what a resolver made of it.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) quoted: bool,
}

/// What a plain scalar means by the core schema of YAML 1.2 (section 10.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Null,
    Boolean(bool),
    Number,
    String,
}

impl Scalar {
    pub(crate) fn meaning(&self) -> Meaning {
        if self.quoted {
            return Meaning::String;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
            "true" | "True" | "TRUE" => Meaning::Boolean(true),
            "false" | "False" | "FALSE" => Meaning::Boolean(false),
            text if is_number(text) => Meaning::Number,
            _ => Meaning::String,
        }
    }
}

/// Whether a plain scalar is a number to a YAML reader (integers, octal, hex, floats).
pub(crate) fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(hex) = unsigned.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(octal) = unsigned.strip_prefix("0o") {
        return !octal.is_empty() && octal.bytes().all(|b| (b'0'..=b'7').contains(&b));
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    // `f64` also reads "inf" and "nan", which are strings in YAML.
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.parse::<f64>().is_ok()
}

impl Node {
    /// What a message calls this value.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "an object".to_owned(),
            Value::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => "nothing".to_owned(),
                Meaning::Boolean(value) => format!("the boolean {value}"),
                Meaning::Number => format!("the number {}", scalar.text),
                Meaning::String => format!("the string {:?}", scalar.text),
            },
        }
    }

    /// The documents in it: those of a list, which is how JSON holds several, or of a Kubernetes
    /// `List`, which is how kubectl prints them.
    pub(crate) fn into_documents(self) -> Vec<Self> {
        let is_list = self.get("kind").and_then(Self::as_text) == Some("List");
        match self.value {
            Value::List(items) => items,
            Value::Map(mut entries) if is_list => {
                let items = entries.iter().position(|entry| entry.key == "items");
                match items.map(|index| entries.swap_remove(index).node.value) {
                    Some(Value::List(items)) => items,
                    _ => Vec::new(),
                }
            }
            value => vec![Self { value, at: self.at }],
        }
    }

    /// The value of a key, when this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
            }
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// The text, when this is a scalar that means a string.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.meaning() == Meaning::Null)
    }

    /// The text of a string.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if scalar.meaning() == Meaning::String => Some(&scalar.text),
            _ => None,
        }
    }

    /// The position of a field path such as `spec.rules[0].name`, or of the nearest
    /// enclosing value that exists.
    pub(crate) fn locate(&self, path: &str) -> Option<Position> {
        let mut node = self;
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let next = match (&node.value, step.strip_suffix(']')) {
                (Value::List(items), Some(index)) => {
                    index.parse::<usize>().ok().and_then(|i| items.get(i))
                }
                (_, None) => node.get(step),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.at
    }

    /// The tree of a JSON value. It has no positions.
    pub(crate) fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let plain = |text: String| Value::Scalar(Scalar { text, quoted: false });
        let value = match json {
            Json::Null => plain("null".to_owned()),
            Json::Bool(value) => plain(value.to_string()),
            Json::Number(number) => plain(number.to_string()),
            Json::String(text) => Value::Scalar(Scalar { text: text.clone(), quoted: true }),
            Json::Array(items) => Value::List(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => Value::Map(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        key_at: None,
                        node: Self::from_json(value),
                    })
                    .collect(),
            ),
        };
        Self { at: None, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let meaning = |text: &str| Scalar { text: text.to_owned(), quoted: false }.meaning();
        for number in ["0", "-1", "+7", "0x1F", "0o17", "1.5", ".5", "1e3", "-.inf", ".nan"] {
            assert_eq!(meaning(number), Meaning::Number, "{number}");
        }
        for text in ["1.2.3", "inf", "nan", "v2", "10s", "127.0.0.1:80", "yes", "on", "0x", "-"] {
            assert_eq!(meaning(text), Meaning::String, "{text}");
        }
        assert_eq!(meaning("~"), Meaning::Null);
        assert_eq!(meaning("True"), Meaning::Boolean(true));
    }

    #[test]
    fn a_path_that_does_not_exist_is_located_at_its_nearest_parent() {
        let inner =
            Node { at: Some(Position { line: 2, column: 5 }), value: Value::List(Vec::new()) };
        let root = Node {
            at: Some(Position { line: 1, column: 1 }),
            value: Value::Map(vec![Entry { key: "spec".to_owned(), key_at: None, node: inner }]),
        };
        assert_eq!(root.locate("spec[3].name"), Some(Position { line: 2, column: 5 }));
        assert_eq!(root.locate("status"), Some(Position { line: 1, column: 1 }));
    }
}
