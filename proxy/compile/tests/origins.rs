//! Resources that come from elsewhere than the one stream: names mean what they mean where they
//! come from.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod fixture;

use std::sync::Arc;

use bytes::Bytes;
use fixture::{Proxy, assignment, eds_cluster, find, ports, static_cluster, update};
use prost::Message as _;
use weft_compile::{FileSource, Origin, ResourceStatus, ResourceType, Source, Update, name_of_key};
use weft_proto::pb::envoy::config::{
    cluster::v3::Cluster,
    core::v3::{ConfigSource, PathConfigSource, config_source::ConfigSourceSpecifier},
};

const CDS: ResourceType = ResourceType::Cluster;
const EDS: ResourceType = ResourceType::Assignment;

fn origin(path: &str) -> Origin {
    Origin::File(Arc::new(FileSource { path: path.into(), watched_directory: None }))
}

/// An EDS cluster whose endpoints `svc` are in a file.
fn from_file(name: &str, path: &str) -> Bytes {
    let mut cluster = Cluster::decode(eds_cluster(name, "svc", 1)).unwrap();
    let file = PathConfigSource { path: path.to_owned(), ..PathConfigSource::default() };
    cluster.eds_cluster_config.as_mut().unwrap().eds_config = Some(ConfigSource {
        config_source_specifier: Some(ConfigSourceSpecifier::PathConfigSource(file)),
        ..ConfigSource::default()
    });
    cluster.encode_to_vec().into()
}

#[test]
fn one_name_of_several_origins_is_several_resources() {
    let mut proxy = Proxy::new();
    let clusters = [
        ("ads", eds_cluster("ads", "svc", 1)),
        ("a", from_file("a", "/a.yaml")),
        ("b", from_file("b", "/b.yaml")),
    ];
    proxy.set(CDS, &clusters);
    let wanted = &proxy.compiler.wanted().assignments;
    let mut origins: Vec<_> = wanted.iter().map(|(_, want)| want.origin.to_string()).collect();
    origins.sort();
    assert_eq!(origins, ["/a.yaml", "/b.yaml", "ADS"]);
    assert!(wanted.iter().all(|(key, _)| name_of_key(key) == "svc"));

    let (a, b) = (origin("/a.yaml").key("svc"), origin("/b.yaml").key("svc"));
    proxy.add(EDS, &[("svc", assignment("svc", &[1])), (&a, assignment("svc", &[2]))]);
    let tables = proxy.tables();
    assert_eq!((ports(&tables, "ads"), ports(&tables, "a")), (Some(vec![1]), Some(vec![2])));
    assert!(find(&tables, "b").is_none(), "its own endpoints have not come");
    proxy.missing(EDS, &b);
    assert_eq!(ports(&proxy.tables(), "b"), Some(Vec::new()));

    let dump = proxy.compiler.dump();
    let shown: Vec<_> = dump.of(EDS).iter().map(|dump| (&*dump.name, dump.status)).collect();
    let (acked, absent) = (ResourceStatus::Acked, ResourceStatus::DoesNotExist);
    assert_eq!(shown, [("svc", acked), ("svc", acked), ("svc", absent)]);
}

#[test]
fn a_cluster_whose_endpoints_move_to_another_origin_serves_as_before_until_they_are_there() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", eds_cluster("a", "svc", 1))]);
    proxy.add(EDS, &[("svc", assignment("svc", &[1]))]);
    proxy.set(CDS, &[("a", from_file("a", "/a.yaml"))]);
    assert_eq!(ports(&proxy.tables(), "a"), Some(vec![1]));
    assert_eq!(proxy.compiler.wanted().assignments.len(), 2, "both are needed meanwhile");
    let key = origin("/a.yaml").key("svc");
    proxy.add(EDS, &[(&key, assignment("svc", &[2]))]);
    assert_eq!(ports(&proxy.tables(), "a"), Some(vec![2]));
    let wanted = &proxy.compiler.wanted().assignments;
    assert_eq!(wanted.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&key]);
}

/// An EDS cluster whose endpoints come over a stream of their own to `server`.
fn from_stream(name: &str, server: &str) -> Bytes {
    let mut cluster = Cluster::decode(eds_cluster(name, "svc", 1)).unwrap();
    let source = weft_proto::json::from_yaml(&format!(
        "{{resource_api_version: V3, api_config_source: {{api_type: GRPC, transport_api_version: V3,
           grpc_services: [{{envoy_grpc: {{cluster_name: {server}}}}}]}}}}"
    ));
    cluster.eds_cluster_config.as_mut().unwrap().eds_config = Some(source.unwrap());
    cluster.encode_to_vec().into()
}

#[test]
fn only_clusters_of_the_bootstrap_lead_to_management_servers() {
    let mut proxy = Proxy::new();
    let fixed = [("a", from_stream("a", "xds")), ("xds", static_cluster("xds", &[1]))];
    let fixed = Update { source: Source::Static, ..update(CDS, &fixed) };
    assert!(proxy.apply(&fixed).is_accepted(), "they may name each other");
    let added = [
        ("b", from_stream("b", "xds")),
        ("c", from_stream("c", "dynamic")),
        ("dynamic", static_cluster("dynamic", &[1])),
    ];
    let report = proxy.add(CDS, &added);
    let refused: Vec<_> = report.rejected.iter().map(|refused| &*refused.name).collect();
    assert_eq!(refused, ["c"]);
    assert_eq!(
        report.rejected[0].reasons[0].to_string(),
        "api_config_source: asks \"dynamic\", which is no cluster of the bootstrap \
         (management servers are reached by clusters of static_resources)"
    );
    assert_eq!(proxy.compiler.wanted().assignments.len(), 1, "a and b share theirs");
}

#[test]
fn what_a_file_calls_by_another_name_is_refused() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", from_file("a", "/a.yaml"))]);
    let key = origin("/a.yaml").key("svc");
    let report = proxy.add(EDS, &[(&key, assignment("other", &[1]))]);
    assert!(!report.is_accepted());
    assert_eq!(
        report.rejected[0].reasons[0].to_string(),
        "name: was delivered under the name \"svc\""
    );
}
