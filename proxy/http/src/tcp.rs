//! Connections that are passed on as bytes (`tcp_proxy`).

mod carried;
mod raw_body;

use std::{
    borrow::Cow,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use http::HeaderMap;
use smallvec::SmallVec;
use tokio::{
    io::AsyncReadExt as _,
    time::{sleep, timeout},
};
use weft_balance::{
    ActiveConnection, ActiveRequest, EndpointId, EndpointState, Outcome, RequestHash,
};
use weft_compile::{Cluster, FilterChain, Priority, Target, TcpChain, TlvMerge};
use weft_format::View;
use weft_net::{CopyEnd, Moved, Rewind, Stream, Tlv, copy_both_ways};
use weft_telemetry::{GaugeGuard, TcpStats, ZoneBytes};

pub(crate) use raw_body::RawBody;

use crate::{
    client::Client,
    facts,
    fault::Fault,
    greeting::{self, greeting},
    lives::Life,
    outcome,
    phase::unless_closing,
    upstream::{self, Full, Place},
    worker::Worker,
};

/// Bytes that a client may say before the upstream is there, if it is waited for them.
const FIRST_READ: usize = 4096;

/// Connects to an endpoint of the chain's cluster and copies until both sides have ended.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    (within, chain): (Arc<FilterChain>, Arc<TcpChain>),
    stream: Rewind<Stream>,
    client: Client,
    life: Rc<Life>,
) {
    chain.stats.downstream_cx_total.inc();
    let _active = GaugeGuard::raise(Arc::clone(&chain), |chain| &chain.stats.downstream_cx_active);
    let _busy = worker.begin_busy();
    let Some(cluster) = choose(&worker, &within, &chain, &client) else {
        chain.stats.downstream_cx_no_route.inc();
        return;
    };
    let passing = pass_on(&worker, &chain, &cluster, stream, &client);
    let Some(longest) = chain.longest_life(worker.random_u64()) else {
        unless_closing(life.phase_cell(), passing).await;
        return;
    };
    // It ends after it was counted.
    let mut passing = pin!(passing);
    let passing = timeout(longest, passing.as_mut());
    if let Some(Err(_)) = unless_closing(life.phase_cell(), passing).await {
        chain.stats.max_downstream_connection_duration.inc();
    }
}

/// The cluster of this connection, as the tables of this moment know it.
fn choose(
    worker: &Worker,
    within: &FilterChain,
    chain: &TcpChain,
    client: &Client,
) -> Option<Arc<Cluster>> {
    let tables = worker.tables();
    let named = client.server_name.as_deref().filter(|_| within.sni_cluster);
    let id = match (named, &chain.target) {
        (Some(name), _) => tables.cluster_named(name),
        (None, Target::Cluster(id)) => Some(*id),
        (None, Target::Weighted(weighted)) => weighted.choose(worker.random_u64()),
    };
    // A connection may last for days; it holds its cluster, not the whole tables of its first day.
    id.and_then(|id| tables.cluster(id)).cloned()
}

async fn pass_on(
    worker: &Worker,
    chain: &TcpChain,
    cluster: &Arc<Cluster>,
    mut stream: Rewind<Stream>,
    client: &Client,
) {
    if chain.waits_for_data {
        let Some(begun) = first_data(stream, chain.idle_timeout).await else { return };
        stream = begun;
    }
    if let Some(tunneling) = &chain.tunneling {
        return Box::pin(carried::carry(worker, (chain, tunneling), cluster, stream, client)).await;
    }
    let greeting = match &cluster.connection.proxy_protocol {
        Some(asked) => {
            let local = client.destination(stream.get_ref());
            let view = facts::of_client(worker, client, local);
            let addresses = client.peer.ip().zip(local);
            greeting(asked, addresses, &told(chain, client, &view), &view)
        }
        None => Vec::new(),
    };
    let connected = if cluster.original_destination.is_some() {
        original(worker, cluster, client.meant_for, &greeting).await
    } else {
        connect(worker, chain, cluster, (hash_of(chain, client), &greeting)).await
    };
    let Some((mut upstream, held)) = connected else { return };
    let crosses = held.0.endpoint().crosses_zones();
    let beyond = Some((&cluster.stats.zone_bytes, crosses));
    let mut moving = Moving { moved: Moved::default(), stats: &chain.stats, beyond };
    let end =
        copy_both_ways(&mut stream, &mut upstream, chain.idle_timeout, &mut moving.moved).await;
    if end.is_reset() {
        // Neither side is to take what broke for a whole.
        stream.get_ref().reset_on_drop();
        upstream.reset_on_drop();
    }
    match end {
        CopyEnd::Finished => {}
        CopyEnd::Idle => chain.stats.idle_timeout.inc(),
        CopyEnd::Broken(error) => {
            tracing::debug!(cluster = %cluster.name, %error, "connection broke");
        }
    }
}

/// Waits until the client has said something; `None` when it does not, or goes.
async fn first_data(stream: Rewind<Stream>, limit: Option<Duration>) -> Option<Rewind<Stream>> {
    let (begun, mut stream) = stream.into_parts();
    if !begun.is_empty() {
        return Some(Rewind::new(begun, stream));
    }
    let mut first = BytesMut::with_capacity(FIRST_READ);
    let reading = stream.read_buf(&mut first);
    let read = match limit {
        Some(limit) => timeout(limit, reading).await.ok()?,
        None => reading.await,
    };
    matches!(read, Ok(1..)).then(|| Rewind::new(first.freeze(), stream))
}

/// What a connection moved, counted however it ends.
struct Moving<'a> {
    moved: Moved,
    stats: &'a TcpStats,
    /// Of bytes that are not counted by the connection that carries them.
    beyond: Option<(&'a ZoneBytes, Option<bool>)>,
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.stats.downstream_cx_rx_bytes_total.add(self.moved.a_to_b);
        self.stats.downstream_cx_tx_bytes_total.add(self.moved.b_to_a);
        if let Some((bytes, crosses)) = self.beyond {
            let whole = |n| usize::try_from(n).unwrap_or(usize::MAX);
            bytes.sent(crosses, whole(self.moved.a_to_b));
            bytes.received(crosses, whole(self.moved.b_to_a));
        }
    }
}

/// What decides where a connection goes, for clusters that place by hashes.
fn hash_of(chain: &TcpChain, client: &Client) -> Option<u64> {
    let source = client.peer.ip().filter(|_| chain.hashes_source)?;
    let mut hash = RequestHash::default();
    hash.add([source.ip().to_string().as_bytes()]);
    hash.get()
}

/// What was told of the client, and what the chain says in its place or besides.
fn told<'c>(chain: &TcpChain, client: &'c Client, view: &View<'_>) -> Cow<'c, [Tlv]> {
    let configured = || greeting::configured(&chain.tlvs, view);
    let is_configured = |tlv: &&Tlv| chain.tlvs.iter().any(|(kind, _)| *kind == tlv.kind);
    match chain.tlv_merge {
        _ if chain.tlvs.is_empty() => Cow::Borrowed(&client.tlvs),
        TlvMerge::AddIfAbsent if client.is_told => Cow::Borrowed(&client.tlvs),
        TlvMerge::AddIfAbsent => configured().collect(),
        TlvMerge::OverwriteByType => {
            let kept = client.tlvs.iter().filter(|tlv| !is_configured(tlv)).cloned();
            kept.chain(configured()).collect()
        }
        TlvMerge::Append => client.tlvs.iter().cloned().chain(configured()).collect(),
    }
}

/// What a connection counts for upstream.
type Held = (ActiveRequest, Counted);

/// What it counts for from before it is opened.
type Counted = (Place, ActiveConnection);

/// Tries as many endpoints as `max_connect_attempts` allows, each at most once.
async fn connect(
    worker: &Worker,
    chain: &TcpChain,
    cluster: &Arc<Cluster>,
    (hash, greeting): (Option<u64>, &[u8]),
) -> Option<(Stream, Held)> {
    let mut tried: SmallVec<[EndpointId; 4]> = SmallVec::new();
    for attempt in 0..chain.max_connect_attempts.max(1) {
        if let Some(pause) = chain.pause(attempt, worker.random_u64()) {
            sleep(pause).await;
        }
        let random = worker.random_u64();
        let Some(picked) = cluster.pick(None, random, hash, &tried) else {
            if tried.is_empty() {
                cluster.stats.upstream_cx_none_healthy.inc();
            }
            return None;
        };
        cluster.count_pick(&picked);
        let endpoint = picked.endpoint;
        let cluster = cluster.members.get(picked.group).unwrap_or(cluster);
        tried.push(endpoint.id());
        let active = match admit(cluster, endpoint) {
            Ok(active) => active,
            Err(Full::Cluster) => return None,
            Err(Full::Endpoint) => continue,
        };
        if let Some(opened) = open(cluster, endpoint, active, greeting).await {
            return Some(opened);
        }
    }
    cluster.stats.upstream_cx_connect_attempts_exceeded.inc();
    None
}

/// Connects to where the client wanted to go.
async fn original(
    worker: &Worker,
    cluster: &Arc<Cluster>,
    meant_for: Option<SocketAddr>,
    greeting: &[u8],
) -> Option<(Stream, Held)> {
    let rule = cluster.original_destination.as_ref()?;
    let nothing_said = HeaderMap::new();
    let address = upstream::destination(rule, &nothing_said, meant_for).ok().flatten();
    let now = Instant::now();
    let endpoint = address.and_then(|at| worker.pools().original().at(cluster, at, now));
    let Some(endpoint) = endpoint else {
        cluster.stats.upstream_cx_none_healthy.inc();
        return None;
    };
    let active = admit(cluster, &endpoint).ok()?;
    open(cluster, &endpoint, active, greeting).await
}

/// A connection's place within `max_connections`, of the cluster and of the endpoint.
fn admit(cluster: &Arc<Cluster>, endpoint: &Arc<EndpointState>) -> Result<Counted, Full> {
    let counted = upstream::take_connection(cluster, endpoint, Priority::Default);
    if counted.is_err() {
        cluster.stats.upstream_cx_overflow.inc();
    }
    counted
}

async fn open(
    cluster: &Arc<Cluster>,
    endpoint: &Arc<EndpointState>,
    counted: Counted,
    greeting: &[u8],
) -> Option<(Stream, Held)> {
    let in_flight = endpoint.begin_request();
    let connected = upstream::connect(cluster, endpoint, greeting, None).await;
    let outcome = match &connected {
        Ok(_) => Some(Outcome::ConnectedForGood),
        Err(failure) if failure.fault == Fault::ConnectTimeout => Some(Outcome::TimedOut),
        Err(failure) => outcome::of_fault(failure.fault),
    };
    if let Some(outcome) = outcome {
        cluster.record(endpoint, outcome);
    }
    let stream = connected.ok()?;
    cluster.stats.upstream_cx_total.inc();
    Some((stream, (in_flight, counted)))
}
