//! h2 towards upstreams: many requests on one connection, shared by this worker's tasks.

mod exchange;

use std::{
    cell::Cell,
    future::Future,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::Notify;
use weft_balance::EndpointState;
use weft_compile::Cluster;

pub(crate) use exchange::Exchange;

use super::{
    Failure, Outgoing, Upload, connect,
    occupancy::{Admission, ConnectionSlot, Occupancy, Turn},
    pool::Pool,
    until,
};
use crate::{body::Limits, fault::Fault};

/// Flow-control windows towards upstreams, in bytes: of a stream and of a connection.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Bytes of a response's header list at most.
const MAX_HEAD: u32 = 64 * 1024;
/// Streams of one connection before another is opened, whatever the peer allows.
const MAX_STREAMS: usize = 1024;

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
    sender: SendRequest<Bytes>,
    load: Rc<Load>,
}

/// What is shared between a connection's task and its streams.
#[derive(Debug)]
struct Load {
    occupancy: Rc<Occupancy<()>>,
    streams: Cell<usize>,
    requests: Cell<u32>,
    /// The peer said GOAWAY, the connection broke, or it has carried enough requests.
    finished: Cell<bool>,
}

impl Load {
    fn new(pool: &Pool) -> Self {
        Self {
            occupancy: Rc::clone(&pool.h2_occupancy),
            streams: Cell::default(),
            requests: Cell::default(),
            finished: Cell::default(),
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
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.occupancy.offer(());
    }
}

impl Shared {
    pub(super) fn forget_dead(&mut self) {
        self.open.retain(|connection| !connection.load.finished.get());
    }

    /// The connection with the fewest streams that takes another.
    fn take(&mut self) -> Option<Connection> {
        self.forget_dead();
        self.open
            .iter()
            .filter(|c| c.load.streams.get() < c.sender.current_max_send_streams().min(MAX_STREAMS))
            .min_by_key(|c| c.load.streams.get())
            .cloned()
    }
}

/// A connection that takes a stream right now.
pub(crate) struct Lane {
    sender: SendRequest<Bytes>,
    slot: StreamSlot,
}

impl Lane {
    pub(super) fn begin(self, outgoing: &mut Outgoing, upload: Upload) -> Exchange {
        Exchange::new(self.sender, self.slot, outgoing, upload)
    }
}

/// A connection of the pool that takes a stream now.
pub(super) fn reuse(pool: &Pool, cluster: &Cluster) -> Option<Lane> {
    loop {
        let mut connection = pool.h2.borrow_mut().take()?;
        let slot = StreamSlot::take(&connection.load);
        if let Some(most) = cluster.connection.max_requests_per_connection
            && connection.load.requests.get() >= most
        {
            connection.load.finished.set(true);
        }
        // Below the peer's limit of streams a connection is ready, unless it is broken. Nobody
        // waits here, so there is nobody to wake.
        let mut nobody = Context::from_waker(Waker::noop());
        match connection.sender.poll_ready(&mut nobody) {
            Poll::Ready(Ok(())) => return Some(Lane { sender: connection.sender, slot }),
            Poll::Ready(Err(_)) => connection.load.finished.set(true),
            Poll::Pending => return None,
        }
    }
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
        None => match pool.h2_occupancy.admit(cluster) {
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
            ended.map_err(|_| Failure::unknown(fault))?;
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
    match handshake(&cluster, &endpoint).await {
        Ok((sender, connection)) => {
            let load = Rc::new(Load::new(&pool));
            {
                let mut shared = pool.h2.borrow_mut();
                shared.connecting = None;
                shared.open.push(Connection { sender, load: Rc::clone(&load) });
            }
            connecting.done.notify_waiters();
            drop((pool, endpoint));
            if let Err(error) = connection.await {
                tracing::debug!(cluster = %cluster.name, %error, "h2 connection ended");
            }
            load.finished.set(true);
            drop(slot);
        }
        Err(failure) => {
            pool.h2.borrow_mut().connecting = None;
            connecting.failed.set(Some(failure));
            connecting.done.notify_waiters();
        }
    }
}

async fn handshake(
    cluster: &Arc<Cluster>,
    endpoint: &EndpointState,
) -> Result<(SendRequest<Bytes>, impl Future<Output = Result<(), h2::Error>> + use<>), Failure> {
    let io = connect(cluster, endpoint, None).await?;
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEAD)
        .enable_push(false)
        .handshake(io)
        .await
        .map_err(|_| Failure::unsent(Fault::ConnectFailed))?;
    cluster.stats.upstream_cx_total.inc();
    cluster.stats.upstream_cx_http2_total.inc();
    Ok((sender, connection))
}
