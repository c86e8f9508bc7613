//! Connections that are one client's own, because they begin by telling who it is.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use weft_balance::{EndpointId, EndpointState};

use super::{Pool, Pools};

/// The pools of one client connection. They end with it.
#[derive(Debug, Default)]
pub(crate) struct OwnPools {
    by_endpoint: RefCell<HashMap<EndpointId, Rc<Pool>, foldhash::fast::RandomState>>,
}

impl OwnPools {
    /// The client's pool for this endpoint, whose connections begin with `greeting`.
    pub(crate) fn of(
        &self,
        pools: &Pools,
        endpoint: &Arc<EndpointState>,
        greeting: impl FnOnce() -> Vec<u8>,
    ) -> Rc<Pool> {
        let mut own = self.by_endpoint.borrow_mut();
        if let Some(pool) = own.get(&endpoint.id()) {
            return Rc::clone(pool);
        }
        // Endpoints may come and go during the life of a client.
        own.retain(|_, pool| pool.is_wanted());
        let pool = pools.make_own(endpoint, greeting());
        own.insert(endpoint.id(), Rc::clone(&pool));
        pool
    }
}
