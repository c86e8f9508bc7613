//! Files that resources refer to.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    io,
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use prost::Message;
use weft_compile::{Action, Chain, Compiler, ReadFile, ResourceType, Update, Upsert};
use weft_proto::{json::from_yaml, pb::envoy::config::listener::v3::Listener};
use weft_telemetry::Stats;

const LISTENER: &str = "
name: l
address: {socket_address: {address: 127.0.0.1, port_value: 0}}
filter_chains:
- filters:
  - name: hcm
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: s
      http_filters:
      - name: router
        typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
      route_config:
        virtual_hosts:
        - name: h
          domains: ['*']
          routes:
          - match: {prefix: /}
            direct_response: {status: 200, body: {filename: /pages/hello}}
";

fn compiled(read: ReadFile) -> Result<Bytes, String> {
    let mut compiler = Compiler::new(Stats::new(Instant::now())).reading_files(read);
    let value = from_yaml::<Listener>(LISTENER).unwrap().encode_to_vec().into();
    let upsert = Upsert { name: Arc::from("l"), version: Arc::from("1"), value };
    let update = Update::fixed(ResourceType::Listener, vec![upsert]);
    let report = compiler.apply(&update, SystemTime::now());
    if let Some(rejected) = report.rejected.first() {
        return Err(rejected.reasons[0].to_string());
    }
    let tables = compiler.tables();
    let chain = &tables.listener("l").unwrap().chains.iter().next().unwrap().chain;
    let Chain::Http(chain) = chain else { panic!("not HTTP") };
    let routes = tables.routes_of(chain, |_| None).unwrap();
    let (_, route) = routes.table.routes().next().unwrap();
    let Action::Direct(direct) = &route.action.action else { panic!("not direct") };
    Ok(direct.body.clone())
}

#[test]
fn a_direct_response_may_come_from_a_file() {
    let body = compiled(|name, _| Ok(Bytes::from(format!("content of {name}"))));
    assert_eq!(body.unwrap(), "content of /pages/hello");
    let missing = compiled(|_, _| Err(io::Error::from(io::ErrorKind::NotFound))).unwrap_err();
    assert!(missing.contains("routes[0].direct_response.body: the file"), "{missing}");
    let large = compiled(|_, limit| Ok(vec![0; limit + 1].into())).unwrap_err();
    assert!(large.contains("at most 4096"), "{large}");
}
