//! From an accepted connection to what handles it.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use weft_compile::{Chain, FilterChain, Listener};
use weft_net::{PeerAddress, Stream};
use weft_route::ConnectionView;
use weft_telemetry::{GaugeGuard, ListenerStats};

use crate::{
    downstream, fixed, tcp,
    worker::{ConnectionCount, Worker},
};

/// What a chain of which nobody inspects the bytes is asked for.
const RAW: &str = "raw_buffer";

/// Gives a connection to the chain that takes it, or closes it when there is none.
pub(crate) fn admit(
    worker: &Rc<Worker>,
    listener: &Arc<Listener>,
    stream: Stream,
    peer: PeerAddress,
) {
    let Some(chain) = choose(listener, &stream, peer) else {
        listener.stats.no_filter_chain_match.inc();
        return;
    };
    let held = Held::begin(worker, listener);
    begin(worker, chain, stream, peer, held);
}

fn choose<'l>(
    listener: &'l Listener,
    stream: &Stream,
    peer: PeerAddress,
) -> Option<&'l Arc<FilterChain>> {
    let chains = &listener.chains;
    if let Some(only) = chains.only() {
        return Some(only);
    }
    let source = ip(peer);
    let view = ConnectionView {
        destination: stream.local_address().filter(|_| chains.looks_at_destination()),
        source,
        direct_source: source,
        server_name: "",
        transport_protocol: RAW,
        application_protocols: &[],
    };
    chains.find(&view)
}

fn ip(peer: PeerAddress) -> Option<SocketAddr> {
    match peer {
        PeerAddress::Ip(address) => Some(address),
        PeerAddress::Pipe => None,
    }
}

/// A task for the connection, no larger than what handles it needs.
fn begin(worker: &Rc<Worker>, chain: &FilterChain, stream: Stream, peer: PeerAddress, held: Held) {
    let worker = Rc::clone(worker);
    match chain.chain.clone() {
        Chain::Http(chain) => {
            tokio::task::spawn_local(async move {
                let _held = held;
                downstream::serve(worker, chain, stream, peer).await;
            });
        }
        Chain::Tcp(chain) => {
            tokio::task::spawn_local(async move {
                let _held = held;
                tcp::serve(worker, chain, stream).await;
            });
        }
        Chain::Direct(bytes) => {
            tokio::task::spawn_local(async move {
                let _held = held;
                fixed::answer(stream, &bytes).await;
            });
        }
        Chain::Echo => {
            tokio::task::spawn_local(async move {
                let _held = held;
                fixed::echo(stream).await;
            });
        }
    }
}

/// What counts a connection for as long as it is open.
struct Held {
    _active: GaugeGuard<Arc<ListenerStats>>,
    _counted: ConnectionCount,
}

impl Held {
    fn begin(worker: &Rc<Worker>, listener: &Listener) -> Self {
        let stats = Arc::clone(&listener.stats);
        stats.downstream_cx_total.inc();
        Self {
            _active: GaugeGuard::raise(stats, |stats| &stats.downstream_cx_active),
            _counted: ConnectionCount::begin(worker),
        }
    }
}
