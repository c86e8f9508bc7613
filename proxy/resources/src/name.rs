//! Names of resources. A cluster's name cannot be used where a route configuration's is meant.

use std::{cmp::Ordering, fmt, hash, marker::PhantomData, sync::Arc};

/// The name of a resource of kind `K`; cheap to clone.
pub struct Name<K> {
    text: Arc<str>,
    kind: PhantomData<fn() -> K>,
}

/// The kinds a [`Name`] can be of.
pub mod kind {
    /// `envoy.config.cluster.v3.Cluster`.
    #[derive(Debug)]
    pub enum Cluster {}
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`: a cluster's `service_name`, or its name.
    #[derive(Debug)]
    pub enum Assignment {}
    /// `envoy.config.route.v3.RouteConfiguration`.
    #[derive(Debug)]
    pub enum RouteConfig {}
    /// `envoy.config.listener.v3.Listener`.
    #[derive(Debug)]
    pub enum Listener {}
}

/// Names a cluster.
pub type ClusterName = Name<kind::Cluster>;
/// Names the endpoints of one or more clusters.
pub type AssignmentName = Name<kind::Assignment>;
/// Names a route configuration.
pub type RouteConfigName = Name<kind::RouteConfig>;
/// Names a listener.
pub type ListenerName = Name<kind::Listener>;

impl<K> Name<K> {
    /// The name as it is on the wire.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same text, shared.
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }
}

impl<K> From<&str> for Name<K> {
    fn from(text: &str) -> Self {
        Self { text: Arc::from(text), kind: PhantomData }
    }
}

impl<K> From<Arc<str>> for Name<K> {
    fn from(text: Arc<str>) -> Self {
        Self { text, kind: PhantomData }
    }
}

// Written out because derives would ask the same of `K`, which never has a value.
impl<K> Clone for Name<K> {
    fn clone(&self) -> Self {
        Self { text: Arc::clone(&self.text), kind: PhantomData }
    }
}

impl<K> PartialEq for Name<K> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<K> Eq for Name<K> {}

impl<K> PartialOrd for Name<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Name<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl<K> hash::Hash for Name<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<K> fmt::Debug for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl<K> fmt::Display for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
