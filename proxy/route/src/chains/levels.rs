//! The conditions, one level of the tree each.

use std::{borrow::Borrow, collections::HashMap, hash::Hash, net::IpAddr};

use foldhash::fast::RandomState;

use super::{
    ServerName, SourceType,
    prefix::{Lengths, Prefix},
};

type Map<K, N> = HashMap<K, N, RandomState>;

/// Nodes by value, and the node of those who ask for none.
#[derive(Debug)]
pub(super) struct Level<K, N> {
    some: Map<K, N>,
    any: Option<Box<N>>,
}

// Derives would ask for a default key.
impl<K, N> Default for Level<K, N> {
    fn default() -> Self {
        Self { some: Map::default(), any: None }
    }
}

impl<K: Hash + Eq, N: Default> Level<K, N> {
    pub(super) fn entry(&mut self, key: Option<K>) -> &mut N {
        match key {
            Some(key) => self.some.entry(key).or_default(),
            None => self.any.get_or_insert_default(),
        }
    }

    pub(super) fn find<Q>(&self, key: Option<&Q>) -> Option<&N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let some = key.filter(|_| !self.some.is_empty()).and_then(|key| self.some.get(key));
        some.or(self.any.as_deref())
    }
}

impl<N: Default> Level<Box<str>, N> {
    /// The node of the first of the client's values that has one.
    pub(super) fn find_first(&self, keys: &[Box<str>]) -> Option<&N> {
        let some = keys.iter().filter(|_| !self.some.is_empty());
        some.filter_map(|key| self.some.get(key)).next().or(self.any.as_deref())
    }
}

/// Nodes by network, the smallest network first.
#[derive(Debug)]
pub(super) struct Prefixes<N> {
    some: Map<Prefix, N>,
    lengths: Lengths,
    any: Option<Box<N>>,
}

impl<N> Default for Prefixes<N> {
    fn default() -> Self {
        Self { some: Map::default(), lengths: Lengths::default(), any: None }
    }
}

impl<N: Default> Prefixes<N> {
    pub(super) fn entry(&mut self, prefix: Option<Prefix>) -> &mut N {
        match prefix {
            Some(prefix) => {
                self.lengths.insert(prefix);
                self.some.entry(prefix).or_default()
            }
            None => self.any.get_or_insert_default(),
        }
    }

    pub(super) fn find(&self, address: Option<IpAddr>) -> Option<&N> {
        let some = address.and_then(|address| {
            self.lengths.around(address).find_map(|prefix| self.some.get(&prefix))
        });
        some.or(self.any.as_deref())
    }
}

/// Nodes by server name: exact ones, then the longest domain above.
#[derive(Debug)]
pub(super) struct Names<N> {
    exact: Map<Box<str>, N>,
    below: Map<Box<str>, N>,
    any: Option<Box<N>>,
}

impl<N> Default for Names<N> {
    fn default() -> Self {
        Self { exact: Map::default(), below: Map::default(), any: None }
    }
}

impl<N: Default> Names<N> {
    pub(super) fn entry(&mut self, name: Option<ServerName>) -> &mut N {
        match name {
            Some(ServerName::Exact(name)) => self.exact.entry(name).or_default(),
            Some(ServerName::Below(domain)) => self.below.entry(domain).or_default(),
            None => self.any.get_or_insert_default(),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<&N> {
        self.exact.get(name).or_else(|| self.find_below(name)).or(self.any.as_deref())
    }

    fn find_below(&self, name: &str) -> Option<&N> {
        if self.below.is_empty() {
            return None;
        }
        // A dot at the very start has nothing before it that a star could stand for.
        let dots = name.match_indices('.').map(|(at, _)| at).filter(|at| *at > 0);
        dots.filter_map(|at| self.below.get(name.get(at..)?)).next()
    }
}

/// Nodes by where the client is.
#[derive(Debug)]
pub(super) struct Sources<N> {
    any: Option<Box<N>>,
    local: Option<Box<N>>,
    external: Option<Box<N>>,
}

impl<N> Default for Sources<N> {
    fn default() -> Self {
        Self { any: None, local: None, external: None }
    }
}

impl<N: Default> Sources<N> {
    pub(super) fn entry(&mut self, source: SourceType) -> &mut N {
        let slot = match source {
            SourceType::Any => &mut self.any,
            SourceType::SameIpOrLoopback => &mut self.local,
            SourceType::External => &mut self.external,
        };
        slot.get_or_insert_default()
    }

    pub(super) fn find(&self, is_local: impl FnOnce() -> bool) -> Option<&N> {
        let some = match (&self.local, &self.external) {
            (None, None) => None,
            (local, external) => if is_local() { local } else { external }.as_deref(),
        };
        some.or(self.any.as_deref())
    }
}
