//! YAML text → trees whose nodes know where they stand.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::Error;

/// Values in one document, an alias counting as often as it is used.
const MAX_VALUES: usize = 4_000_000;
/// Levels of nesting.
const MAX_DEPTH: usize = 128;

/// A place in the text, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// What it means is for the field to say, unless it is quoted.
    Scalar {
        text: String,
        quoted: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Position,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        error(self.at, reason)
    }

    /// Whether this is an unquoted null.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, quoted: false }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What this is, in the words of an error.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "null",
            Value::Scalar { quoted: true, .. } => "a string",
            Value::Scalar { .. } => "a plain value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

pub(super) fn error(at: Position, reason: impl Into<String>) -> Error {
    Error {
        line: at.line,
        column: at.column,
        path: String::new(),
        reason: reason.into(),
        more: Vec::new(),
    }
}

/// Reads the one document of a YAML text.
pub(super) fn from_yaml(text: &str) -> Result<Node, Error> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    // `next_event` keeps its own stack; `load` would recurse as deep as the text says.
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|wrong| {
            let marker = wrong.marker();
            let at = Position { line: marker.line().max(1), column: marker.col() + 1 };
            error(at, format!("no YAML: {}", wrong.info()))
        })?;
        builder.take(event, span)?;
    }
    let start = Position { line: 1, column: 1 };
    builder.root.ok_or_else(|| error(start, "the document is empty"))
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    stack: Vec<Open>,
    anchors: BTreeMap<usize, Anchored>,
    values: usize,
}

/// A finished value that aliases may repeat.
struct Anchored {
    node: Node,
    values: usize,
    depth: usize,
}

/// A list or map whose end has not been seen.
struct Open {
    at: Position,
    anchor: usize,
    items: Items,
    /// How many values had been seen before this one.
    before: usize,
    /// Levels below this one, so far.
    depth: usize,
}

enum Items {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Position)> },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Error> {
        let at = Position { line: span.start.line().max(1), column: span.start.col() + 1 };
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => match self.root {
                Some(_) => Err(error(at, "one document is expected, this is another")),
                None => Ok(()),
            },
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = style != ScalarStyle::Plain || is_string(tag.as_deref(), at)?;
                let value = Value::Scalar { text: text.into_owned(), quoted };
                self.add(Node { at, value }, anchor, 1, 0)
            }
            Event::SequenceStart(anchor, tag) => {
                is_string(tag.as_deref(), at)?;
                self.open(at, anchor, Items::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                is_string(tag.as_deref(), at)?;
                self.open(at, anchor, Items::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(known) = self.anchors.get(&anchor) else {
                    return Err(error(at, "the alias names no earlier anchor"));
                };
                let (values, depth) = (known.values, known.depth);
                // Counted before it is copied: a bomb must not be built to be refused.
                self.fits(at, values, depth)?;
                let mut node = known.node.clone();
                node.at = at;
                self.add(node, 0, values, depth)
            }
        }
    }

    fn fits(&self, at: Position, values: usize, depth: usize) -> Result<(), Error> {
        if self.values.saturating_add(values) > MAX_VALUES {
            return Err(error(at, format!("more than {MAX_VALUES} values")));
        }
        if self.stack.len() + depth > MAX_DEPTH {
            return Err(error(at, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        Ok(())
    }

    fn open(&mut self, at: Position, anchor: usize, items: Items) -> Result<(), Error> {
        self.fits(at, 1, 1)?;
        if let Some(Open { items: Items::Map { key: None, .. }, .. }) = self.stack.last() {
            return Err(error(at, "a key must be a string"));
        }
        self.stack.push(Open { at, anchor, items, before: self.values, depth: 0 });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let value = match open.items {
            Items::List(items) => Value::List(items),
            Items::Map { entries, .. } => Value::Map(entries),
        };
        let within = self.values - open.before;
        self.values = open.before;
        self.add(Node { at: open.at, value }, open.anchor, within + 1, open.depth + 1)
    }

    fn add(&mut self, node: Node, anchor: usize, values: usize, depth: usize) -> Result<(), Error> {
        self.fits(node.at, values, depth)?;
        self.values += values;
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), values, depth });
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.depth = open.depth.max(depth);
        match &mut open.items {
            Items::List(items) => items.push(node),
            Items::Map { entries, key } => match key.take() {
                Some((key, at)) => entries.push(Entry { key, at, value: node }),
                None => {
                    let Value::Scalar { text, .. } = node.value else {
                        return Err(error(node.at, "a key must be a string"));
                    };
                    *key = Some((text, node.at));
                }
            },
        }
        Ok(())
    }
}

/// Whether the tag makes a string of a plain scalar. Tags that ask for types of their
/// own are refused; those of the core schema say what the field says anyway.
fn is_string(tag: Option<&Tag>, at: Position) -> Result<bool, Error> {
    let Some(tag) = tag else { return Ok(false) };
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("tag:yaml.org,2002:", "str") | ("", "!") => Ok(true),
        ("tag:yaml.org,2002:", "int" | "float" | "bool" | "null" | "map" | "seq") => Ok(false),
        (handle, suffix) => Err(error(at, format!("the tag {handle}{suffix} has no meaning here"))),
    }
}
