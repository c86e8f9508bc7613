//! What the process starts from: an Envoy v3 Bootstrap, read and checked.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use prost::Message as _;
use weft_compile::Upsert;
use weft_proto::{
    check::{self, Verdict},
    json,
    pb::envoy::config::{
        bootstrap::v3 as pb,
        cluster::v3::Cluster,
        core::v3::{
            Address, ApiConfigSource, ConfigSource, Node, address::Address as AddressKind,
            api_config_source::ApiType, config_source::ConfigSourceSpecifier,
            grpc_service::TargetSpecifier, socket_address::PortSpecifier,
        },
        endpoint::v3::lb_endpoint::HostIdentifier,
    },
    type_url,
};
use weft_xds::Mode;

/// A bootstrap that can be started from.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    pub(crate) node: Node,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) clusters: Vec<Upsert>,
    pub(crate) listeners: Vec<Upsert>,
    pub(crate) dynamic: Option<Dynamic>,
    /// For `/config_dump`.
    pub(crate) encoded: Bytes,
}

/// Where resources come from while the process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dynamic {
    pub(crate) server: ServerAddress,
    pub(crate) mode: Mode,
    /// `lds_config` is there.
    pub(crate) listeners: bool,
    /// `cds_config` is there.
    pub(crate) clusters: bool,
}

/// Where a management server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerAddress {
    /// Host (name or literal) and port.
    Tcp(String, u16),
    /// A Unix socket.
    Pipe(PathBuf),
}

/// A bootstrap that cannot be started from; everything that is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no Bootstrap.
    #[error("{origin}: {source}")]
    Malformed {
        /// Where the text comes from.
        origin: String,
        /// Where in it, and what.
        source: json::Error,
    },
    /// Fields that are not supported or not valid.
    #[error("{origin}: {}", list(findings))]
    Unsupported {
        /// Where the text comes from.
        origin: String,
        /// One line each.
        findings: Vec<String>,
    },
    /// Neither a file nor flags of a sidecar.
    #[error(
        "nothing to run\n  hint: give a bootstrap (-c FILE), a control plane (--control-plane URL) \
         or a mesh (--mesh FILE); see --help"
    )]
    Nothing,
}

fn list(findings: &[String]) -> String {
    match findings {
        [one] => one.clone(),
        many => format!("{} problems\n  {}", many.len(), many.join("\n  ")),
    }
}

impl Bootstrap {
    /// Reads a bootstrap from JSON if the origin's name says so, else from YAML. Returns what it
    /// warns about beside it.
    pub(crate) fn parse(origin: &str, text: &str) -> Result<(Self, Vec<String>), BootstrapError> {
        let message: Result<pb::Bootstrap, _> =
            if origin.ends_with(".json") { json::from_json(text) } else { json::from_yaml(text) };
        let message = message
            .map_err(|source| BootstrapError::Malformed { origin: origin.to_owned(), source })?;
        Self::of(origin, &message)
    }

    fn of(origin: &str, message: &pb::Bootstrap) -> Result<(Self, Vec<String>), BootstrapError> {
        let encoded = Bytes::from(message.encode_to_vec());
        let (mut findings, mut warnings) = (Vec::new(), Vec::new());
        for finding in check::check(type_url::BOOTSTRAP, &encoded) {
            match finding.verdict {
                Verdict::Nack => findings.push(finding.to_string()),
                _ => warnings.push(finding.to_string()),
            }
        }
        let mut read = Reading { findings };
        let bootstrap = read.bootstrap(message, encoded);
        match bootstrap {
            Some(bootstrap) if read.findings.is_empty() => Ok((bootstrap, warnings)),
            _ => Err(BootstrapError::Unsupported {
                origin: origin.to_owned(),
                findings: read.findings,
            }),
        }
    }
}

/// Collects everything that is wrong on the way.
struct Reading {
    findings: Vec<String>,
}

impl Reading {
    fn wrong(&mut self, path: &str, why: &str) {
        self.findings.push(format!("{path}: {why}"));
    }

    fn bootstrap(&mut self, message: &pb::Bootstrap, encoded: Bytes) -> Option<Bootstrap> {
        let statics = message.static_resources.clone().unwrap_or_default();
        let admin = message.admin.as_ref().and_then(|admin| admin.address.as_ref());
        let admin = match admin {
            Some(address) => Some(self.literal("admin.address", address)?),
            None => None,
        };
        let dynamic = match &message.dynamic_resources {
            Some(dynamic) => self.dynamic(dynamic, &statics.clusters),
            None => None,
        };
        Some(Bootstrap {
            node: message.node.clone().unwrap_or_default(),
            admin,
            clusters: statics.clusters.iter().map(|c| upsert(&c.name, c)).collect(),
            listeners: statics
                .listeners
                .iter()
                .enumerate()
                .map(|(at, listener)| {
                    // Envoy gives a nameless static listener a name of its own too.
                    let mut listener = listener.clone();
                    if listener.name.is_empty() {
                        listener.name = format!("static_listener_{at}");
                    }
                    upsert(&listener.name, &listener)
                })
                .collect(),
            dynamic,
            encoded,
        })
    }

    fn literal(&mut self, path: &str, address: &Address) -> Option<SocketAddr> {
        let Some((host, port)) = host_and_port(address) else {
            self.wrong(path, "expected a socket_address with a port_value");
            return None;
        };
        match host.parse() {
            Ok(ip) => Some(SocketAddr::new(ip, port)),
            Err(_) => {
                self.wrong(path, &format!("{host:?} is not an IP address"));
                None
            }
        }
    }

    fn dynamic(
        &mut self,
        dynamic: &pb::bootstrap::DynamicResources,
        clusters: &[Cluster],
    ) -> Option<Dynamic> {
        let listeners =
            self.comes_by_ads("dynamic_resources.lds_config", dynamic.lds_config.as_ref());
        let wants_clusters =
            self.comes_by_ads("dynamic_resources.cds_config", dynamic.cds_config.as_ref());
        if !listeners && !wants_clusters {
            return None;
        }
        let Some(ads) = &dynamic.ads_config else {
            self.wrong(
                "dynamic_resources.ads_config",
                "missing, but lds_config or cds_config says ads",
            );
            return None;
        };
        let (server, mode) = self.server("dynamic_resources.ads_config", ads, clusters)?;
        Some(Dynamic { server, mode, listeners, clusters: wants_clusters })
    }

    fn comes_by_ads(&mut self, path: &str, source: Option<&ConfigSource>) -> bool {
        match source.map(|source| &source.config_source_specifier) {
            None => false,
            Some(Some(ConfigSourceSpecifier::Ads(_))) => true,
            Some(_) => {
                self.wrong(path, "not supported (supported: ads)");
                false
            }
        }
    }

    fn server(
        &mut self,
        path: &str,
        ads: &ApiConfigSource,
        clusters: &[Cluster],
    ) -> Option<(ServerAddress, Mode)> {
        let mode = match ApiType::try_from(ads.api_type) {
            Ok(ApiType::Grpc) => Mode::StateOfTheWorld,
            Ok(ApiType::DeltaGrpc) => Mode::Delta,
            _ => {
                self.wrong(
                    &format!("{path}.api_type"),
                    "not supported (supported: GRPC, DELTA_GRPC)",
                );
                return None;
            }
        };
        let specifier = ads.grpc_services.first().and_then(|g| g.target_specifier.as_ref());
        let Some(TargetSpecifier::EnvoyGrpc(grpc)) = specifier else {
            self.wrong(
                &format!("{path}.grpc_services[0]"),
                "expected envoy_grpc with a cluster_name",
            );
            return None;
        };
        let Some(cluster) = clusters.iter().find(|c| c.name == grpc.cluster_name) else {
            self.wrong(
                &format!("{path}.grpc_services[0].envoy_grpc.cluster_name"),
                &format!("no static cluster {:?}", grpc.cluster_name),
            );
            return None;
        };
        let address = first_address(cluster);
        if address.is_none() {
            self.wrong(
                &format!("static_resources.clusters[{}].load_assignment", cluster.name),
                "the management server needs an endpoint with an address",
            );
        }
        Some((address?, mode))
    }
}

fn upsert(name: &str, message: &impl prost::Message) -> Upsert {
    Upsert { name: Arc::from(name), version: Arc::from(""), value: message.encode_to_vec().into() }
}

fn first_address(cluster: &Cluster) -> Option<ServerAddress> {
    let endpoint = cluster.load_assignment.as_ref()?.endpoints.first()?.lb_endpoints.first()?;
    let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else { return None };
    let address = endpoint.address.as_ref()?;
    if let Some(AddressKind::Pipe(pipe)) = &address.address {
        return Some(ServerAddress::Pipe(PathBuf::from(&pipe.path)));
    }
    let (host, port) = host_and_port(address)?;
    Some(ServerAddress::Tcp(host.to_owned(), port))
}

fn host_and_port(address: &Address) -> Option<(&str, u16)> {
    let Some(AddressKind::SocketAddress(socket)) = &address.address else { return None };
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else { return None };
    Some((&socket.address, u16::try_from(port).ok()?))
}
