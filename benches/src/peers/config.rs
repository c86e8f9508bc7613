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
    /// Where `/small`, `/large` and `/huge` lead.
    pub backends: Backends,
    /// Whether the row's bodies are the huge ones, for where there is no path.
    pub huge: bool,
}

impl Setup {
    /// The clusters: the first part of the path that leads there is their name, too.
    pub(crate) fn clusters(&self) -> [(&'static str, SocketAddr); 3] {
        let Backends { small, large, huge } = self.backends;
        [("small", small), ("large", large), ("huge", huge)]
    }

    /// The one backend of a row of TCP, where there is no path to choose by.
    pub(crate) fn only_cluster(&self) -> &'static str {
        if self.huge { "huge" } else { "small" }
    }
}

/// Enough kept upstream connections for any row.
const KEPT: usize = 512;

/// nginx: one process, buffers that hold a large body so that no file is written.
pub(crate) fn nginx(setup: &Setup, folder: &Path) -> String {
    let front = setup.front;
    let folder = folder.display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {folder}/nginx-{name};\n"))
        .concat();
    let upstreams: String = setup
        .clusters()
        .map(|(name, address)| {
            format!(
                "  upstream {name} {{ server {address}; keepalive {KEPT}; \
                 keepalive_requests 1000000000; }}\n"
            )
        })
        .concat();
    let grpc = setup.protocol.is_h2();
    let (listen, pass) = if grpc { (" http2", "grpc_pass grpc") } else { ("", "proxy_pass http") };
    let locations: String = setup
        .clusters()
        .map(|(name, _)| format!("    location /{name} {{ {pass}://{name}; }}\n"))
        .concat();
    // Both proxy HTTP/1.1; only an upgrade needs the two fields handed on.
    let (connection, upgrade) = match setup.protocol {
        Protocol::WebSocket => ("upgrade", "  proxy_set_header Upgrade $http_upgrade;\n"),
        _ => ("", ""),
    };
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
  proxy_set_header Connection \"{connection}\";
{upgrade}  proxy_set_header Host $host;
  proxy_buffer_size 16k;
  proxy_buffers 16 16k;
  proxy_busy_buffers_size 128k;
  proxy_max_temp_file_size 0;
  client_body_timeout 1h;
  grpc_read_timeout 1h;
{upstreams}  server {{ listen {front}{listen} default_server; server_name other.local; return 404; }}
  server {{
    listen {front}{listen};
    server_name {AUTHORITY};
{locations}  }}
}}
"
    )
}

/// HAProxy: `http-reuse always`, without which the first request of every client
/// connection would open an upstream connection. A larger window than its default of
/// 64 KiB less one byte does not make it cheaper with large bodies in HTTP/2.
pub(crate) fn haproxy(setup: &Setup) -> String {
    let front = setup.front;
    let proto = if setup.protocol.is_h2() { " proto h2" } else { "" };
    let global = "global
  nbthread 1
  maxconn 8192
";
    if setup.protocol == Protocol::Tcp {
        let only = setup.only_cluster();
        let backends: String = setup
            .clusters()
            .map(|(name, address)| format!("backend {name}\n  server s1 {address}\n"))
            .concat();
        return format!(
            "{global}defaults
  mode tcp
  timeout connect 1s
  timeout client 1h
  timeout server 1h
frontend front
  bind {front}
  default_backend {only}
{backends}"
        );
    }
    let uses: String = setup
        .clusters()
        .map(|(name, _)| format!("  use_backend {name} if ours {{ path_beg /{name} }}\n"))
        .concat();
    let backends: String = setup
        .clusters()
        .map(|(name, address)| {
            format!("backend {name}\n  server s1 {address}{proto} pool-max-conn {KEPT}\n")
        })
        .concat();
    format!(
        "{global}defaults
  mode http
  timeout connect 1s
  timeout client 75s
  timeout server 15s
  timeout tunnel 1h
  timeout http-keep-alive 75s
  option http-keep-alive
  http-reuse always
frontend front
  bind {front}{proto}
  acl ours hdr(host) -i {AUTHORITY}
{uses}  default_backend nowhere
backend nowhere
  http-request return status 404
{backends}"
    )
}
