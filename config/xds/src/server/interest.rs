//! What a client subscribes to of one type.

use std::collections::BTreeSet;

use crate::{
    outline::{Name, canonical},
    resource_type::ResourceType,
    snapshot::Resources,
};

/// The name that stands for all resources of a type.
pub(super) const WILDCARD: &str = "*";

/// What a client subscribes to of one type, on one stream.
#[derive(Debug, Default)]
pub(super) struct Interest {
    wildcard: bool,
    names: BTreeSet<Name>,
    /// Once a client has named anything, naming nothing means nothing; before, it means all.
    has_named: bool,
}

impl Interest {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Whether the client named it, rather than asking for everything.
    pub(super) fn names(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The names given, whatever the wildcard.
    pub(super) fn named(&self) -> &BTreeSet<Name> {
        &self.names
    }

    /// Takes the full list of a state-of-the-world request. Returns the names that are new to it.
    pub(super) fn replace(
        &mut self,
        of: ResourceType,
        names: Vec<String>,
        known: &Resources,
    ) -> Vec<Name> {
        if names.is_empty() && !self.has_named {
            self.wildcard = of.is_root();
            return Vec::new();
        }
        self.has_named = true;
        self.wildcard = names.iter().any(|name| name == WILDCARD);
        let mut previous = std::mem::take(&mut self.names);
        let mut added = Vec::new();
        for name in names.into_iter().map(canonical) {
            if name == WILDCARD || self.names.contains(name.as_str()) {
                continue;
            }
            let name = previous.take(name.as_str()).unwrap_or_else(|| {
                let name = shared(name, known);
                added.push(Name::clone(&name));
                name
            });
            self.names.insert(name);
        }
        added
    }

    /// Takes a delta request. Returns every name whose state must be told anew: those subscribed
    /// to, known or not, and those that stay covered by the wildcard after losing their own
    /// subscription, for a client may have dropped either.
    pub(super) fn adjust(
        &mut self,
        of: ResourceType,
        first: bool,
        subscribe: Vec<String>,
        unsubscribe: Vec<String>,
        known: &Resources,
    ) -> Vec<Name> {
        if first && subscribe.is_empty() && unsubscribe.is_empty() {
            self.wildcard = of.is_root();
            return Vec::new();
        }
        let mut touched = Vec::new();
        for name in subscribe.into_iter().map(canonical) {
            if name == WILDCARD {
                self.wildcard = true;
                continue;
            }
            let name = shared(name, known);
            touched.push(Name::clone(&name));
            self.names.insert(name);
        }
        for name in unsubscribe.into_iter().map(canonical) {
            if name == WILDCARD {
                self.wildcard = false;
            } else if let Some(name) = self.names.take(name.as_str())
                && self.wildcard
            {
                touched.push(name);
            }
        }
        touched
    }
}

/// The snapshot's own copy of a name where it has one, so that a thousand streams share it.
fn shared(name: String, known: &Resources) -> Name {
    match known.get_key_value(&name) {
        Some((name, _)) => Name::clone(name),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.into()).collect()
    }

    #[test]
    fn naming_nothing_means_all_only_for_roots_and_only_before_any_name() {
        let known = Resources::default();
        let mut clusters = Interest::default();
        clusters.replace(ResourceType::Cluster, vec![], &known);
        assert!(clusters.contains("c"));
        clusters.replace(ResourceType::Cluster, names(&["a"]), &known);
        assert!(clusters.contains("a") && !clusters.contains("c"));
        clusters.replace(ResourceType::Cluster, vec![], &known);
        assert!(!clusters.contains("a") && !clusters.contains("c"));

        let mut routes = Interest::default();
        routes.replace(ResourceType::Route, vec![], &known);
        assert!(!routes.contains("r"));
    }

    #[test]
    fn only_names_that_are_new_count_as_added() {
        let known = Resources::default();
        let mut interest = Interest::default();
        let mut add = |list| interest.replace(ResourceType::Endpoint, names(list), &known).len();
        assert_eq!(add(&["a", "b"]), 2);
        assert_eq!(add(&["b", "c", "c"]), 1);
        assert_eq!(add(&["b", "*", "a"]), 1);
    }

    #[test]
    fn delta_wildcard_comes_and_goes_beside_names() {
        let known = Resources::default();
        let mut interest = Interest::default();
        let of = ResourceType::Cluster;
        interest.adjust(of, true, vec![], vec![], &known);
        assert!(interest.contains("any"));
        let touched = interest.adjust(of, false, names(&["a"]), names(&["*"]), &known);
        assert_eq!(touched.len(), 1);
        assert!(interest.contains("a") && !interest.contains("any"));
    }

    #[test]
    fn a_delta_client_may_subscribe_to_nothing_yet() {
        let mut interest = Interest::default();
        let star = names(&["*"]);
        interest.adjust(ResourceType::Cluster, true, star.clone(), star, &Resources::default());
        assert!(!interest.contains("any"));
    }
}
