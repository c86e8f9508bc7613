//! How long the steps take that a proxy does with configuration, and what they cost in
//! memory: `cargo run --release -p weft-proto --example timing`.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use prost::Message;
use weft_proto::pb::envoy::config::{bootstrap::v3::Bootstrap, cluster::v3::Cluster};
use weft_proto::{check::check, json, type_url};

const BOOTSTRAP: &str = r#"
node: {id: n, cluster: c}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
dynamic_resources:
  ads_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  lds_config: {ads: {}, resource_api_version: V3}
  cds_config: {ads: {}, resource_api_version: V3}
static_resources: {clusters: [{name: xds, type: STATIC, connect_timeout: 1s,
  typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions,
    explicit_http_config: {http2_protocol_options: {}}}},
  load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address:
    {address: 127.0.0.1, port_value: 18000}}}}]}]}}]}
"#;

const CLUSTER: &str = r"
name: shop.default:80
type: EDS
eds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3}}
connect_timeout: 1s
lb_policy: LEAST_REQUEST
";

fn main() -> Result<(), Box<dyn Error>> {
    let before = resident()?;
    let first = Instant::now();
    let bootstrap: Bootstrap = json::from_yaml(BOOTSTRAP)?;
    println!("bootstrap from YAML, the first time: {:?}", first.elapsed());
    let encoded = bootstrap.encode_to_vec();
    let first = Instant::now();
    let findings = check(type_url::BOOTSTRAP, &encoded);
    println!(
        "check of the bootstrap, the first time: {:?}, {} findings",
        first.elapsed(),
        findings.len()
    );
    println!("resident memory for both: {} KiB", resident()?.saturating_sub(before));

    let cluster: Cluster = json::from_yaml(CLUSTER)?;
    let encoded = cluster.encode_to_vec();
    each("check of an EDS cluster", || check(type_url::CLUSTER, black_box(&encoded)).len());
    each("bootstrap from YAML", || json::from_yaml::<Bootstrap>(black_box(BOOTSTRAP)).is_ok());
    each("bootstrap to JSON", || json::to_json(black_box(&bootstrap)));
    Ok(())
}

/// Prints the shortest of many runs: the one least disturbed.
fn each<T>(what: &str, mut run: impl FnMut() -> T) {
    let runs = (0..2_000).map(|_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed()
    });
    println!("{what}: {:?}", runs.min().unwrap_or_default());
}

/// Resident memory in KiB.
fn resident() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
