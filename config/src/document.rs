//! Documents: what a file, a request or the store holds one of.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The namespace of what does not name one.
pub const DEFAULT_NAMESPACE: &str = "default";
/// `apiVersion` of the kinds that are Weft's own.
pub const WEFT_API: &str = "weft.dev/v1";
/// `apiVersion` of the kinds taken from Gateway API.
pub const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";
/// `apiVersion` of the kinds of Gateway API that are not in its `v1` yet.
pub const GATEWAY_API_ALPHA: &str = "gateway.networking.k8s.io/v1alpha2";

/// The kinds of the mesh model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What callers dial.
    Service,
    /// Some endpoints of a Service, by label.
    Subset,
    /// Where requests and connections come in from outside of the mesh, from Gateway API.
    Gateway,
    /// Where requests for a Service go, from Gateway API.
    HttpRoute,
    /// Where gRPC calls to a Service go, from Gateway API.
    GrpcRoute,
    /// Where connections to a Service go, from Gateway API.
    TcpRoute,
    /// Where TLS connections to a Service go, by server name, from Gateway API.
    TlsRoute,
    /// How requests to a Service are treated: time, balancing, limits.
    TrafficPolicy,
    /// How often requests may come.
    RateLimitPolicy,
    /// What holds for the whole mesh.
    MeshConfig,
    /// What `weft up` starts on this machine.
    Workload,
}

impl Kind {
    /// Every kind, in the order in which they refer to each other.
    pub const ALL: [Self; 11] = [
        Self::Service,
        Self::Subset,
        Self::Gateway,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::TcpRoute,
        Self::TlsRoute,
        Self::TrafficPolicy,
        Self::RateLimitPolicy,
        Self::MeshConfig,
        Self::Workload,
    ];
    pub(crate) const NAMES: &'static [&'static str] = &[
        "Service",
        "Subset",
        "Gateway",
        "HTTPRoute",
        "GRPCRoute",
        "TCPRoute",
        "TLSRoute",
        "TrafficPolicy",
        "RateLimitPolicy",
        "MeshConfig",
        "Workload",
    ];

    /// The name as documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Subset => "Subset",
            Self::Gateway => "Gateway",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TcpRoute => "TCPRoute",
            Self::TlsRoute => "TLSRoute",
            Self::TrafficPolicy => "TrafficPolicy",
            Self::RateLimitPolicy => "RateLimitPolicy",
            Self::MeshConfig => "MeshConfig",
            Self::Workload => "Workload",
        }
    }

    /// The `apiVersion` a document of this kind has.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Gateway | Self::HttpRoute | Self::GrpcRoute | Self::TlsRoute => GATEWAY_API,
            Self::TcpRoute => GATEWAY_API_ALPHA,
            Self::Service
            | Self::Subset
            | Self::TrafficPolicy
            | Self::RateLimitPolicy
            | Self::MeshConfig
            | Self::Workload => WEFT_API,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is not a kind of the mesh model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no kind {0:?} (the kinds are: {kinds})", kinds = Kind::NAMES.join(", "))]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Reads a kind in any letter case, and its plural, as people type it at a prompt.
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let is_meant = |kind: &Self| {
            let name = kind.as_str().to_ascii_lowercase();
            let plural = match name.strip_suffix('y') {
                Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
                _ => format!("{name}s"),
            };
            text.eq_ignore_ascii_case(&name) || text.eq_ignore_ascii_case(&plural)
        };
        Self::ALL.into_iter().find(is_meant).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// Namespace and name: what tells documents of one kind apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// A key from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// `namespace/name`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which document: kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId {
    /// The kind.
    pub kind: Kind,
    /// Namespace and name.
    pub key: Key,
}

impl DocumentId {
    /// An id from its parts.
    pub fn new(kind: Kind, key: Key) -> Self {
        Self { kind, key }
    }
}

/// `Kind/name`, or `Kind/namespace/name` outside of the default namespace.
impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.namespace == DEFAULT_NAMESPACE {
            write!(f, "{}/{}", self.kind, self.key.name)
        } else {
            write!(f, "{}/{}", self.kind, self.key)
        }
    }
}

/// A document in its canonical form: defaults left out, fields in the order of the schema.
///
/// This is what a store keeps. Its strings are an index; the meaning is in `json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`, as documents write it.
    pub kind: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// The whole document.
    pub json: serde_json::Value,
}

impl Document {
    /// The document as YAML, for people.
    pub fn to_yaml(&self) -> String {
        crate::emit::to_yaml(&self.json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_people_type_them() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(kind.as_str().to_lowercase().parse(), Ok(kind));
        }
        assert_eq!("services".parse(), Ok(Kind::Service));
        assert_eq!("gateways".parse(), Ok(Kind::Gateway));
        assert_eq!("trafficPolicies".parse(), Ok(Kind::TrafficPolicy));
        assert!("pod".parse::<Kind>().is_err());
        assert_eq!(Kind::ALL.map(Kind::as_str), Kind::NAMES);
    }

    #[test]
    fn ids_leave_the_default_namespace_out() {
        assert_eq!(
            DocumentId::new(Kind::Service, Key::new("default", "a")).to_string(),
            "Service/a"
        );
        assert_eq!(
            DocumentId::new(Kind::HttpRoute, Key::new("b", "a")).to_string(),
            "HTTPRoute/b/a"
        );
    }
}
