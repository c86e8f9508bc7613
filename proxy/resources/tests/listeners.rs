//! Listeners and what handles their connections.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use prost::{Message, Name};
use weft_proto::pb::{
    envoy::{
        config::{
            core::v3::{
                Address as WireAddress, AggregatedConfigSource, ConfigSource, Http2ProtocolOptions,
                HttpProtocolOptions, Pipe, SocketAddress, address,
                config_source::ConfigSourceSpecifier,
                socket_address::{self, PortSpecifier},
            },
            listener::v3::{
                ApiListener, Filter, FilterChain as WireChain, Listener as Wire, filter,
            },
            route::v3::RouteConfiguration,
        },
        extensions::filters::{
            http::{csrf::v3::CsrfPolicy, router::v3::Router},
            network::{
                http_connection_manager::v3::{
                    HttpConnectionManager as Http, HttpFilter, Rds,
                    http_connection_manager::{CodecType, RouteSpecifier},
                    http_filter,
                },
                tcp_proxy::v3::{
                    TcpProxy,
                    tcp_proxy::{self, WeightedCluster, weighted_cluster::ClusterWeight},
                },
            },
        },
    },
    google::protobuf::{self, BoolValue, UInt32Value},
};
use weft_resources::{
    Codec, FetchTimeout, HttpConnectionManager, Listener, ListenerKind, RouteSource, Terminal,
    decode,
};

fn any<M: Name>(message: &M) -> protobuf::Any {
    protobuf::Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

fn http_filter<M: Name>(message: &M, is_optional: bool) -> HttpFilter {
    HttpFilter {
        name: "filter".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(any(message))),
        is_optional,
        ..HttpFilter::default()
    }
}

fn ads() -> ConfigSource {
    let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource::default());
    ConfigSource { config_source_specifier: Some(ads), ..ConfigSource::default() }
}

fn http() -> Http {
    let rds = Rds { config_source: Some(ads()), route_config_name: "outbound".to_owned() };
    Http {
        stat_prefix: "in".to_owned(),
        route_specifier: Some(RouteSpecifier::Rds(rds)),
        http_filters: vec![http_filter(&Router::default(), false)],
        ..Http::default()
    }
}

fn chain<M: Name>(message: &M) -> WireChain {
    let config_type = Some(filter::ConfigType::TypedConfig(any(message)));
    let filter = Filter { name: "filter".to_owned(), config_type };
    WireChain { filters: vec![filter], ..WireChain::default() }
}

fn loopback(port: u32) -> WireAddress {
    WireAddress {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: "127.0.0.1".to_owned(),
            port_specifier: Some(PortSpecifier::PortValue(port)),
            ..SocketAddress::default()
        })),
    }
}

fn listener(chain: WireChain) -> Wire {
    Wire {
        name: "in".to_owned(),
        address: Some(loopback(8080)),
        filter_chains: vec![chain],
        ..Wire::default()
    }
}

fn refusals(message: &Wire) -> String {
    let reasons = decode::<Listener>(&message.encode_to_vec()).unwrap_err();
    reasons.iter().map(|reason| format!("{reason}\n")).collect()
}

fn read_http(message: &Http) -> HttpConnectionManager {
    let listener = listener(chain(message));
    match decode::<Listener>(&listener.encode_to_vec()).unwrap().resource.kind {
        ListenerKind::Sockets(mut sockets) => match sockets.chains.remove(0).terminal {
            Terminal::Http(http) => *http,
            other => panic!("not HTTP: {other:?}"),
        },
        other => panic!("no sockets: {other:?}"),
    }
}

fn read_tcp(message: &TcpProxy) -> weft_resources::TcpProxy {
    let listener = listener(chain(message));
    match decode::<Listener>(&listener.encode_to_vec()).unwrap().resource.kind {
        ListenerKind::Sockets(mut sockets) => match sockets.chains.remove(0).terminal {
            Terminal::Tcp(tcp) => tcp,
            other => panic!("not TCP: {other:?}"),
        },
        other => panic!("no sockets: {other:?}"),
    }
}

#[test]
fn defaults_are_those_of_envoy() {
    let read = read_http(&http());
    assert_eq!(read.codec, Codec::Auto);
    assert_eq!(read.server_name, "weft");
    assert_eq!(read.client.idle_timeout, Some(Duration::from_secs(3600)));
    assert_eq!(read.client.stream_idle_timeout, Some(Duration::from_secs(300)));
    assert_eq!(read.client.request_headers_timeout, None);
    assert!(read.heads.generate_request_id && !read.heads.preserve_external_request_id);
    assert!(!read.heads.use_remote_address && !read.suppress_envoy_headers);
    let RouteSource::Rds { name, fetch_timeout, .. } = read.routes else { panic!("not RDS") };
    assert_eq!(name.as_str(), "outbound");
    assert_eq!(fetch_timeout, FetchTimeout::After(Duration::from_secs(15)));
}

#[test]
fn settings_are_read() {
    let router = Router { suppress_envoy_headers: true, ..Router::default() };
    let read = read_http(&Http {
        codec_type: CodecType::Http2.into(),
        server_name: "edge".to_owned(),
        stream_idle_timeout: Some(protobuf::Duration::default()),
        use_remote_address: Some(BoolValue { value: true }),
        generate_request_id: Some(BoolValue { value: false }),
        http_filters: vec![http_filter(&router, false)],
        ..http()
    });
    assert_eq!((read.codec, read.server_name.to_str().unwrap()), (Codec::Http2, "edge"));
    assert_eq!(read.client.stream_idle_timeout, None);
    assert!(
        read.heads.use_remote_address
            && !read.heads.generate_request_id
            && read.suppress_envoy_headers
    );
    let seconds = |seconds| Some(protobuf::Duration { seconds, nanos: 0 });
    let inline = RouteConfiguration { name: "own".to_owned(), ..RouteConfiguration::default() };
    let read = read_http(&Http {
        codec_type: CodecType::Http1.into(),
        request_headers_timeout: seconds(4),
        common_http_protocol_options: Some(HttpProtocolOptions {
            idle_timeout: seconds(5),
            ..HttpProtocolOptions::default()
        }),
        http2_protocol_options: Some(Http2ProtocolOptions {
            max_concurrent_streams: Some(UInt32Value { value: 6 }),
            ..Http2ProtocolOptions::default()
        }),
        preserve_external_request_id: true,
        route_specifier: Some(RouteSpecifier::RouteConfig(inline)),
        ..http()
    });
    assert_eq!((read.codec, read.http2.max_concurrent_streams), (Codec::Http1, 6));
    assert_eq!(read.client.request_headers_timeout, Some(Duration::from_secs(4)));
    assert_eq!(read.client.idle_timeout, Some(Duration::from_secs(5)));
    assert!(read.heads.preserve_external_request_id);
    let RouteSource::Inline(own) = read.routes else { panic!("not inline") };
    assert_eq!(own.name.as_str(), "own");
    assert_eq!(&*own.path, "filter_chains[0].filters[0].typed_config.route_config");
}

#[test]
fn limits_of_connections_hold_whatever_is_spoken() {
    for codec in [CodecType::Auto, CodecType::Http1, CodecType::Http2] {
        let message = Http {
            codec_type: codec.into(),
            common_http_protocol_options: Some(HttpProtocolOptions {
                max_requests_per_connection: Some(UInt32Value { value: 6 }),
                ..HttpProtocolOptions::default()
            }),
            ..http()
        };
        let decoded = decode::<Listener>(&listener(chain(&message)).encode_to_vec()).unwrap();
        assert_eq!(decoded.warnings, []);
    }
}

#[test]
fn the_router_is_the_last_filter_and_the_only_one_needed() {
    let with = |http_filters| listener(chain(&Http { http_filters, ..http() }));
    let router = || http_filter(&Router::default(), false);
    assert!(refusals(&with(Vec::new())).contains("needs the router"));
    let last = refusals(&with(vec![router(), http_filter(&CsrfPolicy::default(), true)]));
    assert!(last.contains("http_filters[1]"), "{last}");
    let unknown = refusals(&with(vec![http_filter(&CsrfPolicy::default(), false), router()]));
    assert!(
        unknown.contains("http_filters[0]") && unknown.contains("csrf.v3.CsrfPolicy"),
        "{unknown}"
    );
    let optional = with(vec![http_filter(&CsrfPolicy::default(), true), router()]);
    let decoded = decode::<Listener>(&optional.encode_to_vec()).unwrap();
    assert!(decoded.warnings.iter().any(|warning| warning.path.contains("http_filters[0]")));
}

#[test]
fn routes_come_over_the_one_stream() {
    let missing = Rds { config_source: None, route_config_name: String::new() };
    let message = Http { route_specifier: Some(RouteSpecifier::Rds(missing)), ..http() };
    let text = refusals(&listener(chain(&message)));
    assert!(text.contains("rds.config_source") && text.contains("rds.route_config_name"), "{text}");
    let path = ConfigSource {
        config_source_specifier: Some(ConfigSourceSpecifier::PathConfigSource(Default::default())),
        ..ConfigSource::default()
    };
    let rds = Rds { config_source: Some(path), route_config_name: "r".to_owned() };
    let message = Http { route_specifier: Some(RouteSpecifier::Rds(rds)), ..http() };
    assert!(refusals(&listener(chain(&message))).contains("path_config_source"));
}

#[test]
fn addresses_are_literal_and_all_of_them_count() {
    let mut message = listener(chain(&http()));
    let pipe = Pipe { path: "/run/in.sock".to_owned(), mode: 0 };
    let pipe = WireAddress { address: Some(address::Address::Pipe(pipe)) };
    message.additional_addresses.push(
        weft_proto::pb::envoy::config::listener::v3::AdditionalAddress {
            address: Some(pipe),
            ..Default::default()
        },
    );
    let kind = decode::<Listener>(&message.encode_to_vec()).unwrap().resource.kind;
    let ListenerKind::Sockets(sockets) = kind else { panic!("no sockets") };
    let addresses: Vec<_> = sockets.addresses.iter().map(|it| it.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:8080", "/run/in.sock"]);
    assert!(refusals(&Wire { address: None, ..message.clone() }).contains("address: is required"));
    let mut datagrams = message;
    let Some(address::Address::SocketAddress(socket)) =
        datagrams.address.as_mut().and_then(|it| it.address.as_mut())
    else {
        panic!("no socket address")
    };
    socket.protocol = socket_address::Protocol::Udp.into();
    let refused = "address.socket_address.protocol: UDP is not supported; supported: TCP\n";
    assert_eq!(refusals(&datagrams), refused);
}

#[test]
fn a_listener_without_a_name_is_named_by_its_address() {
    let message = Wire { name: String::new(), ..listener(chain(&http())) };
    let listener = decode::<Listener>(&message.encode_to_vec()).unwrap().resource;
    assert_eq!(listener.name.as_str(), "127.0.0.1:8080");
}

#[test]
fn bytes_can_be_proxied_too() {
    let specifier = tcp_proxy::ClusterSpecifier::Cluster("db".to_owned());
    let proxy = TcpProxy {
        stat_prefix: "db".to_owned(),
        cluster_specifier: Some(specifier),
        ..TcpProxy::default()
    };
    let tcp = read_tcp(&proxy);
    assert_eq!(tcp.destination.clusters()[0].0.as_str(), "db");
    assert_eq!((tcp.idle_timeout, tcp.max_connect_attempts), (Some(Duration::from_secs(3600)), 1));
    let weight = |name: &str, weight| ClusterWeight {
        name: name.to_owned(),
        weight,
        ..ClusterWeight::default()
    };
    let weighted = WeightedCluster { clusters: vec![weight("a", 1), weight("b", 2)] };
    let split = TcpProxy {
        cluster_specifier: Some(tcp_proxy::ClusterSpecifier::WeightedClusters(weighted)),
        idle_timeout: Some(protobuf::Duration::default()),
        max_connect_attempts: Some(UInt32Value { value: 3 }),
        ..proxy.clone()
    };
    let split = read_tcp(&split);
    let weights: Vec<_> = split
        .destination
        .clusters()
        .iter()
        .map(|(name, weight)| (name.as_str(), *weight))
        .collect();
    assert_eq!(weights, [("a", 1), ("b", 2)]);
    assert_eq!((split.idle_timeout, split.max_connect_attempts), (None, 3));
    let nowhere = TcpProxy { cluster_specifier: None, ..proxy };
    assert!(refusals(&listener(chain(&nowhere))).contains("cluster_specifier"));
}

#[test]
fn a_listener_for_grpc_clients_is_told_apart() {
    let api = ApiListener { api_listener: Some(any(&http())) };
    let message = Wire { name: "catalog".to_owned(), api_listener: Some(api), ..Wire::default() };
    let kind = decode::<Listener>(&message.encode_to_vec()).unwrap().resource.kind;
    assert!(matches!(kind, ListenerKind::Api(_)));
}
