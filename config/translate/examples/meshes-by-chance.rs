//! Prints valid meshes by chance, as proxies are sent them: one line of JSON for each node of each
//! mesh, with the resources by type and name. The same seed gives the same lines.
//!
//! `cargo run -p weft-translate --example meshes-by-chance -- COUNT SEED`

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write as _;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use weft_proto::type_url;
use weft_translate::{Collection, Dialect, translate};

fn resources(type_url: &str, collection: &Collection) -> Value {
    let all: Map<String, Value> = collection
        .iter()
        .map(|(name, resource)| {
            (name.to_string(), weft_proto::json::any_to_json(type_url, &resource.value))
        })
        .collect();
    Value::Object(all)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().ok_or("usage: meshes-by-chance COUNT SEED");
    let (count, seed): (u32, u64) = (number()?.parse()?, number()?.parse()?);
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().zip(seed.to_le_bytes()) {
        *place = byte;
    }
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut out = std::io::stdout().lock();
    for index in 0..count {
        let tree = (support::mesh(), support::workloads()).new_tree(&mut runner);
        let (mesh, workloads) = tree.map_err(|reason| reason.to_string())?.current();
        let documents: Vec<Value> =
            mesh.documents().into_iter().map(|document| document.json).collect();
        for node in support::nodes().iter().filter(|node| node.dialect == Dialect::Envoy) {
            let sent = translate(&mesh, &workloads, node);
            let line = json!({
                "mesh": index,
                "documents": documents,
                "node": format!("{node:?}"),
                "listeners": resources(type_url::LISTENER, &sent.listeners),
                "routes": resources(type_url::ROUTE_CONFIGURATION, &sent.routes),
                "clusters": resources(type_url::CLUSTER, &sent.clusters),
                "endpoints": resources(type_url::CLUSTER_LOAD_ASSIGNMENT, &sent.endpoints),
            });
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}
