//! Requests that wait for a connection's place which somebody else has: another worker, or this one
//! towards another endpoint.
//!
//! `max_connections` counts over all workers, each of which has connections of its own. A worker
//! that has none to an endpoint, and may open none, claims a place here. Every worker is asked once
//! what it can do for the claim:
//!
//! - It closes a connection that is idle, whose place goes to the claim.
//! - It carries requests over HTTP/1.1: one of those connections comes free in time. It then goes to
//!   whoever has waited longest, over all workers.
//! - It has nothing but streams of h2 and raw connections, which may last for hours and serve no other
//!   worker. Where that is all that everybody says, the claim is let above the limit: nobody else
//!   could serve its requests, ever.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, oneshot};
use weft_balance::{ActiveConnection, EndpointState};
use weft_compile::{Cluster, Priority};

use super::limits::{self, Place};

/// A connection's count in its cluster and at its endpoint.
pub(crate) type Counted = (Place, ActiveConnection);

/// The order in which requests began to wait, over all workers.
pub(crate) type Arrival = u64;

/// The claims of all workers of a process.
#[derive(Debug, Default)]
pub struct Claims {
    /// How many there are, for those who need not look at them.
    count: AtomicUsize,
    arrivals: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The oldest first.
    open: VecDeque<Claim>,
    workers: Vec<(usize, Arc<Notify>)>,
    workers_ever: usize,
}

struct Claim {
    arrival: Arrival,
    wish: Wish,
    /// Others cannot count on its connection to come free.
    is_shared: bool,
    /// Workers that have yet to answer.
    asked: Vec<usize>,
    /// Somebody has said that a place will come.
    has_hope: bool,
    grant: oneshot::Sender<Grant>,
}

/// What is claimed: one more connection of this cluster and priority, to this endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) priority: Priority,
    pub(crate) endpoint: Arc<EndpointState>,
}

/// What becomes of a claim.
#[derive(Debug)]
pub(crate) enum Grant {
    /// A place within the limits.
    Place(Counted),
    /// None will come in any foreseeable time.
    Above,
}

/// What a worker can do for a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Help {
    /// It gives something up, or will when a request ends.
    Comes,
    Nothing,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("arrival", &self.arrival)
            .field("cluster", &self.wish.cluster.name)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

impl Wish {
    /// Whether a connection of this cluster and priority, to this endpoint, is in its way.
    pub(crate) fn is_held_up_by(
        &self,
        cluster: &str,
        priority: Priority,
        endpoint: &EndpointState,
    ) -> bool {
        let most = self.cluster.circuit_breakers.of(priority).max_connections_per_host;
        *self.cluster.name == *cluster
            && self.priority == priority
            && (self.endpoint.id() == endpoint.id() || self.endpoint.active_connections() < most)
    }

    /// The wish fulfilled with what another connection leaves; what it leaves if it does not fit.
    pub(crate) fn fulfil(&self, left: Counted) -> Result<Counted, Counted> {
        let limits = self.cluster.circuit_breakers.of(self.priority);
        let (place, ended) = left;
        // Limits may have been lowered meanwhile.
        if self.cluster.under_way(self.priority).connections.get() > limits.max_connections.into() {
            return Err((place, ended));
        }
        if ended.endpoint().id() == self.endpoint.id() {
            let fits = self.endpoint.active_connections() <= limits.max_connections_per_host;
            return if fits { Ok((place, ended)) } else { Err((place, ended)) };
        }
        match self.endpoint.begin_connection_below(limits.max_connections_per_host) {
            Some(begun) => Ok((place, begun)),
            None => Err((place, ended)),
        }
    }
}

impl Claims {
    /// One more worker, which has to look whenever its bell rings.
    pub(crate) fn join(self: &Arc<Self>) -> Seat {
        let bell = Arc::new(Notify::new());
        let mut state = self.lock();
        state.workers_ever += 1;
        let worker = state.workers_ever;
        state.workers.push((worker, Arc::clone(&bell)));
        drop(state);
        Seat { claims: Arc::clone(self), worker, bell }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, state: &mut State, at: usize) -> Option<Claim> {
        let claim = state.open.remove(at)?;
        self.count.store(state.open.len(), Ordering::Relaxed);
        Some(claim)
    }

    /// Lets those above the limit whom nobody gives any hope.
    fn release_hopeless(&self, state: &mut State) {
        while let Some(at) = state.open.iter().position(|it| it.asked.is_empty() && !it.has_hope) {
            if let Some(claim) = self.remove(state, at) {
                drop(claim.grant.send(Grant::Above));
            }
        }
    }
}

/// A worker's place at the table of all of them.
#[derive(Debug)]
pub(crate) struct Seat {
    claims: Arc<Claims>,
    worker: usize,
    bell: Arc<Notify>,
}

impl Seat {
    /// When somebody asks for help.
    pub(crate) async fn called(&self) {
        self.bell.notified().await;
    }

    /// Has this worker look once more: something has become idle.
    pub(crate) fn call(&self) {
        self.bell.notify_one();
    }

    /// The number of a request that begins to wait.
    pub(crate) fn arrive(&self) -> Arrival {
        self.claims.arrivals.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether there are claims at all, at the price of a load.
    pub(crate) fn has_claims(&self) -> bool {
        self.claims.count.load(Ordering::Relaxed) > 0
    }

    /// Claims a place. All workers are asked for one.
    pub(crate) fn claim(
        &self,
        arrival: Arrival,
        wish: Wish,
        is_shared: bool,
    ) -> oneshot::Receiver<Grant> {
        let (grant, granted) = oneshot::channel();
        let mut state = self.claims.lock();
        let asked = state.workers.iter().map(|(worker, _)| *worker).collect();
        let claim = Claim { arrival, wish, is_shared, asked, has_hope: false, grant };
        let at = state.open.partition_point(|other| other.arrival < arrival);
        state.open.insert(at, claim);
        self.claims.count.store(state.open.len(), Ordering::Relaxed);
        state.call_all();
        granted
    }

    /// Every claim that there is, the oldest first.
    pub(crate) fn open(&self) -> Vec<(Arrival, Wish)> {
        self.claims.lock().open.iter().map(|claim| (claim.arrival, claim.wish.clone())).collect()
    }

    /// Whether somebody has claimed what such a connection holds, before `than` if that is anything.
    pub(crate) fn is_claimed(
        &self,
        cluster: &str,
        priority: Priority,
        endpoint: &EndpointState,
        than: Option<Arrival>,
    ) -> bool {
        let state = self.claims.lock();
        let older =
            state.open.iter().take_while(|claim| than.is_none_or(|than| claim.arrival < than));
        older.into_iter().any(|claim| claim.wish.is_held_up_by(cluster, priority, endpoint))
    }

    /// Gives what a connection leaves to the oldest claim that it serves, of those before `than` if that
    /// is anything; returns it if there is none.
    pub(crate) fn give(
        &self,
        left: Counted,
        priority: Priority,
        than: Option<Arrival>,
    ) -> Option<Counted> {
        if !self.has_claims() {
            return Some(left);
        }
        let mut left = left;
        let mut state = self.claims.lock();
        let mut at = 0;
        loop {
            let claim = state.open.get(at).filter(|it| than.is_none_or(|than| it.arrival < than));
            let Some(Claim { wish, .. }) = claim else { return Some(left) };
            let (place, ended) = &left;
            if !wish.is_held_up_by(&place.owner().name, priority, ended.endpoint()) {
                at += 1;
                continue;
            }
            match wish.fulfil(left) {
                Err(unfit) => {
                    left = unfit;
                    at += 1;
                }
                Ok(counted) => {
                    let claim = self.claims.remove(&mut state, at)?;
                    match claim.grant.send(Grant::Place(counted)) {
                        Err(Grant::Place(back)) => left = back,
                        Ok(()) | Err(Grant::Above) => {
                            if claim.is_shared {
                                state.ask_again();
                            }
                            return None;
                        }
                    }
                }
            }
        }
    }

    /// Tells what this worker can do for a claim. What became free before it was made is found by
    /// looking once more.
    pub(crate) fn answer(&self, arrival: Arrival, help: Help) {
        let mut state = self.claims.lock();
        let found = state.open.binary_search_by_key(&arrival, |claim| claim.arrival);
        let Some((at, claim)) = found.ok().and_then(|at| Some((at, state.open.get_mut(at)?)))
        else {
            return;
        };
        let Wish { cluster, priority, endpoint } = &claim.wish;
        if let Ok(counted) = limits::take_connection(cluster, endpoint, *priority) {
            if let Some(claim) = self.claims.remove(&mut state, at) {
                drop(claim.grant.send(Grant::Place(counted)));
            }
            return;
        }
        claim.asked.retain(|&worker| worker != self.worker);
        claim.has_hope |= help == Help::Comes;
        self.claims.release_hopeless(&mut state);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.claims.lock();
        state.workers.retain(|(worker, _)| *worker != self.worker);
        for claim in &mut state.open {
            claim.asked.retain(|&worker| worker != self.worker);
        }
        self.claims.release_hopeless(&mut state);
    }
}

impl State {
    fn call_all(&self) {
        self.workers.iter().for_each(|(_, bell)| bell.notify_one());
    }

    /// Hopes may have been for the place that another claim has got.
    fn ask_again(&mut self) {
        let workers: Vec<usize> = self.workers.iter().map(|(worker, _)| *worker).collect();
        for claim in &mut self.open {
            claim.asked.clone_from(&workers);
            claim.has_hope = false;
        }
        if !self.open.is_empty() {
            self.call_all();
        }
    }
}
