//! What a store holds.

use std::fmt;

/// How often a store has been changed. Zero is a store that never was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a document is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// For example `HTTPRoute`.
    pub kind: String,
    /// For example `default`.
    pub namespace: String,
    /// For example `inventory`.
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it is known by.
    pub key: Key,
    /// What it says; the store does not read it.
    pub text: String,
}

/// What to change, as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The revision that the author of this change has seen.
    pub expect: Revision,
    /// Documents to add or to replace.
    pub put: Vec<Document>,
    /// Documents to remove. One that does not exist is no error.
    pub delete: Vec<Key>,
}

/// Everything in a store at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// When it was read.
    pub revision: Revision,
    /// Ordered by key.
    pub documents: Vec<Document>,
}
