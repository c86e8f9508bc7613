//! What endpoints say of themselves, and what requests ask of them.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// One entry of an endpoint's `envoy.lb` metadata. Values are compared as text, which therefore tells
/// types apart: the text of a string has its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub key: Arc<str>,
    /// Its value,
    pub value: Arc<str>,
    /// and where that is a list the items of it.
    pub items: Option<Box<[Arc<str>]>>,
}

impl Label {
    /// Whether it has this value, or is a list with such an item.
    pub fn says(&self, value: &str) -> bool {
        self.values(true).iter().any(|each| **each == *value)
    }

    /// The values that it stands for, where any item of a list may be asked for or not.
    pub(crate) fn values(&self, list_as_any: bool) -> &[Arc<str>] {
        match &self.items {
            Some(items) if list_as_any => items,
            _ => std::slice::from_ref(&self.value),
        }
    }
}

/// A label that an endpoint must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Criterion {
    pub(crate) key: Arc<str>,
    pub(crate) value: Arc<str>,
    pub(crate) hash: u64,
}

impl Criterion {
    fn new((key, value): (Arc<str>, Arc<str>)) -> Self {
        let mut hasher = DefaultHasher::new();
        (&*key, &*value).hash(&mut hasher);
        Self { key, value, hash: hasher.finish() }
    }
}

/// The labels that a request asks for (`metadata_match`), in the order of their names; each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria(Box<[Criterion]>);

impl Criteria {
    /// Criteria of names and values; of two of one name the first counts.
    pub fn new(labels: impl IntoIterator<Item = (Arc<str>, Arc<str>)>) -> Self {
        let mut each: Vec<_> = labels.into_iter().map(Criterion::new).collect();
        each.sort_by(|a, b| a.key.cmp(&b.key));
        each.dedup_by(|later, earlier| later.key == earlier.key);
        Self(each.into_boxed_slice())
    }

    /// Names and values.
    pub fn labels(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter().map(|each| (&each.key, &each.value))
    }

    /// Those of the names that are `kept`.
    pub(crate) fn among<'a>(
        &'a self,
        kept: Option<&'a [Box<str>]>,
    ) -> impl Iterator<Item = &'a Criterion> + Clone {
        let is_kept = move |each: &&Criterion| {
            kept.is_none_or(|kept| kept.iter().any(|key| **key == *each.key))
        };
        self.0.iter().filter(is_kept)
    }

    /// Whether a host has all of them.
    pub(crate) fn are_met_by(&self, labels: &[Label], list_as_any: bool) -> bool {
        self.0.iter().all(|asked| {
            let mut named = labels.iter().filter(|label| label.key == asked.key);
            named.any(|label| label.values(list_as_any).contains(&asked.value))
        })
    }
}

/// What a set of labels is found by.
pub(crate) fn hash_of<'a>(criteria: impl Iterator<Item = &'a Criterion>) -> u64 {
    criteria.fold(0, |sum, each| sum.rotate_left(5) ^ each.hash)
}
