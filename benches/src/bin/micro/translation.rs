//! The control plane's own steps: from documents to a mesh, and from a mesh to what a node is sent.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use weft_config::{Key, Mesh, Source, StringMap};
use weft_translate::{Dialect, Instance, Node, Translator, Workloads};

use crate::harness::Bench;

const SERVICES: usize = 500;
const ENDPOINTS: u8 = 10;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let parse = |text: &str| Mesh::parse(&[source(text)]).map_err(|problems| anyhow!("{problems}"));
    let documents: String = (0..SERVICES).map(|n| service(n) + &route(n, 1)).collect();
    let mesh = parse(&documents)?;
    // The same weight goes to and fro, so that every step is a change.
    let weights = [2, 1].map(|weight| [source(&route(SERVICES / 2, weight))]);
    let mut meshes = Vec::new();
    for weight in &weights {
        let applied = mesh.apply(weight).map_err(|problems| anyhow!("{problems}"))?;
        meshes.push(Arc::new(applied.mesh));
    }
    let documents = [source(&documents)];
    bench.measure("mesh/read 1000 documents", |_| Mesh::parse(&documents));
    bench.measure("mesh/apply one document to 1000", |n| {
        mesh.apply(one_of::<[Source; 1]>(&weights, n))
    });

    let workloads: Workloads = (0..SERVICES).flat_map(|n| instances(n, 1)).collect();
    let node = Node {
        dialect: Dialect::Envoy,
        namespace: "default".to_owned(),
        service: None,
        inbound: None,
        gateway: None,
        outbound: Some((Ipv4Addr::LOCALHOST, 15001).into()),
    };
    let mut translator = Translator::new(Arc::new(mesh.clone()), workloads.clone());
    let mut held = translator.resources(&node);
    if held.endpoints.len() != SERVICES || held.clusters.len() != SERVICES {
        bail!("{} clusters and {} endpoints", held.clusters.len(), held.endpoints.len());
    }
    bench.measure("translate/500 services x 10 endpoints", |_| {
        Translator::new(Arc::new(mesh.clone()), workloads.clone()).resources(&node)
    });
    bench.measure("translate/update of one route of 500", |n| {
        translator.set_mesh(Arc::clone(one_of(&meshes, n)));
        translator.refresh(&node, &mut held);
        held.routes.len()
    });
    let moves = [2, 1].map(|third| instances(SERVICES / 2, third).map(|(_, it)| it).collect());
    let moves: [Vec<Instance>; 2] = moves;
    let moved = Key::new("default", name(SERVICES / 2));
    bench.measure("translate/update of one endpoint of 5000", |n| {
        translator.set_instances(&moved, one_of(&moves, n).clone());
        translator.refresh(&node, &mut held);
        held.endpoints.len()
    });
    Ok(())
}

fn one_of<T>(both: &[T], n: u64) -> &T {
    if n.is_multiple_of(2) { &both[0] } else { &both[1] }
}

fn source(text: &str) -> Source {
    Source::new("mesh.yaml", text)
}

fn name(n: usize) -> String {
    format!("service-{n}")
}

fn service(n: usize) -> String {
    let name = name(n);
    format!(
        "---\napiVersion: weft.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}\n"
    )
}

/// A route that shares requests between a Service and its neighbour.
fn route(n: usize, weight: u32) -> String {
    let (own, other) = (name(n), name((n + 1) % SERVICES));
    let mut text = format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {own}}}\n"
    );
    let matches = "[{path: {type: PathPrefix, value: /a}, headers: [{name: x-a, value: b}]}]";
    // Writing to a String cannot fail.
    _ = write!(
        text,
        "spec:\n  parentRefs: [{{kind: Service, name: {own}}}]\n  rules:\n    - matches: {matches}\n      \
         backendRefs: [{{name: {own}, weight: 9}}, {{name: {other}, weight: {weight}}}]\n    - {{}}\n"
    );
    text
}

/// The endpoints of a Service; `third` is a part of their addresses.
fn instances(n: usize, third: u8) -> impl Iterator<Item = (Key, Instance)> {
    let second = u8::try_from(n % 250).unwrap_or_default();
    let first = u8::try_from(n / 250).unwrap_or_default();
    (0..ENDPOINTS).map(move |fourth| {
        let ip = IpAddr::V4(Ipv4Addr::new(10 + first, second, third, fourth));
        let instance = Instance {
            zone: String::new(),
            name: format!("{n}-{fourth}"),
            address: SocketAddr::new(ip, 8080),
            labels: StringMap::new(),
            healthy: true,
        };
        (Key::new("default", name(n)), instance)
    })
}
