//! Trees → the typed model, one file per kind.

mod adaptive;
mod cors;
mod fault;
mod filters;
mod gateway;
mod global_limit;
mod grpc_route;
mod health;
mod hedging;
mod matches;
mod mirror;
mod policy;
mod rate_limit;
mod refs;
mod request_match;
mod route;
mod service;
mod settings;
mod share;
mod spread;
mod stickiness;
mod stream_route;
mod workload;

use crate::document::{DEFAULT_NAMESPACE, DocumentId, Key, Kind};
use crate::model::{
    Gateway, GrpcRoute, HttpRoute, MeshConfig, Metadata, RateLimitPolicy, Service, Subset,
    TcpRoute, TlsRoute, TrafficPolicy, Workload,
};
use crate::problem::Reason;
use crate::reader::{Choices, Object, Reader};
use crate::syntax::{LABEL, SUBDOMAIN, TIMESTAMP, is_label, is_subdomain, is_timestamp};
use crate::tree::Node;

/// A document of any kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AnyResource {
    Service(Service),
    Subset(Subset),
    Gateway(Gateway),
    HttpRoute(HttpRoute),
    GrpcRoute(GrpcRoute),
    TcpRoute(TcpRoute),
    TlsRoute(TlsRoute),
    TrafficPolicy(TrafficPolicy),
    RateLimitPolicy(RateLimitPolicy),
    MeshConfig(MeshConfig),
    Workload(Workload),
}

const KINDS: Choices<Kind> = Choices { names: Kind::NAMES, values: &Kind::ALL };

/// The id a document claims, before anything of it is checked: for messages, and to tell
/// duplicates even between documents that have other problems.
pub(crate) fn claimed_id(node: &Node) -> Option<DocumentId> {
    let kind = node.get("kind")?.as_text()?;
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    let metadata = node.get("metadata")?;
    let name = metadata.get("name")?.as_text()?;
    let namespace = metadata.get("namespace").and_then(Node::as_text).unwrap_or(DEFAULT_NAMESPACE);
    Some(DocumentId::new(kind, Key::new(namespace, name)))
}

/// Reads one document.
pub(crate) fn document(reader: &mut Reader, node: &Node) -> Option<AnyResource> {
    reader.object(node, |reader, object| {
        let kind = object.required(reader, "kind", |reader, node| reader.choice(node, &KINDS));
        let version =
            object.required(reader, "apiVersion", |reader, node| api_version(reader, node, kind));
        let metadata = object.required(reader, "metadata", |reader, node| {
            // A Service is a DNS label, because callers dial it.
            metadata(reader, node, kind == Some(Kind::Service))
        });
        let resource = object.required(reader, "spec", |reader, node| {
            // Without a kind nothing can be said about the fields.
            let kind = kind?;
            // The spec is read even without metadata, for its own problems.
            let known = metadata.is_some();
            let metadata = metadata.unwrap_or_else(no_metadata);
            let resource = spec(reader, node, kind, metadata);
            resource.filter(|_| known)
        });
        // What others told about it, as `weft get` and kubectl print it: not for the user to ask.
        object.leave(&["status"]);
        version.and(resource)
    })
}

fn no_metadata() -> Metadata {
    Metadata {
        name: String::new(),
        namespace: String::new(),
        labels: Default::default(),
        creation_timestamp: None,
        annotations: Default::default(),
    }
}

fn spec(reader: &mut Reader, node: &Node, kind: Kind, metadata: Metadata) -> Option<AnyResource> {
    match kind {
        Kind::Service => service::service(reader, node, metadata).map(AnyResource::Service),
        Kind::Subset => service::subset(reader, node, metadata).map(AnyResource::Subset),
        Kind::Gateway => gateway::gateway(reader, node, metadata).map(AnyResource::Gateway),
        Kind::HttpRoute => route::http_route(reader, node, metadata).map(AnyResource::HttpRoute),
        Kind::GrpcRoute => {
            grpc_route::grpc_route(reader, node, metadata).map(AnyResource::GrpcRoute)
        }
        Kind::TcpRoute => {
            stream_route::tcp_route(reader, node, metadata).map(AnyResource::TcpRoute)
        }
        Kind::TlsRoute => {
            stream_route::tls_route(reader, node, metadata).map(AnyResource::TlsRoute)
        }
        Kind::TrafficPolicy => {
            policy::traffic_policy(reader, node, metadata).map(AnyResource::TrafficPolicy)
        }
        Kind::RateLimitPolicy => {
            rate_limit::rate_limit_policy(reader, node, metadata).map(AnyResource::RateLimitPolicy)
        }
        Kind::MeshConfig => {
            policy::mesh_config(reader, node, metadata).map(AnyResource::MeshConfig)
        }
        Kind::Workload => workload::workload(reader, node, metadata).map(AnyResource::Workload),
    }
}

fn api_version(reader: &mut Reader, node: &Node, kind: Option<Kind>) -> Option<()> {
    let version = reader.string(node)?;
    match kind {
        Some(kind) if version != kind.api_version() => reader.invalid(
            node,
            version,
            format!("the apiVersion of {kind}: {}", kind.api_version()),
        ),
        _ => Some(()),
    }
}

fn metadata(reader: &mut Reader, node: &Node, dialled: bool) -> Option<Metadata> {
    reader.object(node, |reader, object| {
        let name = object.required(reader, "name", |reader, node| {
            if dialled {
                reader.text(node, LABEL, is_label)
            } else {
                reader.text(node, SUBDOMAIN, is_subdomain)
            }
        });
        let namespace =
            object.optional(reader, "namespace", |reader, node| reader.text(node, LABEL, is_label));
        let labels = object.string_map(reader, "labels");
        let created = object.optional(reader, "creationTimestamp", |reader, node| {
            // What `kubectl create --dry-run` writes.
            if node.is_null() {
                return Some(None);
            }
            reader.text(node, TIMESTAMP, is_timestamp).map(Some)
        });
        let annotations = object.string_map(reader, "annotations");
        Some(Metadata {
            name: name?,
            namespace: namespace?.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            labels: labels?,
            creation_timestamp: created?.flatten(),
            annotations: annotations?,
        })
    })
}

/// Labels that endpoints carry or are selected by.
fn labels(
    reader: &mut Reader,
    object: &mut Object<'_>,
    name: &'static str,
) -> Option<crate::reader::StringMap> {
    use crate::syntax::{LABEL_VALUE, is_label_value};
    let labels = object.optional(reader, name, |reader, node| {
        let labels = reader.string_map(node)?;
        match labels.values().find(|value| !is_label_value(value)) {
            Some(value) => reader.invalid(node, &value.clone(), LABEL_VALUE),
            None => Some(labels),
        }
    })?;
    Some(labels.unwrap_or_default())
}

/// A list that must have at least one item.
fn non_empty<T>(reader: &mut Reader, node: &Node, list: Option<Vec<T>>) -> Option<Vec<T>> {
    match list {
        Some(list) if list.is_empty() => reader.invalid(node, "[]", "a list of at least one item"),
        list => list,
    }
}

/// Refuses a list in which two items have the same key.
fn unique<T, K: Ord>(
    reader: &mut Reader,
    node: &Node,
    list: Option<Vec<T>>,
    key: impl Fn(&T) -> Option<(K, String)>,
) -> Option<Vec<T>> {
    let list = list?;
    let mut seen = std::collections::BTreeSet::new();
    for (key, what) in list.iter().filter_map(key) {
        if !seen.insert(key) {
            return reader.refuse(node, Reason::Repeated { what });
        }
    }
    Some(list)
}
