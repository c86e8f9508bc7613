//! Which names are referred to, and by whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_resources::{FetchTimeout, Origin, Problem, Reason, ResourceType};

/// Names that resources held now refer to: what to subscribe to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Keys of endpoint assignments.
    pub assignments: WantedNames,
    /// Keys of route configurations.
    pub route_configs: WantedNames,
}

impl Wanted {
    /// The names of a type; `None` for types that are not subscribed to by name.
    pub fn of(&self, kind: ResourceType) -> Option<&WantedNames> {
        match kind {
            ResourceType::Assignment => Some(&self.assignments),
            ResourceType::RouteConfiguration => Some(&self.route_configs),
            ResourceType::Cluster | ResourceType::Listener => None,
        }
    }

    /// Grows with every change.
    pub(crate) fn changes(&self) -> u64 {
        self.assignments.changes + self.route_configs.changes
    }
}

/// Keys of one type ([`Origin::key`]), each with where to get it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedNames {
    names: BTreeMap<Arc<str>, Want>,
    changes: u64,
}

impl WantedNames {
    /// Whether a name is wanted.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Where to get what, if it is wanted.
    pub fn get(&self, name: &str) -> Option<&Want> {
        self.names.get(name)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Want)> {
        self.names.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn add(&mut self, reference: &Reference) {
        if !self.contains(&reference.name) {
            let want =
                Want { origin: reference.origin.clone(), fetch_timeout: reference.fetch_timeout };
            self.names.insert(Arc::clone(&reference.name), want);
            self.changes += 1;
        }
    }

    fn remove(&mut self, name: &str) {
        if self.names.remove(name).is_some() {
            self.changes += 1;
        }
    }
}

/// Where to get a resource that is referred to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Where it comes from.
    pub origin: Origin,
    /// How long to wait for it at first.
    pub fetch_timeout: FetchTimeout,
}

/// What a resource refers to, by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) name: Arc<str>,
    pub(crate) origin: Origin,
    pub(crate) fetch_timeout: FetchTimeout,
}

/// Why what comes from these origins cannot be had: streams to servers that are no static clusters.
pub(crate) fn unreachable<'o>(
    origins: impl IntoIterator<Item = &'o Origin>,
    is_static: impl Fn(&str) -> bool,
) -> Vec<Reason> {
    let services = origins.into_iter().filter_map(|origin| match origin {
        Origin::Api(api) => Some(&api.services),
        Origin::Aggregated | Origin::File(_) => None,
    });
    services
        .flatten()
        .filter(|service| !is_static(&service.cluster))
        .map(|service| Reason {
            path: "api_config_source".to_owned(),
            problem: Problem::UnknownServer(service.cluster.to_string()),
        })
        .collect()
}

/// Who refers to what, kept up to date as parents change.
#[derive(Debug, Default)]
pub(crate) struct References {
    by_user: BTreeMap<Arc<str>, Vec<Reference>>,
    by_name: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Names that lost a user since orphans were taken last.
    touched: Vec<Arc<str>>,
}

impl References {
    /// Says what `user` refers to from now on. Names that get their first user become wanted.
    pub(crate) fn replace(
        &mut self,
        user: &Arc<str>,
        references: Vec<Reference>,
        wanted: &mut WantedNames,
    ) {
        for reference in &references {
            let users = self.by_name.entry(Arc::clone(&reference.name)).or_default();
            users.insert(Arc::clone(user));
            wanted.add(reference);
        }
        let is_kept = |name: &str| references.iter().any(|kept| *kept.name == *name);
        for Reference { name, .. } in self.by_user.remove(user).unwrap_or_default() {
            if is_kept(&name) {
                continue;
            }
            if let Some(users) = self.by_name.get_mut(&name) {
                users.remove(user);
                self.touched.push(name);
            }
        }
        if !references.is_empty() {
            self.by_user.insert(Arc::clone(user), references);
        }
    }

    /// Takes out the names that have no user any more. Only at the end of an update: one listener
    /// may hand its routes over to another.
    pub(crate) fn take_orphans(&mut self, wanted: &mut WantedNames) -> Vec<Arc<str>> {
        let mut orphans = Vec::new();
        for name in std::mem::take(&mut self.touched) {
            if self.by_name.get(&name).is_some_and(BTreeSet::is_empty) {
                self.by_name.remove(&name);
                wanted.remove(&name);
                orphans.push(name);
            }
        }
        orphans
    }

    /// Who refers to a name.
    pub(crate) fn users(&self, name: &str) -> Vec<Arc<str>> {
        self.by_name.get(name).into_iter().flatten().map(Arc::clone).collect()
    }
}
