//! What is wanted of one type.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::outline::Name;

/// What is wanted of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Whatever the server has for this node. For clusters and listeners.
    All(Patience),
    /// Exactly these.
    Names(BTreeMap<Name, Patience>),
}

/// How long to wait for a resource before taking it as one that does not exist, counted from
/// asking for it on a live stream (`initial_fetch_timeout`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// This long.
    For(Duration),
    /// For ever.
    Endless,
}

impl Default for Patience {
    /// Envoy's 15 s.
    fn default() -> Self {
        Self::For(Duration::from_secs(15))
    }
}

impl Wanted {
    pub(super) fn contains(&self, name: &str) -> bool {
        match self {
            Self::All(_) => true,
            Self::Names(names) => names.contains_key(name),
        }
    }

    pub(super) fn is_all(&self) -> bool {
        matches!(self, Self::All(_))
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Names(names) if names.is_empty())
    }

    /// The names, if it is by name.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        match self {
            Self::All(_) => None,
            Self::Names(names) => Some(names.keys()),
        }
        .into_iter()
        .flatten()
    }

    /// How long to wait for a name.
    pub(super) fn patience(&self, name: &str) -> Patience {
        match self {
            Self::All(patience) => *patience,
            Self::Names(names) => names.get(name).copied().unwrap_or_default(),
        }
    }

    /// The names that were not asked for.
    pub(super) fn beyond(&self, asked: Option<&Asked>) -> Vec<Name> {
        let known = |name: &Name| match asked {
            Some(Asked::Names(names)) => names.contains(name),
            Some(Asked::All) | None => false,
        };
        self.names().filter(|name| !known(name)).cloned().collect()
    }
}

impl Default for Wanted {
    /// Everything, waited for as long as Envoy does.
    fn default() -> Self {
        Self::All(Patience::default())
    }
}

impl<N: Into<Name>> FromIterator<N> for Wanted {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        Self::Names(names.into_iter().map(|name| (name.into(), Patience::default())).collect())
    }
}

/// What was asked for on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    All,
    Names(BTreeSet<Name>),
}

impl Asked {
    /// Exactly what is wanted.
    pub(super) fn all_of(wanted: &Wanted) -> Self {
        match wanted {
            Wanted::All(_) => Self::All,
            Wanted::Names(names) => Self::Names(names.keys().cloned().collect()),
        }
    }

    /// Whether it is what is wanted. How long to wait is nothing that a server is told.
    pub(super) fn is(&self, wanted: &Wanted) -> bool {
        match (self, wanted) {
            (Self::All, Wanted::All(_)) => true,
            (Self::Names(asked), Wanted::Names(wanted)) => asked.iter().eq(wanted.keys()),
            (Self::All, Wanted::Names(_)) | (Self::Names(_), Wanted::All(_)) => false,
        }
    }

    /// The names that are wanted no longer.
    pub(super) fn beyond(&self, wanted: &Wanted) -> Vec<Name> {
        match self {
            Self::All => Vec::new(),
            Self::Names(names) => {
                let kept = |name: &Name| !wanted.is_all() && wanted.contains(name);
                names.iter().filter(|name| !kept(name)).cloned().collect()
            }
        }
    }
}
