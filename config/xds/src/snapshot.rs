//! What a server offers: immutable, shared, versioned by content.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
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

    /// The version of a list of names, in the order that they have.
    pub(crate) fn of_names(names: &[String]) -> Self {
        let mut hash = Sha256::new();
        for name in names {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
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

/// How many sets back one remembers in what it differs. Whoever is further behind compares.
const STEPS: usize = 16;

/// All resources of one type, by name. Sets are equal when their resources are.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    by_name: BTreeMap<Name, Resource>,
    version: Version,
    /// The newest first.
    steps: Vec<Step>,
}

/// From a set to the one after it.
#[derive(Clone, Debug)]
struct Step {
    from: Version,
    changed: Arc<[Name]>,
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.by_name == other.by_name
    }
}

impl Eq for Resources {}

impl Resources {
    /// A set of resources. Of two with the same name, the later one counts.
    pub fn new(by_name: impl IntoIterator<Item = (Name, Resource)>) -> Self {
        let by_name: BTreeMap<Name, Resource> = by_name.into_iter().collect();
        let version = Version::of_set(by_name.iter().map(|(name, each)| (name, each.version)));
        Self { by_name, version, steps: Vec::new() }
    }

    /// The same set, remembering in what it differs from the one before it. A thousand streams
    /// that had that one need not each find out.
    #[must_use]
    pub fn following(mut self, previous: &Self) -> Self {
        self.steps.clone_from(&previous.steps);
        if self.version != previous.version {
            let changed = difference(&previous.by_name, &self.by_name).into();
            self.steps.insert(0, Step { from: previous.version, changed });
            self.steps.truncate(STEPS);
        }
        self
    }

    /// The names whose content may be another than in `earlier`.
    pub(crate) fn changed_since(&self, earlier: &Self) -> BTreeSet<Name> {
        if self.version == earlier.version {
            return BTreeSet::new();
        }
        let mut changed = BTreeSet::new();
        for step in &self.steps {
            changed.extend(step.changed.iter().cloned());
            if step.from == earlier.version {
                return changed;
            }
        }
        difference(&earlier.by_name, &self.by_name).into_iter().collect()
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

/// The names that are in one alone, or have other content in each.
fn difference(one: &BTreeMap<Name, Resource>, other: &BTreeMap<Name, Resource>) -> Vec<Name> {
    let gone = one.keys().filter(|name| !other.contains_key(*name));
    let before = |name: &Name| one.get(name).map(Resource::version);
    let new = other.iter().filter(|(name, each)| before(name) != Some(each.version));
    gone.chain(new.map(|(name, _)| name)).cloned().collect()
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
    fn what_changed_is_the_same_whether_remembered_or_found_out() {
        let mut sets = vec![resources(&[("a", "1"), ("b", "1")])];
        let contents: [&[(&str, &'static str)]; 4] =
            [&[("a", "2"), ("b", "1")], &[("a", "2")], &[("a", "2"), ("c", "1")], &[("a", "1")]];
        for content in contents {
            let next = resources(content).following(sets.last().unwrap());
            sets.push(next);
        }
        let names = |names: BTreeSet<Name>| names.iter().map(ToString::to_string).collect();
        let since = |earlier| -> Vec<String> { names(sets[4].changed_since(earlier)) };
        assert_eq!(since(&sets[4]), [""; 0]);
        assert_eq!(since(&sets[3]), ["a", "c"]);
        assert_eq!(since(&sets[1]), ["a", "b", "c"], "what came and went in between may be named");
        let stranger = resources(&[("a", "1"), ("z", "1")]);
        assert_eq!(since(&stranger), ["z"], "a set of another past is compared");
        let same = resources(&[("a", "1")]).following(&sets[4]);
        assert_eq!(same.changed_since(&sets[3]).len(), 2, "an equal set keeps the past");
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
