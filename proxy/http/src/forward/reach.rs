//! The way to an endpoint: a connection of the pool, or a new one.

use std::{rc::Rc, sync::Arc};

use weft_balance::EndpointState;

use super::{Journey, coming, is_safe};
use crate::{
    body::Limits,
    downstream::Connection,
    fault::Fault,
    tunnel::Tunnel,
    upstream::{self, Failure, Framing, Lane, Pool, Protocol},
};

impl Journey {
    /// A connection of the pool, or a new one. Opening one is rare, so only its future is boxed.
    pub(super) async fn reach(
        &mut self,
        connection: &Rc<Connection>,
        endpoint: &Arc<EndpointState>,
        limits: Limits,
    ) -> Result<Lane, Failure> {
        let pool = connection.pool_for(self.leaf(), endpoint, self.priority);
        let protocol = match &self.outgoing.tunnel {
            Some(Tunnel::Terminated) => Protocol::Http1,
            _ => upstream::protocol(self.leaf(), self.outgoing.downstream),
        };
        if self.outgoing.tunnel.is_some() {
            // Rare, too.
            return Box::pin(self.reach_for_tunnel(pool, endpoint, protocol, limits)).await;
        }
        match upstream::reuse(&pool, self.leaf(), protocol, self.is_lost_if_stale()) {
            Some(lane) => Ok(lane),
            None => Box::pin(self.open(connection, pool, endpoint, protocol, limits)).await,
        }
    }

    /// A new connection.
    async fn open(
        &mut self,
        connection: &Connection,
        pool: Rc<Pool>,
        endpoint: &Arc<EndpointState>,
        protocol: Protocol,
        limits: Limits,
    ) -> Result<Lane, Failure> {
        let leaf = Arc::clone(self.leaf());
        let opening = upstream::open(pool, &leaf, endpoint, protocol, limits);
        match (self.whole_by(connection), &mut self.upload) {
            (Some(whole_by), Some(upload)) => {
                let timer = connection.worker.timer();
                coming::meanwhile(opening, upload, whole_by, timer).await
            }
            _ => opening.await,
        }
    }

    /// A connection that a tunnel takes over as a whole: one that nothing else was sent on. Of h2 it
    /// takes a stream, where another protocol may only be asked for if the upstream has said that it
    /// knows of this.
    async fn reach_for_tunnel(
        &self,
        pool: Rc<Pool>,
        endpoint: &Arc<EndpointState>,
        protocol: Protocol,
        limits: Limits,
    ) -> Result<Lane, Failure> {
        let shared = match protocol {
            Protocol::Http1 => None,
            Protocol::Http2 => upstream::reuse(&pool, self.leaf(), protocol, false),
        };
        let lane = match shared {
            Some(lane) => lane,
            None => upstream::open(pool, self.leaf(), endpoint, protocol, limits).await?,
        };
        let asks = matches!(self.outgoing.tunnel, Some(Tunnel::Upgrade(_)));
        if let (true, Lane::Http2(lane)) = (asks, &lane)
            && !lane.takes_protocols(limits).await?
        {
            return Err(Failure::unsent(Fault::UpgradeRefused));
        }
        Ok(lane)
    }

    /// Whether the request could not be sent again if its connection turned out to be closed.
    fn is_lost_if_stale(&self) -> bool {
        !is_safe(&self.outgoing.method)
            || self.upload.as_ref().is_none_or(|upload| upload.framing() != Framing::None)
    }
}
