//! Limits that all proxies share: a rate limit service counts for them.

use std::time::Duration;

use serde::Serialize;

use super::policy::{duration, is_default};
use crate::document::Key;

/// A rate limit service is asked about each request (Envoy's protocol `envoy.service.ratelimit.v3`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalLimit {
    /// Which.
    pub service: LimitService,
    /// Whose limits it is to apply.
    pub domain: String,
    /// How requests are described to it, at least one way. A request that lacks an entry is not
    /// described in that way, and one that is not described at all is not asked about.
    pub descriptors: Vec<LimitDescriptor>,
    /// How long it is waited for, more than zero; 20 ms without it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub timeout: Option<Duration>,
    /// What becomes of requests that it says nothing of.
    #[serde(skip_serializing_if = "is_default")]
    pub failure_mode: FailureMode,
}

/// A Service that speaks the protocol, on a port with HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitService {
    /// Its name.
    pub name: String,
    /// Its namespace; that of the policy without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its port; the only one with HTTP/2 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl LimitService {
    /// Namespace and name, for a policy in `namespace`.
    pub fn key(&self, namespace: &str) -> Key {
        Key::new(self.namespace.as_deref().unwrap_or(namespace), &self.name)
    }
}

/// One way in which a request is described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitDescriptor {
    /// What the description is made of, in this order; at least one.
    pub entries: Vec<LimitEntry>,
}

/// A key with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitEntry {
    /// The value of this header, its name in lower case; the key is the name.
    Header(String),
    /// The value of this query parameter; the key is its name.
    QueryParameter(String),
    /// The client's address; the key is `remote_address`.
    RemoteAddress {},
    /// Always the same.
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
}

/// What becomes of requests that a rate limit service says nothing of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum FailureMode {
    /// They go on.
    #[default]
    Open,
    /// They are answered 500.
    Closed,
}
