//! Connections kept between requests, by endpoint, for one worker.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Weak},
    time::Instant,
};

use weft_balance::{EndpointId, EndpointState};

use crate::http2::Blocks;

use super::{h1, h2, idle_limit::IdleLimit, occupancy::Occupancy, original::OriginalEndpoints};

/// All pools of a worker. Keyed by endpoint identity, which stands for the address and all
/// settings that decide what a connection is good for.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    blocks: Rc<Blocks>,
    by_endpoint: RefCell<HashMap<EndpointId, Rc<Pool>, foldhash::fast::RandomState>>,
    original: OriginalEndpoints,
}

/// The connections to one endpoint.
#[derive(Debug)]
pub(crate) struct Pool {
    endpoint: Weak<EndpointState>,
    pub(super) h1: RefCell<h1::Idle>,
    pub(super) h1_occupancy: Rc<Occupancy<h1::Connection>>,
    pub(super) idle_limit: RefCell<IdleLimit>,
    pub(super) h2: RefCell<h2::Shared>,
    /// What its h2 connections read into.
    pub(super) blocks: Rc<Blocks>,
    /// Whoever waits here is told that streams have become free, and looks for one.
    pub(super) h2_occupancy: Rc<Occupancy<()>>,
}

impl Pools {
    /// What the h2 connections of the worker read into, on both sides.
    pub(crate) fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The pool of this endpoint.
    pub(crate) fn of(&self, endpoint: &Arc<EndpointState>) -> Rc<Pool> {
        let mut pools = self.by_endpoint.borrow_mut();
        let pool = pools.entry(endpoint.id()).or_insert_with(|| {
            Rc::new(Pool {
                endpoint: Arc::downgrade(endpoint),
                h1: RefCell::default(),
                h1_occupancy: Rc::default(),
                idle_limit: RefCell::default(),
                h2: RefCell::default(),
                blocks: Rc::clone(&self.blocks),
                h2_occupancy: Rc::default(),
            })
        });
        Rc::clone(pool)
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
            let known = pool.endpoint.strong_count() > 0;
            if known {
                h1::close_idle(pool, now);
                pool.h2.borrow_mut().forget_dead();
            }
            known
        });
    }
}
