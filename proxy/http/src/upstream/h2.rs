//! h2 towards upstreams: many requests on one connection, shared by this worker's tasks.

mod exchange;

use std::{
    cell::Cell,
    future::poll_fn,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use tokio::sync::Notify;
use weft_balance::EndpointState;
use weft_compile::Cluster;
use weft_h2::{Event, NotOpened, Role, StreamKey};

pub(crate) use exchange::Exchange;

use super::{
    Failure, Outgoing, Upload, connect,
    metered::Metered,
    occupancy::{Admission, ConnectionSlot, Turn},
    pool::Pool,
    until,
};
use crate::{
    body::Limits,
    fault::Fault,
    http2::{self, Blocks, Broken, Driver, End, Ended, Handle, Keepalive, Link},
};

/// New connections tried for one request. Others that waited for the same connection may take its
/// streams first; a peer that allows no stream at all must not be dialled for ever.
const OPEN_TRIES: usize = 4;

/// The connections of a pool, and whether one is being opened.
#[derive(Debug, Default)]
pub(super) struct Shared {
    open: Vec<Connection>,
    connecting: Option<Rc<Connecting>>,
}

/// An open connection; its frames are moved by a task of its own.
#[derive(Clone, Debug)]
struct Connection {
    link: Handle,
    load: Rc<Load>,
}

/// What is shared between a connection's task and its streams.
#[derive(Debug)]
struct Load {
    pool: Weak<Pool>,
    streams: Cell<usize>,
    requests: Cell<u32>,
    /// The peer said GOAWAY, the connection broke, or it has carried enough requests.
    finished: Cell<bool>,
    /// Streams before another connection is opened, whatever the peer allows.
    most: usize,
    /// The peer has said its settings, or never will.
    told: Notify,
}

impl Load {
    fn new(pool: &Rc<Pool>, cluster: &Cluster) -> Self {
        Self {
            pool: Rc::downgrade(pool),
            streams: Cell::default(),
            requests: Cell::default(),
            finished: Cell::default(),
            most: cluster.connection.http2.max_concurrent_streams as usize,
            told: Notify::new(),
        }
    }
}

/// A connection attempt that several requests wait for.
#[derive(Debug, Default)]
struct Connecting {
    failed: Cell<Option<Failure>>,
    done: Notify,
}

/// A stream's count on its connection.
#[derive(Debug)]
pub(crate) struct StreamSlot(Rc<Load>);

impl StreamSlot {
    fn take(load: &Rc<Load>) -> Self {
        load.streams.set(load.streams.get() + 1);
        load.requests.set(load.requests.get().saturating_add(1));
        Self(Rc::clone(load))
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let load = &self.0;
        load.streams.set(load.streams.get() - 1);
        let Some(pool) = load.pool.upgrade() else { return };
        if load.streams.get() == 0 && pool.is_claimed(&pool.h2_occupancy, load.requests.get()) {
            // Nobody may take it in the meantime.
            load.finished.set(true);
            pool.h2_occupancy.call_worker();
        } else {
            pool.h2_occupancy.offer(());
        }
    }
}

impl Shared {
    pub(super) fn forget_dead(&mut self) {
        self.open.retain(|connection| !connection.load.finished.get());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether there are no streams, and nobody opens a connection.
    pub(super) fn is_idle(&self) -> bool {
        let busy = |connection: &Connection| connection.load.streams.get() > 0;
        self.connecting.is_none() && !self.open.iter().any(busy)
    }

    /// Closes a connection without streams. Whether there was one.
    pub(super) fn give_up_idle(&mut self) -> bool {
        let idle = self.open.iter().position(|connection| connection.load.streams.get() == 0);
        // Its task ends it when nobody can ask for a stream any more.
        idle.map(|at| self.open.swap_remove(at)).is_some()
    }

    /// The connection with the fewest streams that takes another.
    fn take(&mut self) -> Option<Connection> {
        let mut best: Option<&Connection> = None;
        for connection in &self.open {
            let streams = connection.load.streams.get();
            let takes = !connection.load.finished.get() && streams < connection.load.most;
            if takes && best.is_none_or(|best| streams < best.load.streams.get()) {
                match connection.link.can_open() {
                    Ok(()) => best = Some(connection),
                    Err(NotOpened::Full) => {}
                    Err(NotOpened::Leaving) => connection.load.finished.set(true),
                }
            }
        }
        best.cloned()
    }
}

/// A connection that takes a stream right now.
pub(crate) struct Lane {
    link: Handle,
    slot: StreamSlot,
}

impl Lane {
    /// Whether the peer takes requests for other protocols (RFC 8441), for which its settings must
    /// have come.
    pub(crate) async fn takes_protocols(&self, limits: Limits) -> Result<bool, Failure> {
        let load = &self.slot.0;
        if !self.link.has_peer_settings() && !load.finished.get() {
            let told = load.told.notified();
            match limits.next(Instant::now()) {
                None => told.await,
                Some((at, fault)) => {
                    let came = tokio::time::timeout_at(at.into(), told).await;
                    came.map_err(|_| Failure::unsent(fault))?;
                }
            }
        }
        Ok(self.link.may_connect())
    }

    pub(super) fn begin(self, outgoing: &mut Outgoing, upload: Upload) -> Exchange {
        Exchange::new(self.link, self.slot, outgoing, upload)
    }
}

/// A connection of the pool that takes a stream now.
pub(super) fn reuse(pool: &Pool, cluster: &Cluster) -> Option<Lane> {
    let connection = pool.h2.borrow_mut().take()?;
    let slot = StreamSlot::take(&connection.load);
    if let Some(most) = cluster.connection.max_requests_per_connection
        && connection.load.requests.get() >= most
    {
        connection.load.finished.set(true);
        pool.h2.borrow_mut().forget_dead();
    }
    Some(Lane { link: connection.link, slot })
}

/// A stream on a connection that is opened for it, or is being opened already.
pub(super) async fn open(
    pool: &Rc<Pool>,
    cluster: &Arc<Cluster>,
    endpoint: &Arc<EndpointState>,
    limits: Limits,
) -> Result<Lane, Failure> {
    for _ in 0..OPEN_TRIES {
        connected(pool, cluster, endpoint, limits).await?;
        if let Some(lane) = reuse(pool, cluster) {
            return Ok(lane);
        }
    }
    Err(Failure::unsent(Fault::UpstreamRefused))
}

/// Opens one more connection, or waits for the one that is being opened, or for a stream where there
/// may be no more connections.
async fn connected(
    pool: &Rc<Pool>,
    cluster: &Arc<Cluster>,
    endpoint: &Arc<EndpointState>,
    limits: Limits,
) -> Result<(), Failure> {
    let under_way = pool.h2.borrow().connecting.clone();
    let connecting = match under_way {
        Some(connecting) => connecting,
        None => match pool.h2_occupancy.admit(cluster, endpoint) {
            Admission::Open(slot) => start(pool, cluster, endpoint, slot),
            Admission::Wait(turn) => match until(limits, turn).await? {
                Turn::Take(()) => return Ok(()),
                Turn::Open(slot) => start(pool, cluster, endpoint, slot),
            },
        },
    };
    let done = connecting.done.notified();
    match limits.deadline {
        None => done.await,
        Some((at, fault)) => {
            let ended = tokio::time::timeout_at(at.into(), done).await;
            ended.map_err(|_| Failure::unsent(fault))?;
        }
    }
    connecting.failed.get().map_or(Ok(()), Err)
}

fn start(
    pool: &Rc<Pool>,
    cluster: &Arc<Cluster>,
    endpoint: &Arc<EndpointState>,
    slot: ConnectionSlot<()>,
) -> Rc<Connecting> {
    let connecting = Rc::new(Connecting::default());
    pool.h2.borrow_mut().connecting = Some(Rc::clone(&connecting));
    // A task of its own: the request that asked first may give up, the others still wait.
    tokio::task::spawn_local(establish(
        Rc::clone(pool),
        Arc::clone(cluster),
        Arc::clone(endpoint),
        Rc::clone(&connecting),
        slot,
    ));
    connecting
}

async fn establish(
    pool: Rc<Pool>,
    cluster: Arc<Cluster>,
    endpoint: Arc<EndpointState>,
    connecting: Rc<Connecting>,
    slot: ConnectionSlot<()>,
) {
    match connect(&cluster, &endpoint, &pool.greeting, None).await {
        Ok(io) => {
            cluster.stats.upstream_cx_total.inc();
            cluster.stats.upstream_cx_http2_total.inc();
            let settings = weft_h2::Settings {
                max_header_list_size: cluster.connection.max_head_bytes,
                max_header_count: cluster.connection.max_headers_count,
                ..http2::settings(&cluster.connection.http2)
            };
            let link = Link::new(Role::Client, settings, Arc::clone(&cluster.stats.http2));
            let load = Rc::new(Load::new(&pool, &cluster));
            let blocks = Rc::clone(&pool.blocks);
            {
                let mut shared = pool.h2.borrow_mut();
                shared.connecting = None;
                shared.open.push(Connection { link: Handle::new(&link), load: Rc::clone(&load) });
            }
            connecting.done.notify_waiters();
            let io = Metered::new(io, &cluster.stats, endpoint.crosses_zones());
            drop((pool, endpoint));
            let keepalive = cluster.connection.http2.keepalive.map(Keepalive::new);
            let mut driver = Driver::new(link, io, keepalive);
            let mut client = Client { load, blocks };
            let ended = poll_fn(|cx| driver.poll(cx, &mut client)).await;
            client.load.finished.set(true);
            client.load.told.notify_waiters();
            let malformed = matches!(ended, Ended::Malformed(_));
            if malformed {
                cluster.stats.upstream_cx_protocol_error.inc();
            }
            driver.link().end_all(if malformed { Broken::Malformed } else { Broken::Closed });
            tracing::debug!(cluster = %cluster.name, %ended, "h2 connection ended");
            drop(slot);
        }
        Err(failure) => {
            pool.h2.borrow_mut().connecting = None;
            connecting.failed.set(Some(failure));
            connecting.done.notify_waiters();
        }
    }
}

/// A connection to an upstream.
struct Client {
    load: Rc<Load>,
    blocks: Rc<Blocks>,
}

impl End for Client {
    fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    fn handle(&mut self, link: &Rc<Link>, event: Event) {
        match event {
            Event::Response { stream, head, end } => link.put_head(stream, head, end),
            Event::Informational { stream, head } => link.put_head(stream, head, false),
            Event::Data { stream, data, end } => link.put_data(stream, data, end),
            Event::Trailers { stream, fields } => link.put_trailers(stream, fields),
            Event::Reset { stream, cause } => link.put_end(stream, Broken::Reset(cause)),
            Event::GoAway { code } => {
                tracing::debug!(?code, "upstream says GOAWAY");
                self.load.finished.set(true);
            }
            Event::Pong(_) => {}
            // A client's machine never says so.
            Event::Request { .. } | Event::Refused(_) => {}
        }
    }

    fn handled(&mut self, link: &Link) {
        if link.has_peer_settings() {
            self.load.told.notify_waiters();
        }
    }

    fn go_on(&mut self, _: &mut Context<'_>, link: &Rc<Link>) {
        // Nobody can ask for a stream any more.
        if Rc::strong_count(link) == 1 {
            link.shut_down();
        }
    }

    fn may_send(&mut self, key: StreamKey, link: &Link) {
        link.wake(key);
    }

    fn rest(&mut self, _: &mut Context<'_>, _: &Link) -> Result<bool, Ended> {
        Ok(true)
    }

    fn let_go(&mut self) {}

    fn fail(&mut self, link: &Link) {
        self.load.finished.set(true);
        link.end_all(Broken::Malformed);
    }

    fn poll_unread(&mut self, _: &mut Context<'_>, _: &Link) -> Poll<()> {
        // An upstream that reads nothing is not waited for.
        Poll::Ready(())
    }
}
