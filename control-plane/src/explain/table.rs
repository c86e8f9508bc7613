//! The tables that a sidecar of a Service would have.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use weft_compile::{Chain, Compiler, ResourceType, RouteConfig, Source, Tables, Update, Upsert};
use weft_config::{Key, Mesh};
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::google::protobuf::{Struct, Value, value::Kind};
use weft_telemetry::Stats;
use weft_translate::{Collection, Node, Resources, Workloads, translate};

use super::ExplainError;

/// Translates and compiles the mesh for the sidecar of `service`.
pub(super) fn tables(
    mesh: &Mesh,
    workloads: &Workloads,
    service: &Key,
    outbound: SocketAddr,
) -> Result<Arc<Tables>, ExplainError> {
    let resources = resources(mesh, workloads, service, outbound)?;
    let mut compiler = Compiler::new(Stats::new(Instant::now()));
    let mut refused = Vec::new();
    for (resource_type, collection) in [
        (ResourceType::Cluster, &resources.clusters),
        (ResourceType::Assignment, &resources.endpoints),
        (ResourceType::Listener, &resources.listeners),
        (ResourceType::RouteConfiguration, &resources.routes),
    ] {
        let report = compiler.apply(&update(resource_type, collection), SystemTime::now());
        for rejected in report.rejected {
            let reasons =
                rejected.reasons.iter().map(|reason| format!("{}: {reason}", rejected.name));
            refused.extend(reasons);
        }
    }
    if refused.is_empty() {
        Ok(compiler.tables())
    } else {
        Err(ExplainError::Refused(refused.join("\n")))
    }
}

/// What the sidecar of `service` is sent.
pub(super) fn resources(
    mesh: &Mesh,
    workloads: &Workloads,
    service: &Key,
    outbound: SocketAddr,
) -> Result<Resources, ExplainError> {
    Ok(translate(mesh, workloads, &node(service, outbound)?))
}

/// The listener of what the application calls, and its routes.
pub(super) fn outbound_routes(
    tables: &Tables,
    outbound: SocketAddr,
) -> Option<(String, &Arc<RouteConfig>)> {
    let listener = tables.listener("outbound")?;
    let http = listener.chains.iter().find_map(|filters| match &filters.chain {
        Chain::Http(http) => Some(http),
        _ => None,
    })?;
    Some((format!("outbound ({outbound})"), tables.routes_of(http, |_| None)?))
}

/// What the sidecar of a Service says of itself.
fn node(service: &Key, outbound: SocketAddr) -> Result<Node, ExplainError> {
    let text = |text: String| Value { kind: Some(Kind::StringValue(text)) };
    let facts = HashMap::from([
        ("namespace".to_owned(), text(service.namespace.clone())),
        ("service".to_owned(), text(service.name.clone())),
        ("outbound".to_owned(), text(outbound.to_string())),
    ]);
    let facts = Value { kind: Some(Kind::StructValue(Struct { fields: facts })) };
    let node = core::Node {
        user_agent_name: "weft".to_owned(),
        metadata: Some(Struct { fields: HashMap::from([("weft".to_owned(), facts)]) }),
        ..core::Node::default()
    };
    Node::from_xds(&node).map_err(|error| ExplainError::Caller(error.to_string()))
}

fn update(resource_type: ResourceType, collection: &Collection) -> Update {
    let upserts = collection.iter().map(|(name, resource)| Upsert {
        name: Arc::clone(name),
        version: Arc::clone(&resource.version),
        value: resource.value.clone(),
    });
    Update {
        resource_type,
        version: Arc::from(""),
        upserts: upserts.collect(),
        removals: Vec::new(),
        full_state: false,
        source: Source::Dynamic,
    }
}
