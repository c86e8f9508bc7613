//! How many connections a worker has to an endpoint, and who waits for one.
//!
//! Connections of a cluster are counted over all workers (`max_connections`). A request waits for a
//! connection of its own worker, in the order of arrival. Where that has none and may open none, it
//! [claims](super::claims) the place of one that others have.

use std::{
    cell::{Cell, Ref, RefCell},
    collections::VecDeque,
    fmt,
    rc::Rc,
    sync::{Arc, Weak},
};

use tokio::sync::oneshot;
use weft_balance::EndpointState;
use weft_compile::{Cluster, Priority};

use super::{
    claims::{Arrival, Counted, Grant, Seat, Wish},
    limits::{self, Limited},
};

/// Requests that a connection may carry for those who wait here before it goes to others who have
/// waited longer: less would open and close connections all the time where workers have to share.
const TURNS: u32 = 32;
/// From this length on the queue is now and then cleared of those who no longer wait.
const PRUNE_FROM: usize = 64;

/// The connections of one worker to one endpoint in one protocol. `L` is what a request can be
/// given instead of a new connection.
pub(crate) struct Occupancy<L: 'static> {
    priority: Priority,
    /// A connection carries several requests at once, and may do so for ever.
    is_shared: bool,
    seat: Rc<Seat>,
    connections: Cell<usize>,
    waiting: RefCell<VecDeque<Waiter<L>>>,
    has_claim: Cell<bool>,
}

/// A request without a connection.
struct Waiter<L: 'static> {
    arrival: Arrival,
    /// As the request sees it; its limits count.
    wish: Wish,
    turn: oneshot::Sender<Turn<L>>,
}

/// What a request gets that has waited.
#[derive(Debug)]
pub(crate) enum Turn<L: 'static> {
    /// Something that is free now.
    Take(L),
    /// The place of a connection that has ended.
    Open(ConnectionSlot<L>),
}

/// What a request gets at once.
#[derive(Debug)]
pub(crate) enum Admission<L: 'static> {
    /// It may open a connection.
    Open(ConnectionSlot<L>),
    /// It has to wait.
    Wait(oneshot::Receiver<Turn<L>>),
}

/// A connection's count, here and in its cluster. When it is dropped, whoever has waited longest
/// may open another.
pub(crate) struct ConnectionSlot<L: 'static> {
    occupancy: Rc<Occupancy<L>>,
    counted: Option<Counted>,
}

impl<L> fmt::Debug for Occupancy<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Occupancy")
            .field("connections", &self.connections.get())
            .field("waiting", &self.waiting.borrow().len())
            .finish_non_exhaustive()
    }
}

impl<L> fmt::Debug for ConnectionSlot<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.occupancy.fmt(f)
    }
}

impl<L: 'static> Occupancy<L> {
    /// Nobody has a connection yet, and nobody waits for one.
    pub(crate) fn new(priority: Priority, is_shared: bool, seat: &Rc<Seat>) -> Self {
        Self {
            priority,
            is_shared,
            seat: Rc::clone(seat),
            connections: Cell::new(0),
            waiting: RefCell::default(),
            has_claim: Cell::new(false),
        }
    }

    /// Whether there are connections, or some are being opened.
    pub(crate) fn has_connections(&self) -> bool {
        self.connections.get() > 0
    }

    /// Lets a request open a connection within the limits of its cluster, or has it wait.
    pub(crate) fn admit(
        self: &Rc<Self>,
        cluster: &Arc<Cluster>,
        endpoint: &Arc<EndpointState>,
    ) -> Admission<L> {
        match limits::take_connection(cluster, endpoint, self.priority) {
            Ok(counted) if self.waiting.borrow().is_empty() => Admission::Open(self.slot(counted)),
            Ok(counted) => {
                // Those who came before go before.
                let turn = self.enqueue(cluster, endpoint);
                self.pass_on(counted);
                Admission::Wait(turn)
            }
            Err(_) => {
                cluster.stats.upstream_cx_overflow.inc();
                let turn = self.enqueue(cluster, endpoint);
                self.claim_if_stuck();
                Admission::Wait(turn)
            }
        }
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

    /// Whether a connection of this cluster to this endpoint, which has carried so many `requests`, has to
    /// go to somebody who claims its place.
    pub(crate) fn is_claimed(
        &self,
        cluster: &str,
        endpoint: &Weak<EndpointState>,
        requests: u32,
    ) -> bool {
        // Asked whenever a connection becomes free, where there are hardly ever any.
        if !self.seat.has_claims() {
            return false;
        }
        let first = self.first_arrival();
        (first.is_none() || requests >= TURNS)
            && endpoint.upgrade().is_some_and(|endpoint| {
                self.seat.is_claimed(cluster, self.priority, &endpoint, first)
            })
    }

    /// Has the worker look whether it can give up a connection now.
    pub(crate) fn call_worker(&self) {
        self.seat.call();
    }

    fn slot(self: &Rc<Self>, counted: Counted) -> ConnectionSlot<L> {
        self.connections.set(self.connections.get() + 1);
        ConnectionSlot { occupancy: Rc::clone(self), counted: Some(counted) }
    }

    /// Lets whoever has waited longest, here or elsewhere, open a connection in place of one that is
    /// gone, unless the limit has been lowered meanwhile.
    fn pass_on(self: &Rc<Self>, counted: Counted) {
        if let Some(counted) = self.seat.give(counted, self.priority, self.first_arrival())
            && let Some(waiter) = self.next_waiter()
        {
            match waiter.wish.fulfil(counted) {
                // If nobody takes it, dropping it passes it on.
                Ok(counted) => drop(waiter.turn.send(Turn::Open(self.slot(counted)))),
                Err(_) => self.waiting.borrow_mut().push_front(waiter),
            }
        }
        self.claim_if_stuck();
    }

    /// Who waits here waits for connections of this worker. Where there are none, somebody else has to
    /// give up a place.
    fn claim_if_stuck(self: &Rc<Self>) {
        if self.has_connections() || self.has_claim.get() {
            return;
        }
        let Some((arrival, wish)) = self.first().map(|first| (first.arrival, first.wish.clone()))
        else {
            return;
        };
        let granted = self.seat.claim(arrival, wish, self.is_shared);
        self.has_claim.set(true);
        let occupancy = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let granted = granted.await;
            occupancy.has_claim.set(false);
            match granted {
                Ok(Grant::Place(counted)) => occupancy.pass_on(counted),
                Ok(Grant::Above) => occupancy.open_above(),
                // All workers end.
                Err(_) => {}
            }
        });
    }

    fn open_above(self: &Rc<Self>) {
        let Some(Waiter { wish: Wish { cluster, endpoint, .. }, turn, .. }) = self.next_waiter()
        else {
            return;
        };
        let place = limits::take_anyway(&cluster, Limited::Connections, self.priority);
        drop(turn.send(Turn::Open(self.slot((place, endpoint.begin_connection())))));
    }

    fn enqueue(
        &self,
        cluster: &Arc<Cluster>,
        endpoint: &Arc<EndpointState>,
    ) -> oneshot::Receiver<Turn<L>> {
        let (turn, receiver) = oneshot::channel();
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= PRUNE_FROM && waiting.len().is_power_of_two() {
            waiting.retain(|waiter| !waiter.turn.is_closed());
        }
        let wish = Wish {
            cluster: Arc::clone(cluster),
            priority: self.priority,
            endpoint: Arc::clone(endpoint),
        };
        waiting.push_back(Waiter { arrival: self.seat.arrive(), wish, turn });
        receiver
    }

    /// Who has waited longest and still does.
    fn first(&self) -> Option<Ref<'_, Waiter<L>>> {
        let mut waiting = self.waiting.borrow_mut();
        while waiting.front().is_some_and(|waiter| waiter.turn.is_closed()) {
            waiting.pop_front();
        }
        drop(waiting);
        Ref::filter_map(self.waiting.borrow(), VecDeque::front).ok()
    }

    fn first_arrival(&self) -> Option<Arrival> {
        self.first().map(|first| first.arrival)
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

impl<L: 'static> Drop for ConnectionSlot<L> {
    fn drop(&mut self) {
        let connections = &self.occupancy.connections;
        connections.set(connections.get() - 1);
        if let Some(counted) = self.counted.take() {
            self.occupancy.pass_on(counted);
        }
    }
}
