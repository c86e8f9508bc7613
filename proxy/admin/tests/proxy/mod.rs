//! A proxy that is only its state, and a client that only reads.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use prost::{Message, Name};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use weft_admin::{
    Admin, BootstrapView, BoundListener, Command, EventView, LogLevel, ServerInfo, ServerState,
    Settings, Source, SubscriptionView,
};
use weft_compile::{
    BindAddress, ClusterView, Compiler, Dump, ResourceType, Tables, Update, Upsert,
};
use weft_proto::{
    json,
    pb::envoy::config::{
        bootstrap::v3::Bootstrap, cluster::v3::Cluster, core::v3::Node,
        endpoint::v3::ClusterLoadAssignment, listener::v3::Listener, route::v3::RouteConfiguration,
    },
};
use weft_telemetry::Stats;

pub(crate) struct FakeProxy {
    stats: Arc<Stats>,
    state: Mutex<ServerState>,
    compiler: Mutex<Compiler>,
}

impl FakeProxy {
    pub(crate) fn new() -> Self {
        Self::with_clusters(0)
    }

    /// With so many more clusters that wait for their endpoints.
    pub(crate) fn with_clusters(waiting: usize) -> Self {
        let stats = Stats::new(Instant::now());
        stats.cluster("catalog").upstream_rq_total.add(3);
        let mut compiler = Compiler::new(Arc::clone(&stats));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(60);

        let mut apply = |update: Update| compiler.apply(&update, now);

        let idle =
            cluster(&format!("name: idle, type: STATIC, load_assignment: {}", endpoints("idle")));
        apply(Update::fixed(ResourceType::Cluster, vec![idle]));
        let mut clusters = vec![
            cluster(&eds("catalog", "ROUND_ROBIN")),
            cluster(&eds("refused", "9")),
            cluster(&eds("waiting", "ROUND_ROBIN")),
        ];
        clusters
            .extend((0..waiting).map(|n| cluster(&eds(&format!("waiting-{n}"), "ROUND_ROBIN"))));
        apply(dynamic(ResourceType::Cluster, clusters));
        let catalog = upsert::<ClusterLoadAssignment>("catalog", &endpoints("catalog"));
        apply(dynamic(ResourceType::Assignment, vec![catalog]));
        let inbound = listener("inbound", "route_config: {name: fixed, virtual_hosts: []}");
        apply(Update::fixed(ResourceType::Listener, vec![inbound]));
        let rds = "rds: {route_config_name: outbound, config_source: {ads: {}, resource_api_version: V3}}";
        apply(dynamic(ResourceType::Listener, vec![listener("outbound", rds)]));
        let routes = upsert::<RouteConfiguration>("outbound", "{name: outbound}");
        apply(dynamic(ResourceType::RouteConfiguration, vec![routes]));
        compiler.tables();
        Self { stats, state: Mutex::new(ServerState::Live), compiler: Mutex::new(compiler) }
    }

    pub(crate) fn set_state(&self, state: ServerState) {
        *self.state.lock().unwrap() = state;
    }
}

impl Source for FakeProxy {
    fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    fn state(&self) -> ServerState {
        *self.state.lock().unwrap()
    }

    fn server_info(&self) -> ServerInfo {
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        ServerInfo {
            version: "0.1.0".to_owned(),
            uptime: Duration::from_millis(75_900),
            node: object(serde_json::json!({"id": "test"})),
            command_line_options: object(serde_json::json!({"concurrency": 2})),
        }
    }

    fn tables(&self) -> Arc<Tables> {
        self.compiler.lock().unwrap().tables()
    }

    fn last_known_good(&self) -> Option<Duration> {
        Some(Duration::from_secs(7))
    }

    fn is_connected(&self) -> bool {
        false
    }

    fn log_level(&self) -> LogLevel {
        LogLevel::Info
    }

    fn listeners(&self) -> Vec<BoundListener> {
        let addresses = ["127.0.0.1:15001", "[::1]:15001"];
        let bound = |address: &str| BindAddress::Ip(address.parse().unwrap());
        vec![BoundListener { name: "outbound".into(), addresses: addresses.map(bound).to_vec() }]
    }

    fn clusters(&self) -> Vec<ClusterView> {
        self.compiler.lock().unwrap().cluster_views()
    }

    fn events(&self) -> Vec<EventView> {
        Vec::new()
    }

    fn dump(&self) -> Dump {
        self.compiler.lock().unwrap().dump()
    }

    fn subscriptions(&self) -> Vec<SubscriptionView> {
        Vec::new()
    }

    fn node(&self) -> Node {
        json::from_yaml("{id: test, metadata: {team: cart}}").unwrap()
    }

    fn bootstrap(&self) -> BootstrapView {
        let bootstrap: Bootstrap = json::from_yaml("node: {id: test}").unwrap();
        BootstrapView {
            value: bootstrap.encode_to_vec().into(),
            loaded: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
        }
    }
}

fn upsert<M: Message + Name + Default>(name: &str, yaml: &str) -> Upsert {
    let resource: M = json::from_yaml(yaml).unwrap();
    Upsert { name: name.into(), version: "7".into(), value: resource.encode_to_vec().into() }
}

fn dynamic(resource_type: ResourceType, upserts: Vec<Upsert>) -> Update {
    Update {
        version: "7".into(),
        source: weft_compile::Source::Dynamic,
        ..Update::fixed(resource_type, upserts)
    }
}

fn cluster(fields: &str) -> Upsert {
    let yaml = format!("{{{fields}}}");
    let cluster: Cluster = json::from_yaml(&yaml).unwrap();
    upsert::<Cluster>(&cluster.name, &yaml)
}

fn eds(name: &str, policy: &str) -> String {
    format!(
        "name: {name}, type: EDS, lb_policy: {policy},
         eds_cluster_config: {{eds_config: {{ads: {{}}, resource_api_version: V3}}}}"
    )
}

fn endpoints(name: &str) -> String {
    let at = |address| {
        format!("endpoint: {{address: {{socket_address: {{address: {address}, port_value: 80}}}}}}")
    };
    format!(
        "{{cluster_name: {name}, endpoints: [{{locality: {{zone: a}}, lb_endpoints: [
            {{{}}}, {{{}, health_status: DRAINING, load_balancing_weight: 3}}]}}]}}",
        at("10.0.0.1"),
        at("10.0.0.2"),
    )
}

fn listener(name: &str, routes: &str) -> Upsert {
    let extensions = "type.googleapis.com/envoy.extensions.filters";
    upsert::<Listener>(
        name,
        &format!(
            "{{name: {name}, address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}},
              filter_chains: [{{filters: [{{name: http, typed_config: {{
                '@type': {extensions}.network.http_connection_manager.v3.HttpConnectionManager,
                stat_prefix: {name}, {routes}, http_filters: [{{name: router, typed_config: {{
                  '@type': {extensions}.http.router.v3.Router}}}}]}}}}]}}]}}"
        ),
    )
}

/// The interface on a port of its own.
pub(crate) struct Running {
    pub(crate) proxy: Arc<FakeProxy>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    address: SocketAddr,
}

impl Running {
    pub(crate) async fn start(proxy: FakeProxy) -> Self {
        let proxy = Arc::new(proxy);
        let (sender, commands) = mpsc::unbounded_channel();
        let settings = Settings { host_names: vec!["admin.internal".to_owned()] };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let source = Arc::clone(&proxy) as Arc<dyn Source>;
        tokio::spawn(Admin::new(source, sender, settings).serve(weft_net::Acceptor::Tcp(listener)));
        Self { proxy, commands, address }
    }

    pub(crate) async fn get(&self, target: &str) -> (u16, String) {
        self.request("GET", target, &format!("Host: {}\r\n", self.address)).await
    }

    pub(crate) async fn get_json(&self, target: &str) -> Value {
        let (status, body) = self.get(target).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) async fn post(&self, target: &str) -> (u16, String) {
        self.request("POST", target, &format!("Host: {}\r\n", self.address)).await
    }

    /// Status and body of an answer. HTTP/1.0, so that the body is all that follows the head.
    pub(crate) async fn request(&self, method: &str, target: &str, fields: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {target} HTTP/1.0\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }
}
