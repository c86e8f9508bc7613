//! What a control plane is, and how it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;

/// What a control plane is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Info {
    /// Of Weft.
    pub version: String,
    /// Where proxies connect, `ip:port`.
    pub xds: String,
    /// Where this API is, `ip:port`.
    pub admin: String,
    /// The revision of the mesh.
    pub revision: u64,
    /// The revision that proxies are told to be by; nothing before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<u64>,
    /// The folder whose files are the mesh, when it is not changed through this API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// How a control plane is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Whether proxies are served.
    pub ready: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What it is.
    pub name: String,
    /// How it is.
    pub status: CheckStatus,
    /// That in words.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Everything that is wrong with documents, if it is they that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// Something is wrong; what was good before is still served.
    Degraded,
    /// Proxies are not served because of it.
    Failing,
}

impl CheckStatus {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
        }
    }
}
