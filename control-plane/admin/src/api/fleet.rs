//! What runs: workloads, and the proxies that are connected.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One running instance of a service, as its sidecar registered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Workload {
    /// The service.
    pub service: String,
    /// Its namespace.
    pub namespace: String,
    /// Which instance of it.
    pub instance: String,
    /// Where its sidecar takes requests for it.
    pub address: String,
    /// `serving` or `draining`.
    pub phase: String,
    /// Free to choose; subsets select by them.
    pub labels: BTreeMap<String, String>,
    /// Where it runs, or empty.
    pub zone: String,
}

impl From<&weft_discovery::Workload> for Workload {
    fn from(workload: &weft_discovery::Workload) -> Self {
        Self {
            service: workload.id.service.clone(),
            namespace: workload.id.namespace.clone(),
            instance: workload.id.instance.clone(),
            address: workload.address.to_string(),
            phase: workload.phase.as_str().to_owned(),
            labels: workload.labels.clone(),
            zone: workload.zone.clone(),
        }
    }
}

/// One proxy that is connected over xDS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proxy {
    /// The node's id.
    pub node: String,
    /// What it says it is, for example `weft 0.1.0`.
    pub agent: String,
    /// `namespace/name` of the Service that it runs beside, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// `namespace/name` of the Gateway that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Since when it has been connected, as in RFC 3339.
    pub since: String,
    /// Whether it has accepted everything that the mesh means it to have.
    pub converged: bool,
    /// Each resource type that it asked for.
    pub types: Vec<ProxyType>,
    /// What it refused. It is not sent that again until it changes; all else flows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Quarantined>,
    /// Resources that it is not sent, because it would refuse them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
}

impl Proxy {
    /// Whether it has refused something, or something is held back from it.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        !self.withheld.is_empty()
            || !self.quarantined.is_empty()
            || self.types.iter().any(|of| of.refused.is_some())
    }
}

/// How far one proxy is with one resource type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProxyType {
    /// The type's abbreviation, for example `CDS`.
    pub r#type: String,
    /// Whether the proxy has accepted everything of it.
    pub converged: bool,
    /// The last version sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Stamp>,
    /// The last version accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Stamp>,
    /// The last version refused, until the proxy accepts everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedVersion>,
}

/// A version, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stamp {
    /// The version.
    pub version: String,
    /// When, as in RFC 3339.
    pub at: String,
}

/// What a proxy refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedVersion {
    /// The version.
    pub version: String,
    /// When, as in RFC 3339.
    pub at: String,
    /// The resources to blame, as far as known.
    pub resources: Vec<String>,
    /// The proxy's words.
    pub reason: String,
}

/// A resource that a proxy is not sent, because it would refuse it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Withheld {
    /// The type's abbreviation, for example `RDS`.
    pub r#type: String,
    /// The resource's name.
    pub name: String,
    /// All that is wrong with it.
    pub reasons: Vec<String>,
    /// The earlier version that is sent in its place, if there was a good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
}

/// A resource whose newest version a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quarantined {
    /// The type's abbreviation, for example `CDS`.
    pub r#type: String,
    /// The resource's name.
    pub name: String,
    /// The version that was refused.
    pub version: String,
    /// The proxy's words.
    pub reason: String,
    /// The version that it is given instead; nothing when it is left with what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
}
