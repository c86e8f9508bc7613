//! Connections kept between requests, by endpoint, for one worker.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::{self, Rc},
    sync::{Arc, Weak},
    time::Instant,
};

use weft_balance::{EndpointId, EndpointState};
use weft_compile::{Cluster, Priority};

use crate::{buffers::Buffers, http2::Blocks};

use super::{
    claims::{Claims, Help, Seat, Wish},
    h1, h2,
    idle_limit::IdleLimit,
    limits::{self, Limited, Place},
    occupancy::Occupancy,
    original::OriginalEndpoints,
};

/// All pools of a worker. Keyed by endpoint identity, which stands for the address and all
/// settings that decide what a connection is good for.
#[derive(Debug)]
pub(crate) struct Pools {
    seat: Rc<Seat>,
    blocks: Rc<Blocks>,
    buffers: Rc<Buffers>,
    by_endpoint: RefCell<HashMap<Key, Rc<Pool>, foldhash::fast::RandomState>>,
    /// Pools of single clients, who hold them.
    own: RefCell<Vec<rc::Weak<Pool>>>,
    original: OriginalEndpoints,
}

/// Requests of different priorities share no connection, so that those of one cannot take what is
/// kept for the other.
pub(super) type Key = (EndpointId, Priority);

/// The connections to one endpoint for requests of one priority.
#[derive(Debug)]
pub(crate) struct Pool {
    cluster: Arc<str>,
    endpoint: Weak<EndpointState>,
    /// Its place among those that may be (`max_connection_pools`), while it is used.
    place: RefCell<Option<Place>>,
    pub(super) priority: Priority,
    /// What its connections begin with; empty unless they are a client's own.
    pub(super) greeting: Box<[u8]>,
    pub(super) h1: RefCell<h1::Idle>,
    pub(super) h1_occupancy: Rc<Occupancy<h1::Connection>>,
    pub(super) idle_limit: RefCell<IdleLimit>,
    pub(super) h2: RefCell<h2::Shared>,
    /// What its h2 connections read into.
    pub(super) blocks: Rc<Blocks>,
    /// What its HTTP/1.1 connections read into and write from.
    pub(super) buffers: Rc<Buffers>,
    /// Whoever waits here is told that streams have become free, and looks for one.
    pub(super) h2_occupancy: Rc<Occupancy<()>>,
}

impl Pool {
    /// Whether a table or a request knows its endpoint.
    pub(super) fn is_wanted(&self) -> bool {
        self.endpoint.strong_count() > 0
    }

    /// Whether it is one of those that may be, where only so many may.
    pub(super) fn may_be_used(&self, cluster: &Cluster) -> bool {
        let limits = cluster.circuit_breakers.of(self.priority);
        limits.max_connection_pools.is_none() || self.place.borrow().is_some()
    }

    /// Whether no request is on its connections or waits for one. `held` is how many hold it without
    /// a request.
    fn is_unused(self: &Rc<Self>, held: usize) -> bool {
        // Whoever opens a connection or has one of HTTP/1.1 holds its pool.
        Rc::strong_count(self) == held && self.h2.borrow().is_idle()
    }

    /// Gives up its place while it has no connections.
    fn release_if_empty(self: &Rc<Self>, held: usize) {
        let is_empty = self.h1.borrow().is_empty() && self.h2.borrow().is_empty();
        if is_empty && self.is_unused(held) {
            self.place.take();
        }
    }

    /// Gives up its place, and the connections that it keeps.
    fn give_up(&self) {
        // Taken out first: a connection that is closed may let a request go on.
        let connections = (self.h1.take(), self.h2.take());
        drop(connections);
        self.place.take();
    }

    fn is_in_the_way_of(&self, wish: &Wish) -> bool {
        let endpoint = self.endpoint.upgrade();
        endpoint.is_some_and(|it| wish.is_held_up_by(&self.cluster, self.priority, &it))
    }

    /// Whether a connection that has carried so many `requests` has to go to somebody who claims its
    /// place.
    pub(super) fn is_claimed<L: 'static>(&self, occupancy: &Occupancy<L>, requests: u32) -> bool {
        occupancy.is_claimed(&self.cluster, &self.endpoint, requests)
    }

    /// Closes what has been idle for too long. Says whether the pool is wanted any more.
    fn sweep(&self, now: Instant) -> bool {
        let wanted = self.is_wanted();
        if wanted {
            h1::close_idle(self, now);
            self.h2.borrow_mut().forget_dead();
        }
        wanted
    }
}

impl Pools {
    /// No connections yet; places are shared with all others who have these `claims`.
    pub(crate) fn new(claims: &Arc<Claims>) -> Self {
        Self {
            seat: Rc::new(claims.join()),
            blocks: Rc::default(),
            buffers: Rc::default(),
            by_endpoint: RefCell::default(),
            own: RefCell::default(),
            original: OriginalEndpoints::default(),
        }
    }

    /// What the h2 connections of the worker read into, on both sides.
    pub(crate) fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The same for HTTP/1.1, and what is written from.
    pub(crate) fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// The pool of this endpoint.
    pub(crate) fn of(
        &self,
        cluster: &Cluster,
        endpoint: &Arc<EndpointState>,
        priority: Priority,
    ) -> Rc<Pool> {
        let mut pools = self.by_endpoint.borrow_mut();
        let make = || self.make(cluster, endpoint, priority, Vec::new());
        Rc::clone(pools.entry((endpoint.id(), priority)).or_insert_with(make))
    }

    /// A pool that belongs to whoever holds it.
    pub(super) fn make_own(
        &self,
        cluster: &Cluster,
        endpoint: &Arc<EndpointState>,
        priority: Priority,
        greeting: Vec<u8>,
    ) -> Rc<Pool> {
        let pool = self.make(cluster, endpoint, priority, greeting);
        self.own.borrow_mut().push(Rc::downgrade(&pool));
        pool
    }

    fn make(
        &self,
        cluster: &Cluster,
        endpoint: &Arc<EndpointState>,
        priority: Priority,
        greeting: Vec<u8>,
    ) -> Rc<Pool> {
        Rc::new(Pool {
            cluster: Arc::clone(&cluster.name),
            endpoint: Arc::downgrade(endpoint),
            place: RefCell::default(),
            priority,
            greeting: greeting.into(),
            h1: RefCell::default(),
            h1_occupancy: Rc::new(Occupancy::new(priority, false, &self.seat)),
            idle_limit: RefCell::default(),
            h2: RefCell::default(),
            blocks: Rc::clone(&self.blocks),
            buffers: Rc::clone(&self.buffers),
            h2_occupancy: Rc::new(Occupancy::new(priority, true, &self.seat)),
        })
    }

    /// Endpoints that come into being when they are asked for.
    pub(crate) fn original(&self) -> &OriginalEndpoints {
        &self.original
    }

    /// Closes what has been idle for too long, and everything idle to endpoints that no table and
    /// no request knows any more.
    pub(crate) fn sweep(&self, now: Instant) {
        self.original.sweep(now);
        self.by_endpoint.borrow_mut().retain(|_, pool| {
            let is_wanted = pool.sweep(now);
            pool.release_if_empty(1);
            is_wanted
        });
        self.own.borrow_mut().retain(|pool| {
            pool.upgrade().is_some_and(|pool| {
                let is_wanted = pool.sweep(now);
                pool.release_if_empty(2);
                is_wanted
            })
        });
    }

    /// Gives a pool of this cluster a place among those that may be, if there is one, or an unused pool
    /// has one that it can do without.
    pub(super) fn count(&self, pool: &Rc<Pool>, cluster: &Arc<Cluster>) {
        if pool.may_be_used(cluster) {
            return;
        }
        let priority = pool.priority;
        let place = limits::take(cluster, Limited::Pools, priority).or_else(|| {
            self.unused(cluster, priority)?.give_up();
            limits::take(cluster, Limited::Pools, priority)
        });
        *pool.place.borrow_mut() = place;
    }

    /// A pool of this cluster that has a place and no use for it now.
    fn unused(&self, cluster: &Cluster, priority: Priority) -> Option<Rc<Pool>> {
        let is_meant = |pool: &Rc<Pool>, held| {
            let is_counted = pool.priority == priority && pool.place.borrow().is_some();
            is_counted && *pool.cluster == *cluster.name && pool.is_unused(held)
        };
        let (shared, own) = (self.by_endpoint.borrow(), self.own.borrow());
        // One is held here; another by its client, and by this search.
        let found = shared.values().find(|pool| is_meant(pool, 1)).cloned();
        found.or_else(|| own.iter().filter_map(rc::Weak::upgrade).find(|pool| is_meant(pool, 2)))
    }

    /// Gives up idle connections whose places are claimed; runs as long as the worker.
    pub(crate) async fn serve_claims(&self) {
        loop {
            self.seat.called().await;
            for (arrival, wish) in self.seat.open() {
                let help = self.help(&wish);
                self.seat.answer(arrival, help);
            }
        }
    }

    /// Closes the connection in the way of a wish that has been idle the longest.
    fn help(&self, wish: &Wish) -> Help {
        let pools: Vec<_> = {
            let (shared, own) = (self.by_endpoint.borrow(), self.own.borrow());
            let all = shared.values().cloned().chain(own.iter().filter_map(rc::Weak::upgrade));
            all.filter(|pool| pool.is_in_the_way_of(wish)).collect()
        };
        let idle_longest = pools
            .iter()
            .filter_map(|pool| Some((pool.h1.borrow().idle_longest()?, pool)))
            .min_by_key(|(since, _)| *since);
        if let Some((_, pool)) = idle_longest {
            h1::close_longest_idle(pool);
            return Help::Comes;
        }
        let gives_up = |pool: &Rc<Pool>| pool.h2.borrow_mut().give_up_idle();
        let comes_free = |pool: &Rc<Pool>| pool.h1_occupancy.has_connections();
        if pools.iter().any(gives_up) || pools.iter().any(comes_free) {
            Help::Comes
        } else {
            Help::Nothing
        }
    }
}
