//! Connections kept between requests, by endpoint, for one worker.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Weak},
    time::Instant,
};

use weft_balance::{EndpointId, EndpointState};

use super::{h1, h2};

/// All pools of a worker. Keyed by endpoint identity, which stands for the address and all
/// settings that decide what a connection is good for.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    by_endpoint: RefCell<HashMap<EndpointId, Rc<Pool>, foldhash::fast::RandomState>>,
}

/// The connections to one endpoint.
#[derive(Debug)]
pub(crate) struct Pool {
    endpoint: Weak<EndpointState>,
    pub(super) h1: RefCell<h1::Idle>,
    pub(super) h2: RefCell<h2::Shared>,
}

impl Pools {
    /// The pool of this endpoint.
    pub(crate) fn of(&self, endpoint: &Arc<EndpointState>) -> Rc<Pool> {
        let mut pools = self.by_endpoint.borrow_mut();
        let pool = pools.entry(endpoint.id()).or_insert_with(|| {
            Rc::new(Pool {
                endpoint: Arc::downgrade(endpoint),
                h1: RefCell::default(),
                h2: RefCell::default(),
            })
        });
        Rc::clone(pool)
    }

    /// Closes what has been idle for too long, and everything idle to endpoints that no table and
    /// no request knows any more.
    pub(crate) fn sweep(&self, now: Instant) {
        self.by_endpoint.borrow_mut().retain(|_, pool| {
            let known = pool.endpoint.strong_count() > 0;
            if known {
                pool.h1.borrow_mut().close_idle(now);
                pool.h2.borrow_mut().forget_dead();
            }
            known
        });
    }
}
