//! Clusters that are found by name, that consist of others, or that go where a request says.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use prost::{Message, Name};
use weft_proto::pb::{
    envoy::{
        config::{
            cluster::v3::{
                Cluster as Wire,
                cluster::{
                    ClusterDiscoveryType, CustomClusterType, DiscoveryType, LbConfig, LbPolicy,
                    OriginalDstLbConfig, RefreshRate,
                },
            },
            core::v3::{
                Address as WireAddress, DnsResolutionConfig, DnsResolverOptions, SocketAddress,
                TypedExtensionConfig, address, socket_address::PortSpecifier,
            },
            endpoint::v3::{
                ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
                lb_endpoint::HostIdentifier,
            },
        },
        extensions::{
            clusters::{
                aggregate::v3::ClusterConfig,
                dns::v3::{DnsCluster, dns_cluster},
            },
            network::dns_resolver::{
                apple::v3::AppleDnsResolverConfig, cares::v3::CaresDnsResolverConfig,
                getaddrinfo::v3::GetAddrInfoDnsResolverConfig,
                hickory::v3::HickoryDnsResolverConfig,
            },
        },
    },
    google::protobuf::{self, UInt32Value, UInt64Value},
};
use weft_resources::{
    Cluster, Discovery, Dns, DnsKind, DnsResolver, DnsServers, FailureRefresh, LookupFamily,
    Reason, decode,
};

fn read(message: &Wire) -> Result<Cluster, Vec<Reason>> {
    decode::<Cluster>(&message.encode_to_vec()).map(|decoded| decoded.resource)
}

fn any<M: Name>(message: &M) -> protobuf::Any {
    protobuf::Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

fn seconds(seconds: i64) -> Option<protobuf::Duration> {
    Some(protobuf::Duration { seconds, nanos: 0 })
}

fn at(host: &str, port: u32) -> WireAddress {
    let socket = SocketAddress {
        address: host.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    };
    WireAddress { address: Some(address::Address::SocketAddress(socket)) }
}

fn assignment(hosts: &[(&str, u32)]) -> Option<ClusterLoadAssignment> {
    let endpoint = |(host, port): &(&str, u32)| {
        let endpoint = Endpoint { address: Some(at(host, *port)), ..Endpoint::default() };
        let host_identifier = Some(HostIdentifier::Endpoint(endpoint));
        LbEndpoint { host_identifier, ..LbEndpoint::default() }
    };
    let lb_endpoints = hosts.iter().map(endpoint).collect();
    let group = LocalityLbEndpoints { lb_endpoints, ..LocalityLbEndpoints::default() };
    Some(ClusterLoadAssignment {
        cluster_name: "a".to_owned(),
        endpoints: vec![group],
        ..ClusterLoadAssignment::default()
    })
}

fn of_type(kind: DiscoveryType, hosts: &[(&str, u32)]) -> Wire {
    Wire {
        name: "a".to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind.into())),
        load_assignment: assignment(hosts),
        ..Wire::default()
    }
}

fn dns(message: &Wire) -> Dns {
    match read(message).unwrap().discovery {
        Discovery::Dns(dns) => dns,
        other => panic!("not found by name: {other:?}"),
    }
}

fn custom(name: &str, config: Option<protobuf::Any>) -> Wire {
    let custom = CustomClusterType { name: name.to_owned(), typed_config: config };
    Wire {
        name: "a".to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::ClusterType(custom)),
        load_assignment: assignment(&[("up.test", 80)]),
        ..Wire::default()
    }
}

#[test]
#[expect(deprecated, reason = "nearly every cluster says it in these fields")]
fn names_have_the_rates_they_are_given() {
    let plain = dns(&of_type(DiscoveryType::StrictDns, &[("up.test", 80), ("10.0.0.1", 81)]));
    assert_eq!(plain.kind, DnsKind::Strict);
    assert_eq!(plain.refresh.rate, Duration::from_secs(5));
    assert_eq!(plain.refresh.min_rate, Duration::from_secs(5));
    assert_eq!((plain.refresh.failure, plain.refresh.respect_ttl), (None, false));
    assert_eq!(plain.query.family, LookupFamily::Auto);
    assert!(plain.waits_for_names);
    assert_eq!(plain.hosts().map(|host| &**host).collect::<Vec<_>>(), ["up.test"]);
    let mut told = Wire {
        dns_refresh_rate: seconds(7),
        dns_jitter: seconds(3),
        respect_dns_ttl: true,
        dns_failure_refresh_rate: Some(RefreshRate {
            base_interval: seconds(2),
            max_interval: None,
        }),
        wait_for_warm_on_init: Some(protobuf::BoolValue { value: false }),
        ..of_type(DiscoveryType::LogicalDns, &[("up.test", 80)])
    };
    let read_back = dns(&told);
    assert_eq!(read_back.kind, DnsKind::Logical);
    assert_eq!(read_back.refresh.rate, Duration::from_secs(7));
    assert_eq!(read_back.refresh.jitter, Duration::from_secs(3));
    assert!(read_back.refresh.respect_ttl && !read_back.waits_for_names);
    let (base, max) = (Duration::from_secs(2), Duration::from_secs(20));
    assert_eq!(read_back.refresh.failure, Some(FailureRefresh { base, max }));
    told.dns_failure_refresh_rate =
        Some(RefreshRate { base_interval: seconds(2), max_interval: seconds(1) });
    assert_eq!(read(&told).unwrap_err()[0].path, "dns_failure_refresh_rate.max_interval");
}

#[test]
fn names_are_for_clusters_that_look_them_up() {
    let fixed = read(&of_type(DiscoveryType::Static, &[("up.test", 80)])).unwrap_err();
    assert!(fixed[0].to_string().contains("STRICT_DNS"), "{}", fixed[0]);
    for wrong in ["", "a b.test", "a/b", "a:b", "\u{e9}.test"] {
        assert!(read(&of_type(DiscoveryType::StrictDns, &[(wrong, 80)])).is_err(), "{wrong:?}");
    }
    assert!(read(&of_type(DiscoveryType::StrictDns, &[("up.test", 0)])).is_err());
    assert!(read(&of_type(DiscoveryType::StrictDns, &[("_http._tcp.up.test", 0)])).is_ok());
    let two = of_type(DiscoveryType::LogicalDns, &[("a.test", 80), ("b.test", 80)]);
    assert_eq!(read(&two).unwrap_err()[0].path, "load_assignment");
    let none = Wire { load_assignment: None, ..of_type(DiscoveryType::StrictDns, &[]) };
    assert_eq!(read(&none).unwrap_err()[0].path, "load_assignment");
}

#[test]
#[expect(deprecated, reason = "older configurations say it in these fields")]
fn resolvers_are_read_in_all_their_forms() {
    let cluster = || of_type(DiscoveryType::StrictDns, &[("up.test", 80)]);
    let resolver = |message: &Wire| dns(message).query.resolver.clone();
    assert_eq!(resolver(&cluster()), DnsResolver::default());
    let server = "127.0.0.1:5353".parse().unwrap();
    let servers = DnsServers { addresses: vec![server], tcp_only: true, ..DnsServers::default() };
    let oldest = Wire {
        dns_resolvers: vec![at("127.0.0.1", 5353)],
        use_tcp_for_dns_lookups: true,
        ..cluster()
    };
    assert_eq!(resolver(&oldest), DnsResolver::Servers(servers.clone()));
    let options =
        DnsResolverOptions { use_tcp_for_dns_lookups: true, no_default_search_domain: true };
    let config = DnsResolutionConfig {
        resolvers: vec![at("127.0.0.1", 5353)],
        dns_resolver_options: Some(options),
    };
    let older = Wire { dns_resolution_config: Some(config), ..oldest };
    let without_search = DnsServers { no_search: true, ..servers };
    assert_eq!(resolver(&older), DnsResolver::Servers(without_search.clone()));
    let typed = |config| {
        let name = "resolver".to_owned();
        let config = TypedExtensionConfig { name, typed_config: Some(config) };
        Wire { typed_dns_resolver_config: Some(config), ..older.clone() }
    };
    let cares = CaresDnsResolverConfig {
        resolvers: vec![at("127.0.0.1", 5353)],
        dns_resolver_options: Some(options),
        query_timeout_seconds: Some(UInt64Value { value: 3 }),
        query_tries: Some(UInt32Value { value: 2 }),
        rotate_nameservers: true,
        ..CaresDnsResolverConfig::default()
    };
    let expected = DnsServers {
        timeout: Some(Duration::from_secs(3)),
        tries: Some(2),
        rotate: true,
        ..without_search
    };
    assert_eq!(resolver(&typed(any(&cares))), DnsResolver::Servers(expected));
    let hickory = HickoryDnsResolverConfig {
        query_timeout: seconds(4),
        query_tries: Some(UInt32Value { value: 5 }),
        ..HickoryDnsResolverConfig::default()
    };
    let expected = DnsServers {
        timeout: Some(Duration::from_secs(4)),
        tries: Some(5),
        ..DnsServers::default()
    };
    assert_eq!(resolver(&typed(any(&hickory))), DnsResolver::Servers(expected));
    let system = GetAddrInfoDnsResolverConfig::default();
    assert_eq!(resolver(&typed(any(&system))), DnsResolver::System);
    let reasons = read(&typed(any(&AppleDnsResolverConfig::default()))).unwrap_err();
    assert!(reasons[0].to_string().contains("AppleDnsResolverConfig"), "{}", reasons[0]);
}

#[test]
fn clusters_of_extensions_are_read() {
    let config = DnsCluster {
        dns_refresh_rate: seconds(9),
        dns_min_refresh_rate: seconds(1),
        dns_jitter: seconds(2),
        respect_dns_ttl: true,
        dns_lookup_family: 5,
        all_addresses_in_single_endpoint: true,
        dns_failure_refresh_rate: Some(dns_cluster::RefreshRate {
            base_interval: seconds(1),
            max_interval: seconds(4),
        }),
        typed_dns_resolver_config: Some(TypedExtensionConfig {
            name: "system".to_owned(),
            typed_config: Some(any(&GetAddrInfoDnsResolverConfig::default())),
        }),
    };
    let found = dns(&custom("envoy.cluster.dns", Some(any(&config))));
    assert_eq!(found.kind, DnsKind::Logical);
    assert_eq!(found.query.family, LookupFamily::All);
    assert_eq!(found.query.resolver, DnsResolver::System);
    assert_eq!(found.refresh.min_rate, Duration::from_secs(1));
    assert_eq!(found.refresh.failure.unwrap().max, Duration::from_secs(4));
    let plain = dns(&custom("envoy.cluster.dns", Some(any(&DnsCluster::default()))));
    assert_eq!((plain.kind, plain.query.family), (DnsKind::Strict, LookupFamily::Auto));
    assert_eq!(dns(&custom("envoy.cluster.strict_dns", None)).kind, DnsKind::Strict);
    assert_eq!(dns(&custom("envoy.cluster.logical_dns", None)).kind, DnsKind::Logical);
    let unknown = read(&custom("envoy.clusters.redis", None)).unwrap_err();
    assert!(unknown[0].to_string().contains("envoy.clusters.redis"), "{}", unknown[0]);

    let members = ClusterConfig { clusters: vec!["x".to_owned(), "y".to_owned()] };
    let mut aggregate = custom("envoy.clusters.aggregate", Some(any(&members)));
    aggregate.load_assignment = None;
    assert_eq!(read(&aggregate).unwrap_err()[0].path, "lb_policy");
    aggregate.lb_policy = LbPolicy::ClusterProvided.into();
    let Discovery::Aggregate(names) = read(&aggregate).unwrap().discovery else { panic!() };
    assert_eq!(names.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["x", "y"]);
}

#[test]
fn original_destinations_are_read() {
    let plain = Wire {
        lb_policy: LbPolicy::ClusterProvided.into(),
        load_assignment: None,
        ..of_type(DiscoveryType::OriginalDst, &[])
    };
    let original = |message: &Wire| match read(message).unwrap().discovery {
        Discovery::OriginalDestination(original) => original,
        other => panic!("{other:?}"),
    };
    let found = original(&plain);
    assert_eq!((found.header, found.port), (None, None));
    assert_eq!(found.cleanup_interval, Duration::from_secs(5));
    let config = OriginalDstLbConfig {
        use_http_header: true,
        http_header_name: "X-To".to_owned(),
        upstream_port_override: Some(UInt32Value { value: 15008 }),
        metadata_key: None,
    };
    let told = Wire {
        lb_config: Some(LbConfig::OriginalDstLbConfig(config.clone())),
        cleanup_interval: seconds(60),
        ..plain.clone()
    };
    let found = original(&told);
    assert_eq!(found.header.as_deref(), Some("x-to"));
    assert_eq!((found.port, found.cleanup_interval), (Some(15008), Duration::from_secs(60)));
    let default = OriginalDstLbConfig { http_header_name: String::new(), ..config };
    let default = Wire { lb_config: Some(LbConfig::OriginalDstLbConfig(default)), ..plain.clone() };
    assert_eq!(original(&default).header.as_deref(), Some("x-envoy-original-dst-host"));
    let balanced = Wire { lb_policy: LbPolicy::RoundRobin.into(), ..plain };
    assert_eq!(read(&balanced).unwrap_err()[0].path, "lb_policy");
    let provided = Wire {
        lb_policy: LbPolicy::ClusterProvided.into(),
        ..of_type(DiscoveryType::Static, &[("10.0.0.1", 80)])
    };
    assert_eq!(read(&provided).unwrap_err()[0].path, "lb_policy");
}
