//! Clusters and their endpoints.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use prost::{Message, Name};
use weft_proto::pb::{
    envoy::r#type::v3::Percent,
    envoy::{
        config::{
            cluster::v3::{
                Cluster as Wire, LoadBalancingPolicy,
                cluster::{
                    ClusterDiscoveryType, ClusterProtocolSelection, CommonLbConfig, DiscoveryType,
                    EdsClusterConfig, LbConfig, LbPolicy, LeastRequestLbConfig,
                    common_lb_config::LocalityConfigSpecifier,
                },
                load_balancing_policy::Policy,
            },
            core::v3::{
                Address as WireAddress, AggregatedConfigSource, ConfigSource, Http2ProtocolOptions,
                HttpProtocolOptions as Common, Locality as WireLocality, Pipe, SelfConfigSource,
                SocketAddress, TransportSocket, TypedExtensionConfig, address,
                config_source::ConfigSourceSpecifier, socket_address::PortSpecifier,
                transport_socket,
            },
            endpoint::v3::{
                ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
                cluster_load_assignment::Policy as WirePolicy, lb_endpoint::HostIdentifier,
            },
        },
        extensions::{
            load_balancing_policies::{
                common::v3::{LocalityLbConfig, locality_lb_config},
                least_request::v3::LeastRequest,
                pick_first::v3::PickFirst,
                round_robin::v3::RoundRobin,
                wrr_locality::v3::WrrLocality,
            },
            transport_sockets::raw_buffer::v3::RawBuffer,
            upstreams::http::v3::{
                HttpProtocolOptions,
                http_protocol_options::{
                    ExplicitHttpConfig, UpstreamProtocolOptions,
                    explicit_http_config::ProtocolConfig,
                },
            },
        },
    },
    google::protobuf::{self, UInt32Value},
};
use weft_resources::{
    Address, Assignment, Cluster, Discovery, EndpointAddress, FetchTimeout, HealthStatus, Locality,
    LocalityWeights, Picker, Problem, Reason, UpstreamProtocol, decode,
};

fn read(message: &Wire) -> Result<Cluster, Vec<Reason>> {
    decode::<Cluster>(&message.encode_to_vec()).map(|decoded| decoded.resource)
}

fn refusals(message: &Wire) -> Vec<String> {
    read(message).unwrap_err().iter().map(ToString::to_string).collect()
}

fn named(name: &str) -> Wire {
    Wire { name: name.to_owned(), ..Wire::default() }
}

fn eds(name: &str) -> Wire {
    Wire {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(ConfigSource {
                config_source_specifier: Some(ConfigSourceSpecifier::Ads(
                    AggregatedConfigSource::default(),
                )),
                ..ConfigSource::default()
            }),
            service_name: String::new(),
        }),
        ..named(name)
    }
}

fn seconds(seconds: i64) -> protobuf::Duration {
    protobuf::Duration { seconds, nanos: 0 }
}

fn any<M: Name>(message: &M) -> protobuf::Any {
    protobuf::Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

fn socket(address: &str, port: u32) -> WireAddress {
    WireAddress {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: address.to_owned(),
            port_specifier: Some(PortSpecifier::PortValue(port)),
            ..SocketAddress::default()
        })),
    }
}

fn endpoint(address: &str, port: u32) -> LbEndpoint {
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(socket(address, port)),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    }
}

fn group(endpoints: Vec<LbEndpoint>) -> LocalityLbEndpoints {
    LocalityLbEndpoints { lb_endpoints: endpoints, ..LocalityLbEndpoints::default() }
}

fn assignment(endpoints: Vec<LocalityLbEndpoints>) -> ClusterLoadAssignment {
    let cluster_name = "catalog".to_owned();
    ClusterLoadAssignment { cluster_name, endpoints, ..ClusterLoadAssignment::default() }
}

#[test]
fn defaults_are_those_of_envoy() {
    let quick = Wire { connect_timeout: Some(seconds(1)), ..named("quick") };
    assert_eq!(read(&quick).unwrap().connection.connect_timeout, Duration::from_secs(1));
    let cluster = read(&named("plain")).unwrap();
    assert_eq!(cluster.connection.connect_timeout, Duration::from_secs(5));
    assert_eq!(cluster.connection.protocol, UpstreamProtocol::Http1);
    assert_eq!(cluster.connection.idle_timeout, Some(Duration::from_secs(3600)));
    assert_eq!(cluster.connection.max_requests_per_connection, None);
    assert_eq!(cluster.balancing.picker, Picker::RoundRobin);
    assert_eq!(cluster.balancing.localities, LocalityWeights::Ignored);
    assert_eq!(cluster.balancing.panic_threshold, 50);
    let Discovery::Static(endpoints) = cluster.discovery else { panic!("not static") };
    assert!(endpoints.localities.is_empty());
    assert_eq!(endpoints.overprovisioning_factor, 140);
}

#[test]
fn eds_names_the_service_or_the_cluster() {
    let name = |message: &Wire| match read(message).unwrap().discovery {
        Discovery::Eds { name, fetch_timeout, .. } => (name.as_str().to_owned(), fetch_timeout),
        other => panic!("not EDS: {other:?}"),
    };
    let fifteen = FetchTimeout::After(Duration::from_secs(15));
    let mut message = eds("catalog.default:80");
    assert_eq!(name(&message), ("catalog.default:80".to_owned(), fifteen));
    let config = message.eds_cluster_config.as_mut().unwrap();
    config.service_name = "catalog".to_owned();
    config.eds_config.as_mut().unwrap().initial_fetch_timeout = Some(seconds(0));
    assert_eq!(name(&message), ("catalog".to_owned(), FetchTimeout::Never));
    message.eds_cluster_config.as_mut().unwrap().eds_config = Some(ConfigSource {
        config_source_specifier: Some(ConfigSourceSpecifier::Self_(SelfConfigSource::default())),
        initial_fetch_timeout: Some(seconds(3)),
        ..ConfigSource::default()
    });
    let three = FetchTimeout::After(Duration::from_secs(3));
    assert_eq!(name(&message), ("catalog".to_owned(), three));
}

#[test]
fn a_type_needs_its_own_settings_only() {
    let mut both = eds("a");
    both.load_assignment = Some(assignment(Vec::new()));
    assert_eq!(refusals(&both), ["load_assignment: must not be set together with type EDS"]);
    let mut neither = eds("a");
    neither.eds_cluster_config = None;
    assert_eq!(refusals(&neither), ["eds_cluster_config: is required"]);
    let mut other = named("a");
    other.eds_cluster_config = eds("a").eds_cluster_config;
    assert_eq!(refusals(&other), ["eds_cluster_config: must not be set together with type STATIC"]);
}

#[test]
fn what_is_not_supported_is_refused_by_name_and_all_at_once() {
    let message = Wire {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::StrictDns.into())),
        lb_policy: 99,
        connect_timeout: Some(protobuf::Duration { seconds: -1, nanos: 0 }),
        ..named("a")
    };
    let text = refusals(&message).join("\n");
    assert!(text.contains("load_assignment: is required"), "{text}");
    assert!(text.contains("lb_policy: "), "{text}");
    assert!(text.contains("connect_timeout: "), "{text}");
    let unknown =
        Wire { cluster_discovery_type: Some(ClusterDiscoveryType::Type(99)), ..named("a") };
    assert!(refusals(&unknown).iter().any(|text| text.starts_with("type: ")));
}

#[test]
fn protocols_come_from_the_typed_options() {
    let with = |options: &HttpProtocolOptions| {
        let key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned();
        let mut message = named("a");
        message.typed_extension_protocol_options.insert(key, any(options));
        message
    };
    let http2 = HttpProtocolOptions {
        common_http_protocol_options: Some(Common {
            idle_timeout: Some(seconds(0)),
            max_requests_per_connection: Some(UInt32Value { value: 7 }),
            ..Common::default()
        }),
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(
            ExplicitHttpConfig {
                protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(
                    Http2ProtocolOptions::default(),
                )),
            },
        )),
        ..HttpProtocolOptions::default()
    };
    let connection = read(&with(&http2)).unwrap().connection;
    assert_eq!(connection.protocol, UpstreamProtocol::Http2);
    assert_eq!(connection.idle_timeout, None);
    assert_eq!(connection.max_requests_per_connection, Some(7));
    let downstream = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(
            Default::default(),
        )),
        ..HttpProtocolOptions::default()
    };
    let protocol = read(&with(&downstream)).unwrap().connection.protocol;
    assert_eq!(protocol, UpstreamProtocol::SameAsDownstream);
    let auto = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::AutoConfig(Default::default())),
        ..HttpProtocolOptions::default()
    };
    let text = refusals(&with(&auto)).join("\n");
    assert!(text.contains("auto_config"), "{text}");
}

#[test]
#[expect(deprecated, reason = "that they are still read is what is tested")]
fn deprecated_protocol_fields_still_count() {
    let message = Wire {
        http2_protocol_options: Some(Http2ProtocolOptions::default()),
        max_requests_per_connection: Some(UInt32Value { value: 3 }),
        ..named("a")
    };
    let connection = read(&message).unwrap().connection;
    assert_eq!(connection.protocol, UpstreamProtocol::Http2);
    assert_eq!(connection.max_requests_per_connection, Some(3));
    let message = Wire {
        protocol_selection: ClusterProtocolSelection::UseDownstreamProtocol.into(),
        common_http_protocol_options: Some(Common {
            idle_timeout: Some(seconds(9)),
            ..Common::default()
        }),
        ..message
    };
    let connection = read(&message).unwrap().connection;
    assert_eq!(connection.protocol, UpstreamProtocol::SameAsDownstream);
    assert_eq!(connection.idle_timeout, Some(Duration::from_secs(9)));
}

#[test]
fn bytes_as_they_are_is_the_one_transport() {
    let with = |typed: protobuf::Any| Wire {
        transport_socket: Some(TransportSocket {
            name: "transport".to_owned(),
            config_type: Some(transport_socket::ConfigType::TypedConfig(typed)),
        }),
        ..named("a")
    };
    assert!(read(&with(any(&RawBuffer {}))).is_ok());
    let text = refusals(&with(any(&PickFirst::default()))).join("\n");
    assert!(text.contains("transport_socket"), "{text}");
}

#[test]
fn policies_by_enum_and_by_extension() {
    let by_enum = Wire {
        lb_policy: LbPolicy::LeastRequest.into(),
        lb_config: Some(LbConfig::LeastRequestLbConfig(LeastRequestLbConfig {
            choice_count: Some(UInt32Value { value: 5 }),
            ..LeastRequestLbConfig::default()
        })),
        ..named("a")
    };
    assert_eq!(
        read(&by_enum).unwrap().balancing.picker,
        Picker::LeastRequest { choices: 5, bias: 1.0 }
    );
    let common = CommonLbConfig {
        healthy_panic_threshold: Some(Percent { value: 12.7 }),
        locality_config_specifier: Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(
            Default::default(),
        )),
        ..CommonLbConfig::default()
    };
    let weighted = read(&Wire { common_lb_config: Some(common), ..named("a") }).unwrap().balancing;
    assert_eq!((weighted.localities, weighted.panic_threshold), (LocalityWeights::Followed, 12));
    let list = |policies: Vec<protobuf::Any>| LoadBalancingPolicy {
        policies: policies
            .into_iter()
            .map(|any| Policy {
                typed_extension_config: Some(TypedExtensionConfig {
                    name: "policy".to_owned(),
                    typed_config: Some(any),
                }),
            })
            .collect(),
    };
    let least = LeastRequest {
        choice_count: Some(UInt32Value { value: 3 }),
        locality_lb_config: Some(LocalityLbConfig {
            locality_config_specifier: Some(
                locality_lb_config::LocalityConfigSpecifier::LocalityWeightedLbConfig(
                    Default::default(),
                ),
            ),
        }),
        ..LeastRequest::default()
    };
    // The extension wins over the enum.
    let least = Wire { load_balancing_policy: Some(list(vec![any(&least)])), ..by_enum };
    let balancing = read(&least).unwrap().balancing;
    assert_eq!(balancing.picker, Picker::LeastRequest { choices: 3, bias: 1.0 });
    assert_eq!(balancing.localities, LocalityWeights::Followed);
    let nested =
        WrrLocality { endpoint_picking_policy: Some(list(vec![any(&RoundRobin::default())])) };
    let first_known = Wire {
        load_balancing_policy: Some(list(vec![any(&PickFirst::default()), any(&nested)])),
        ..named("a")
    };
    let balancing = read(&first_known).unwrap().balancing;
    assert_eq!(balancing.picker, Picker::RoundRobin);
    assert_eq!(balancing.localities, LocalityWeights::Followed);
    let none_known =
        Wire { load_balancing_policy: Some(list(vec![any(&PickFirst::default())])), ..named("a") };
    let text = refusals(&none_known).join("\n");
    assert!(
        text.contains("envoy.extensions.load_balancing_policies.pick_first.v3.PickFirst"),
        "{text}"
    );
}

#[test]
fn endpoints_keep_weight_health_and_place() {
    let mut heavy = endpoint("10.0.0.1", 80);
    heavy.load_balancing_weight = Some(UInt32Value { value: 9 });
    heavy.health_status = 3;
    let mut second = group(vec![endpoint("::1", 81)]);
    second.locality = Some(WireLocality {
        region: "r".to_owned(),
        zone: "z".to_owned(),
        sub_zone: "s".to_owned(),
    });
    second.priority = 1;
    second.load_balancing_weight = Some(UInt32Value { value: 4 });
    let mut message = assignment(vec![group(vec![heavy]), second, group(Vec::new())]);
    message.policy = Some(WirePolicy {
        overprovisioning_factor: Some(UInt32Value { value: 200 }),
        ..WirePolicy::default()
    });
    let read = decode::<Assignment>(&message.encode_to_vec()).unwrap().resource;
    assert_eq!(read.localities.len(), 2, "empty localities are left out");
    let first = &read.localities[0].endpoints[0];
    assert_eq!(first.address.to_string(), "10.0.0.1:80");
    assert_eq!((first.weight, first.health), (9, HealthStatus::Draining));
    assert_eq!(read.localities[0].weight, None);
    assert_eq!((read.localities[1].priority, read.localities[1].weight), (1, Some(4)));
    assert_eq!(read.localities[1].endpoints[0].address.to_string(), "[::1]:81");
    let Locality { region, zone, sub_zone } = &read.localities[1].locality;
    assert_eq!([&**region, &**zone, &**sub_zone], ["r", "z", "s"]);
    assert_eq!(read.overprovisioning_factor, 200);
}

#[test]
fn the_first_of_equal_addresses_counts() {
    let twice = vec![endpoint("10.0.0.1", 80), endpoint("10.0.0.1", 80)];
    let message = assignment(vec![group(twice)]);
    let decoded = decode::<Assignment>(&message.encode_to_vec()).unwrap();
    assert_eq!(decoded.resource.localities[0].endpoints.len(), 1);
    assert_eq!(decoded.warnings.len(), 1);
    assert_eq!(decoded.warnings[0].path, "endpoints[0].lb_endpoints[1]");
}

#[test]
fn host_names_ports_and_weights_are_checked() {
    let mut zero = endpoint("10.0.0.1", 80);
    zero.load_balancing_weight = Some(UInt32Value { value: 0 });
    let message = assignment(vec![group(vec![
        endpoint("catalog.local", 80),
        endpoint("10.0.0.2", 70_000),
        endpoint("10.0.0.3", 0),
        zero,
        LbEndpoint::default(),
    ])]);
    let reasons = decode::<Assignment>(&message.encode_to_vec()).unwrap_err();
    let has = |path: &str| reasons.iter().any(|reason| reason.path.contains(path));
    assert!(has("lb_endpoints[0].endpoint.address.socket_address.address"), "{reasons:?}");
    assert!(has("lb_endpoints[1].endpoint.address.socket_address.port_value"), "{reasons:?}");
    assert!(has("lb_endpoints[2].endpoint.address"), "{reasons:?}");
    assert!(has("lb_endpoints[3].load_balancing_weight"), "{reasons:?}");
    assert!(has("lb_endpoints[4].endpoint"), "{reasons:?}");
    assert!(reasons.iter().any(|r| r.problem == Problem::Address("catalog.local".to_owned())));
}

#[test]
fn an_endpoint_may_be_a_unix_socket() {
    let at = |path: &str| {
        let pipe = address::Address::Pipe(Pipe { path: path.to_owned(), mode: 0 });
        let endpoint =
            Endpoint { address: Some(WireAddress { address: Some(pipe) }), ..Endpoint::default() };
        let host_identifier = Some(HostIdentifier::Endpoint(endpoint));
        let endpoint = LbEndpoint { host_identifier, ..LbEndpoint::default() };
        assignment(vec![group(vec![endpoint])]).encode_to_vec()
    };
    let read = decode::<Assignment>(&at("/run/app.sock")).unwrap().resource;
    let address = &read.localities[0].endpoints[0].address;
    assert_eq!(*address, EndpointAddress::Literal(Address::Pipe("/run/app.sock".into())));
    for refused in ["".to_owned(), "/".repeat(108), "zero\0".to_owned()] {
        assert!(decode::<Assignment>(&at(&refused)).is_err(), "{refused:?}");
    }
}
