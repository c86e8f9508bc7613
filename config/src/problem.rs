//! What can be wrong with what a user wrote: where it is, why, and what to do about it.

mod conflict;

use std::fmt;
use std::sync::Arc;

use crate::document::DocumentId;
use crate::tree::Position;

pub use conflict::Conflict;

/// Everything that is wrong with a set of documents, in the order of the sources.
///
/// Displays as one line per problem, each followed by its hint:
///
/// ```text
/// inventory.yaml:11:52: HTTPRoute/inventory spec.rules[0].backendRefs[1].name: no Subset "inventory-v2" (there are: inventory-v1)
///   hint: add a Subset of that name, or fix the reference
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems found, or `Ok` when there are none.
    pub(crate) fn check(mut found: Vec<Problem>) -> Result<(), Self> {
        if found.is_empty() {
            return Ok(());
        }
        // Stable: what has no position keeps the order in which it was found.
        found.sort_by(|a, b| a.order().cmp(&b.order()));
        Err(Self(found))
    }

    /// The problems, at least one.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file or request body, when the document came from one.
    pub source: Option<Arc<str>>,
    /// Where in the source, when it is known.
    pub position: Option<Position>,
    /// The document, when it says what it is.
    pub document: Option<DocumentId>,
    /// The field path, such as `spec.rules[0].backendRefs[1].name`; may be empty.
    pub field: String,
    /// Why it cannot be accepted.
    pub reason: Reason,
}

impl Problem {
    fn order(&self) -> (Option<&str>, Option<Position>) {
        (self.source.as_deref(), self.position)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.position) {
            (Some(source), Some(position)) => write!(f, "{source}:{position}: ")?,
            (Some(source), None) => write!(f, "{source}: ")?,
            (None, _) => {}
        }
        match (&self.document, self.field.as_str()) {
            (Some(document), "") => write!(f, "{document}: ")?,
            (Some(document), field) => write!(f, "{document} {field}: ")?,
            (None, "") => {}
            (None, field) => write!(f, "{field}: ")?,
        }
        write!(f, "{}\n  hint: {}", self.reason, self.reason.hint())
    }
}

/// Why a document, or one value in it, cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The text is not YAML (or JSON).
    #[error("not valid YAML: {0}")]
    Syntax(String),
    /// An alias without an anchor before it.
    #[error("the alias names no earlier anchor of its document")]
    UnknownAlias,
    /// Something that is no regular expression for every proxy.
    #[error("{pattern:?} is not a regular expression: {why}")]
    Regex {
        /// What is there.
        pattern: String,
        /// Why it does not compile.
        why: String,
    },
    /// Something that the vocabulary has a place for, and this version does not do.
    #[error("{what} is not supported yet by this version")]
    NotYet {
        /// What was asked for.
        what: &'static str,
    },
    /// The source is longer than any reasonable configuration.
    #[error("the source has {found} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Bytes in the source.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Values are nested too deeply.
    #[error("values are nested more than {limit} levels deep")]
    TooDeep {
        /// Levels allowed.
        limit: usize,
    },
    /// The source expands to too many values.
    #[error("the source has more than {limit} values, each use of an alias counted")]
    TooMany {
        /// Values allowed.
        limit: usize,
    },
    /// A key that the schema does not have.
    #[error("unknown field{}", suggestion(.did_you_mean.as_deref()))]
    UnknownField {
        /// The known field it resembles.
        did_you_mean: Option<String>,
        /// Every field known at this place.
        known: Vec<&'static str>,
    },
    /// The same key twice in one object.
    #[error("the key is given twice{}", first_at(.first))]
    RepeatedKey {
        /// Where it was first given.
        first: Option<Position>,
    },
    /// A value of another shape than the schema asks for.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// The shape asked for.
        expected: &'static str,
        /// What is there.
        found: String,
        /// Whether quotes would make it a string.
        quote: bool,
    },
    /// A required field that is not there.
    #[error("the field {field:?} is missing")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// None or several of fields that exclude each other.
    #[error("exactly one of the fields {} must be given", .fields.join(", "))]
    ExactlyOne {
        /// The fields.
        fields: &'static [&'static str],
    },
    /// A value of the right shape that the rules of its field refuse.
    #[error("{found:?} is not {expected}")]
    Invalid {
        /// What is there.
        found: String,
        /// What the field takes.
        expected: String,
    },
    /// A word that is not one of the choices.
    #[error("{found:?} is not one of {}{}", .allowed.join(", "), suggestion(.did_you_mean.as_deref()))]
    UnknownChoice {
        /// What is there.
        found: String,
        /// The choices.
        allowed: &'static [&'static str],
        /// The choice it resembles.
        did_you_mean: Option<String>,
    },
    /// None of several fields is there.
    #[error("none of these is given: {}", .fields.join(", "))]
    AtLeastOne {
        /// The fields.
        fields: &'static [&'static str],
    },
    /// A reference to something that does not exist.
    #[error("no {kind} {name:?}{}", there_are(.existing))]
    Dangling {
        /// What kind of thing is referred to.
        kind: &'static str,
        /// The name given.
        name: String,
        /// The names that exist.
        existing: Vec<String>,
    },
    /// Two documents of the same kind, namespace and name in one set.
    #[error("{document} is defined twice; it is first defined at {first}")]
    DuplicateDocument {
        /// Which document.
        document: DocumentId,
        /// `file:line:column` of the first.
        first: String,
    },
    /// The same thing twice in a list that must not repeat it.
    #[error("{what} is given twice")]
    Repeated {
        /// What is repeated.
        what: String,
    },
    /// Two statements that cannot both hold.
    #[error("{0}")]
    Conflict(#[from] Conflict),
    /// Something the vocabulary has and Weft does not honour.
    #[error("{what} is not supported")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What to write in its place.
        instead: &'static str,
    },
}

impl Reason {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Syntax(what) if what.contains("tabs") => "indent with spaces".to_owned(),
            Self::Syntax(_) => {
                "check indentation, quotes and brackets around this place".to_owned()
            }
            Self::UnknownAlias => {
                "put &NAME before a value earlier in the same document, or write the value out"
                    .to_owned()
            }
            Self::Regex { .. } => "the syntax is RE2's, which has no look-around and no \
                back-references; the whole value must match"
                .to_owned(),
            Self::NotYet { .. } => "remove it; a later version will take it".to_owned(),
            Self::TooLarge { .. } => "split the source into several files".to_owned(),
            Self::TooDeep { .. } | Self::TooMany { .. } => {
                "no document of the mesh needs this; write values out instead of nesting aliases"
                    .to_owned()
            }
            Self::UnknownField { known, .. } if known.is_empty() => {
                "remove it: this object has no fields".to_owned()
            }
            Self::UnknownField { known, .. } => {
                format!("the fields here are: {}", known.join(", "))
            }
            Self::RepeatedKey { .. } => "keep one of them".to_owned(),
            Self::WrongType { quote: true, .. } => {
                "put it in quotes to make it a string".to_owned()
            }
            Self::WrongType { expected, found, .. } if found == "nothing" => {
                format!("write {expected} here, or indent what follows deeper if it belongs here")
            }
            Self::WrongType { expected: "a number", found, .. } if is_quoted_number(found) => {
                "remove the quotes".to_owned()
            }
            Self::WrongType { expected, .. } => format!("write {expected} here"),
            Self::Missing { field } => format!("add {field}"),
            Self::AtLeastOne { fields } => format!("write at least one of: {}", fields.join(", ")),
            Self::ExactlyOne { fields } => format!("write one of: {}", fields.join(", ")),
            Self::Invalid { expected, .. } => format!("write {expected}"),
            Self::UnknownChoice { allowed, .. } => format!("write one of: {}", allowed.join(", ")),
            Self::Dangling { kind, .. } => {
                format!("add a {kind} of that name, or fix the reference")
            }
            Self::DuplicateDocument { .. } => "rename or remove one of them".to_owned(),
            Self::Repeated { .. } => "keep one of them".to_owned(),
            Self::Conflict(conflict) => conflict.hint().to_owned(),
            Self::Unsupported { instead, .. } => (*instead).to_owned(),
        }
    }
}

/// Whether a value is described as a string with nothing but digits in it.
fn is_quoted_number(found: &str) -> bool {
    let text = found.strip_prefix("the string \"").and_then(|rest| rest.strip_suffix('"'));
    text.is_some_and(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
}

fn suggestion(did_you_mean: Option<&str>) -> String {
    did_you_mean.map(|name| format!(", did you mean {name:?}?")).unwrap_or_default()
}

fn first_at(first: &Option<Position>) -> String {
    first.map(|position| format!(", first at {position}")).unwrap_or_default()
}

fn there_are(existing: &[String]) -> String {
    /// More names than this do not help anyone to find the right one.
    const SHOWN: usize = 8;
    match existing.len() {
        0 => " (there are none)".to_owned(),
        count if count > SHOWN => {
            format!(" (there are: {}, and {} more)", existing[..SHOWN].join(", "), count - SHOWN)
        }
        _ => format!(" (there are: {})", existing.join(", ")),
    }
}
