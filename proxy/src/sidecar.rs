//! A sidecar's own start: from flags instead of a bootstrap.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use prost::Message as _;
use weft_compile::{ApiSource, ConfigSource, FetchTimeout, GrpcService, ListenAddress, Origin};
use weft_proto::{
    pb::{
        envoy::config::{
            bootstrap::v3::Bootstrap as BootstrapMessage,
            core::v3::{Extension, Locality, Node, node::UserAgentVersionType},
        },
        google::protobuf::{Struct, Value, value::Kind},
    },
    registry::{Phase, WorkloadState},
    type_url::{self, message_name},
};

use crate::{
    bootstrap::{Bootstrap, Discovery},
    cli::SidecarArgs,
    overload_actions::HeapActions,
    runtime::Limits,
    server::{Server, ServerAddress},
};

/// A control plane's address that cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("--control-plane {url:?}: {why}\n  hint: write http://HOST:PORT or unix:PATH")]
pub struct UrlError {
    url: String,
    why: &'static str,
}

/// Reads `http://HOST:PORT` or `unix:PATH`.
pub(crate) fn server_of(url: &str) -> Result<ServerAddress, UrlError> {
    let wrong = |why| UrlError { url: url.to_owned(), why };
    if let Some(path) = url.strip_prefix("unix:") {
        return Ok(ServerAddress::Pipe(path.into()));
    }
    if url.starts_with("https://") {
        return Err(wrong("TLS to the control plane is not supported"));
    }
    let rest = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("no port"))?;
    let port = port.parse().map_err(|_| wrong("the port is not a number below 65536"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(wrong("no host"));
    }
    Ok(ServerAddress::Tcp(host.to_owned(), port))
}

/// What the control plane calls the cluster of a sidecar and its peers.
const PEERS: &str = "peers";

/// What the control plane of a sidecar is called among the static clusters.
const CONTROL_PLANE: &str = "control-plane";

/// The bootstrap that the flags of a sidecar stand for; without an address, one that nothing comes
/// to.
pub(crate) fn bootstrap(args: &SidecarArgs, server: Option<ServerAddress>) -> Bootstrap {
    let node = node(args);
    let message = BootstrapMessage { node: Some(node.clone()), ..BootstrapMessage::default() };
    Bootstrap {
        node,
        admin: Some(ListenAddress::from(args.admin)),
        limits: Limits::default(),
        heap: HeapActions::default(),
        clusters: Vec::new(),
        // Where there are zones, it is told of them under this name.
        peers: (!args.zone.is_empty()).then(|| PEERS.into()),
        outlier_log: None,
        listeners: Vec::new(),
        discovery: server.map(discovery).unwrap_or_default(),
        encoded: Bytes::from(message.encode_to_vec()),
    }
}

/// Everything by the one stream.
fn discovery(server: ServerAddress) -> Discovery {
    let name: Arc<str> = CONTROL_PLANE.into();
    let service = GrpcService { cluster: Arc::clone(&name), authority: None, metadata: Vec::new() };
    let all = ConfigSource { origin: Origin::Aggregated, fetch_timeout: FetchTimeout::default() };
    Discovery {
        ads: Some(Arc::new(ApiSource {
            incremental: true,
            services: vec![service],
            node_once: true,
            rate_limit: None,
        })),
        listeners: Some(all.clone()),
        clusters: Some(all),
        servers: [(name, Server::from(server))].into(),
    }
}

/// Who this sidecar is, and where it stands; the control plane translates for that.
pub(crate) fn node(args: &SidecarArgs) -> Node {
    let text = |text: String| Value { kind: Some(Kind::StringValue(text)) };
    let mut facts = HashMap::new();
    facts.insert("namespace".to_owned(), text(args.namespace.clone()));
    match &args.gateway {
        Some(gateway) => facts.insert("gateway".to_owned(), text(gateway.clone())),
        None => facts.insert("outbound".to_owned(), text(args.outbound.to_string())),
    };
    if let (Some(service), Some(port)) = (&args.service, args.port) {
        facts.insert("service".to_owned(), text(service.clone()));
        facts.insert("app".to_owned(), text(format!("127.0.0.1:{port}")));
        facts.insert("inbound".to_owned(), text(args.inbound.to_string()));
    }
    let facts = Value { kind: Some(Kind::StructValue(Struct { fields: facts })) };
    Node {
        id: instance(args),
        cluster: args.service.as_ref().or(args.gateway.as_ref()).cloned().unwrap_or_default(),
        metadata: Some(Struct { fields: HashMap::from([("weft".to_owned(), facts)]) }),
        locality: (!args.zone.is_empty())
            .then(|| Locality { zone: args.zone.clone(), ..Locality::default() }),
        ..Node::default()
    }
}

/// What this proxy can do, by Envoy's names, with the type that configures it.
const EXTENSIONS: [(&str, &str, &str); 7] = [
    (
        "envoy.filters.network.http_connection_manager",
        "envoy.filters.network",
        type_url::HTTP_CONNECTION_MANAGER,
    ),
    ("envoy.filters.network.tcp_proxy", "envoy.filters.network", type_url::TCP_PROXY),
    ("envoy.filters.http.router", "envoy.filters.http", type_url::ROUTER),
    (
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "envoy.upstream_options",
        type_url::HTTP_PROTOCOL_OPTIONS,
    ),
    (
        "envoy.load_balancing_policies.round_robin",
        "envoy.load_balancing_policies",
        type_url::ROUND_ROBIN,
    ),
    (
        "envoy.load_balancing_policies.least_request",
        "envoy.load_balancing_policies",
        type_url::LEAST_REQUEST,
    ),
    (
        "envoy.load_balancing_policies.wrr_locality",
        "envoy.load_balancing_policies",
        type_url::WRR_LOCALITY,
    ),
];

/// What every node of ours says of itself: its name, which is never `envoy` because servers branch
/// on it, and what it can do, so that a server need not guess.
pub(crate) fn introduce(node: &mut Node) {
    node.extensions = EXTENSIONS
        .iter()
        .map(|(name, category, configured_by)| Extension {
            name: (*name).to_owned(),
            category: (*category).to_owned(),
            type_urls: vec![message_name(configured_by).to_owned()],
            ..Extension::default()
        })
        .collect();
    "weft".clone_into(&mut node.user_agent_name);
    node.user_agent_version_type =
        Some(UserAgentVersionType::UserAgentVersion(env!("CARGO_PKG_VERSION").to_owned()));
}

/// The workload to register; `None` for a sidecar that only calls others.
pub(crate) fn workload(args: &SidecarArgs) -> Option<WorkloadState> {
    let service = args.service.clone()?;
    args.port?;
    Some(WorkloadState {
        service,
        namespace: args.namespace.clone(),
        instance: instance(args),
        address: args.inbound.to_string(),
        labels: args.labels.iter().cloned().collect::<BTreeMap<_, _>>().into_iter().collect(),
        zone: args.zone.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        phase: Phase::Serving.into(),
    })
}

/// The given name, or one that no other instance on any host has.
fn instance(args: &SidecarArgs) -> String {
    args.instance.clone().unwrap_or_else(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let service = args.service.as_deref().or(args.gateway.as_deref()).unwrap_or("client");
        format!("{service}-{}-{}", host.trim(), std::process::id())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_plane_addresses() {
        let tcp = |host: &str, port| ServerAddress::Tcp(host.to_owned(), port);
        assert_eq!(server_of("http://127.0.0.1:15010").unwrap(), tcp("127.0.0.1", 15010));
        assert_eq!(server_of("http://[::1]:15010/").unwrap(), tcp("::1", 15010));
        assert_eq!(server_of("cp.local:1").unwrap(), tcp("cp.local", 1));
        assert_eq!(server_of("unix:/run/x").unwrap(), ServerAddress::Pipe("/run/x".into()));
        for wrong in ["https://cp:1", "http://cp", "http://:1", "http://cp:70000"] {
            assert!(server_of(wrong).is_err(), "{wrong}");
        }
    }
}
