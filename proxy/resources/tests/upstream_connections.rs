//! Limits, sockets and panic of clusters, and shares that are dropped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use prost::{Message, Name};
use weft_proto::pb::{
    envoy::{
        config::{
            cluster::v3::{
                CircuitBreakers as Breakers, Cluster as Wire, LoadBalancingPolicy,
                circuit_breakers::Thresholds,
                cluster::{
                    CommonLbConfig, LbConfig, LbPolicy, LeastRequestLbConfig,
                    common_lb_config::{LocalityConfigSpecifier, ZoneAwareLbConfig},
                },
                load_balancing_policy::Policy,
            },
            core::v3::{
                BindConfig, ExtraSourceAddress, RoutingPriority, RuntimeDouble, SocketAddress,
                TypedExtensionConfig, socket_address::PortSpecifier,
            },
            endpoint::v3::{
                ClusterLoadAssignment,
                cluster_load_assignment::{Policy as AssignmentPolicy, policy::DropOverload},
            },
        },
        extensions::load_balancing_policies::{
            common::v3::{
                LocalityLbConfig,
                locality_lb_config::{
                    LocalityConfigSpecifier as TypedSpecifier, ZoneAwareLbConfig as TypedZone,
                },
            },
            least_request::v3::LeastRequest,
            random::v3::Random,
        },
        r#type::v3::{FractionalPercent, fractional_percent::DenominatorType},
    },
    google::protobuf::{self, UInt32Value},
};
use weft_resources::{
    Assignment, CircuitBreakers, Cluster, Limits, Picker, Priority, Reason, RetryLimit, decode,
};

fn read(message: &Wire) -> Result<Cluster, Vec<Reason>> {
    decode::<Cluster>(&message.encode_to_vec()).map(|decoded| decoded.resource)
}

fn named() -> Wire {
    Wire { name: "a".to_owned(), ..Wire::default() }
}

fn typed<M: Name>(message: &M) -> Wire {
    let any = protobuf::Any { type_url: M::type_url(), value: message.encode_to_vec() };
    let extension = TypedExtensionConfig { name: "policy".to_owned(), typed_config: Some(any) };
    let policy = Policy { typed_extension_config: Some(extension) };
    let policies = LoadBalancingPolicy { policies: vec![policy] };
    Wire { load_balancing_policy: Some(policies), ..named() }
}

#[test]
fn limits_have_the_defaults_of_envoy() {
    let cluster = read(&named()).unwrap();
    assert_eq!(cluster.circuit_breakers, CircuitBreakers::default());
    assert_eq!(cluster.circuit_breakers.default.max_connections, 1024);
    assert_eq!(cluster.connection.buffer_limit, 1024 * 1024);
    let small =
        Wire { per_connection_buffer_limit_bytes: Some(UInt32Value { value: 4096 }), ..named() };
    assert_eq!(read(&small).unwrap().connection.buffer_limit, 4096);
}

#[test]
fn limits_are_by_priority_and_the_first_counts() {
    let limits = |priority: RoutingPriority, value| Thresholds {
        priority: priority.into(),
        max_connections: Some(UInt32Value { value }),
        max_requests: Some(UInt32Value { value: 0 }),
        max_connection_pools: Some(UInt32Value { value: 9 }),
        track_remaining: true,
        ..Thresholds::default()
    };
    let thresholds = vec![
        limits(RoutingPriority::High, 1),
        limits(RoutingPriority::Default, 2),
        limits(RoutingPriority::Default, 3),
    ];
    let per_host = |priority: RoutingPriority, value| Thresholds {
        priority: priority.into(),
        max_connections: Some(UInt32Value { value }),
        ..Thresholds::default()
    };
    let per_host_thresholds = vec![per_host(RoutingPriority::High, 7)];
    let breakers = Breakers { thresholds, per_host_thresholds };
    let cluster = read(&Wire { circuit_breakers: Some(breakers), ..named() }).unwrap();
    let expected = |max_connections, max_connections_per_host| Limits {
        max_connections,
        max_pending_requests: 1024,
        max_requests: 0,
        retries: RetryLimit::Number(3),
        max_connections_per_host,
        max_connection_pools: Some(9),
        track_remaining: true,
    };
    assert_eq!(*cluster.circuit_breakers.of(Priority::Default), expected(2, u32::MAX));
    assert_eq!(*cluster.circuit_breakers.of(Priority::High), expected(1, 7));
    let other =
        Thresholds { max_requests: Some(UInt32Value { value: 1 }), ..Thresholds::default() };
    let breakers = Breakers { per_host_thresholds: vec![other], ..Breakers::default() };
    let reasons = read(&Wire { circuit_breakers: Some(breakers), ..named() }).unwrap_err();
    assert_eq!(reasons[0].path, "circuit_breakers.per_host_thresholds[0].max_requests");
}

fn socket_address(address: &str) -> SocketAddress {
    SocketAddress {
        address: address.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(0)),
        ..SocketAddress::default()
    }
}

#[test]
fn one_source_for_each_family() {
    let bound = |main: Option<&str>, extra: &[&str]| {
        let extra = extra.iter().map(|address| ExtraSourceAddress {
            address: Some(socket_address(address)),
            ..ExtraSourceAddress::default()
        });
        let config = BindConfig {
            source_address: main.map(socket_address),
            extra_source_addresses: extra.collect(),
            ..BindConfig::default()
        };
        read(&Wire { upstream_bind_config: Some(config), ..named() })
    };
    let sources = bound(Some("127.0.0.6"), &["::1"]).unwrap().connection.sources;
    let at = |text: &str| Some(SocketAddr::new(text.parse().unwrap(), 0));
    let towards = |peer| sources.towards(peer).map(|source| source.address);
    assert_eq!(towards(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))), at("127.0.0.6"));
    assert_eq!(towards(IpAddr::V6(Ipv6Addr::LOCALHOST)), at("::1"));
    let only = bound(Some("127.0.0.6"), &[]).unwrap().connection.sources;
    assert_eq!(only.towards(IpAddr::V6(Ipv6Addr::LOCALHOST)), None);
    let reasons = bound(Some("127.0.0.6"), &["127.0.0.7"]).unwrap_err();
    assert_eq!(reasons[0].path, "upstream_bind_config.extra_source_addresses[0].address");
    assert_eq!(bound(None, &["::1"]).unwrap_err()[0].path, "upstream_bind_config.source_address");
}

#[test]
fn a_bias_is_read() {
    let bias = |value| Some(RuntimeDouble { default_value: value, runtime_key: "r".to_owned() });
    let by_enum = |value| {
        let config =
            LeastRequestLbConfig { active_request_bias: bias(value), ..Default::default() };
        read(&Wire {
            lb_policy: LbPolicy::LeastRequest.into(),
            lb_config: Some(LbConfig::LeastRequestLbConfig(config)),
            ..named()
        })
    };
    let least = |bias| Picker::LeastRequest { choices: 2, bias };
    assert_eq!(by_enum(0.5).unwrap().balancing.picker, least(0.5));
    assert!(by_enum(-1.0).is_err());
    let extension = LeastRequest { active_request_bias: bias(2.0), ..LeastRequest::default() };
    assert_eq!(read(&typed(&extension)).unwrap().balancing.picker, least(2.0));
}

#[test]
fn panic_may_fail_requests() {
    assert!(!read(&named()).unwrap().balancing.fail_on_panic);
    let zone = ZoneAwareLbConfig { fail_traffic_on_panic: true, ..Default::default() };
    let common = CommonLbConfig {
        locality_config_specifier: Some(LocalityConfigSpecifier::ZoneAwareLbConfig(zone)),
        ..CommonLbConfig::default()
    };
    let by_enum = Wire { common_lb_config: Some(common), ..named() };
    assert!(read(&by_enum).unwrap().balancing.fail_on_panic);
    let zone = TypedZone { fail_traffic_on_panic: true, ..TypedZone::default() };
    let config = LocalityLbConfig {
        locality_config_specifier: Some(TypedSpecifier::ZoneAwareLbConfig(zone)),
    };
    let random = Random { locality_lb_config: Some(config) };
    let cluster = read(&typed(&random)).unwrap();
    assert!(cluster.balancing.fail_on_panic);
    assert_eq!(cluster.balancing.picker, Picker::Random);
}

#[test]
fn shares_are_dropped_by_category() {
    let share = |category: &str, numerator, denominator: DenominatorType| DropOverload {
        category: category.to_owned(),
        drop_percentage: Some(FractionalPercent { numerator, denominator: denominator.into() }),
    };
    let with = |drop_overloads| {
        let policy = AssignmentPolicy { drop_overloads, ..AssignmentPolicy::default() };
        let message = ClusterLoadAssignment {
            cluster_name: "a".to_owned(),
            policy: Some(policy),
            ..ClusterLoadAssignment::default()
        };
        decode::<Assignment>(&message.encode_to_vec()).map(|decoded| decoded.resource)
    };
    let assignment = with(vec![
        share("throttle", 5, DenominatorType::Hundred),
        share("lb", 7, DenominatorType::TenThousand),
        share("all", 100, DenominatorType::Hundred),
        share("few", 9, DenominatorType::Million),
    ])
    .unwrap();
    let found: Vec<_> =
        assignment.drop_overloads.iter().map(|drop| (&*drop.category, drop.per_million)).collect();
    let expected = [("throttle", 50_000), ("lb", 700), ("all", 1_000_000), ("few", 9)];
    assert_eq!(found, expected);
    let missing = DropOverload { category: "x".to_owned(), drop_percentage: None };
    let reasons = with(vec![missing]).unwrap_err();
    assert_eq!(reasons[0].path, "policy.drop_overloads[0].drop_percentage");
    let reasons = with(vec![share("more-than-all", 101, DenominatorType::Hundred)]).unwrap_err();
    assert_eq!(reasons[0].path, "policy.drop_overloads[0].drop_percentage.numerator");
}
