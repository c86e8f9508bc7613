//! The filter `RequestMirror` of a rule: copies of requests go elsewhere, and nobody waits for the
//! answers.

use serde::Serialize;

use super::route::BackendRef;
use super::share::Share;

/// Where copies go, and of how many requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// Where to; its weight and filters are the defaults.
    pub backend_ref: BackendRef,
    /// Of how many; of all without it.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// Copies that may be under way at once, in each proxy; as many as the circuit breakers of the
    /// destination let through without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_active: Option<u32>,
    /// Compares the answers to copies with those that clients get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compare: Option<Comparison>,
}

/// What is compared of two answers, besides their status, that of gRPC and how long they took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Fields of the answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Those of them whose values may be logged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub show_headers: Vec<String>,
    /// Bytes of each body that are hashed; with 0 bodies are not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u32>,
    /// Differences that each proxy may log in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs_per_minute: Option<u32>,
}
