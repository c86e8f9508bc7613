//! Where in a text the fields of a message stand.

use super::{
    Error,
    document::{self, Node, Value},
    text,
};

/// A text that knows where its fields stand, for errors that are found after it was read.
#[derive(Clone, Debug)]
pub struct Places {
    root: Node,
}

impl Places {
    /// Of a YAML document.
    ///
    /// # Errors
    ///
    /// When the text is no YAML.
    pub fn in_yaml(text: &str) -> Result<Self, Error> {
        document::from_yaml(text).map(|root| Self { root })
    }

    /// Of a JSON document.
    ///
    /// # Errors
    ///
    /// When the text is no JSON.
    pub fn in_json(text: &str) -> Result<Self, Error> {
        text::from_json(text).map(|root| Self { root })
    }

    /// The line, counted from 1, of what `path` names, or of the closest that there is around it;
    /// `None` if nothing of it is there. A path is written as in [`Error::path`].
    ///
    /// ```
    /// let places = weft_proto::json::Places::in_yaml("a:\n  b:\n  - c: 1\n  - cD: 2")?;
    /// assert_eq!(places.line_of("a.b[1].c_d"), Some(4));
    /// assert_eq!(places.line_of("a.b[1].e"), Some(4));
    /// assert_eq!(places.line_of("x"), None);
    /// # Ok::<(), weft_proto::json::Error>(())
    /// ```
    pub fn line_of(&self, path: &str) -> Option<usize> {
        let mut node = &self.root;
        let mut line = None;
        for step in steps(path) {
            let Some((at, inner)) = child(node, &step) else { break };
            line = Some(at);
            node = inner;
        }
        line
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Field(&'a str),
    Item(usize),
    Key(&'a str),
}

fn child<'n>(node: &'n Node, step: &Step<'_>) -> Option<(usize, &'n Node)> {
    match (&node.value, step) {
        (Value::List(items), Step::Item(index)) => {
            let item = items.get(*index)?;
            Some((item.at.line, item))
        }
        (Value::Map(entries), Step::Field(name)) => {
            let entry = entries.iter().find(|entry| is_name(&entry.key, name))?;
            Some((entry.at.line, &entry.value))
        }
        (Value::Map(entries), Step::Key(key)) => {
            let entry = entries.iter().find(|entry| entry.key == *key)?;
            Some((entry.at.line, &entry.value))
        }
        _ => None,
    }
}

/// Whether a key is a field's name in one of its two spellings.
fn is_name(key: &str, name: &str) -> bool {
    let plain = |text: &str| text.replace('_', "").to_ascii_lowercase();
    key == name || plain(key) == plain(name)
}

/// The steps of a path; what cannot be one ends it.
fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("[\"") {
            let Some((key, after)) = inner.split_once("\"]") else { break };
            steps.push(Step::Key(key));
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('[') {
            let Some((index, after)) = inner.split_once(']') else { break };
            let Ok(index) = index.parse() else { break };
            steps.push(Step::Item(index));
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name.is_empty() {
                break;
            }
            steps.push(Step::Field(name));
            rest = after;
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_apart() {
        let expected = [
            Step::Field("a"),
            Step::Item(3),
            Step::Field("b"),
            Step::Key("x.y[0]"),
            Step::Field("c"),
        ];
        assert_eq!(steps("a[3].b[\"x.y[0]\"].c"), expected);
        for broken in ["", ".", "..a", "[", "[x]", "[\"x", "a["] {
            assert!(steps(broken).len() <= 1, "{broken}");
        }
    }

    #[test]
    fn json_has_places_too() {
        let places = Places::in_json("{\"a\": {\n\"b\": [\n{},\n{\"k\": 1}]}}").unwrap();
        assert_eq!(places.line_of("a.b[1].k"), Some(4));
        assert_eq!(places.line_of("a.b[7]"), Some(2));
    }
}
