//! One upstream host: its address, and the state that outlives configuration updates.

use std::{
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    latency::{Decay, Latency, Ticks},
    outcome::Outcomes,
    standing::{Standing, Verdict, Verdicts},
};

/// Where an endpoint is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointAddress {
    /// A TCP endpoint (`core.v3.SocketAddress` with a literal IP).
    Ip(SocketAddr),
    /// A Unix stream socket (`core.v3.Pipe`).
    Pipe(PathBuf),
    /// Wherever a name leads, as `host:port` (`LOGICAL_DNS`): see [`EndpointState::ways`].
    Name(Arc<str>),
}

impl EndpointAddress {
    /// Reads what is written for an address. Whatever is no other address is a name.
    pub fn read(text: &str) -> Self {
        match text.parse() {
            Ok(address) => Self::Ip(address),
            Err(_) if text.starts_with('/') => Self::Pipe(text.into()),
            Err(_) => Self::Name(text.into()),
        }
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Pipe(path) => path.display().fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Names one endpoint for the life of the process. Worker-local pools are keyed by it, so two
/// endpoints share a pool only when they are the same `Arc` identity: never by a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(u64);

impl EndpointId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The number itself, unique in this process.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// The mutable side of an endpoint, shared by every table that lists it.
///
/// Compilation carries it over from one [`Tables`] to the next as long as the address and the
/// cluster's connection settings stay the same, so load counts and pools survive updates.
///
/// [`Tables`]: https://docs.rs/weft-compile
#[derive(Debug)]
pub struct EndpointState {
    id: EndpointId,
    address: EndpointAddress,
    /// Asked for by who opens a connection only.
    ways: RwLock<Arc<[SocketAddr]>>,
    /// Asked for by routes that give the host the name of the endpoint only.
    hostname: RwLock<Option<Arc<str>>>,
    active_requests: AtomicU32,
    active_connections: AtomicU32,
    counts: EndpointCounts,
    outcomes: Outcomes,
    verdicts: Verdicts,
    asked_off: AtomicBool,
    speed: AtomicU32,
    latency: Latency,
    crossing: AtomicU8,
}

/// The speed of an endpoint that takes its whole part of the requests.
pub const FULL_SPEED: u32 = 10_000;

/// What has happened at an endpoint, in all workers together.
#[derive(Debug, Default)]
pub struct EndpointCounts {
    /// Connections opened, and attempts to, as whoever opens them counts.
    pub cx_total: Count,
    /// Attempts that failed.
    pub cx_connect_fail: Count,
    /// Requests sent.
    pub rq_total: Count,
    /// Responses below 500.
    pub rq_success: Count,
    /// Responses of 500 and above, and requests that broke before there was a response.
    pub rq_error: Count,
    /// Requests that were not answered in time.
    pub rq_timeout: Count,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Counts one.
    #[inline]
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl EndpointState {
    /// A new identity for `address`, with nothing in flight.
    pub fn new(address: EndpointAddress) -> Arc<Self> {
        Arc::new(Self {
            id: EndpointId::next(),
            address,
            ways: RwLock::default(),
            hostname: RwLock::default(),
            active_requests: AtomicU32::new(0),
            active_connections: AtomicU32::new(0),
            counts: EndpointCounts::default(),
            outcomes: Outcomes::default(),
            verdicts: Verdicts::default(),
            asked_off: AtomicBool::new(false),
            speed: AtomicU32::new(FULL_SPEED),
            latency: Latency::default(),
            crossing: AtomicU8::new(0),
        })
    }

    /// This endpoint's identity.
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// Where to connect.
    pub fn address(&self) -> &EndpointAddress {
        &self.address
    }

    /// All addresses that lead to it, where there may be several: in the order in which they are
    /// to be tried. Empty for an endpoint that has just its [`Self::address`].
    pub fn ways(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.ways.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on new connections take these ways; those that are open stay.
    pub fn set_ways(&self, ways: &[SocketAddr]) {
        let mut held = self.ways.write().unwrap_or_else(PoisonError::into_inner);
        if **held != *ways {
            *held = Arc::from(ways);
        }
    }

    /// The name that the endpoint goes by, if it has one.
    pub fn hostname(&self) -> Option<Arc<str>> {
        self.hostname.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on the endpoint goes by this name.
    pub fn set_hostname(&self, name: Option<&str>) {
        let mut held = self.hostname.write().unwrap_or_else(PoisonError::into_inner);
        if held.as_deref() != name {
            *held = name.map(Arc::from);
        }
    }

    /// Requests in flight from all workers.
    pub fn active_requests(&self) -> u32 {
        self.active_requests.load(Ordering::Relaxed)
    }

    /// Connections open or being opened from all workers.
    pub fn active_connections(&self) -> u32 {
        self.active_connections.load(Ordering::Relaxed)
    }

    /// What has happened here.
    pub fn counts(&self) -> &EndpointCounts {
        &self.counts
    }

    /// What requests tell of it, where somebody judges by that.
    pub fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    /// What this proxy has found out about its health.
    pub fn standing(&self) -> Standing {
        self.verdicts.get()
    }

    /// How much of its part of the requests it takes, in parts of [`FULL_SPEED`]: less while it is
    /// new (slow start).
    pub fn speed(&self) -> u32 {
        self.speed.load(Ordering::Relaxed)
    }

    /// Balancers that are made from now on give it so much. True when that is something else.
    pub fn set_speed(&self, speed: u32) -> bool {
        let speed = speed.clamp(1, FULL_SPEED);
        self.speed.swap(speed, Ordering::Relaxed) != speed
    }

    /// Takes note of how long it took to answer, or to fail.
    pub fn measure(&self, took: Duration, is_good: bool, now: Ticks, decay: Decay) {
        if is_good {
            self.latency.answered(took, now, decay);
        } else {
            self.latency.failed(took, now, decay);
        }
    }

    /// How long one more request would wait for its answer: what answers take, once for each request
    /// under way and for itself. One that nothing is known of is tried at once, but by one request.
    pub(crate) fn expected_wait(&self, now: Option<Ticks>, decay: Decay) -> f64 {
        let active = f64::from(self.active_requests());
        match self.latency.expected(now, decay) {
            Some(micros) => f64::from(micros) * (active + 1.0),
            None if active == 0.0 => 0.0,
            None => f64::from(f32::MAX) * (active + 1.0),
        }
    }

    /// Whether it is in another zone than this proxy; `None` where that is not known.
    pub fn crosses_zones(&self) -> Option<bool> {
        match self.crossing.load(Ordering::Relaxed) {
            0 => None,
            known => Some(known == 2),
        }
    }

    /// From now on it is known whether it is in another zone.
    pub fn set_crosses_zones(&self, crosses: Option<bool>) {
        self.crossing.store(crosses.map_or(0, |crosses| 1 + u8::from(crosses)), Ordering::Relaxed);
    }

    /// Notes that it asks to be left alone.
    pub fn ask_off(&self) {
        self.asked_off.store(true, Ordering::Release);
    }

    /// Whether it has asked for that since this was asked last.
    pub fn take_asked_off(&self) -> bool {
        self.asked_off.load(Ordering::Relaxed) && self.asked_off.swap(false, Ordering::Acquire)
    }

    /// Sets or lifts a verdict; true when that changed anything. Balancers that are made from then
    /// on go by it.
    pub fn judge(&self, verdict: Verdict, holds: bool) -> bool {
        self.verdicts.set(verdict, holds)
    }

    /// Counts one connection as open, or about to be opened, until the guard is dropped.
    pub fn begin_connection(self: &Arc<Self>) -> ActiveConnection {
        self.active_connections.fetch_add(1, Ordering::Relaxed);
        ActiveConnection { endpoint: Arc::clone(self) }
    }

    /// The same unless there are `most` already. Exact, however many threads ask at once.
    pub fn begin_connection_below(self: &Arc<Self>, most: u32) -> Option<ActiveConnection> {
        let one_more = |now: u32| (now < most).then(|| now + 1);
        let counted =
            self.active_connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.ok().map(|_| ActiveConnection { endpoint: Arc::clone(self) })
    }

    /// Counts one request as in flight until the guard is dropped.
    pub fn begin_request(self: &Arc<Self>) -> ActiveRequest {
        self.active_requests.fetch_add(1, Ordering::Relaxed);
        ActiveRequest { endpoint: Arc::clone(self) }
    }
}

/// A connection to an endpoint; dropping it ends the count.
#[derive(Debug)]
pub struct ActiveConnection {
    endpoint: Arc<EndpointState>,
}

impl ActiveConnection {
    /// The endpoint that it leads to.
    pub fn endpoint(&self) -> &Arc<EndpointState> {
        &self.endpoint
    }
}

impl Drop for ActiveConnection {
    fn drop(&mut self) {
        self.endpoint.active_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request in flight to an endpoint; dropping it ends the count.
#[derive(Debug)]
pub struct ActiveRequest {
    endpoint: Arc<EndpointState>,
}

impl ActiveRequest {
    /// The endpoint the request went to.
    pub fn endpoint(&self) -> &Arc<EndpointState> {
        &self.endpoint
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.endpoint.active_requests.fetch_sub(1, Ordering::Relaxed);
    }
}
