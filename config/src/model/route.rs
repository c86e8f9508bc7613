//! `HTTPRoute` of Gateway API v1, with a Service (GAMMA) or a Gateway as parent.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::balancing::HashOn;
use super::policy::duration;
use super::{Metadata, Resource};
use crate::document::Kind;

pub use super::cors::{AllowedOrigin, Cors, Listed};
pub use super::mirror::Mirror;
pub use super::retry::RouteRetry;
pub use super::share::Share;

pub use super::filter::{
    Filters, Header, HeaderModifier, PathModifier, Redirect, RedirectStatus, Rewrite, Scheme,
};

/// Where requests for a Service go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// Name and namespace.
    #[serde(skip)]
    pub metadata: Metadata,
    /// What it decides for, at least one.
    pub parent_refs: Vec<ParentRef>,
    /// Host names it answers to; the names of the parents without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The rules, at least one.
    pub rules: Vec<Rule>,
}

impl Resource for HttpRoute {
    const KIND: Kind = Kind::HttpRoute;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// What the route decides for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentRef {
    /// Whether `name` is a Service or a Gateway.
    pub kind: ParentKind,
    /// Its name.
    pub name: String,
    /// The namespace of a Gateway; the route's own without it. A Service is always in that.
    pub namespace: Option<String>,
    /// Only this port; every one that fits the route without it.
    pub port: Option<u16>,
    /// Only the port, or the listener, of this name.
    pub section_name: Option<String>,
}

/// What a route can be attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ParentKind {
    /// It decides about what callers within the mesh send to a Service.
    Service,
    /// It decides about what comes in by a Gateway.
    Gateway,
}

impl Serialize for ParentRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // The defaults of Gateway API are a Gateway; a Service must be spelt out.
        if self.kind == ParentKind::Service {
            map.serialize_entry("group", "")?;
            map.serialize_entry("kind", "Service")?;
        }
        map.serialize_entry("name", &self.name)?;
        if let Some(namespace) = &self.namespace {
            map.serialize_entry("namespace", namespace)?;
        }
        if let Some(port) = self.port {
            map.serialize_entry("port", &port)?;
        }
        if let Some(section) = &self.section_name {
            map.serialize_entry("sectionName", section)?;
        }
        map.end()
    }
}

/// What to do with the requests that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// A name for people, once per route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Any of these; every request without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
    /// Changes on the way.
    #[serde(skip_serializing_if = "Filters::is_empty")]
    pub filters: Filters,
    /// Where to; the parent itself without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<BackendRef>,
    /// How long it may take.
    #[serde(skip_serializing_if = "Timeouts::is_empty")]
    pub timeouts: Timeouts,
    /// What is tried again; as the Service's policy says without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RouteRetry>,
    /// What makes requests equal that go to the same of its backends; chance without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub split_on: Vec<HashOn>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// The path; prefix `/` without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// Headers, each name once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<NamedMatch>,
    /// Query parameters, each name once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query_params: Vec<NamedMatch>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
}

/// How the path, without its query, must look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", content = "value")]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Whole segments from the start: `/a` matches `/a` and `/a/b`, not `/ab`.
    PathPrefix(String),
    /// The whole path, by a regular expression (RE2 syntax).
    RegularExpression(String),
}

/// A header or query parameter by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedMatch {
    /// The name; of a header in lower case.
    pub name: String,
    /// What its value must be.
    #[serde(flatten)]
    pub value: ValueMatch,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", content = "value")]
pub enum ValueMatch {
    /// The whole value.
    Exact(String),
    /// The whole value, by a regular expression (RE2 syntax).
    RegularExpression(String),
}

/// Request methods that can be matched. CONNECT is not among them: it has no path to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "RFC 9110 section 9.3 and RFC 5789 name them better")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Trace,
    Patch,
}

impl Method {
    /// Every method by its name.
    pub const NAMES: [&'static str; 8] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];

    /// Every method, in the order of their names.
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Delete,
        Self::Options,
        Self::Trace,
        Self::Patch,
    ];

    /// Those that may be sent twice: it changes nothing more than once (RFC 9110 section 9.2.2).
    pub const IDEMPOTENT: [Self; 6] =
        [Self::Get, Self::Head, Self::Put, Self::Delete, Self::Options, Self::Trace];

    /// The token on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
        }
    }
}

/// A destination with its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendRef {
    /// Whether `name` is a Service or a Subset.
    pub kind: BackendKind,
    /// Its name.
    pub name: String,
    /// Its namespace; the route's own without it.
    pub namespace: Option<String>,
    /// The Service port; the only one, or the one being dialled, without it.
    pub port: Option<u16>,
    /// Its share relative to its neighbours, from 0 to 1,000,000.
    pub weight: u32,
    /// Changes to what goes there and comes from there: those of headers alone.
    pub filters: Filters,
}

impl BackendRef {
    /// The weight of a backend that does not give one.
    pub const DEFAULT_WEIGHT: u32 = 1;
}

/// What a backend can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// All endpoints of a Service.
    Service,
    /// Those of a Subset.
    Subset,
}

impl Serialize for BackendRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.kind == BackendKind::Subset {
            map.serialize_entry("group", "weft.dev")?;
            map.serialize_entry("kind", "Subset")?;
        }
        map.serialize_entry("name", &self.name)?;
        if let Some(namespace) = &self.namespace {
            map.serialize_entry("namespace", namespace)?;
        }
        if let Some(port) = self.port {
            map.serialize_entry("port", &port)?;
        }
        if self.weight != Self::DEFAULT_WEIGHT {
            map.serialize_entry("weight", &self.weight)?;
        }
        if !self.filters.is_empty() {
            map.serialize_entry("filters", &self.filters)?;
        }
        map.end()
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// From the whole request received to the whole response sent; zero for ever.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub request: Option<Duration>,
    /// One try of several; zero for as long as the whole may take.
    #[serde(
        rename = "backendRequest",
        skip_serializing_if = "Option::is_none",
        serialize_with = "duration"
    )]
    pub backend_request: Option<Duration>,
}

impl Timeouts {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
