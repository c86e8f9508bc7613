//! The same work in the words of each proxy: one worker, no access log, kept
//! connections to the upstream, a route chosen by host and path prefix.

use std::net::SocketAddr;
use std::path::Path;

use crate::load::{Backends, Protocol};
use crate::row::AUTHORITY;

/// What a proxy must do.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// What is spoken on both sides.
    pub protocol: Protocol,
    /// Where the proxy listens.
    pub front: SocketAddr,
    /// Where its admin listens, if it has one.
    pub admin: SocketAddr,
    /// Where `/small` and `/large` lead.
    pub backends: Backends,
}

/// Enough kept upstream connections for any row.
const KEPT: usize = 128;

/// nginx: one process, buffers that hold a large body so that no file is written.
pub(crate) fn nginx(setup: &Setup, folder: &Path) -> String {
    let Setup { front, backends, .. } = setup;
    let Backends { small, large } = backends;
    let folder = folder.display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {folder}/nginx-{name};\n"))
        .concat();
    format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 8192; use epoll; }}
http {{
{paths}  access_log off;
  tcp_nodelay on;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  proxy_http_version 1.1;
  proxy_set_header Connection \"\";
  proxy_set_header Host $host;
  proxy_buffer_size 16k;
  proxy_buffers 16 16k;
  proxy_busy_buffers_size 128k;
  proxy_max_temp_file_size 0;
  upstream small {{ server {small}; keepalive {KEPT}; keepalive_requests 1000000000; }}
  upstream large {{ server {large}; keepalive {KEPT}; keepalive_requests 1000000000; }}
  server {{ listen {front} default_server; server_name other.local; return 404; }}
  server {{
    listen {front};
    server_name {AUTHORITY};
    location /small {{ proxy_pass http://small; }}
    location /large {{ proxy_pass http://large; }}
  }}
}}
"
    )
}

/// HAProxy: `http-reuse always`, without which the first request of every client
/// connection would open an upstream connection. A larger window than its default of
/// 64 KiB less one byte does not make it cheaper with large bodies in HTTP/2.
pub(crate) fn haproxy(setup: &Setup) -> String {
    let Setup { front, backends, .. } = setup;
    let Backends { small, large } = backends;
    let proto = match setup.protocol {
        Protocol::Http1 => "",
        Protocol::H2c => " proto h2",
    };
    format!(
        "global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 1s
  timeout client 75s
  timeout server 15s
  timeout http-keep-alive 75s
  option http-keep-alive
  http-reuse always
frontend front
  bind {front}{proto}
  acl ours hdr(host) -i {AUTHORITY}
  use_backend small if ours {{ path_beg /small }}
  use_backend large if ours {{ path_beg /large }}
  default_backend nowhere
backend nowhere
  http-request return status 404
backend small
  server s1 {small}{proto} pool-max-conn {KEPT}
backend large
  server s1 {large}{proto} pool-max-conn {KEPT}
"
    )
}

/// The bootstrap that both Envoy and weft-proxy get.
pub(crate) fn envoy(setup: &Setup) -> String {
    let Backends { small, large } = setup.backends;
    let small = envoy_cluster("small", small, setup.protocol);
    let large = envoy_cluster("large", large, setup.protocol);
    let front = envoy_address(setup.front);
    let admin = envoy_address(setup.admin);
    format!(
        "admin:
  address: {admin}
static_resources:
  listeners:
  - name: front
    address: {front}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          route_config:
            name: front
            virtual_hosts:
            - name: ours
              domains: [{AUTHORITY}]
              routes:
              - match: {{prefix: /small}}
                route: {{cluster: small}}
              - match: {{prefix: /large}}
                route: {{cluster: large}}
            - name: other
              domains: [other.local]
              routes:
              - match: {{prefix: /}}
                direct_response: {{status: 404}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
{small}{large}"
    )
}

fn envoy_cluster(name: &str, endpoint: SocketAddr, protocol: Protocol) -> String {
    let address = envoy_address(endpoint);
    let protocol = match protocol {
        Protocol::Http1 => "",
        Protocol::H2c => {
            "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
"
        }
    };
    format!(
        "  - name: {name}
    type: STATIC
    connect_timeout: 1s
{protocol}    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {address}}}
"
    )
}

fn envoy_address(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!("{{socket_address: {{address: {ip}, port_value: {port}}}}}")
}
