//! What is wanted of one type.

use std::collections::BTreeSet;

use crate::outline::Name;

/// What is wanted of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Whatever the server has for this node. For clusters and listeners.
    All,
    /// Exactly these.
    Names(BTreeSet<Name>),
}

impl Wanted {
    pub(super) fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.contains(name),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Names(names) if names.is_empty())
    }

    /// The names, if it is by name.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        match self {
            Self::All => None,
            Self::Names(names) => Some(names),
        }
        .into_iter()
        .flatten()
    }

    /// The names that `other` lacks.
    pub(super) fn beyond(&self, other: Option<&Self>) -> Vec<Name> {
        let known = |name: &Name| match other {
            Some(Self::Names(names)) => names.contains(name),
            Some(Self::All) | None => false,
        };
        self.names().filter(|name| !known(name)).cloned().collect()
    }
}

impl<N: Into<Name>> FromIterator<N> for Wanted {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        Self::Names(names.into_iter().map(Into::into).collect())
    }
}
