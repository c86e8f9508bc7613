//! An endpoint as one version of a cluster lists it.

use std::sync::Arc;

use crate::{
    endpoint::EndpointState,
    labels::Label,
    standing::{Standing, Verdict},
};

/// One endpoint with what decides how often it is picked.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its identity and what outlives this version.
    pub endpoint: Arc<EndpointState>,
    /// `load_balancing_weight` among the hosts picked from; 0 counts as 1.
    pub weight: u32,
    /// `health_status`.
    pub health: Health,
    /// What this proxy had found out about it when this version was made.
    pub standing: Standing,
    /// How much of its part it takes, in parts of [`FULL_SPEED`](crate::FULL_SPEED), where any
    /// host of the cluster takes less than all of it.
    pub speed: Option<u32>,
    /// `priority`: 0 is used first.
    pub priority: u32,
    /// Where it runs.
    pub locality: Option<Arc<Locality>>,
    /// Weight of the whole locality. Only to be set where the cluster balances by locality weight
    /// (`locality_weighted_lb_config`); where some hosts of a priority have one, those without
    /// are not picked.
    pub locality_weight: Option<u32>,
    /// What it is placed by where requests are hashed (`hash_key` of its `envoy.lb` metadata, or its
    /// hostname where the policy says so); its address unless set.
    pub hash_key: Option<Arc<str>>,
    /// What it says of itself (its `envoy.lb` metadata).
    pub labels: Arc<[Label]>,
}

impl Host {
    /// A host of weight 1 and priority 0 whose health is not known.
    pub fn new(endpoint: Arc<EndpointState>) -> Self {
        Self {
            endpoint,
            weight: 1,
            health: Health::Unknown,
            standing: Standing::default(),
            speed: None,
            priority: 0,
            locality: None,
            locality_weight: None,
            hash_key: None,
            labels: Arc::default(),
        }
    }

    /// Whether it takes requests, by all that was known when this version was made.
    pub fn condition(&self) -> Condition {
        self.condition_given(self.standing)
    }

    /// Whether it takes requests from the next version on, by all that is known now.
    pub fn condition_now(&self) -> Condition {
        self.condition_given(self.endpoint.standing())
    }

    fn condition_given(&self, standing: Standing) -> Condition {
        let health = self.health;
        let is_excluded = !health.counts()
            || standing.has(Verdict::AwaitsCheck)
            || standing.has(Verdict::Excluded);
        match health {
            _ if is_excluded => Condition::Excluded,
            _ if !standing.is_usable() => Condition::Unhealthy,
            Health::Unhealthy | Health::Timeout => Condition::Unhealthy,
            Health::Degraded => Condition::Degraded,
            _ if standing.has(Verdict::DegradedByCheck) => Condition::Degraded,
            _ => Condition::Healthy,
        }
    }

    /// Its state by all that is known now.
    pub fn health_now(&self) -> Health {
        let standing = self.endpoint.standing();
        match self.health {
            _ if !standing.is_usable() || standing.has(Verdict::AwaitsCheck) => Health::Unhealthy,
            Health::Unhealthy | Health::Draining | Health::Timeout => self.health,
            _ if standing.has(Verdict::DegradedByCheck) => Health::Degraded,
            said => said,
        }
    }

    /// The text that it is placed by where requests are hashed.
    pub(crate) fn placed_by(&self) -> String {
        match &self.hash_key {
            Some(key) => key.to_string(),
            None => self.endpoint.address().to_string(),
        }
    }
}

/// `core.v3.HealthStatus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// Nobody said; counts as healthy.
    #[default]
    Unknown,
    /// Healthy.
    Healthy,
    /// Unhealthy.
    Unhealthy,
    /// Going away; takes no requests, and is as good as gone where the share of available hosts
    /// matters.
    Draining,
    /// Did not answer; counts as unhealthy.
    Timeout,
    /// Used where too few are healthy.
    Degraded,
}

/// Whether a host takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Yes.
    Healthy,
    /// Where too few are healthy.
    Degraded,
    /// No.
    Unhealthy,
    /// No, and it is as good as gone where the share of available hosts matters.
    Excluded,
}

impl Health {
    /// Whether it counts among the hosts of which a share is available.
    fn counts(self) -> bool {
        self != Self::Draining
    }

    /// The name in `core.v3.HealthStatus`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Draining => "DRAINING",
            Self::Timeout => "TIMEOUT",
            Self::Degraded => "DEGRADED",
        }
    }
}

/// `core.v3.Locality`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    /// Region.
    pub region: Box<str>,
    /// Zone.
    pub zone: Box<str>,
    /// Sub-zone.
    pub sub_zone: Box<str>,
}

impl Locality {
    /// Whether what goes from here to there crosses zones; `None` where either has no zone.
    pub fn crosses_to(&self, other: &Self) -> Option<bool> {
        let is_known = !self.zone.is_empty() && !other.zone.is_empty();
        is_known.then(|| self.region != other.region || self.zone != other.zone)
    }
}
