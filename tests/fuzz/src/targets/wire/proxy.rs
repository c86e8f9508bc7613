//! A weft-proxy that runs for as long as its target.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::Settings;

const START: Duration = Duration::from_secs(15);

pub(super) struct Proxy {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Proxy {
    /// Starts one that answers `/probe` itself and sends everything else to the upstream.
    /// `filters` come before the router.
    pub(super) fn start(
        settings: &Settings,
        upstream: SocketAddr,
        http2: bool,
        filters: &str,
    ) -> Result<Self> {
        let id = std::process::id();
        let file = |ending: &str| settings.out.join(format!("proxy-{id}.{ending}"));
        let (config, log, admin) = (file("yaml"), file("log"), file("admin"));
        fs::write(&config, bootstrap(upstream, http2, filters)).context("write the bootstrap")?;
        let output = File::create(&log).context("create the proxy's log")?;
        // The kernel ends it with us, whatever happens to us.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(&settings.weft)
            .arg("-c")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin)
            .args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"])
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("share the log")?)
            .stderr(output)
            .spawn()
            .context("run setpriv (package util-linux)")?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut proxy = Self { child, address, log };
        let began = Instant::now();
        proxy.address = loop {
            if let Some(found) = fs::read_to_string(&admin).ok().and_then(|text| listener(&text)) {
                break found;
            }
            if proxy.child.try_wait()?.is_some() || began.elapsed() > START {
                bail!("weft-proxy did not start: {}", proxy.last_words());
            }
            thread::sleep(Duration::from_millis(5));
        };
        Ok(proxy)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it ended, if it did, and the end of its log.
    pub(super) fn last_words(&mut self) -> String {
        let ended = match self.child.try_wait() {
            Ok(Some(status)) => format!("it ended with {status}"),
            _ => "it still runs".to_owned(),
        };
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(12);
        format!("{ended}; its log: {}", lines.get(from..).unwrap_or_default().join("\n"))
    }

    pub(super) fn resident_kib(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.context("no VmRSS in the proxy's status")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for ending in ["yaml", "log", "admin"] {
            // What is not there need not go.
            let _ = fs::remove_file(self.log.with_extension(ending));
        }
    }
}

/// Where the listener is, as the admin at this address tells.
fn listener(admin: &str) -> Option<SocketAddr> {
    let mut stream = TcpStream::connect(admin.trim()).ok()?;
    let request = "GET /listeners HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().find_map(|line| line.strip_prefix("main::")?.parse().ok())
}

fn bootstrap(upstream: SocketAddr, http2: bool, filters: &str) -> String {
    let (host, port) = (upstream.ip(), upstream.port());
    let protocol = if http2 {
        "
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}"
    } else {
        ""
    };
    format!(
        "admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - name: main
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          route_config:
            virtual_hosts:
            - name: all
              domains: ['*']
              cors: {{allow_origin_string_match: [{{prefix: http}}], allow_methods: '*'}}
              routes:
              - match: {{path: /probe}}
                direct_response: {{status: 200, body: {{inline_string: alive}}}}
              - match: {{prefix: /}}
                route: {{cluster: up, timeout: 0.25s}}
          http_filters:{filters}
          - name: envoy.filters.http.router
            typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: up
    type: STATIC
    connect_timeout: 1s{protocol}
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}
"
    )
}
