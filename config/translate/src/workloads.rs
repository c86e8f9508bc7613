//! What runs: the instances that registered and take requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use weft_config::{Key, StringMap};

/// A running instance of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// Its failure domain, or empty.
    pub zone: String,
    /// What it is called among the instances of its Service.
    pub name: String,
    /// Where its sidecar takes requests for it.
    pub address: SocketAddr,
    /// What Subsets select by.
    pub labels: StringMap,
    /// Whether its application answers.
    pub healthy: bool,
}

/// The instances that take requests, by Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workloads {
    by_service: BTreeMap<Key, Arc<[Instance]>>,
}

impl Workloads {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the instances of a Service; says whether that changed anything. Their order does
    /// not matter.
    pub fn set(&mut self, service: Key, mut instances: Vec<Instance>) -> bool {
        instances.sort();
        if instances == *self.of(&service) {
            return false;
        }
        if instances.is_empty() {
            self.by_service.remove(&service);
        } else {
            self.by_service.insert(service, instances.into());
        }
        true
    }

    /// The instances of a Service, in order.
    pub fn of(&self, service: &Key) -> &[Instance] {
        self.by_service.get(service).map_or(&[], |instances| instances)
    }

    /// The Services that have any.
    pub fn services(&self) -> impl Iterator<Item = &Key> {
        self.by_service.keys()
    }
}

impl FromIterator<(Key, Instance)> for Workloads {
    fn from_iter<I: IntoIterator<Item = (Key, Instance)>>(instances: I) -> Self {
        let mut by_service: BTreeMap<Key, Vec<Instance>> = BTreeMap::new();
        for (service, instance) in instances {
            by_service.entry(service).or_default().push(instance);
        }
        let mut workloads = Self::new();
        for (service, instances) in by_service {
            workloads.set(service, instances);
        }
        workloads
    }
}
