//! The bootstrap that both Envoy and weft-proxy get.

use std::net::SocketAddr;

use super::config::Setup;
use crate::load::Protocol;
use crate::row::AUTHORITY;

/// Listener, routes by host and path prefix, and clusters; `armed` with everything that helps a
/// request that fails.
pub(crate) fn bootstrap(setup: &Setup, armed: bool) -> String {
    let clusters: String =
        setup.clusters().map(|(name, to)| cluster(name, to, setup.protocol, armed)).concat();
    let front = address(setup.front);
    let admin = address(setup.admin);
    let filter = match setup.protocol {
        Protocol::Tcp => tcp_proxy(setup.only_cluster()),
        _ => connection_manager(setup, armed),
    };
    format!(
        "admin:
  address: {admin}
static_resources:
  listeners:
  - name: front
    address: {front}
    filter_chains:
    - filters:
{filter}  clusters:
{clusters}"
    )
}

/// Of a route: tries again, each try with a time of its own, and endpoints by a field of the head.
const POLICIES: &str = ", retry_policy: {retry_on: '5xx,reset,connect-failure', num_retries: 3, \
                        per_try_timeout: 2s, retry_back_off: {base_interval: 0.025s}}, \
                        hash_policy: [{header: {header_name: ':authority'}}]";

/// Of a chain: a bucket of more tokens than anybody takes.
const FILTERS: &str = "          - name: envoy.filters.http.local_ratelimit
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: armed
              token_bucket: {max_tokens: 1000000000, tokens_per_fill: 1000000000, fill_interval: 1s}
              filter_enabled: {default_value: {numerator: 100, denominator: HUNDRED}}
              filter_enforced: {default_value: {numerator: 100, denominator: HUNDRED}}
";

fn connection_manager(setup: &Setup, armed: bool) -> String {
    let (policies, filters) = if armed { (POLICIES, FILTERS) } else { ("", "") };
    let routes: String = setup
        .clusters()
        .map(|(name, _)| {
            // What never ends must not run into the route's time limit.
            let timeout = match setup.protocol {
                Protocol::GrpcStream => ", timeout: 0s",
                _ => "",
            };
            format!(
                "              - match: {{prefix: /{name}}}
                route: {{cluster: {name}{timeout}{policies}}}
"
            )
        })
        .concat();
    let upgrades = match setup.protocol {
        Protocol::WebSocket => "          upgrade_configs: [{upgrade_type: websocket}]\n",
        _ => "",
    };
    format!(
        "      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
{upgrades}          route_config:
            name: front
            virtual_hosts:
            - name: ours
              domains: [{AUTHORITY}]
              routes:
{routes}            - name: other
              domains: [other.local]
              routes:
              - match: {{prefix: /}}
                direct_response: {{status: 404}}
          http_filters:
{filters}          - name: envoy.filters.http.router
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"
    )
}

fn tcp_proxy(cluster: &str) -> String {
    format!(
        "      - name: envoy.filters.network.tcp_proxy
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: front
          cluster: {cluster}
"
    )
}

/// Thresholds as high as nobody reaches: 1,024 connections are the default of both.
const THRESHOLDS: &str = "    circuit_breakers:
      thresholds: [{max_connections: 16384, max_requests: 16384, max_pending_requests: 16384}]
";

/// The same, with a budget of retries, endpoints on a ring, ejections, and checks of who is well.
const ARMED: &str = "    lb_policy: RING_HASH
    circuit_breakers:
      thresholds:
      - max_connections: 16384
        max_requests: 16384
        max_pending_requests: 16384
        retry_budget: {budget_percent: {value: 20}, min_retry_concurrency: 3}
    outlier_detection: {consecutive_5xx: 5, interval: 10s}
    health_checks:
    - {timeout: 1s, interval: 1s, unhealthy_threshold: 3, healthy_threshold: 1, tcp_health_check: {}}
";

fn cluster(name: &str, endpoint: SocketAddr, protocol: Protocol, armed: bool) -> String {
    let resilience = if armed { ARMED } else { THRESHOLDS };
    let endpoint = address(endpoint);
    let protocol = if protocol.is_h2() {
        "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
"
    } else {
        ""
    };
    format!(
        "  - name: {name}
    type: STATIC
    connect_timeout: 1s
{resilience}{protocol}    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {endpoint}}}
"
    )
}

fn address(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!("{{socket_address: {{address: {ip}, port_value: {port}}}}}")
}
