//! Refusals, as problem details of RFC 9457.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The media type of a [`Refusal`].
pub const PROBLEM: &str = "application/problem+json";

/// A request that was refused (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// What kind of refusal it is, for programs.
    #[serde(rename = "type")]
    pub kind: RefusalKind,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was refused, in one sentence.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The revision in force, when another one was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Everything that is wrong with the documents, if it is they that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

impl Refusal {
    /// A refusal; `text` may have its hint on a second line, as the errors of all our crates do.
    #[must_use]
    pub fn new(kind: RefusalKind, text: &str) -> Self {
        let (detail, hint) = match text.split_once("\n  hint: ") {
            Some((detail, hint)) => (detail, Some(hint.to_owned())),
            None => (text, None),
        };
        Self {
            kind,
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.to_owned(),
            hint,
            revision: None,
            problems: Vec::new(),
        }
    }
}

/// The kinds of refusal. There are no others, so that a program can act on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RefusalKind {
    /// The request is not one of this API.
    #[serde(rename = "urn:weft:problem:bad-request")]
    BadRequest,
    /// A web page could have caused the request.
    #[serde(rename = "urn:weft:problem:forbidden")]
    Forbidden,
    /// There is nothing of that name.
    #[serde(rename = "urn:weft:problem:not-found")]
    NotFound,
    /// The path does not take that method.
    #[serde(rename = "urn:weft:problem:method-not-allowed")]
    MethodNotAllowed,
    /// The request took too long to come.
    #[serde(rename = "urn:weft:problem:timeout")]
    Timeout,
    /// The documents are kept in files, and changed there.
    #[serde(rename = "urn:weft:problem:kept-in-files")]
    KeptInFiles,
    /// Somebody else has changed the mesh since the author of the request has read it.
    #[serde(rename = "urn:weft:problem:stale-revision")]
    StaleRevision,
    /// The body is too large.
    #[serde(rename = "urn:weft:problem:too-large")]
    TooLarge,
    /// The documents are wrong; `problems` says where.
    #[serde(rename = "urn:weft:problem:invalid-documents")]
    InvalidDocuments,
    /// The store has failed.
    #[serde(rename = "urn:weft:problem:store-failed")]
    StoreFailed,
    /// The control plane is starting, stopping or overloaded.
    #[serde(rename = "urn:weft:problem:unavailable")]
    Unavailable,
}

impl RefusalKind {
    /// The HTTP status of this kind.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Timeout => 408,
            Self::KeptInFiles => 409,
            Self::StaleRevision => 412,
            Self::TooLarge => 413,
            Self::InvalidDocuments => 422,
            Self::StoreFailed => 500,
            Self::Unavailable => 503,
        }
    }

    /// The kind in words.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "not a request of this API",
            Self::Forbidden => "not answered to web pages",
            Self::NotFound => "not found",
            Self::MethodNotAllowed => "method not allowed",
            Self::Timeout => "the request took too long",
            Self::KeptInFiles => "kept in files",
            Self::StaleRevision => "the mesh has changed meanwhile",
            Self::TooLarge => "too large",
            Self::InvalidDocuments => "the documents are not valid",
            Self::StoreFailed => "the store has failed",
            Self::Unavailable => "not available",
        }
    }
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The file or source that the document came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in the line, from 1, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The document, as `kind/name`, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The field's path within it, for example `spec.rules[0].backendRefs[1].name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<&weft_config::Problem> for Problem {
    fn from(problem: &weft_config::Problem) -> Self {
        Self {
            file: problem.source.as_ref().map(ToString::to_string),
            line: problem.position.map(|position| position.line),
            column: problem.position.map(|position| position.column),
            document: problem.document.as_ref().map(ToString::to_string),
            field: Some(problem.field.clone()).filter(|field| !field.is_empty()),
            message: problem.reason.to_string(),
            hint: Some(problem.reason.hint()),
        }
    }
}

/// `file:line:column: kind/name field: message`, and the hint on a line of its own.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            for number in [self.line, self.column].into_iter().flatten() {
                write!(f, "{number}:")?;
            }
            f.write_str(" ")?;
        }
        let what: Vec<_> =
            [&self.document, &self.field].into_iter().flatten().map(String::as_str).collect();
        if !what.is_empty() {
            write!(f, "{}: ", what.join(" "))?;
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}
