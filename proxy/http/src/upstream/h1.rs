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
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;
use weft_balance::EndpointState;
use weft_compile::{Cluster, ConnectionSettings};
use weft_net::Stream;
use weft_telemetry::ClusterStats;

pub(crate) use exchange::Exchange;

use super::{
    Failure, Outgoing, Upload, connect,
    occupancy::{Admission, ConnectionSlot, Turn},
    pool::Pool,
    until,
};
use crate::{body::Limits, buffers::Buffers};

/// A read buffer grows between these as long as reads fill it. The most is a body of 64 KiB and its
/// head.
const READ_MIN: usize = 8 * 1024;
const READ_MAX: usize = 72 * 1024;
/// Below this much room a read is not worth its system call.
const READ_ROOM: usize = 2 * 1024;

/// A connection and what it needs to be used again.
#[derive(Debug)]
pub(super) struct Connection {
    io: Stream,
    /// Bytes received and not yet taken.
    read: BytesMut,
    read_size: usize,
    requests: u32,
    settings: Arc<ConnectionSettings>,
    stats: Arc<ClusterStats>,
    /// Whether its bytes cross zones.
    crosses: Option<bool>,
    opened: Instant,
    idle_since: Instant,
    _slot: ConnectionSlot<Self>,
}

impl Connection {
    fn new(
        io: Stream,
        (cluster, endpoint): (&Arc<Cluster>, &EndpointState),
        slot: ConnectionSlot<Self>,
    ) -> Self {
        cluster.stats.upstream_cx_total.inc();
        cluster.stats.upstream_cx_http1_total.inc();
        let now = Instant::now();
        Self {
            io,
            read: BytesMut::new(),
            read_size: READ_MIN,
            requests: 0,
            settings: Arc::clone(&cluster.connection),
            stats: Arc::clone(&cluster.stats),
            crosses: endpoint.crosses_zones(),
            opened: now,
            idle_since: now,
            _slot: slot,
        }
    }

    /// Reads more into `read`; `Ok(0)` is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffers: &Buffers) -> Poll<io::Result<usize>> {
        let io = &mut self.io;
        // Heads and small bodies stand in memory of the worker: the connection holds none while it
        // waits, and the next response finds the same memory still warm.
        let polled = if self.read.is_empty() && self.read_size == READ_MIN {
            let (polled, filled) = buffers.read(|block| pin!(io.read_buf(block)).poll(cx));
            self.read = filled;
            polled
        } else {
            // Where much comes, a read that begins in what the one before has left of the buffer would
            // end half-way. What was read has mostly gone on by then, and the same memory is taken again.
            let is_big = self.read.is_empty();
            let wanted = if is_big { self.read_size } else { READ_ROOM };
            if self.read.capacity() - self.read.len() < wanted {
                self.read.reserve(self.read_size);
            }
            pin!(io.read_buf(&mut self.read)).poll(cx)
        };
        if let Poll::Ready(Ok(n)) = &polled {
            self.stats.zone_bytes.received(self.crosses, *n);
            if *n >= self.read_size {
                self.read_size = grown(self.read_size, self.settings.buffer_limit);
            }
        }
        polled
    }

    /// Gives back the memory that it reads into, which is worth it when nothing is about to come.
    fn let_go(&mut self) {
        if self.read.is_empty() {
            self.read = BytesMut::new();
        }
    }

    /// Whether it may carry another request after the ones before.
    fn may_be_used_again(&self, now: Instant) -> bool {
        if self.settings.max_requests_per_connection.is_some_and(|most| self.requests >= most) {
            self.stats.upstream_cx_max_requests.inc();
            return false;
        }
        if self.has_reached_age(now) {
            self.stats.upstream_cx_max_duration_reached.inc();
            return false;
        }
        true
    }

    fn has_reached_age(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.opened);
        self.settings.max_connection_duration.is_some_and(|most| age >= most)
    }

    fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.idle_since)
    }
}

/// Idle connections, the most recently used last.
#[derive(Debug, Default)]
pub(super) struct Idle(Vec<Connection>);

impl Idle {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Since when the one that has been idle the longest has been so.
    pub(super) fn idle_longest(&self) -> Option<Instant> {
        self.0.first().map(|connection| connection.idle_since)
    }
}

/// What an idle connection is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Usable,
    /// The peer has closed it, or said something out of turn.
    Ended,
    /// It has been idle for as long as it may.
    IdleTooLong,
    /// It has become too old.
    TooOld,
}

/// Looks at an idle connection.
fn condition(connection: &Connection, pool: &Pool, now: Instant) -> Condition {
    let idle = connection.idle_for(now);
    if !connection.io.is_quiet() {
        pool.idle_limit.borrow_mut().closed(idle, now);
        return Condition::Ended;
    }
    let limits = [connection.settings.idle_timeout, pool.idle_limit.borrow().usable_for(now)];
    if limits.into_iter().flatten().any(|limit| idle >= limit) {
        connection.stats.upstream_cx_idle_timeout.inc();
        Condition::IdleTooLong
    } else if connection.has_reached_age(now) {
        connection.stats.upstream_cx_max_duration_reached.inc();
        Condition::TooOld
    } else {
        Condition::Usable
    }
}

/// Closes connections that were idle for too long or that the peer has closed.
pub(super) fn close_idle(pool: &Pool, now: Instant) {
    // Taken out first: a connection that is closed may let a request go on, and that may come here.
    let idle = std::mem::take(&mut pool.h1.borrow_mut().0);
    let usable = |it: &Connection| condition(it, pool, now) == Condition::Usable;
    let mut kept: Vec<_> = idle.into_iter().filter(usable).collect();
    kept.iter_mut().for_each(Connection::let_go);
    pool.h1.borrow_mut().0 = kept;
}

/// Closes the connection that has been idle the longest.
pub(super) fn close_longest_idle(pool: &Pool) {
    let mut idle = pool.h1.borrow_mut();
    let longest = (!idle.0.is_empty()).then(|| idle.0.remove(0));
    // A connection that is closed may let a request go on, and that may come here.
    drop(idle);
    drop(longest);
}

/// Gives a connection to the request that has waited longest, or keeps it for the next one.
fn give_back(pool: &Pool, mut connection: Connection) {
    let now = Instant::now();
    if !connection.may_be_used_again(now)
        || pool.is_claimed(&pool.h1_occupancy, connection.requests)
    {
        return;
    }
    connection.idle_since = now;
    if connection.read_size == READ_MIN {
        // What is left of a block of the worker's would keep it from being used again.
        connection.let_go();
    }
    if let Some(connection) = pool.h1_occupancy.offer(connection) {
        pool.h1.borrow_mut().0.push(connection);
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

    /// Leaves it to the next request.
    pub(super) fn release(self) {
        give_back(&self.pool, self.connection);
    }
}

/// The most recently used idle connection that the peer has left alone. `ask` makes sure of that
/// at the price of a system call.
pub(super) fn reuse(pool: &Rc<Pool>, ask: bool) -> Option<Lane> {
    let now = Instant::now();
    loop {
        let connection = pool.h1.borrow_mut().0.pop()?;
        let is_usable = condition(&connection, pool, now) == Condition::Usable;
        if is_usable && (!ask || connection.io.is_surely_quiet()) {
            return Some(Lane { connection, pool: Rc::clone(pool), reused: true });
        }
    }
}

/// A new connection, or the next that becomes free where there may be no more.
pub(super) async fn open(
    pool: Rc<Pool>,
    cluster: &Arc<Cluster>,
    endpoint: &Arc<EndpointState>,
    limits: Limits,
) -> Result<Lane, Failure> {
    let slot = match pool.h1_occupancy.admit(cluster, endpoint) {
        Admission::Open(slot) => slot,
        Admission::Wait(turn) => match until(limits, turn).await? {
            Turn::Open(slot) => slot,
            Turn::Take(connection) => return Ok(Lane { connection, pool, reused: true }),
        },
    };
    let io = connect(cluster, endpoint, &pool.greeting, limits.deadline).await?;
    let connection = Connection::new(io, (cluster, endpoint), slot);
    Ok(Lane { connection, pool, reused: false })
}

/// The size of reads after one that filled its memory: twice as much, and no more than may be read
/// ahead.
fn grown(read_size: usize, buffer_limit: u32) -> usize {
    let limit = usize::try_from(buffer_limit).unwrap_or(usize::MAX);
    (read_size * 2).min(READ_MAX.min(limit).max(READ_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_grow_up_to_what_may_be_read_ahead() {
        let largest = |limit| {
            let mut size = READ_MIN;
            for _ in 0..20 {
                size = grown(size, limit);
            }
            size
        };
        assert_eq!(largest(u32::MAX), READ_MAX);
        assert_eq!(largest(20_000), 20_000);
        assert_eq!(largest(1), READ_MIN, "a head has to find room");
    }
}
