//! The chains of a listener: who takes what, and what stays the same through an update.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod fixture;

use std::{net::SocketAddr, sync::Arc};

use fixture::{Proxy, chain, listener, rds_chain, routes};
use weft_compile::{FilterChain, Listener, ResourceType, Tables};
use weft_proto::pb::envoy::{
    config::listener::v3 as wire, extensions::filters::network::echo::v3::Echo,
};
use weft_route::ConnectionView;

const LDS: ResourceType = ResourceType::Listener;
const RDS: ResourceType = ResourceType::RouteConfiguration;

fn from_port(port: u32, chain: wire::FilterChain) -> wire::FilterChain {
    let conditions = wire::FilterChainMatch { source_ports: vec![port], ..Default::default() };
    wire::FilterChain {
        filter_chain_match: Some(conditions),
        name: format!("from-{port}"),
        ..chain
    }
}

fn only(tables: &Tables) -> &Arc<Listener> {
    tables.listener("in").unwrap()
}

fn find(listener: &Listener, source_port: u16) -> Option<&Arc<FilterChain>> {
    let source = Some(SocketAddr::from(([10, 0, 0, 1], source_port)));
    listener.chains.find(&ConnectionView {
        destination: None,
        source,
        direct_source: source,
        server_name: "",
        transport_protocol: "raw_buffer",
        application_protocols: &[],
    })
}

#[test]
fn each_connection_goes_to_the_chain_that_takes_it() {
    let mut proxy = Proxy::new();
    let chains = vec![from_port(1, chain(&Echo {})), from_port(2, chain(&Echo {}))];
    assert!(proxy.set(LDS, &[("in", listener("in", 80, chains))]).is_accepted());
    let tables = proxy.tables();
    let found = |port| find(only(&tables), port).map(|chain| &*chain.name);
    assert_eq!([found(1), found(2), found(3)], [Some("from-1"), Some("from-2"), None]);
    assert!(only(&tables).chains.only().is_none());
    proxy.set(LDS, &[("in", listener("in", 80, vec![chain(&Echo {})]))]);
    assert!(only(&proxy.tables()).chains.only().is_some(), "nothing to choose");
}

#[test]
fn chains_that_take_the_same_connections_are_refused_with_both_names() {
    let mut proxy = Proxy::new();
    let wide = || wire::FilterChainMatch { source_ports: vec![2, 1], ..Default::default() };
    let twice = wire::FilterChain { filter_chain_match: Some(wide()), ..chain(&Echo {}) };
    let chains = vec![from_port(1, chain(&Echo {})), twice];
    let report = proxy.set(LDS, &[("in", listener("in", 80, chains))]);
    let text = report.rejected[0].reasons[0].to_string();
    for part in ["filter_chains[1].filter_chain_match", "\"from-1\"", "\"filter_chains[1]\""] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_chain_that_did_not_change_is_the_same_one_after_the_update() {
    let mut proxy = Proxy::new();
    let first = vec![from_port(1, chain(&Echo {})), from_port(2, chain(&Echo {}))];
    proxy.set(LDS, &[("in", listener("in", 80, first))]);
    let before = proxy.tables();
    // In another order, one changed and one added.
    let second = vec![
        from_port(3, chain(&Echo {})),
        from_port(2, rds_chain("r")),
        from_port(1, chain(&Echo {})),
    ];
    proxy.set(LDS, &[("in", listener("in", 81, second))]);
    assert_eq!(proxy.compiler.warming().listeners, 1);
    proxy.add(RDS, &[("r", routes("r", "c"))]);
    let after = proxy.tables();
    let same = |port| match (find(only(&before), port), find(only(&after), port)) {
        (Some(before), Some(after)) => Arc::ptr_eq(before, after),
        _ => false,
    };
    assert_eq!([same(1), same(2), same(3)], [true, false, false]);
}

#[test]
fn a_listener_waits_for_the_routes_of_all_its_chains() {
    let mut proxy = Proxy::new();
    let chains = vec![from_port(1, rds_chain("a")), from_port(2, rds_chain("b")), rds_chain("a")];
    proxy.set(LDS, &[("in", listener("in", 80, chains))]);
    let wanted: Vec<String> =
        proxy.compiler.wanted().route_configs.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(wanted, ["a", "b"]);
    proxy.add(RDS, &[("a", routes("a", "c"))]);
    assert!(proxy.tables().listener("in").is_none());
    proxy.add(RDS, &[("b", routes("b", "c"))]);
    assert!(proxy.tables().listener("in").is_some());
}

#[test]
fn routes_of_a_chain_that_ends_stay_for_its_connections_alone() {
    let mut proxy = Proxy::new();
    let both = vec![from_port(1, rds_chain("a")), from_port(2, rds_chain("b"))];
    proxy.set(LDS, &[("in", listener("in", 80, both))]);
    proxy.add(RDS, &[("a", routes("a", "c")), ("b", routes("b", "c"))]);
    // As a connection would hold it.
    let held = find(only(&proxy.tables()), 2).map(Arc::clone);
    proxy.set(LDS, &[("in", listener("in", 80, vec![from_port(1, rds_chain("a"))]))]);
    let published = |tables: &Tables| {
        tables.routes.iter().flatten().map(|r| r.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(published(&proxy.tables()), ["a", "b"]);
    drop(held);
    proxy.tables();
    assert_eq!(published(&proxy.tables()), ["a"]);
}
