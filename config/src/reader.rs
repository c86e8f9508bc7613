//! Trees → typed values: the vocabulary with which every kind is read.
//!
//! A reader function returns `None` after it has recorded why. Reading goes on with the
//! neighbours, so that all problems of a document are found in one go; a `None` anywhere
//! means that problems were recorded and nothing of the result is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::DocumentId;
use crate::problem::{Problem, Reason};
use crate::suggest::closest;
use crate::tree::{Entry, Meaning, Node, Position, Scalar, Value};

/// Text by text: labels, annotations, environment.
pub type StringMap = BTreeMap<String, String>;

/// The state of reading one document: where we are, and what was wrong so far.
pub(crate) struct Reader {
    source: Option<Arc<str>>,
    document: Option<DocumentId>,
    trail: Vec<Step>,
    problems: Vec<Problem>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl Reader {
    pub(crate) fn new(source: Option<Arc<str>>) -> Self {
        Self { source, document: None, trail: Vec::new(), problems: Vec::new() }
    }

    /// What was wrong.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Names the document in every problem from here on.
    pub(crate) fn name_document(&mut self, document: DocumentId) {
        self.document = Some(document);
    }

    /// Records a problem with `node`; always `None`, to be returned.
    pub(crate) fn refuse<T>(&mut self, node: &Node, reason: Reason) -> Option<T> {
        self.refuse_at(node.at, reason)
    }

    fn refuse_at<T>(&mut self, position: Option<Position>, reason: Reason) -> Option<T> {
        let field = self.field();
        self.problems.push(Problem {
            source: self.source.clone(),
            position,
            document: self.document.clone(),
            field,
            reason,
        });
        None
    }

    fn field(&self) -> String {
        let mut path = String::new();
        for step in &self.trail {
            match step {
                Step::Key(key) if path.is_empty() => path.push_str(key),
                Step::Key(key) => {
                    path.push('.');
                    path.push_str(key);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }

    fn within<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> T) -> T {
        self.trail.push(step);
        let result = read(self);
        self.trail.pop();
        result
    }

    /// Reads an object. Keys that `read` did not ask for are unknown fields.
    pub(crate) fn object<'n, T>(
        &mut self,
        node: &'n Node,
        read: impl FnOnce(&mut Self, &mut Object<'n>) -> Option<T>,
    ) -> Option<T> {
        let Value::Map(entries) = &node.value else {
            return self.wrong_type(node, "an object");
        };
        let mut object = Object { node, entries, known: Vec::new(), refused: Vec::new() };
        let result = read(self, &mut object);
        object.finish(self);
        result
    }

    /// Reads every item of a list.
    pub(crate) fn list<'n, T>(
        &mut self,
        node: &'n Node,
        mut each: impl FnMut(&mut Self, &'n Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::List(items) = &node.value else {
            return self.wrong_type(node, "a list");
        };
        let read: Vec<Option<T>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.within(Step::Index(index), |reader| each(reader, item)))
            .collect();
        read.into_iter().collect()
    }

    pub(crate) fn wrong_type<T>(&mut self, node: &Node, expected: &'static str) -> Option<T> {
        let quote = expected == "a string"
            && matches!(&node.value, Value::Scalar(scalar)
                if matches!(scalar.meaning(), Meaning::Number | Meaning::Boolean(_)));
        self.refuse(node, Reason::WrongType { expected, found: node.describe(), quote })
    }

    pub(crate) fn invalid<T>(
        &mut self,
        node: &Node,
        found: &str,
        expected: impl Into<String>,
    ) -> Option<T> {
        self.refuse(node, Reason::Invalid { found: found.to_owned(), expected: expected.into() })
    }

    pub(crate) fn string<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        node.as_text().or_else(|| self.wrong_type(node, "a string"))
    }

    /// Reads a string that `accept` agrees with.
    pub(crate) fn text(
        &mut self,
        node: &Node,
        expected: &'static str,
        accept: impl FnOnce(&str) -> bool,
    ) -> Option<String> {
        self.parsed(node, expected, |text| accept(text).then(|| text.to_owned()))
    }

    /// Reads a string that `parse` turns into a value.
    pub(crate) fn parsed<T>(
        &mut self,
        node: &Node,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(text) = node.as_text() else {
            return match &node.value {
                // Quotes would not help: `5` is no duration in quotes either.
                Value::Scalar(scalar) if !node.is_null() && parse(&scalar.text).is_none() => {
                    self.invalid(node, &scalar.text, expected)
                }
                _ => self.wrong_type(node, "a string"),
            };
        };
        parse(text).or_else(|| self.invalid(node, text, expected))
    }

    /// Reads a whole number within bounds, both included.
    pub(crate) fn integer(&mut self, node: &Node, least: u32, most: u32) -> Option<u32> {
        let number = match &node.value {
            Value::Scalar(Scalar { text, quoted: false }) if node_is_number(node) => text,
            _ => return self.wrong_type(node, "a number"),
        };
        match number.parse::<u32>() {
            Ok(value) if (least..=most).contains(&value) => Some(value),
            _ => self.invalid(node, number, format!("a whole number from {least} to {most}")),
        }
    }

    /// Reads `true` or `false`.
    pub(crate) fn boolean(&mut self, node: &Node) -> Option<bool> {
        match &node.value {
            Value::Scalar(scalar) => match scalar.meaning() {
                Meaning::Boolean(value) => Some(value),
                _ => self.wrong_type(node, "true or false"),
            },
            _ => self.wrong_type(node, "true or false"),
        }
    }

    /// Reads a TCP port number.
    pub(crate) fn port(&mut self, node: &Node) -> Option<u16> {
        self.integer(node, 1, u32::from(u16::MAX)).and_then(|port| u16::try_from(port).ok())
    }

    /// Reads one of the words of `choices`.
    pub(crate) fn choice<T: Copy>(&mut self, node: &Node, choices: &Choices<T>) -> Option<T> {
        let word = self.string(node)?;
        if let Some(index) = choices.names.iter().position(|name| *name == word) {
            return choices.values.get(index).copied();
        }
        let did_you_mean = closest(word, choices.names.iter().copied()).map(str::to_owned);
        self.refuse(
            node,
            Reason::UnknownChoice { found: word.to_owned(), allowed: choices.names, did_you_mean },
        )
    }

    /// Reads an object of strings by string.
    pub(crate) fn string_map(&mut self, node: &Node) -> Option<StringMap> {
        let Value::Map(entries) = &node.value else {
            return self.wrong_type(node, "an object");
        };
        let mut map = StringMap::new();
        let mut complete = true;
        for Entry { key, key_at, node } in entries {
            let value = self.within(Step::Key(key.clone()), |reader| {
                if map.contains_key(key) {
                    return reader.refuse_at(*key_at, Reason::RepeatedKey { first: None });
                }
                reader.string(node)
            });
            match value {
                Some(value) => _ = map.insert(key.clone(), value.to_owned()),
                None => complete = false,
            }
        }
        complete.then_some(map)
    }
}

fn node_is_number(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.meaning() == Meaning::Number)
}

/// The words of a field and what they mean, in the same order.
pub(crate) struct Choices<T: 'static> {
    pub(crate) names: &'static [&'static str],
    pub(crate) values: &'static [T],
}

/// An object being read; remembers which fields exist.
pub(crate) struct Object<'n> {
    node: &'n Node,
    entries: &'n [Entry],
    known: Vec<&'static str>,
    /// Refused already, each with a better reason than being unknown.
    refused: Vec<&'static str>,
}

impl<'n> Object<'n> {
    fn find(&mut self, name: &'static str) -> Option<&'n Node> {
        self.known.push(name);
        self.entries.iter().find(|entry| entry.key == name).map(|entry| &entry.node)
    }

    /// The object itself, to attach a problem to.
    pub(crate) fn node(&self) -> &'n Node {
        self.node
    }

    /// Reads a field that must be there.
    pub(crate) fn required<T>(
        &mut self,
        reader: &mut Reader,
        name: &'static str,
        read: impl FnOnce(&mut Reader, &'n Node) -> Option<T>,
    ) -> Option<T> {
        match self.find(name) {
            Some(node) => reader.within(Step::Key(name.to_owned()), |reader| read(reader, node)),
            None => reader.refuse(self.node, Reason::Missing { field: name }),
        }
    }

    /// Reads a field that may be left out: `Some(None)` without it, `None` after a problem.
    pub(crate) fn optional<T>(
        &mut self,
        reader: &mut Reader,
        name: &'static str,
        read: impl FnOnce(&mut Reader, &'n Node) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.find(name) {
            Some(node) => {
                reader.within(Step::Key(name.to_owned()), |reader| read(reader, node)).map(Some)
            }
            None => Some(None),
        }
    }

    /// Reads a list that may be left out; empty without it.
    pub(crate) fn list<T>(
        &mut self,
        reader: &mut Reader,
        name: &'static str,
        each: impl FnMut(&mut Reader, &'n Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let list = self.optional(reader, name, |reader, node| reader.list(node, each))?;
        Some(list.unwrap_or_default())
    }

    /// Reads an object of strings that may be left out; empty without it.
    pub(crate) fn string_map(
        &mut self,
        reader: &mut Reader,
        name: &'static str,
    ) -> Option<StringMap> {
        Some(self.optional(reader, name, Reader::string_map)?.unwrap_or_default())
    }

    /// A field that the vocabulary has and Weft does not honour: refused when it is set.
    pub(crate) fn unsupported(
        &mut self,
        reader: &mut Reader,
        name: &'static str,
        instead: &'static str,
    ) -> Option<()> {
        let Some(entry) = self.entries.iter().find(|entry| entry.key == name) else {
            return Some(());
        };
        self.refused.push(name);
        reader.within(Step::Key(name.to_owned()), |reader| {
            reader.refuse_at(entry.key_at, Reason::Unsupported { what: name.to_owned(), instead })
        })
    }

    /// A field that has its place, and that this version does nothing with: refused when it is set.
    pub(crate) fn not_yet(&mut self, reader: &mut Reader, name: &'static str) -> Option<()> {
        let Some(entry) = self.entries.iter().find(|entry| entry.key == name) else {
            return Some(());
        };
        self.refused.push(name);
        reader.within(Step::Key(name.to_owned()), |reader| {
            reader.refuse_at(entry.key_at, Reason::NotYet { what: name })
        })
    }

    /// Fields that cannot be judged, because what decides about them could not be read.
    pub(crate) fn leave(&mut self, names: &[&'static str]) {
        self.known.extend_from_slice(names);
    }

    fn finish(self, reader: &mut Reader) {
        let mut first_at: BTreeMap<&str, Option<Position>> = BTreeMap::new();
        for entry in self.entries {
            if let Some(first) = first_at.get(entry.key.as_str()) {
                let reason = Reason::RepeatedKey { first: *first };
                reader.within(Step::Key(entry.key.clone()), |reader| {
                    reader.refuse_at::<()>(entry.key_at, reason)
                });
                continue;
            }
            first_at.insert(&entry.key, entry.key_at);
            if entry.key == "<<" {
                let what = "merging by <<".to_owned();
                let instead = "write the fields out: YAML 1.2 has no merge keys";
                reader.refuse_at::<()>(entry.key_at, Reason::Unsupported { what, instead });
                continue;
            }
            let handled = self.known.iter().chain(&self.refused).any(|name| *name == entry.key);
            if !handled {
                let did_you_mean =
                    closest(&entry.key, self.known.iter().copied()).map(str::to_owned);
                let reason = Reason::UnknownField { did_you_mean, known: self.known.clone() };
                reader.within(Step::Key(entry.key.clone()), |reader| {
                    reader.refuse_at::<()>(entry.key_at, reason)
                });
            }
        }
    }
}
