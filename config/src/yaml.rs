//! YAML (and so JSON) text → positioned trees, within bounds.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::problem::Reason;
use crate::tree::{Entry, Node, Position, Scalar, Value};

/// Bytes allowed in one source. A mesh of 5,000 services takes about 2 MB.
const MAX_BYTES: usize = 16 << 20;
/// Levels of nesting; the deepest field of the model is at 10.
const MAX_DEPTH: usize = 64;
/// Values in one source, an alias counting as often as it is used.
const MAX_VALUES: usize = 1_000_000;

/// Why parsing stopped, and where.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) at: Option<Position>,
    pub(crate) reason: Reason,
}

/// Reads every document of a source. What came before an error is returned along with it,
/// so that its problems can be reported too. Empty documents are left out.
pub(crate) fn parse(text: &str) -> (Vec<Node>, Option<Stop>) {
    if text.len() > MAX_BYTES {
        let reason = Reason::TooLarge { found: text.len(), limit: MAX_BYTES };
        return (Vec::new(), Some(Stop { at: None, reason }));
    }
    let mut builder = Builder::default();
    // `next_event` keeps its own stack; `load` would recurse as deep as the input says.
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(event) = parser.next_event() {
        let outcome = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => Err(Stop {
                at: Some(Position {
                    line: error.marker().line().max(1),
                    column: error.marker().col() + 1,
                }),
                reason: match error.info() {
                    // An anchor of an earlier document is one that the parser knows and we do not.
                    text if text.contains("unknown anchor") => Reason::UnknownAlias,
                    text => Reason::Syntax(text.to_owned()),
                },
            }),
        };
        if let Err(stop) = outcome {
            return (builder.documents, Some(stop));
        }
    }
    (builder.documents, None)
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    stack: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    values: usize,
}

/// A list or map whose end has not been seen.
struct Open {
    at: Position,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Position)> },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let at = Position { line: span.start.line().max(1), column: span.start.col() + 1 };
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = is_string(style, tag.as_deref(), at)?;
                let value = Value::Scalar(Scalar { text: text.into_owned(), quoted });
                self.add(Node { at: Some(at), value }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), at)?;
                self.open(Open { at, anchor, items: Items::List(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), at)?;
                self.open(Open { at, anchor, items: Items::Map { entries: Vec::new(), key: None } })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    let reason = Reason::UnknownAlias;
                    return Err(Stop { at: Some(at), reason });
                };
                // Counted before it is copied: a bomb must not be built to be refused.
                self.values += count(node);
                if self.values > MAX_VALUES || self.stack.len() + depth(node) > MAX_DEPTH {
                    return Err(Stop {
                        at: Some(at),
                        reason: Reason::TooMany { limit: MAX_VALUES },
                    });
                }
                let mut node = node.clone();
                node.at = Some(at);
                self.add(node, 0)
            }
        }
    }

    fn open(&mut self, open: Open) -> Result<(), Stop> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Stop { at: Some(open.at), reason: Reason::TooDeep { limit: MAX_DEPTH } });
        }
        if let Some(Open { items: Items::Map { key: None, .. }, .. }) = self.stack.last() {
            return Err(complex_key(open.at));
        }
        self.stack.push(open);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let value = match open.items {
            Items::List(items) => Value::List(items),
            Items::Map { entries, .. } => Value::Map(entries),
        };
        self.add(Node { at: Some(open.at), value }, open.anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Stop { at: node.at, reason: Reason::TooMany { limit: MAX_VALUES } });
        }
        if anchor > 0 {
            self.values += count(&node);
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|open| &mut open.items) {
            None => {
                if !is_empty(&node) {
                    self.documents.push(node);
                }
            }
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map { entries, key }) => match key.take() {
                Some((name, key_at)) => {
                    entries.push(Entry { key: name, key_at: Some(key_at), node });
                }
                None => *key = Some(as_key(node)?),
            },
        }
        Ok(())
    }
}

fn as_key(node: Node) -> Result<(String, Position), Stop> {
    let at = node.at.unwrap_or(Position { line: 1, column: 1 });
    match node.value {
        Value::Scalar(scalar) => Ok((scalar.text, at)),
        Value::List(_) | Value::Map(_) => Err(complex_key(at)),
    }
}

fn complex_key(at: Position) -> Stop {
    Stop { at: Some(at), reason: Reason::Syntax("a key must be a plain word".to_owned()) }
}

fn is_empty(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.meaning() == crate::tree::Meaning::Null)
}

fn is_string(style: ScalarStyle, tag: Option<&Tag>, at: Position) -> Result<bool, Stop> {
    match tag {
        None => Ok(style != ScalarStyle::Plain),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(true),
        Some(tag) => Err(unknown_tag(tag, at)),
    }
}

fn refuse_tag(tag: Option<&Tag>, at: Position) -> Result<(), Stop> {
    tag.map_or(Ok(()), |tag| Err(unknown_tag(tag, at)))
}

fn unknown_tag(tag: &Tag, at: Position) -> Stop {
    Stop { at: Some(at), reason: Reason::Syntax(format!("the tag {tag} means nothing here")) }
}

/// Values in a tree. The recursion is bounded by `MAX_DEPTH`.
fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar(_) => 0,
        Value::List(items) => items.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|entry| count(&entry.node)).sum(),
    }
}

fn depth(node: &Node) -> usize {
    let deepest = match &node.value {
        Value::Scalar(_) => return 0,
        Value::List(items) => items.iter().map(depth).max(),
        Value::Map(entries) => entries.iter().map(|entry| depth(&entry.node)).max(),
    };
    1 + deepest.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(text: &str) -> Reason {
        parse(text).1.map(|stop| stop.reason).expect("must be refused")
    }

    #[test]
    fn positions_count_from_one() {
        let (documents, stop) = parse("a:\n  - {b: c}\n");
        assert!(stop.is_none());
        let item = documents[0].locate("a[0].b");
        assert_eq!(item, Some(Position { line: 2, column: 9 }));
    }

    #[test]
    fn documents_before_an_error_are_kept() {
        let (documents, stop) = parse("a: 1\n---\nb: [1\n");
        assert_eq!(documents.len(), 1);
        assert!(matches!(stop.map(|stop| stop.reason), Some(Reason::Syntax(_))));
    }

    #[test]
    fn empty_documents_vanish() {
        assert!(parse("---\n# nothing\n---\n").0.is_empty());
        assert!(parse("").0.is_empty());
    }

    #[test]
    fn aliases_are_followed() {
        let (documents, _) = parse("a: &x {k: v}\nb: *x\n");
        assert_eq!(
            documents[0].get("b").and_then(|b| b.get("k")).and_then(Node::as_text),
            Some("v")
        );
    }

    #[test]
    fn alias_bombs_are_refused_before_they_are_built() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let reference = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{reference}]\n"));
        }
        assert!(matches!(stop(&bomb), Reason::TooMany { .. }));
    }

    #[test]
    fn depth_is_bounded() {
        assert!(matches!(stop(&"[".repeat(200)), Reason::TooDeep { .. }));
        let block: String = (0..100).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        assert!(matches!(stop(&block), Reason::TooDeep { .. }));
    }

    #[test]
    fn unknown_tags_and_complex_keys_are_refused() {
        assert!(matches!(stop("a: !!binary aGk="), Reason::Syntax(_)));
        assert!(matches!(stop("{[a]: b}"), Reason::Syntax(_)));
        assert!(parse("a: !!str 80").1.is_none());
    }
}
