//! One worker thread's share of the data path: its tables, its pools, its connections.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::{Future, poll_fn},
    io,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use http::HeaderValue;
use weft_compile::{Listener, Tables};
use weft_format::Host;
use weft_net::{Acceptor, PeerAddress, Stream};
use weft_telemetry::{HttpRateStats, Stats};

use crate::{
    admission,
    buffers::Buffers,
    connection_limits::ConnectionLimits,
    copied,
    date::Date,
    inspection::HeldBytes,
    lag::{self, Lag},
    lives::Lives,
    overload::Overload,
    phase::{Phase, PhaseCell},
    timer::{Timer, Timers},
    upstream::{Claims, Pools},
};

/// How often idle upstream connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long accepting rests when the process has run out of something.
const ACCEPT_REST: Duration = Duration::from_millis(20);

/// What a worker needs from outside.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Where its random choices begin.
    pub seed: u64,
    /// How long connections of a filter chain that ends may go on (`--drain-time-s`).
    pub drain_time: Duration,
    /// The machine, for formats that name it.
    pub host: Arc<Host>,
    /// Which proxy this is, for upstreams that are told.
    pub identity: Identity,
    /// How many connections of clients there may be, in all workers together.
    pub limits: Arc<ConnectionLimits>,
    /// Who waits for connections to upstreams that other workers have.
    pub claims: Arc<Claims>,
    /// Whether the process has room for more.
    pub overload: Arc<Overload>,
    /// A worker that is later than this with what is due takes no more requests; `None` for ever so
    /// late.
    pub most_lag: Option<Duration>,
}

/// Which proxy this is, by its node in the bootstrap.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// `node.cluster`, unless that is no header value.
    pub cluster: Option<HeaderValue>,
    /// `node.id`, unless that is empty or no header value.
    pub node: Option<HeaderValue>,
}

/// Everything of one worker thread. Lives and dies on that thread.
#[derive(Debug)]
pub struct Worker {
    tables: RefCell<Rc<Pinned>>,
    pools: Pools,
    date: Date,
    timers: Rc<Timers>,
    phase: PhaseCell,
    held_bytes: HeldBytes,
    lives: Lives,
    random: RefCell<fastrand::Rng>,
    host: Arc<Host>,
    identity: Identity,
    limits: Arc<ConnectionLimits>,
    overload: Arc<Overload>,
    most_lag: Option<Duration>,
    is_late: Cell<bool>,
    rate_stats: RefCell<RateStats>,
    copies: Rc<copied::Waiting>,
    connections: Cell<usize>,
    busy: Cell<usize>,
}

/// Counters by the names that rate limits give them, as far as they were asked for here.
type RateStats = HashMap<Box<str>, Arc<HttpRateStats>, foldhash::fast::RandomState>;

/// This worker's hold on the tables: counted by an `Rc`, so that pinning them for a request is no
/// atomic operation that other workers would feel.
#[derive(Debug)]
pub(crate) struct Pinned(Arc<Tables>);

impl std::ops::Deref for Pinned {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.0
    }
}

/// What goes on in a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Client connections open.
    pub connections: usize,
    /// Requests not answered completely, and raw connections.
    pub busy: usize,
}

impl std::ops::Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { connections: self.connections + other.connections, busy: self.busy + other.busy }
    }
}

impl Worker {
    /// A worker with empty tables.
    pub fn new(options: WorkerOptions) -> Rc<Self> {
        Rc::new(Self {
            tables: RefCell::new(Rc::new(Pinned(Arc::new(Tables::default())))),
            pools: Pools::new(&options.claims),
            date: Date::default(),
            timers: Rc::default(),
            phase: PhaseCell::new(),
            held_bytes: HeldBytes::default(),
            lives: Lives::new(options.drain_time),
            random: RefCell::new(fastrand::Rng::with_seed(options.seed)),
            host: options.host,
            identity: options.identity,
            limits: options.limits,
            overload: options.overload,
            most_lag: options.most_lag,
            is_late: Cell::new(false),
            rate_stats: RefCell::default(),
            copies: Rc::default(),
            connections: Cell::new(0),
            busy: Cell::new(0),
        })
    }

    /// What waits of the bodies of copies.
    pub(crate) fn copies(&self) -> &Rc<copied::Waiting> {
        &self.copies
    }

    /// Makes `tables` what the next requests pin.
    pub fn publish(&self, tables: Arc<Tables>) {
        let before = self.tables.replace(Rc::new(Pinned(tables)));
        self.lives.follow(&before, &self.tables());
        self.pools.sweep(Instant::now());
    }

    /// Moves to the next phase; never back.
    pub fn advance(&self, phase: Phase) {
        self.phase.advance(phase);
        self.lives.advance(phase);
    }

    /// What goes on now.
    pub fn load(&self) -> Load {
        Load { connections: self.connections.get(), busy: self.busy.get() }
    }

    /// Counts something that should not be cut short.
    pub(crate) fn begin_busy(self: &Rc<Self>) -> Busy {
        self.busy.set(self.busy.get() + 1);
        Busy(Rc::clone(self))
    }

    /// Gives connections up that other workers need more; runs as long as the worker.
    pub async fn serve_claims(self: Rc<Self>) {
        self.pools.serve_claims().await;
    }

    /// Looks after idle upstream connections; runs as long as the worker.
    pub async fn maintain(self: Rc<Self>) {
        let mut tick = tokio::time::interval(SWEEP_EVERY);
        loop {
            tick.tick().await;
            self.pools.sweep(Instant::now());
        }
    }

    /// Sees to it that it takes no more than it gets done; runs as long as the worker.
    pub async fn watch_lag(self: Rc<Self>) {
        let Some(most) = self.most_lag else { return };
        let mut lag = Lag::new(most);
        loop {
            let due = Instant::now() + lag::EVERY;
            tokio::time::sleep_until(due.into()).await;
            let late_by = due.elapsed();
            self.overload.note_lag(late_by);
            let is_late = lag.seen(late_by);
            if self.is_late.replace(is_late) != is_late {
                self.overload.count_late(is_late);
                let ms = late_by.as_millis();
                if is_late {
                    tracing::warn!(ms, "a worker is later than --shed-lag-ms and refuses requests");
                } else {
                    tracing::info!(ms, "a worker is in time again");
                }
            }
        }
    }

    /// Accepts connections for the listener of this name until `stop` is ready, then those that
    /// the kernel has completed already, so that none of them is reset.
    pub async fn serve(
        self: Rc<Self>,
        listener: Arc<str>,
        acceptor: Acceptor,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = pin!(stop);
        // What is in the kernel's queue when the listener goes was let in, and is served by it.
        let mut last = None;
        loop {
            let accepted = {
                let mut accept = pin!(acceptor.accept());
                poll_fn(|cx| match accept.as_mut().poll(cx) {
                    Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
                    Poll::Pending => stop.as_mut().poll(cx).map(|()| None),
                })
                .await
            };
            match accepted {
                Some(accepted) => {
                    last = self.tables().listener(&listener).cloned().or(last);
                    if let Some(listener) = &last {
                        self.take(listener, accepted).await;
                    }
                }
                None => return,
            }
        }
    }

    async fn take(
        self: &Rc<Self>,
        listener: &Arc<Listener>,
        accepted: io::Result<(Stream, PeerAddress)>,
    ) {
        match accepted {
            Ok((stream, peer)) => admission::admit(self, listener, stream, peer),
            Err(error) => {
                listener.stats.downstream_cx_accept_error.inc();
                tracing::warn!(listener = %listener.name, %error, "cannot accept");
                // Descriptors run out: connections that end will free some; meanwhile do not spin.
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }

    /// The tables of this moment, pinned for as long as the result is held.
    pub(crate) fn tables(&self) -> Rc<Pinned> {
        Rc::clone(&self.tables.borrow())
    }

    /// The machine.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    pub(crate) fn overload(&self) -> &Overload {
        &self.overload
    }

    /// Whether new requests are refused, or at least those that are not of high priority.
    pub(crate) fn sheds_requests(&self) -> bool {
        self.is_late.get() || self.overload.sheds_requests()
    }

    /// Whether even those of high priority are.
    pub(crate) fn sheds_all_requests(&self) -> bool {
        self.overload.sheds_connections()
    }

    pub(crate) fn pools(&self) -> &Pools {
        &self.pools
    }

    pub(crate) fn buffers(&self) -> &Buffers {
        self.pools.buffers()
    }

    /// What the `date` of a message says now.
    pub(crate) fn date(&self) -> [u8; 29] {
        self.date.now()
    }

    pub(crate) fn timer(&self) -> Timer {
        Timer::new(&self.timers)
    }

    /// What is counted under this name by rate limits. Only the first request for a name asks the
    /// registry, which others ask as well.
    pub(crate) fn rate_stats(&self, registry: &Stats, name: &str) -> Arc<HttpRateStats> {
        let mut known = self.rate_stats.borrow_mut();
        if let Some(found) = known.get(name) {
            return Arc::clone(found);
        }
        let found = registry.http_rate(name);
        known.insert(name.into(), Arc::clone(&found));
        found
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(crate) fn lives(&self) -> &Lives {
        &self.lives
    }

    pub(crate) fn phase_cell(&self) -> &PhaseCell {
        &self.phase
    }

    pub(crate) fn held_bytes(&self) -> &HeldBytes {
        &self.held_bytes
    }

    pub(crate) fn random_u64(&self) -> u64 {
        self.random.borrow_mut().u64(..)
    }

    pub(crate) fn with_random<T>(&self, using: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        using(&mut self.random.borrow_mut())
    }
}

/// A client connection in a worker's count.
pub(crate) struct ConnectionCount(Rc<Worker>);

impl ConnectionCount {
    pub(crate) fn begin(worker: &Rc<Worker>) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
    }
}

/// Something under way in a worker's count.
#[derive(Debug)]
pub(crate) struct Busy(Rc<Worker>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}
