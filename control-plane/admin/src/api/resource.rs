//! The documents of the mesh.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All resources that were asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// The revision of the mesh.
    pub revision: u64,
    /// Ordered by kind, namespace and name.
    pub resources: Vec<Resource>,
}

/// One resource of the mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resource {
    /// For example `HTTPRoute`.
    pub kind: String,
    /// For example `default`.
    pub namespace: String,
    /// For example `inventory`.
    pub name: String,
    /// Who keeps it.
    pub kept: Kept,
    /// `file:line:column` of it, when a file keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The resource itself, as `/v1/schema.json` describes it.
    pub document: serde_json::Value,
    /// What became of a route or a Gateway, in Gateway API's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<serde_json::Value>,
}

/// Who keeps a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// A file that the control plane reads. It is changed there.
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
