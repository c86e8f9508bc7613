//! Clusters that are found by name, and clusters that consist of others.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod fixture;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use bytes::Bytes;
use fixture::{Proxy, any, assignment, eds_cluster, find, static_cluster};
use prost::Message as _;
use weft_compile::{
    Answer, Lead, Question,
    ResourceType::{Assignment as EDS, Cluster as CDS},
    ServiceRecord, Tables,
};
use weft_proto::pb::{
    envoy::{
        config::{
            cluster::v3::{
                Cluster,
                cluster::{ClusterDiscoveryType, CustomClusterType, DiscoveryType, LbPolicy},
            },
            core::v3::{Address, SocketAddress, address, socket_address::PortSpecifier},
            endpoint::v3::{
                ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
                lb_endpoint::HostIdentifier,
            },
        },
        extensions::clusters::aggregate::v3::ClusterConfig,
    },
    google::protobuf,
};

fn found_by(kind: DiscoveryType, host: &str, port: u32) -> Cluster {
    let socket = SocketAddress {
        address: host.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    };
    let endpoint = Endpoint {
        address: Some(Address { address: Some(address::Address::SocketAddress(socket)) }),
        ..Endpoint::default()
    };
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
        ..LbEndpoint::default()
    };
    let group =
        LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..LocalityLbEndpoints::default() };
    Cluster {
        name: "a".to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind.into())),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: "a".to_owned(),
            endpoints: vec![group],
            ..ClusterLoadAssignment::default()
        }),
        ..Cluster::default()
    }
}

fn bytes(cluster: &Cluster) -> Bytes {
    cluster.encode_to_vec().into()
}

fn leads(last: &[u8]) -> Answer {
    let lead = |byte: &u8| Lead { ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, *byte)), service: None };
    Answer::Leads(last.iter().map(lead).collect())
}

/// The one question of the one cluster.
fn question(proxy: &Proxy) -> (Arc<str>, Question) {
    let names: Vec<_> = proxy.compiler.names().iter().collect();
    let [(cluster, question, _)] = names.as_slice() else { panic!("{names:?}") };
    (Arc::clone(cluster), (*question).clone())
}

fn answer(proxy: &mut Proxy, answer: Answer) {
    let (cluster, question) = question(proxy);
    proxy.compiler.resolved(&cluster, &question, answer);
}

fn ids(tables: &Tables, name: &str) -> Vec<u64> {
    let hosts = find(tables, name).unwrap().balancer.hosts();
    hosts.iter().map(|host| host.endpoint.id().get()).collect()
}

#[test]
fn a_cluster_waits_for_its_names_unless_told_not_to() {
    let mut proxy = Proxy::new();
    let mut cluster = found_by(DiscoveryType::StrictDns, "up.test", 80);
    proxy.set(CDS, &[("a", bytes(&cluster))]);
    assert!(find(&proxy.tables(), "a").is_none());
    assert_eq!(proxy.compiler.warming().clusters, 1);
    answer(&mut proxy, leads(&[1, 2]));
    assert_eq!(ids(&proxy.tables(), "a").len(), 2);
    assert!(proxy.compiler.warming().is_over());

    let mut impatient = Proxy::new();
    cluster.wait_for_warm_on_init = Some(protobuf::BoolValue { value: false });
    impatient.set(CDS, &[("a", bytes(&cluster))]);
    assert!(ids(&impatient.tables(), "a").is_empty());
    answer(&mut impatient, leads(&[1]));
    assert_eq!(ids(&impatient.tables(), "a").len(), 1);
}

#[test]
fn a_first_failure_ends_the_wait_and_a_later_one_changes_nothing() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", bytes(&found_by(DiscoveryType::StrictDns, "up.test", 80)))]);
    answer(&mut proxy, Answer::Failed);
    assert!(ids(&proxy.tables(), "a").is_empty());
    answer(&mut proxy, leads(&[1]));
    let before = proxy.tables();
    answer(&mut proxy, Answer::Failed);
    assert!(Arc::ptr_eq(&before, &proxy.tables()), "stale is better than nothing");
    answer(&mut proxy, leads(&[]));
    assert!(ids(&proxy.tables(), "a").is_empty(), "nothing is an answer");
}

#[test]
fn the_same_answer_changes_nothing_and_another_keeps_what_stays() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", bytes(&found_by(DiscoveryType::StrictDns, "up.test", 80)))]);
    answer(&mut proxy, leads(&[1, 2]));
    let before = proxy.tables();
    answer(&mut proxy, leads(&[1, 2]));
    assert!(Arc::ptr_eq(&before, &proxy.tables()));
    answer(&mut proxy, leads(&[2, 3, 3]));
    let after = proxy.tables();
    assert_eq!(ids(&after, "a").len(), 2, "each address once");
    assert_eq!(ids(&after, "a")[0], ids(&before, "a")[1]);
}

#[test]
fn a_logical_endpoint_stays_itself_wherever_it_is() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", bytes(&found_by(DiscoveryType::LogicalDns, "up.test", 80)))]);
    answer(&mut proxy, leads(&[1, 2]));
    let before = ids(&proxy.tables(), "a");
    answer(&mut proxy, leads(&[9]));
    let tables = proxy.tables();
    assert_eq!(ids(&tables, "a"), before);
    let ways = find(&tables, "a").unwrap().balancer.hosts()[0].endpoint.ways();
    assert_eq!(ways.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.9:80"]);
}

#[test]
fn another_version_serves_once_its_names_are_known() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", bytes(&found_by(DiscoveryType::StrictDns, "old.test", 80)))]);
    answer(&mut proxy, leads(&[1]));
    let old = ids(&proxy.tables(), "a");
    let changes = proxy.compiler.names().changes();
    proxy.set(CDS, &[("a", bytes(&found_by(DiscoveryType::StrictDns, "new.test", 80)))]);
    assert!(proxy.compiler.names().changes() > changes);
    assert_eq!(ids(&proxy.tables(), "a"), old, "as before meanwhile");
    let (cluster, new) = proxy
        .compiler
        .names()
        .iter()
        .find(|(_, question, _)| &*question.host == "new.test")
        .map(|(cluster, question, _)| (Arc::clone(cluster), question.clone()))
        .unwrap();
    proxy.compiler.resolved(&cluster, &new, leads(&[2]));
    assert_ne!(ids(&proxy.tables(), "a"), old);
    assert_eq!(&*question(&proxy).1.host, "new.test", "nobody asks for the old one any more");
    proxy.set(CDS, &[]);
    assert_eq!(proxy.compiler.names().iter().count(), 0);
}

#[test]
fn services_bring_ports_weights_and_ranks() {
    let mut proxy = Proxy::new();
    let cluster = found_by(DiscoveryType::StrictDns, "_http._tcp.shop.test", 0);
    proxy.set(CDS, &[("a", bytes(&cluster))]);
    assert!(question(&proxy).1.is_service);
    let lead = |byte, port, weight, rank| Lead {
        ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, byte)),
        service: Some(ServiceRecord { port, weight, rank }),
    };
    answer(&mut proxy, Answer::Leads(vec![lead(1, 8080, 7, 0), lead(2, 8081, 0, 1)]));
    let tables = proxy.tables();
    let hosts = find(&tables, "a").unwrap().balancer.hosts();
    let facts: Vec<_> = hosts.iter().map(|host| (host.weight, host.priority)).collect();
    assert_eq!(facts, [(7, 0), (1, 1)]);
}

fn aggregate(name: &str, members: &[&str]) -> Bytes {
    let config = ClusterConfig { clusters: members.iter().map(|m| (*m).to_owned()).collect() };
    let custom = CustomClusterType {
        name: "envoy.clusters.aggregate".to_owned(),
        typed_config: Some(any(&config)),
    };
    bytes(&Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::ClusterType(custom)),
        lb_policy: LbPolicy::ClusterProvided.into(),
        ..Cluster::default()
    })
}

/// Names of the members of an aggregate as published.
fn members(tables: &Tables, name: &str) -> Vec<String> {
    let members = &find(tables, name).unwrap().members;
    members.iter().map(|member| member.name.to_string()).collect()
}

#[test]
fn an_aggregate_follows_its_members() {
    let mut proxy = Proxy::new();
    proxy.set(
        CDS,
        &[
            ("all", aggregate("all", &["one", "inner", "one"])),
            ("inner", aggregate("inner", &["two", "missing", "all"])),
            ("one", static_cluster("one", &[1])),
            ("two", eds_cluster("two", "two", 1)),
        ],
    );
    assert_eq!(members(&proxy.tables(), "all"), ["one"], "the other one is not warm");
    proxy.add(EDS, &[("two", assignment("two", &[2, 3]))]);
    let tables = proxy.tables();
    assert_eq!(members(&tables, "all"), ["one", "two"], "each once, in order, without circles");
    assert_eq!(members(&tables, "inner"), ["two", "one"]);
    assert_eq!(ids(&tables, "all"), [ids(&tables, "one"), ids(&tables, "two")].concat());
    assert_eq!(find(&tables, "all").unwrap().balancer.pick(7).unwrap().group, 0);

    proxy.add(EDS, &[("two", assignment("two", &[3]))]);
    let after = proxy.tables();
    assert_eq!(ids(&after, "all")[1..], ids(&tables, "two")[1..], "carried over");
    proxy.remove(CDS, &["one"]);
    let after = proxy.tables();
    assert_eq!(members(&after, "all"), ["two"]);
    assert_eq!(find(&after, "all").unwrap().balancer.pick(7).unwrap().group, 0);
}

#[test]
fn an_aggregate_is_not_rebuilt_for_others() {
    let mut proxy = Proxy::new();
    let one = ("one", static_cluster("one", &[1]));
    let all = ("all", aggregate("all", &["one"]));
    proxy.set(CDS, &[one.clone(), all.clone(), ("other", static_cluster("other", &[2]))]);
    let before = proxy.tables();
    proxy.set(CDS, &[one, all, ("other", static_cluster("other", &[3]))]);
    let after = proxy.tables();
    assert!(Arc::ptr_eq(find(&before, "all").unwrap(), find(&after, "all").unwrap()));
}
