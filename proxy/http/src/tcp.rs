//! Connections that are passed on as bytes (`tcp_proxy`).

use std::{rc::Rc, sync::Arc};

use smallvec::SmallVec;
use weft_balance::EndpointId;
use weft_compile::{Cluster, Target, TcpChain};
use weft_net::{CopyEnd, Rewind, Stream, copy_both_ways};
use weft_telemetry::{Gauge, GaugeGuard};

use crate::{lives::Life, phase::unless_closing, upstream, worker::Worker};

/// Connects to an endpoint of the chain's cluster and copies until both sides have ended.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    chain: Arc<TcpChain>,
    mut client: Rewind<Stream>,
    life: Rc<Life>,
) {
    chain.stats.downstream_cx_total.inc();
    let _active = GaugeGuard::raise(Arc::clone(&chain), |chain| &chain.stats.downstream_cx_active);
    let _busy = worker.begin_busy();
    let tables = worker.tables();
    let id = match &chain.target {
        Target::Cluster(id) => Some(*id),
        Target::Weighted(weighted) => weighted.choose(worker.random_u64()),
    };
    let Some(cluster) = id.and_then(|id| tables.cluster(id)).cloned() else {
        chain.stats.downstream_cx_no_route.inc();
        return;
    };
    // A connection may last for days; it holds its cluster, not the whole tables of its first day.
    drop(tables);
    let Some((mut upstream, _in_flight)) = connect(&worker, &chain, &cluster).await else { return };
    let copying = copy_both_ways(&mut client, &mut upstream, chain.idle_timeout);
    let Some(result) = unless_closing(life.phase_cell(), copying).await else { return };
    chain.stats.downstream_cx_rx_bytes_total.add(result.a_to_b);
    chain.stats.downstream_cx_tx_bytes_total.add(result.b_to_a);
    match result.end {
        CopyEnd::Finished => {}
        CopyEnd::Idle => chain.stats.idle_timeout.inc(),
        CopyEnd::Broken(error) => {
            tracing::debug!(cluster = %cluster.name, %error, "connection broke");
        }
    }
}

/// Tries as many endpoints as `max_connect_attempts` allows, each at most once.
async fn connect(
    worker: &Worker,
    chain: &TcpChain,
    cluster: &Arc<Cluster>,
) -> Option<(Stream, (weft_balance::ActiveRequest, GaugeGuard<Arc<Cluster>>))> {
    let mut tried: SmallVec<[EndpointId; 4]> = SmallVec::new();
    for _ in 0..chain.max_connect_attempts.max(1) {
        let random = worker.random_u64();
        let Some(picked) = (if tried.is_empty() {
            cluster.balancer.pick(random)
        } else {
            cluster.balancer.pick_avoiding(random, &tried)
        }) else {
            if tried.is_empty() {
                cluster.stats.upstream_cx_none_healthy.inc();
            }
            return None;
        };
        if picked.panicking {
            cluster.stats.lb_healthy_panic.inc();
        }
        let endpoint = picked.endpoint;
        tried.push(endpoint.id());
        let most = cluster.circuit_breakers.max_connections.into();
        let select: fn(&Arc<Cluster>) -> &Gauge = |cluster| &cluster.stats.upstream_cx_active;
        let Some(active) = GaugeGuard::raise_below(Arc::clone(cluster), select, most) else {
            cluster.stats.upstream_cx_overflow.inc();
            return None;
        };
        let in_flight = endpoint.begin_request();
        if let Ok(stream) = upstream::connect(cluster, endpoint, None).await {
            cluster.stats.upstream_cx_total.inc();
            return Some((stream, (in_flight, active)));
        }
    }
    None
}
