//! What becomes of endpoints, and so of their connections, when a cluster changes.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod fixture;

use std::sync::Arc;

use bytes::Bytes;
use fixture::{Proxy, assignment, eds_cluster, find};
use prost::Message as _;
use weft_compile::{
    ResourceType::{Assignment as EDS, Cluster as CDS},
    Tables,
};
use weft_proto::pb::envoy::config::cluster::v3::{Cluster, cluster::CommonLbConfig};

fn draining_cluster(name: &str) -> Bytes {
    let mut cluster = Cluster::decode(eds_cluster(name, name, 1)).unwrap();
    let common =
        CommonLbConfig { close_connections_on_host_set_change: true, ..CommonLbConfig::default() };
    cluster.common_lb_config = Some(common);
    cluster.encode_to_vec().into()
}

fn identities(tables: &Tables, name: &str) -> Vec<u64> {
    let hosts = find(tables, name).unwrap().balancer.hosts();
    hosts.iter().map(|host| host.endpoint.id().get()).collect()
}

#[test]
fn connections_drain_when_hosts_come_or_go_if_asked_to() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", draining_cluster("a")), ("b", eds_cluster("b", "b", 1))]);
    let both = |proxy: &mut Proxy, ports: &[u16]| {
        proxy.add(EDS, &["a", "b"].map(|name| (name, assignment(name, ports))));
        let tables = proxy.tables();
        ["a", "b"].map(|name| identities(&tables, name))
    };
    let [a, b] = both(&mut proxy, &[1, 2]);
    let [a_more, b_more] = both(&mut proxy, &[1, 2, 3]);
    assert_eq!(b_more[..2], b, "carried over");
    assert!(a_more.iter().all(|id| !a.contains(id)), "all new");
    let [a_same, _] = both(&mut proxy, &[3, 2, 1]);
    assert!(a_same.iter().all(|id| a_more.contains(id)), "the same hosts in another order");
    let [a_other, b_other] = both(&mut proxy, &[1, 2, 4]);
    assert!(a_other.iter().all(|id| !a_same.contains(id)), "one for another");
    assert_eq!(b_other[..2], b);
}

#[test]
fn an_endpoint_that_is_gone_is_let_go() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", eds_cluster("a", "a", 1))]);
    proxy.add(EDS, &[("a", assignment("a", &[1, 2]))]);
    let gone = {
        let tables = proxy.tables();
        Arc::downgrade(&find(&tables, "a").unwrap().balancer.hosts()[1].endpoint)
    };
    assert!(gone.upgrade().is_some());
    proxy.add(EDS, &[("a", assignment("a", &[1]))]);
    drop(proxy.tables());
    assert!(gone.upgrade().is_none(), "its pools close idle connections and finish the others");
}
