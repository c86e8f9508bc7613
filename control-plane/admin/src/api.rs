//! What the admin API says, as JSON. The command line reads the same types.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The media type of [`Source`]s: several files that are applied as one.
pub const SOURCES: &str = "application/vnd.weft.sources+json";

/// One file of documents, with its name for problems to refer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// For example `shop/inventory.yaml`.
    pub name: String,
    /// YAML or JSON documents.
    pub text: String,
}

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What was refused, in one sentence.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Everything that is wrong with the documents, if it is they that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Where it is: `file:line:column`, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The resource, as `kind/name`, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The field's path within the resource, for example `spec.rules[0].backendRefs[1].name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<&weft_config::Problem> for Problem {
    fn from(problem: &weft_config::Problem) -> Self {
        let location = problem.source.as_ref().map(|source| match problem.position {
            Some(position) => format!("{source}:{position}"),
            None => source.to_string(),
        });
        Self {
            location,
            resource: problem.document.as_ref().map(ToString::to_string),
            field: Some(problem.field.clone()).filter(|field| !field.is_empty()),
            message: problem.reason.to_string(),
            hint: Some(problem.reason.hint()),
        }
    }
}

/// `file:line:column: kind/name field: message`, and the hint on a line of its own.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        let what: Vec<_> =
            [&self.resource, &self.field].into_iter().flatten().map(String::as_str).collect();
        if !what.is_empty() {
            write!(f, "{}: ", what.join(" "))?;
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

/// The outcome of an apply or a delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The store's revision afterwards.
    pub revision: u64,
    /// Whether nothing was changed because only the outcome was asked for.
    pub dry_run: bool,
    /// Each resource that was named, and what became of it.
    pub resources: Vec<Changed>,
}

/// One resource of an [`Outcome`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// For example `HTTPRoute`.
    pub kind: String,
    /// For example `default`.
    pub namespace: String,
    /// For example `inventory`.
    pub name: String,
    /// What became of it.
    pub change: ChangeKind,
}

/// What became of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// It was there and is different now.
    Updated,
    /// It was there and is the same.
    Unchanged,
    /// It is gone.
    Deleted,
}

impl ChangeKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
        }
    }
}

/// All resources that were asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// The store's revision.
    pub revision: u64,
    /// Ordered by kind, namespace and name.
    pub resources: Vec<Resource>,
}

/// One resource of the mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// For example `HTTPRoute`.
    pub kind: String,
    /// For example `default`.
    pub namespace: String,
    /// For example `inventory`.
    pub name: String,
    /// Who keeps it.
    pub kept: Kept,
    /// The resource itself.
    pub document: serde_json::Value,
}

/// Who keeps a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// A file that the control plane was started with. It is changed there.
    File,
    /// The store. It is changed through this API.
    Store,
}

impl Kept {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Store => "store",
        }
    }
}

/// One running instance of a service, as its sidecar registered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// One proxy that is connected over xDS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// The node's id.
    pub node: String,
    /// What it says it is, for example `weft 0.1.0`.
    pub agent: String,
    /// Whether it has accepted everything that the mesh means it to have.
    pub converged: bool,
    /// Each resource type that it asked for.
    pub types: Vec<ProxyType>,
    /// Resources that it is not sent, because it would refuse them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
}

/// How far one proxy is with one resource type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The version.
    pub version: String,
    /// When, as in RFC 3339.
    pub at: String,
}

/// What a proxy refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// What a control plane is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Of Weft.
    pub version: String,
    /// Where proxies connect, `ip:port`.
    pub xds: String,
    /// Where this API is, `ip:port`.
    pub admin: String,
    /// The store's revision.
    pub revision: u64,
}
