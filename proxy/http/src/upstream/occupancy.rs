//! How many connections there are to an endpoint, and who waits for one.
//!
//! Connections of a cluster are counted over all workers (`max_connections`), but a request only
//! ever waits for a connection of its own worker, and that in the order of arrival. It never waits
//! in vain: a worker without any connection to an endpoint may open one above the limit.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    rc::Rc,
    sync::Arc,
};

use tokio::sync::oneshot;
use weft_balance::{ActiveConnection, EndpointState};
use weft_compile::{Cluster, Priority};

use super::limits::{self, Limited, Place};

/// From this length on the queue is now and then cleared of those who no longer wait.
const PRUNE_FROM: usize = 64;

/// The connections of one worker to one endpoint in one protocol. `L` is what a request can be
/// given instead of a new connection.
pub(crate) struct Occupancy<L> {
    priority: Priority,
    connections: Cell<usize>,
    waiting: RefCell<VecDeque<Waiter<L>>>,
}

/// A request without a connection.
struct Waiter<L> {
    /// As the request sees it; its limits count.
    cluster: Arc<Cluster>,
    turn: oneshot::Sender<Turn<L>>,
}

/// What a request gets that has waited.
#[derive(Debug)]
pub(crate) enum Turn<L> {
    /// Something that is free now.
    Take(L),
    /// The place of a connection that has ended.
    Open(ConnectionSlot<L>),
}

/// What a request gets at once.
#[derive(Debug)]
pub(crate) enum Admission<L> {
    /// It may open a connection.
    Open(ConnectionSlot<L>),
    /// It has to wait.
    Wait(oneshot::Receiver<Turn<L>>),
}

/// A connection's count, here and in its cluster. When it is dropped, whoever has waited longest
/// may open another.
pub(crate) struct ConnectionSlot<L> {
    occupancy: Rc<Occupancy<L>>,
    active: Option<Counted>,
}

/// A connection's count in its cluster and at its endpoint.
type Counted = (Place, ActiveConnection);

impl<L> fmt::Debug for Occupancy<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Occupancy")
            .field("connections", &self.connections.get())
            .field("waiting", &self.waiting.borrow().len())
            .finish()
    }
}

impl<L> fmt::Debug for ConnectionSlot<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.occupancy.fmt(f)
    }
}

impl<L> Occupancy<L> {
    /// Nobody has a connection yet, and nobody waits for one.
    pub(crate) fn new(priority: Priority) -> Self {
        Self { priority, connections: Cell::new(0), waiting: RefCell::default() }
    }

    /// Lets a request open a connection within the limits of its cluster, or has it wait.
    pub(crate) fn admit(
        self: &Rc<Self>,
        cluster: &Arc<Cluster>,
        endpoint: &Arc<EndpointState>,
    ) -> Admission<L> {
        let active = limits::take_connection(cluster, endpoint, self.priority).ok().or_else(|| {
            cluster.stats.upstream_cx_overflow.inc();
            let has_none = self.connections.get() == 0;
            let anyway = || limits::take_anyway(cluster, Limited::Connections, self.priority);
            has_none.then(|| (anyway(), endpoint.begin_connection()))
        });
        let Some(active) = active else { return Admission::Wait(self.enqueue(cluster)) };
        if self.waiting.borrow().is_empty() {
            return Admission::Open(self.slot(active));
        }
        // Those who came before go before.
        let turn = self.enqueue(cluster);
        self.pass_on(active);
        Admission::Wait(turn)
    }

    /// Gives what has become free to whoever has waited longest; returns it if nobody has.
    pub(crate) fn offer(&self, free: L) -> Option<L> {
        let mut free = free;
        while let Some(waiter) = self.next_waiter() {
            match waiter.turn.send(Turn::Take(free)) {
                Err(Turn::Take(back)) => free = back,
                Ok(()) | Err(Turn::Open(_)) => return None,
            }
        }
        Some(free)
    }

    fn slot(self: &Rc<Self>, active: Counted) -> ConnectionSlot<L> {
        self.connections.set(self.connections.get() + 1);
        ConnectionSlot { occupancy: Rc::clone(self), active: Some(active) }
    }

    /// Lets whoever has waited longest open a connection in place of one that is gone, unless the
    /// limit has been lowered meanwhile.
    fn pass_on(self: &Rc<Self>, active: Counted) {
        let Some(waiter) = self.next_waiter() else { return };
        let limits = waiter.cluster.circuit_breakers.of(self.priority);
        let under_way = waiter.cluster.under_way(self.priority).connections.get();
        let is_above = under_way > limits.max_connections.into()
            || active.1.endpoint().active_connections() > limits.max_connections_per_host;
        if is_above && self.connections.get() > 0 {
            self.waiting.borrow_mut().push_front(waiter);
            return;
        }
        // If nobody takes it, dropping it passes it on.
        drop(waiter.turn.send(Turn::Open(self.slot(active))));
    }

    fn enqueue(&self, cluster: &Arc<Cluster>) -> oneshot::Receiver<Turn<L>> {
        let (turn, receiver) = oneshot::channel();
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= PRUNE_FROM && waiting.len().is_power_of_two() {
            waiting.retain(|waiter| !waiter.turn.is_closed());
        }
        waiting.push_back(Waiter { cluster: Arc::clone(cluster), turn });
        receiver
    }

    /// Takes out the first who still waits.
    fn next_waiter(&self) -> Option<Waiter<L>> {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(waiter) = waiting.pop_front() {
            if !waiter.turn.is_closed() {
                return Some(waiter);
            }
        }
        None
    }
}

impl<L> Drop for ConnectionSlot<L> {
    fn drop(&mut self) {
        let connections = &self.occupancy.connections;
        connections.set(connections.get() - 1);
        if let Some(active) = self.active.take() {
            self.occupancy.pass_on(active);
        }
    }
}
