//! `GRPCRoute` of Gateway API v1, with a Service (GAMMA) or a Gateway as parent.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::policy::HashOn;
use super::route::{BackendRef, Filters, Match, NamedMatch, ParentRef, PathMatch};
use super::{Metadata, Resource};
use crate::document::Kind;

/// Where gRPC calls to a Service go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRoute {
    /// Name and namespace.
    #[serde(skip)]
    pub metadata: Metadata,
    /// What it decides for, at least one.
    pub parent_refs: Vec<ParentRef>,
    /// Host names it answers to; the names of the parents without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The rules, at least one.
    pub rules: Vec<GrpcRule>,
}

impl Resource for GrpcRoute {
    const KIND: Kind = Kind::GrpcRoute;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// What to do with the calls that match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRule {
    /// A name for people, once per route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Any of these; every call without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<GrpcMatch>,
    /// Changes of headers on the way.
    #[serde(skip_serializing_if = "Filters::is_empty")]
    pub filters: Filters,
    /// Where to; the parent itself without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<BackendRef>,
    /// What makes calls equal that go to the same of its backends; chance without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub split_on: Vec<HashOn>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GrpcMatch {
    /// Which methods of which services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<GrpcMethod>,
    /// Metadata, each name once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<NamedMatch>,
}

/// A method by service and name, at least one of them given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcMethod {
    /// Whether the names are regular expressions (RE2 syntax) and not the names themselves.
    pub is_regex: bool,
    /// The full name of the service; any without it.
    pub service: Option<String>,
    /// The name of the method; any without it.
    pub method: Option<String>,
}

impl Serialize for GrpcMethod {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", if self.is_regex { "RegularExpression" } else { "Exact" })?;
        if let Some(service) = &self.service {
            map.serialize_entry("service", service)?;
        }
        if let Some(method) = &self.method {
            map.serialize_entry("method", method)?;
        }
        map.end()
    }
}

/// One segment of a path.
const ANY: &str = "[^/]+";

impl GrpcMethod {
    /// The paths of these methods: `/service/method`.
    fn path(&self) -> PathMatch {
        let part = |name: &Option<String>| {
            name.as_ref().map_or_else(|| ANY.to_owned(), |name| format!("(?:{name})"))
        };
        match (self.is_regex, &self.service, &self.method) {
            (false, Some(service), Some(method)) => {
                PathMatch::Exact(format!("/{service}/{method}"))
            }
            (false, Some(service), None) => PathMatch::PathPrefix(format!("/{service}")),
            // The name of a method has no character that means anything in a pattern.
            _ => PathMatch::RegularExpression(format!(
                "/{}/{}",
                part(&self.service),
                part(&self.method)
            )),
        }
    }
}

impl GrpcMatch {
    /// The same condition in the words of HTTP.
    pub(crate) fn to_http(&self) -> Match {
        Match {
            path: self.method.as_ref().map(GrpcMethod::path),
            headers: self.headers.clone(),
            ..Match::default()
        }
    }
}
