//! Taking configuration in: a whole one, one endpoint of it, and the rules of one resource.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, bail};
use bytes::Bytes;
use prost::Message;
use weft_compile::{Compiler, ResourceType, Source, Update, Upsert};
use weft_proto::{
    json,
    pb::envoy::config::{cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment},
    type_url,
};
use weft_telemetry::Stats;

use crate::harness::Bench;

const CLUSTERS: usize = 1_000;
const ENDPOINTS: usize = 10;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let clusters = (0..CLUSTERS).map(cluster).collect::<Result<Vec<_>>>()?;
    let assignments = (0..CLUSTERS).map(|n| assignment(n, 8080)).collect::<Result<Vec<_>>>()?;
    let clusters = update(ResourceType::Cluster, "1", clusters);
    let assignments = update(ResourceType::Assignment, "1", assignments);

    let compile = || {
        let mut compiler = Compiler::new(Stats::new(Instant::now()));
        compiler.apply(&clusters, SystemTime::UNIX_EPOCH);
        compiler.apply(&assignments, SystemTime::UNIX_EPOCH);
        let tables = compiler.tables();
        (compiler, tables)
    };
    let (mut compiler, tables) = compile();
    let ready = tables.clusters.iter().flatten();
    let endpoints: usize = ready.map(|cluster| cluster.balancer.hosts().len()).sum();
    if endpoints != CLUSTERS * ENDPOINTS {
        bail!("only {endpoints} endpoints were compiled");
    }
    bench.measure("compile/1000 clusters x 10 endpoints", |_| compile());

    // The same endpoint moves to and fro, so that every step is a change.
    let moves = [9090, 8080].map(|port| {
        let moved = assignment(CLUSTERS / 2, port)?;
        Ok::<_, anyhow::Error>(update(ResourceType::Assignment, "2", vec![moved]))
    });
    let [there, back] = moves;
    let moves = [there?, back?];
    bench.measure("compile/update of one endpoint of 10000", |n| {
        let moved = if n % 2 == 0 { &moves[0] } else { &moves[1] };
        compiler.apply(moved, SystemTime::UNIX_EPOCH + Duration::from_nanos(n));
        compiler.tables()
    });

    let (_, encoded) = cluster(0)?;
    let findings = weft_proto::check::check(type_url::CLUSTER, &encoded);
    if !findings.is_empty() {
        bail!("the cluster is refused: {findings:?}");
    }
    bench.measure("check/rules and field table of a cluster", |_| {
        weft_proto::check::check(type_url::CLUSTER, &encoded)
    });
    Ok(())
}

fn cluster(n: usize) -> Result<(String, Bytes)> {
    let name = format!("service-{n}.default:8080");
    let cluster: Cluster = json::from_yaml(&format!(
        "{{name: '{name}', type: EDS, connect_timeout: 1s, lb_policy: LEAST_REQUEST,
          eds_cluster_config: {{eds_config: {{ads: {{}}, resource_api_version: V3}}}}}}"
    ))?;
    Ok((name, cluster.encode_to_vec().into()))
}

/// Endpoints of a service; the first listens on `port`.
fn assignment(n: usize, port: u16) -> Result<(String, Bytes)> {
    let name = format!("service-{n}.default:8080");
    let endpoints: Vec<String> = (0..ENDPOINTS)
        .map(|at| {
            let port = if at == 0 { port } else { 8080 };
            format!(
                "{{endpoint: {{address: {{socket_address: {{address: 10.{}.{}.{at}, port_value: {port}}}}}}}}}",
                n / 250,
                n % 250,
            )
        })
        .collect();
    let assignment: ClusterLoadAssignment = json::from_yaml(&format!(
        "{{cluster_name: '{name}', endpoints: [{{locality: {{zone: a}}, lb_endpoints: [{}]}}]}}",
        endpoints.join(", ")
    ))?;
    Ok((name, assignment.encode_to_vec().into()))
}

fn update(resource_type: ResourceType, version: &str, resources: Vec<(String, Bytes)>) -> Update {
    let version: Arc<str> = version.into();
    let upserts = resources
        .into_iter()
        .map(|(name, value)| Upsert { name: name.into(), version: Arc::clone(&version), value })
        .collect();
    Update {
        resource_type,
        version,
        upserts,
        removals: Vec::new(),
        full_state: false,
        source: Source::Dynamic,
    }
}
