//! What the process starts from: an Envoy v3 Bootstrap, read and checked.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use weft_balance::Locality;
use weft_compile::{ApiSource, ConfigSource, ListenAddress, Origin, Reason, Upsert};
use weft_proto::{
    check::{self, Verdict},
    json::{self, Places},
    pb::envoy::config::{
        bootstrap::v3 as pb,
        cluster::v3::Cluster,
        core::v3::{Address, Node, address::Address as AddressKind, socket_address::PortSpecifier},
        endpoint::v3::lb_endpoint::HostIdentifier,
    },
    type_url,
};
use weft_resources::{DnsQuery, decode};

use crate::{
    overload_actions::HeapActions,
    plane::Plane,
    runtime::Limits,
    server::{Server, ServerAddress},
};

/// A bootstrap that can be started from.
#[derive(Debug, Default)]
pub(crate) struct Bootstrap {
    pub(crate) node: Node,
    pub(crate) admin: Option<ListenAddress>,
    pub(crate) limits: Limits,
    /// What is done beyond which memory.
    pub(crate) heap: HeapActions,
    pub(crate) clusters: Vec<Upsert>,
    pub(crate) listeners: Vec<Upsert>,
    /// `cluster_manager.local_cluster_name`: the cluster of this proxy and its peers, if it is known.
    pub(crate) peers: Option<Arc<str>>,
    /// `cluster_manager.outlier_detection.event_log_path`.
    pub(crate) outlier_log: Option<Arc<str>>,
    pub(crate) discovery: Discovery,
    /// For `/config_dump`.
    pub(crate) encoded: Bytes,
}

/// Where resources come from while the process runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discovery {
    /// `dynamic_resources.ads_config`.
    pub(crate) ads: Option<Arc<ApiSource>>,
    /// `dynamic_resources.lds_config`.
    pub(crate) listeners: Option<ConfigSource>,
    /// `dynamic_resources.cds_config`.
    pub(crate) clusters: Option<ConfigSource>,
    /// Static clusters by which a management server can be reached.
    pub(crate) servers: BTreeMap<Arc<str>, Server>,
}

impl Discovery {
    /// The types of which everything is wanted, each with its source.
    pub(crate) fn roots(&self) -> impl Iterator<Item = (weft_xds::ResourceType, &ConfigSource)> {
        let clusters = (weft_xds::ResourceType::Cluster, &self.clusters);
        let listeners = (weft_xds::ResourceType::Listener, &self.listeners);
        [clusters, listeners].into_iter().filter_map(|(of, source)| Some((of, source.as_ref()?)))
    }
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
    #[error("{origin}: {}", list(findings))]
    Malformed {
        /// Where the text comes from.
        origin: String,
        /// Where in it, and what; one line each.
        findings: Vec<String>,
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

/// A text of a bootstrap, and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// A file's name, or that of a flag. `.json` at its end says how to read it.
    pub(crate) origin: String,
    /// What it says.
    pub(crate) text: String,
}

impl Text {
    fn is_json(&self) -> bool {
        self.origin.ends_with(".json")
    }

    fn read(&self) -> Result<pb::Bootstrap, BootstrapError> {
        let text = &self.text;
        let read = if self.is_json() { json::from_json(text) } else { json::from_yaml(text) };
        read.map_err(|error: json::Error| BootstrapError::Malformed {
            origin: self.origin.clone(),
            findings: error.to_string().lines().map(str::to_owned).collect(),
        })
    }

    /// The line of a field.
    fn line_of(&self, path: &str) -> Option<usize> {
        let text = &self.text;
        let places = if self.is_json() { Places::in_json(text) } else { Places::in_yaml(text) };
        places.ok()?.line_of(path)
    }
}

impl Bootstrap {
    /// Tells a plane where this proxy is, if its peers are known too.
    pub(crate) fn place(&self, plane: Plane) -> Plane {
        let Some(peers) = self.peers.clone() else { return plane };
        let place = self.node.locality.clone().unwrap_or_default();
        let locality = Locality {
            region: place.region.into(),
            zone: place.zone.into(),
            sub_zone: place.sub_zone.into(),
        };
        plane.placed(locality, peers)
    }

    /// Reads a bootstrap. Of several texts each is merged over the ones before it, as messages of
    /// protobuf are: lists are appended to, and single values replaced. Returns what it warns about
    /// beside it.
    pub(crate) fn parse(texts: &[Text]) -> Result<(Self, Vec<String>), BootstrapError> {
        let mut message = pb::Bootstrap::default();
        for text in texts {
            let read = text.read()?.encode_to_vec();
            // What was just encoded can be decoded.
            let _ = message.merge(read.as_slice());
        }
        Self::of(texts, &message)
    }

    fn of(texts: &[Text], message: &pb::Bootstrap) -> Result<(Self, Vec<String>), BootstrapError> {
        let encoded = Bytes::from(message.encode_to_vec());
        let (mut findings, mut warnings) = (Vec::new(), Vec::new());
        for finding in check::check(type_url::BOOTSTRAP, &encoded) {
            match finding.verdict {
                Verdict::Nack => findings.push(finding.to_string()),
                _ => warnings.push(finding.to_string()),
            }
        }
        let limits = Limits::read(message, &mut findings, &mut warnings);
        let heap = HeapActions::read(message, &mut findings, &mut warnings);
        let mut read = Reading { findings };
        let bootstrap = read.bootstrap(message, (limits, heap), encoded);
        let locate = |findings: Vec<String>| {
            let statics = message.static_resources.as_ref();
            findings.iter().map(|finding| located(finding, statics, texts)).collect()
        };
        match bootstrap {
            Some(bootstrap) if read.findings.is_empty() => Ok((bootstrap, locate(warnings))),
            _ => Err(BootstrapError::Unsupported {
                origin: texts
                    .iter()
                    .map(|text| text.origin.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
                findings: locate(read.findings),
            }),
        }
    }
}

/// The line of a field, as the beginning of a sentence. Of several texts none counts: their lists
/// were put together.
pub(crate) fn line_of(path: &str, texts: &[Text]) -> String {
    let [text] = texts else { return String::new() };
    text.line_of(path).map(|line| format!("line {line}: ")).unwrap_or_default()
}

/// A finding with its line, and with the name of the resource that it is about.
fn located(
    finding: &str,
    statics: Option<&pb::bootstrap::StaticResources>,
    texts: &[Text],
) -> String {
    let path = finding.split(": ").next().unwrap_or_default();
    let line = line_of(path, texts);
    let name = statics.and_then(|statics| resource(path, statics));
    let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
    format!("{line}{name}{finding}")
}

/// The resource that a path leads into: `cluster "a"`.
fn resource(path: &str, statics: &pb::bootstrap::StaticResources) -> Option<String> {
    let index = |list: &str| -> Option<usize> {
        let (index, _) = path.strip_prefix(list)?.strip_prefix('[')?.split_once(']')?;
        index.parse().ok()
    };
    if let Some(index) = index("static_resources.clusters") {
        return Some(format!("cluster {:?}", statics.clusters.get(index)?.name));
    }
    let index = index("static_resources.listeners")?;
    Some(format!("listener {:?}", statics.listeners.get(index)?.name))
}

/// Collects everything that is wrong on the way.
struct Reading {
    findings: Vec<String>,
}

impl Reading {
    fn wrong(&mut self, path: &str, why: &str) {
        self.findings.push(format!("{path}: {why}"));
    }

    fn bootstrap(
        &mut self,
        message: &pb::Bootstrap,
        (limits, heap): (Limits, HeapActions),
        encoded: Bytes,
    ) -> Option<Bootstrap> {
        let statics = message.static_resources.clone().unwrap_or_default();
        let admin = match &message.admin {
            Some(admin) => self.admin(admin)?,
            None => None,
        };
        let manager = message.cluster_manager.as_ref();
        let dynamic = message.dynamic_resources.clone().unwrap_or_default();
        let discovery = self.discovery(&dynamic, &statics.clusters);
        Some(Bootstrap {
            node: message.node.clone().unwrap_or_default(),
            admin,
            limits,
            heap,
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
            peers: manager
                .map(|manager| manager.local_cluster_name.as_str())
                .filter(|name| !name.is_empty())
                .map(Arc::from),
            outlier_log: manager
                .and_then(|manager| manager.outlier_detection.as_ref())
                .map(|detection| detection.event_log_path.as_str())
                .filter(|path| !path.is_empty())
                .map(Arc::from),
            discovery,
            encoded,
        })
    }

    fn admin(&mut self, admin: &pb::Admin) -> Option<Option<ListenAddress>> {
        ListenAddress::of_admin(admin)
            .map_err(|reasons| {
                for reason in reasons {
                    if !self.findings.iter().any(|known| known.starts_with(&reason.path)) {
                        self.findings.push(reason.to_string());
                    }
                }
            })
            .ok()
    }

    fn discovery(
        &mut self,
        dynamic: &pb::bootstrap::DynamicResources,
        clusters: &[Cluster],
    ) -> Discovery {
        let servers = clusters
            .iter()
            .filter_map(|cluster| Some((Arc::from(cluster.name.as_str()), server(cluster)?)));
        let mut discovery = Discovery { servers: servers.collect(), ..Discovery::default() };
        if let Some(ads) = &dynamic.ads_config {
            let ads = ApiSource::read(ads, "ads_config").map(Arc::new);
            discovery.ads = self.take(ads);
        }
        if let Some(source) = &dynamic.lds_config {
            discovery.listeners = self.take(ConfigSource::read(source, "lds_config"));
        }
        if let Some(source) = &dynamic.cds_config {
            discovery.clusters = self.take(ConfigSource::read(source, "cds_config"));
        }
        self.reachable(&discovery, dynamic.ads_config.is_some());
        discovery
    }

    /// What was read, or `None` with its reasons noted, unless they are known already.
    fn take<T>(&mut self, read: Result<T, Vec<Reason>>) -> Option<T> {
        read.map_err(|reasons| {
            for reason in reasons {
                let path = format!("dynamic_resources.{}", reason.path);
                if !self.findings.iter().any(|known| known.starts_with(&path)) {
                    self.findings.push(format!("dynamic_resources.{reason}"));
                }
            }
        })
        .ok()
    }

    /// Every source must lead somewhere.
    fn reachable(&mut self, discovery: &Discovery, has_ads: bool) {
        let aggregated = |(_, source): (_, &ConfigSource)| source.origin == Origin::Aggregated;
        if discovery.roots().any(aggregated) && !has_ads {
            let why = "missing, but lds_config or cds_config says ads";
            self.wrong("dynamic_resources.ads_config", why);
        }
        let own = discovery.roots().filter_map(|(of, source)| match &source.origin {
            Origin::Api(api) => Some((format!("{}.api_config_source", own_path(of)), api)),
            _ => None,
        });
        for (of, source) in discovery.roots() {
            if let Origin::File(file) = &source.origin
                && !Path::new(&*file.path).exists()
            {
                let path = format!("{}.path_config_source.path", own_path(of));
                self.wrong(&path, &format!("there is no file {}", file.path));
            }
        }
        let ads = discovery.ads.iter().map(|ads| ("dynamic_resources.ads_config".to_owned(), ads));
        let all: Vec<_> = ads.chain(own).collect();
        for (path, api) in all {
            for (nth, service) in api.services.iter().enumerate() {
                if !discovery.servers.contains_key(&service.cluster) {
                    let path = format!("{path}.grpc_services[{nth}].envoy_grpc.cluster_name");
                    let why = format!(
                        "no static cluster {:?} with an endpoint that has an address",
                        service.cluster
                    );
                    self.wrong(&path, &why);
                }
            }
        }
    }
}

fn own_path(of: weft_xds::ResourceType) -> &'static str {
    match of {
        weft_xds::ResourceType::Cluster => "dynamic_resources.cds_config",
        _ => "dynamic_resources.lds_config",
    }
}

fn upsert(name: &str, message: &impl prost::Message) -> Upsert {
    Upsert { name: Arc::from(name), version: Arc::from(""), value: message.encode_to_vec().into() }
}

/// How a cluster's endpoints are reached as a management server.
fn server(cluster: &Cluster) -> Option<Server> {
    let endpoints = cluster.load_assignment.as_ref()?.endpoints.iter();
    let addresses: Vec<_> = endpoints
        .flat_map(|locality| &locality.lb_endpoints)
        .filter_map(|endpoint| match &endpoint.host_identifier {
            Some(HostIdentifier::Endpoint(endpoint)) => server_address(endpoint.address.as_ref()?),
            _ => None,
        })
        .collect();
    let mut server = Server::from(addresses.first()?.clone());
    server.addresses = addresses;
    server.query = query(cluster);
    if let Some(timeout) = &cluster.connect_timeout
        && let (Ok(seconds), Ok(nanos)) =
            (u64::try_from(timeout.seconds), u32::try_from(timeout.nanos))
    {
        server.connect_timeout = Duration::new(seconds, nanos);
    }
    Some(server)
}

/// How the names of a cluster are looked up; `None` when it has none.
fn query(cluster: &Cluster) -> Option<Arc<DnsQuery>> {
    // Whatever is wrong with it is said where all clusters are compiled.
    let read = decode::<weft_resources::Cluster>(&cluster.encode_to_vec()).ok()?;
    match read.resource.discovery {
        weft_resources::Discovery::Dns(dns) => Some(dns.query),
        _ => None,
    }
}

fn server_address(address: &Address) -> Option<ServerAddress> {
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
