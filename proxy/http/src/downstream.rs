//! One client connection: which HTTP it speaks, and its life.

mod caller;
mod http1;
mod http2;
mod request_body;

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use tokio::time::sleep;
use weft_balance::EndpointState;
use weft_compile::{Cluster, Codec, HttpChain, Priority};
use weft_format::Metadata;
use weft_net::{Detected, PeerAddress, Rewind, Stream, Tlv, detect_http};
use weft_telemetry::GaugeGuard;

pub(crate) use caller::{Caller, Interim};
#[cfg(test)]
pub(crate) use http2::serve as serve_http2;
pub(crate) use request_body::{RequestBody, RequestBroken};

use crate::{
    client::Client,
    facts,
    filters::OwnBuckets,
    greeting::greeting,
    lives::Life,
    phase::{Phase, PhaseWatch},
    upstream::{OwnPools, Pool},
    worker::Worker,
};

/// What all requests of a connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) chain: Arc<HttpChain>,
    pub(crate) peer: PeerAddress,
    /// Where the client wanted to go before it was led here.
    pub(crate) meant_for: Option<SocketAddr>,
    pub(crate) life: Rc<Life>,
    /// The address that the client connected to, unless it is a socket's path.
    pub(crate) local: Option<SocketAddr>,
    /// What a proxy in front told of the client besides.
    pub(crate) tlvs: Vec<Tlv>,
    /// What was found out of it for others to read.
    pub(crate) metadata: Option<Box<Metadata>>,
    /// The host that its TLS hello names.
    pub(crate) server_name: Option<Box<str>>,
    /// Upstream connections that are for this client alone.
    pub(crate) own_pools: OwnPools,
    /// The buckets of its requests, where limits are for each connection.
    pub(crate) own_buckets: OwnBuckets,
}

impl Connection {
    /// The connections to an endpoint of `cluster` that requests of this client may take.
    pub(crate) fn pool_for(
        &self,
        cluster: &Arc<Cluster>,
        endpoint: &Arc<EndpointState>,
        priority: Priority,
    ) -> Rc<Pool> {
        self.own_pools.pool_for(self.worker.pools(), cluster, endpoint, priority, |asked| {
            let addresses = self.peer.ip().zip(self.local);
            greeting(asked, addresses, &self.tlvs, &facts::of_connection(self))
        })
    }

    /// Counts what was not HTTP, and says why the connection ended.
    fn ended(&self, malformed: bool, error: &dyn std::error::Error) {
        if malformed {
            self.chain.stats.downstream_cx_protocol_error.inc();
        }
        tracing::debug!(peer = ?self.peer, %error, "client connection ended");
    }
}

/// Serves an accepted connection until it ends. `held` is dropped then.
pub(crate) fn serve<H: 'static>(
    worker: Rc<Worker>,
    chain: Arc<HttpChain>,
    stream: Rewind<Stream>,
    client: Client,
    life: Rc<Life>,
    held: H,
) -> impl Future<Output = ()> + 'static {
    chain.stats.downstream_cx_total.inc();
    let local = client.destination(stream.get_ref());
    let active = GaugeGuard::raise(Arc::clone(&chain), |chain| &chain.stats.downstream_cx_active);
    let held = (held, active);
    let connection = Rc::new(Connection {
        worker,
        chain,
        peer: client.peer,
        meant_for: client.meant_for,
        life,
        local,
        tlvs: client.tlvs,
        metadata: client.metadata,
        server_name: client.server_name,
        own_pools: OwnPools::default(),
        own_buckets: OwnBuckets::default(),
    });
    async move {
        let detected = match connection.chain.codec {
            Codec::Http1 => Ok((Detected::Http1, stream)),
            Codec::Http2 => Ok((Detected::Http2, stream)),
            Codec::Auto => detect(&connection, stream).await,
        };
        match detected {
            Ok((Detected::Http1, stream)) => http1::serve(&connection, stream).await,
            // In a task of its own, which is much smaller than one that has room for a request.
            Ok((Detected::Http2, stream)) => {
                tokio::task::spawn_local(async move {
                    let _held = held;
                    http2::serve(&connection, stream).await;
                });
                return;
            }
            Ok((Detected::Nothing, _)) | Err(()) => {}
        }
        drop(held);
    }
}

/// A client that says nothing is held to the idle timeout, and let go when its chain closes.
async fn detect(
    connection: &Connection,
    stream: Rewind<Stream>,
) -> Result<(Detected, Rewind<Stream>), ()> {
    let chain = &connection.chain;
    let mut phase = PhaseWatch::new(connection.life.phase_cell());
    let mut reading = pin!(detect_http(stream));
    let mut idle = pin!(chain.client.idle_timeout.map(sleep));
    poll_fn(|cx| {
        if let Poll::Ready(read) = reading.as_mut().poll(cx) {
            return Poll::Ready(read.map_err(drop));
        }
        while let Poll::Ready(phase) = phase.poll_changed(cx) {
            if phase == Phase::Closing {
                return Poll::Ready(Err(()));
            }
        }
        match idle.as_mut().as_pin_mut().map(|timer| timer.poll(cx)) {
            Some(Poll::Ready(())) => {
                chain.stats.downstream_cx_idle_timeout.inc();
                Poll::Ready(Err(()))
            }
            _ => Poll::Pending,
        }
    })
    .await
}
