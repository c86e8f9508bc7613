//! HTTP/1.1 towards upstreams: one request at a time on a connection, driven by the task that
//! wants the response, so that neither a channel nor a second task stands between them.

mod decode;
mod encode;
mod exchange;

use std::{
    future::Future as _,
    io,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;
use weft_balance::EndpointState;
use weft_compile::{Cluster, ConnectionSettings};
use weft_net::Stream;
use weft_telemetry::GaugeGuard;

pub(crate) use exchange::Exchange;

use super::{Failure, Outgoing, Upload, connect, idle_too_long, pool::Pool};

/// A read buffer grows between these as long as reads fill it.
const READ_MIN: usize = 8 * 1024;
const READ_MAX: usize = 64 * 1024;
/// Below this much room a read is not worth its system call.
const READ_ROOM: usize = 2 * 1024;

/// A connection and what it needs to be used again.
#[derive(Debug)]
pub(super) struct Connection {
    io: Stream,
    /// Bytes received and not yet taken.
    read: BytesMut,
    /// Where heads and chunk frames are written; kept for its allocation.
    write: BytesMut,
    read_size: usize,
    requests: u32,
    settings: Arc<ConnectionSettings>,
    idle_since: Instant,
    _active: GaugeGuard<Arc<Cluster>>,
}

impl Connection {
    fn new(io: Stream, cluster: &Arc<Cluster>) -> Self {
        cluster.stats.upstream_cx_total.inc();
        cluster.stats.upstream_cx_http1_total.inc();
        Self {
            io,
            read: BytesMut::new(),
            write: BytesMut::new(),
            read_size: READ_MIN,
            requests: 0,
            settings: Arc::clone(&cluster.connection),
            idle_since: Instant::now(),
            _active: GaugeGuard::raise(Arc::clone(cluster), |c| &c.stats.upstream_cx_active),
        }
    }

    /// Reads more into `read`; `Ok(0)` is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < READ_ROOM {
            self.read.reserve(self.read_size);
        }
        let room = self.read.capacity() - self.read.len();
        let polled = pin!(self.io.read_buf(&mut self.read)).poll(cx);
        if let Poll::Ready(Ok(n)) = &polled
            && *n == room
        {
            self.read_size = (self.read_size * 2).min(READ_MAX);
        }
        polled
    }

    fn may_be_used_again(&self) -> bool {
        self.settings.max_requests_per_connection.is_none_or(|most| self.requests < most)
    }
}

/// Idle connections, the most recently used last.
#[derive(Debug, Default)]
pub(super) struct Idle(Vec<Connection>);

impl Idle {
    /// The most recently used connection that the peer has left alone.
    fn take(&mut self) -> Option<Connection> {
        while let Some(connection) = self.0.pop() {
            if connection.io.is_quiet()
                && !idle_too_long(
                    connection.idle_since,
                    connection.settings.idle_timeout,
                    Instant::now(),
                )
            {
                return Some(connection);
            }
        }
        None
    }

    fn put(&mut self, mut connection: Connection) {
        connection.idle_since = Instant::now();
        self.0.push(connection);
    }

    /// Closes connections that were idle for too long or that the peer has closed.
    pub(super) fn close_idle(&mut self, now: Instant) {
        self.0.retain(|connection| {
            connection.io.is_quiet()
                && !idle_too_long(connection.idle_since, connection.settings.idle_timeout, now)
        });
    }
}

/// A connection that is ready for a request.
pub(crate) struct Lane {
    connection: Connection,
    pool: Rc<Pool>,
    reused: bool,
}

impl Lane {
    pub(super) fn begin(self, outgoing: &Outgoing, upload: Upload) -> Exchange {
        Exchange::new(self.connection, self.pool, self.reused, outgoing, upload)
    }
}

/// An idle connection of the pool.
pub(super) fn reuse(pool: &Rc<Pool>) -> Option<Lane> {
    let connection = pool.h1.borrow_mut().take()?;
    Some(Lane { connection, pool: Rc::clone(pool), reused: true })
}

/// A new connection.
pub(super) async fn open(
    pool: Rc<Pool>,
    cluster: &Arc<Cluster>,
    endpoint: &EndpointState,
    deadline: Option<Instant>,
) -> Result<Lane, Failure> {
    let io = connect(cluster, endpoint, deadline).await?;
    Ok(Lane { connection: Connection::new(io, cluster), pool, reused: false })
}
