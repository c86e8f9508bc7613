//! What is asked to change, and what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The media type of [`Source`]s: several files that are applied as one.
pub const SOURCES: &str = "application/vnd.weft.sources+json";

/// One file of documents, with its name for problems to refer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// For example `shop/inventory.yaml`.
    pub name: String,
    /// YAML or JSON documents.
    pub text: String,
}

/// The outcome of an apply or a delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The revision of the mesh afterwards.
    pub revision: u64,
    /// Whether nothing was changed because only the outcome was asked for.
    pub dry_run: bool,
    /// Each resource that was named, and what became of it.
    pub resources: Vec<Changed>,
    /// What connected proxies would be sent, when a dry run was asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
}

/// One resource of an [`Outcome`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// What a change means in xDS, for proxies that are told the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    /// The proxies, by node id.
    pub nodes: Vec<String>,
    /// The resource type's abbreviation, for example `RDS`.
    pub r#type: String,
    /// Names of resources that they would be sent and do not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub created: Vec<String>,
    /// Names of resources that would be different.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub updated: Vec<String>,
    /// Names of resources that would be taken from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<String>,
}
