//! What a server offers: immutable, shared, versioned by content.

use std::{
    collections::{BTreeMap, btree_map},
    fmt,
    sync::Arc,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{
    outline::{Name, endpoints_of},
    resource_type::{PerType, ResourceType},
};

/// A version: the beginning of a SHA-256 of what it is the version of. It survives restarts and
/// is the same on every replica, so a client that reconnects anywhere is sent only what it lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Version(u64);

impl Version {
    pub(crate) fn of(body: &[u8]) -> Self {
        Self::finish(Sha256::new().chain_update(body))
    }

    /// The version of a set, whose members come in the order of their names.
    pub(crate) fn of_set<'a>(members: impl Iterator<Item = (&'a Name, Self)>) -> Self {
        let mut hash = Sha256::new();
        for (name, version) in members {
            // The length keeps the names ("ab", "c") and ("a", "bc") apart.
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name.as_bytes());
            hash.update(version.0.to_be_bytes());
        }
        Self::finish(hash)
    }

    fn finish(hash: Sha256) -> Self {
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize()[..8]);
        Self(u64::from_be_bytes(first))
    }

    /// Reads what [`Display`](fmt::Display) wrote. Anything else is no version of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let well_formed =
            text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        well_formed.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One resource, encoded once for all who receive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    version: Version,
    body: Bytes,
    endpoints: Option<Name>,
}

impl Resource {
    /// A resource from its encoding, which must be canonical: equal content, equal bytes.
    pub fn new(of: ResourceType, body: Bytes) -> Self {
        let endpoints = if of == ResourceType::Cluster { endpoints_of(&body) } else { None };
        Self { version: Version::of(&body), body, endpoints }
    }

    /// The hash of its content.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The encoded message, without the `Any` around it.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Of a cluster: the EDS resource it takes from the same stream.
    pub fn endpoints(&self) -> Option<&Name> {
        self.endpoints.as_ref()
    }
}

/// All resources of one type, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    by_name: BTreeMap<Name, Resource>,
    version: Version,
}

impl Resources {
    /// A set of resources. Of two with the same name, the later one counts.
    pub fn new(by_name: impl IntoIterator<Item = (Name, Resource)>) -> Self {
        let by_name: BTreeMap<Name, Resource> = by_name.into_iter().collect();
        let version = Version::of_set(by_name.iter().map(|(name, each)| (name, each.version)));
        Self { by_name, version }
    }

    /// A set of encoded resources of one type.
    pub fn encoded(of: ResourceType, bodies: impl IntoIterator<Item = (Name, Bytes)>) -> Self {
        Self::new(bodies.into_iter().map(|(name, body)| (name, Resource::new(of, body))))
    }

    /// The hash of names and versions.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The resource of that name.
    pub fn get(&self, name: &str) -> Option<&Resource> {
        self.by_name.get(name)
    }

    /// The resource of that name, and the shared copy of the name.
    pub(crate) fn get_key_value(&self, name: &str) -> Option<(&Name, &Resource)> {
        self.by_name.get_key_value(name)
    }

    /// All, ordered by name.
    pub fn iter(&self) -> btree_map::Iter<'_, Name, Resource> {
        self.by_name.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// What one node is offered: the resources of every type, consistent with one another.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    types: PerType<Arc<Resources>>,
}

impl Snapshot {
    /// Resources of one type.
    pub fn get(&self, of: ResourceType) -> &Arc<Resources> {
        &self.types[of]
    }

    /// The same snapshot with other resources of one type.
    #[must_use]
    pub fn with(mut self, of: ResourceType, resources: impl Into<Arc<Resources>>) -> Self {
        self.types[of] = resources.into();
        self
    }

    /// The same snapshot, sharing with `previous` every type whose content is the same. A stream
    /// sees at once that a shared type did not change.
    #[must_use]
    pub fn sharing(mut self, previous: &Self) -> Self {
        for (of, resources) in self.types.iter_mut() {
            if resources.version == previous.types[of].version {
                *resources = Arc::clone(&previous.types[of]);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(bodies: &[(&str, &'static str)]) -> Resources {
        Resources::encoded(
            ResourceType::Route,
            bodies.iter().map(|&(name, body)| (name.into(), Bytes::from_static(body.as_bytes()))),
        )
    }

    #[test]
    fn versions_follow_content_alone() {
        let one = resources(&[("a", "1"), ("b", "2")]);
        assert_eq!(one.version(), resources(&[("b", "2"), ("a", "1")]).version());
        assert_ne!(one.version(), resources(&[("a", "1"), ("b", "3")]).version());
        assert_ne!(one.version(), resources(&[("a", "1"), ("c", "2")]).version());
        assert_ne!(one.version(), resources(&[("a", "1")]).version());
    }

    #[test]
    fn a_version_is_read_back_and_nothing_else_is() {
        let version = resources(&[("a", "1")]).version();
        assert_eq!(Version::parse(&version.to_string()), Some(version));
        for foreign in ["", "1", "2026-11-22T00:00:00Z/1", "+000000000000001", "00000000000000AB"] {
            assert_eq!(Version::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn equal_types_are_shared() {
        let old = Snapshot::default().with(ResourceType::Route, resources(&[("a", "1")]));
        let new = Snapshot::default()
            .with(ResourceType::Route, resources(&[("a", "1")]))
            .with(ResourceType::Cluster, resources(&[("c", "1")]))
            .sharing(&old);
        assert!(Arc::ptr_eq(old.get(ResourceType::Route), new.get(ResourceType::Route)));
        assert_eq!(new.get(ResourceType::Cluster).len(), 1);
    }
}
