//! `weft bootstrap`: the file that a client of the control plane starts with.

use std::net::{IpAddr, SocketAddr};

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::exit::Failure;

/// Prints the bootstrap with which a client finds the control plane.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft bootstrap --for envoy --node envoy-1 > envoy.yaml && envoy -c envoy.yaml
  weft bootstrap --for weft --service shop --app 127.0.0.1:8080 > weft.yaml
  GRPC_XDS_BOOTSTRAP_CONFIG=$(weft bootstrap --for grpc) python3 client.py")]
pub(crate) struct Bootstrap {
    /// Who starts with it.
    #[arg(long = "for", value_name = "CLIENT", value_enum)]
    client: Client,
    /// Where the control plane serves xDS.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:15010")]
    control_plane: Authority,
    /// What the client is called.
    #[arg(long, value_name = "ID", default_value = "node-1")]
    node: String,
    /// The namespace that it dials from.
    #[arg(long, default_value = weft_config::DEFAULT_NAMESPACE)]
    namespace: String,
    /// The zone that it runs in.
    #[arg(long, default_value = "")]
    zone: String,
    #[command(flatten)]
    proxy: ProxyOptions,
}

/// What only proxies have.
#[derive(Args, Debug)]
struct ProxyOptions {
    /// The Service that the application beside it serves.
    #[arg(long, requires = "app")]
    service: Option<String>,
    /// Where that application listens. For a gRPC server, where it listens itself.
    #[arg(long, value_name = "IP:PORT", requires = "service")]
    app: Option<SocketAddr>,
    /// Where it takes requests to the application.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:15006")]
    inbound: SocketAddr,
    /// Where it takes the application's own requests.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:15001")]
    outbound: SocketAddr,
    /// Where it shows its state.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:15000")]
    admin: SocketAddr,
    /// Asks for the whole state each time instead of what changed.
    #[arg(long)]
    state_of_the_world: bool,
}

/// The kinds of clients; each wants its own form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Client {
    /// weft-proxy: YAML for `-c`.
    Weft,
    /// Envoy: YAML for `-c`.
    Envoy,
    /// gRPC libraries on the C core, Go, Java and Node: JSON for `GRPC_XDS_BOOTSTRAP_CONFIG`.
    Grpc,
    /// tonic-xds, which wants a scheme before the address.
    Tonic,
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Authority {
    host: String,
    port: u16,
}

impl std::str::FromStr for Authority {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let wrong = || anyhow!("expected HOST:PORT such as 127.0.0.1:15010 or control-plane:15010");
        let authority: http::uri::Authority = text.parse().map_err(|_| wrong())?;
        let port = authority.port_u16().filter(|port| *port > 0).ok_or_else(wrong)?;
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl Authority {
    /// As part of an address or URI: an IPv6 address in brackets.
    fn text(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl Bootstrap {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match self.client {
            Client::Weft | Client::Envoy => print!("{}", weft_config::to_yaml(&self.for_proxy())),
            Client::Grpc => print_json(&self.for_grpc(&self.control_plane.text()))?,
            Client::Tonic => {
                print_json(&self.for_grpc(&format!("http://{}", self.control_plane.text())))?;
            }
        }
        Ok(())
    }

    fn for_grpc(&self, server: &str) -> Value {
        let mut facts = json!({"namespace": self.namespace});
        if let (Some(service), Some(app)) = (&self.proxy.service, self.proxy.app) {
            // A gRPC server is its own sidecar.
            facts["service"] = service.as_str().into();
            facts["app"] = app.to_string().into();
            facts["inbound"] = app.to_string().into();
        }
        json!({
            "server_listener_resource_name_template":
                "grpc/server?xds.resource.listening_address=%s",
            "xds_servers": [{
                "server_uri": server,
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }],
            "node": {
                "id": self.node,
                "cluster": self.namespace,
                // Node's gRPC library does not start without a locality.
                "locality": {"region": "", "zone": self.zone, "sub_zone": ""},
                "metadata": {"weft": facts},
            },
        })
    }

    fn for_proxy(&self) -> Value {
        let ads = json!({"ads": {}, "resource_api_version": "V3"});
        let api = if self.proxy.state_of_the_world { "GRPC" } else { "DELTA_GRPC" };
        json!({
            "node": {
                "id": self.node,
                "cluster": self.proxy.service.as_deref().unwrap_or(&self.namespace),
                "locality": {"zone": self.zone},
                "metadata": {"weft": self.metadata()},
            },
            "admin": {"address": socket_address(&self.proxy.admin.ip().to_string(), self.proxy.admin.port())},
            "dynamic_resources": {
                "ads_config": {
                    "api_type": api,
                    "transport_api_version": "V3",
                    "set_node_on_first_message_only": true,
                    "grpc_services": [{"envoy_grpc": {"cluster_name": CONTROL_PLANE}}],
                },
                "lds_config": ads,
                "cds_config": ads,
            },
            "static_resources": {"clusters": [self.control_plane_cluster()]},
        })
    }

    fn metadata(&self) -> Value {
        let ProxyOptions { service, app, inbound, outbound, .. } = &self.proxy;
        let mut metadata = json!({"namespace": self.namespace, "outbound": outbound.to_string()});
        if let (Some(service), Some(app)) = (service, app) {
            metadata["service"] = json!(service);
            metadata["app"] = json!(app.to_string());
            metadata["inbound"] = json!(inbound.to_string());
        }
        metadata
    }

    fn control_plane_cluster(&self) -> Value {
        let Authority { host, port } = &self.control_plane;
        let kind = if host.parse::<IpAddr>().is_ok() { "STATIC" } else { "STRICT_DNS" };
        let keepalive = json!({"interval": "30s", "timeout": "5s"});
        json!({
            "name": CONTROL_PLANE,
            "type": kind,
            "connect_timeout": "5s",
            "typed_extension_protocol_options": {HTTP_OPTIONS: {
                "@type": format!("type.googleapis.com/{HTTP_OPTIONS}"),
                "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": keepalive}},
            }},
            "load_assignment": {
                "cluster_name": CONTROL_PLANE,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(host, *port)}}]}],
            },
        })
    }
}

/// The cluster of the control plane in a proxy's bootstrap.
const CONTROL_PLANE: &str = "weft-control-plane";
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

fn socket_address(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}

fn print_json(value: &Value) -> Result<(), Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::Unreachable(error.into()))?;
    println!("{text}");
    Ok(())
}
