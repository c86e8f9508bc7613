//! Connections that are one client's own, because they begin by telling who it is.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use weft_balance::EndpointState;
use weft_compile::{Cluster, Priority, UpstreamProxyProtocol};

use super::{Pool, Pools, pool::Key};

/// The pools of one client connection. They end with it.
#[derive(Debug, Default)]
pub(crate) struct OwnPools {
    by_endpoint: RefCell<HashMap<Key, Rc<Pool>, foldhash::fast::RandomState>>,
}

impl OwnPools {
    /// The pool for an endpoint of `cluster`: the client's own if the cluster wants a `greeting` at the
    /// start of each connection, otherwise the one that all clients of the worker share.
    pub(crate) fn pool_for(
        &self,
        pools: &Pools,
        cluster: &Arc<Cluster>,
        endpoint: &Arc<EndpointState>,
        priority: Priority,
        greeting: impl FnOnce(&UpstreamProxyProtocol) -> Vec<u8>,
    ) -> Rc<Pool> {
        let pool = match &cluster.connection.proxy_protocol {
            None => pools.of(cluster, endpoint, priority),
            Some(asked) => self.of(pools, cluster, endpoint, priority, || greeting(asked)),
        };
        pools.count(&pool, cluster);
        pool
    }

    fn of(
        &self,
        pools: &Pools,
        cluster: &Cluster,
        endpoint: &Arc<EndpointState>,
        priority: Priority,
        greeting: impl FnOnce() -> Vec<u8>,
    ) -> Rc<Pool> {
        let mut own = self.by_endpoint.borrow_mut();
        let key = (endpoint.id(), priority);
        if let Some(pool) = own.get(&key) {
            return Rc::clone(pool);
        }
        // Endpoints may come and go during the life of a client.
        own.retain(|_, pool| pool.is_wanted());
        let pool = pools.make_own(cluster, endpoint, priority, greeting());
        own.insert(key, Rc::clone(&pool));
        pool
    }
}
