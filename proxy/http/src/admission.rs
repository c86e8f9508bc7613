//! From an accepted connection to what handles it.

use std::{rc::Rc, sync::Arc, time::Instant};

use bytes::Bytes;
use smallvec::SmallVec;
use weft_compile::{AskedConnections, Chain, ConnectionLimit, FilterChain, Gate, Listener};
use weft_net::{PeerAddress, Rewind, Stream};
use weft_telemetry::{GaugeGuard, ListenerStats};

use crate::{
    client::Client,
    connection_limits::{Places, TooMany},
    connection_question::lets_through,
    downstream, fixed,
    inspection::inspect,
    lives::Life,
    phase::unless_closing,
    tcp,
    worker::{ConnectionCount, Worker},
};

/// A connection whose chain is not chosen yet.
struct Arrival {
    stream: Stream,
    /// What was read of it.
    begun: Bytes,
    client: Client,
    counted: (ConnectionCount, Places),
    /// Whether another listener accepted it.
    handed_off: bool,
}

/// Finds out what the listener wants to know of a connection, and gives it to the chain that takes it.
pub(crate) fn admit(
    worker: &Rc<Worker>,
    listener: &Arc<Listener>,
    stream: Stream,
    peer: PeerAddress,
) {
    if worker.overload().sheds_connections() && !listener.ignores_global_limit {
        return listener.stats.downstream_cx_overload_reject.inc();
    }
    let places = match worker.limits().admit(listener) {
        Ok(places) => places,
        Err(TooMany::OfListener) => return listener.stats.downstream_cx_overflow.inc(),
        Err(TooMany::OfAll) => return listener.stats.downstream_global_cx_overflow.inc(),
    };
    let arrival = Arrival {
        stream,
        begun: Bytes::new(),
        client: Client::new(peer),
        counted: (ConnectionCount::begin(worker), places),
        handed_off: false,
    };
    look_at(worker, listener, arrival);
}

fn look_at(worker: &Rc<Worker>, listener: &Arc<Listener>, arrival: Arrival) {
    if listener.inspection.filters.is_empty() {
        return dispatch(worker, listener, arrival);
    }
    let (worker, listener, mut arrival) = (Rc::clone(worker), Arc::clone(listener), arrival);
    tokio::task::spawn_local(async move {
        let begun = std::mem::take(&mut arrival.begun);
        let seen = (&arrival.stream, begun);
        let (phase, held) = (worker.phase_cell(), worker.held_bytes());
        let Some(begun) = inspect(phase, held, &listener, seen, &mut arrival.client).await else {
            return;
        };
        arrival.begun = begun;
        // There may be a newer version of it by now.
        let tables = worker.tables();
        dispatch(&worker, tables.listener(&listener.name).unwrap_or(&listener), arrival);
    });
}

/// Hands the connection to the listener it was meant for, or else begins to serve it.
fn dispatch(worker: &Rc<Worker>, listener: &Arc<Listener>, mut arrival: Arrival) {
    if listener.hand_off
        && !arrival.handed_off
        && let Some(address) = arrival.client.meant_for
    {
        let tables = worker.tables();
        let other = tables.listener_at(address).filter(|other| other.name != listener.name);
        if let Some(other) = other {
            arrival.handed_off = true;
            return look_at(worker, other, arrival);
        }
    }
    match choose(listener, &arrival) {
        Some(chain) => begin(worker, listener, chain, arrival),
        None => listener.stats.no_filter_chain_match.inc(),
    }
}

fn choose<'l>(listener: &'l Listener, arrival: &Arrival) -> Option<&'l Arc<FilterChain>> {
    let Arrival { stream, client, .. } = arrival;
    let chains = &listener.chains;
    if let Some(only) = chains.only() {
        return Some(only);
    }
    let needed = chains.looks_at_destination();
    let destination = if needed { client.destination(stream) } else { client.meant_for };
    chains.find(&client.view(destination))
}

/// Begins what a connection of this chain goes through.
fn begin(
    worker: &Rc<Worker>,
    listener: &Arc<Listener>,
    chain: &Arc<FilterChain>,
    arrival: Arrival,
) {
    let Arrival { stream, begun, client, counted, .. } = arrival;
    let entering = Entering {
        worker: Rc::clone(worker),
        listener: Arc::clone(listener),
        chain: Arc::clone(chain),
        stream: Rewind::new(begun, stream),
        client,
        held: Held::begin(listener, counted),
        limited: SmallVec::new(),
    };
    entering.pass(0);
}

/// A connection on its way through the gates of its chain.
struct Entering {
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    chain: Arc<FilterChain>,
    stream: Rewind<Stream>,
    client: Client,
    held: Held,
    limited: SmallVec<[Limited; 1]>,
}

impl Entering {
    /// Goes through the gates from this one on, and is served then.
    fn pass(mut self, from: usize) {
        let chain = Arc::clone(&self.chain);
        for (at, gate) in chain.gates.iter().enumerate().skip(from) {
            match gate {
                Gate::AtOnce(limit) => match Limited::begin(limit) {
                    Some(one) => self.limited.push(one),
                    None => return refuse(limit, self.stream),
                },
                Gate::Rate(rate) if rate.admits(Instant::now()) => {}
                Gate::Rate(_) => return,
                Gate::Asked(asked) => return self.ask(asked, at),
            }
        }
        serve(self);
    }

    /// Waits for what a service says, unless the chain closes meanwhile.
    fn ask(self, asked: &Arc<AskedConnections>, at: usize) {
        let asked = Arc::clone(asked);
        tokio::task::spawn_local(async move {
            let _busy = self.worker.begin_busy();
            let local = self.client.destination(self.stream.get_ref());
            let life = life_of(&self.worker, &self.listener, &self.chain);
            let asking = lets_through(&self.worker, &asked, &self.client, local);
            if unless_closing(life.phase_cell(), asking).await == Some(true) {
                self.pass(at + 1);
            }
        });
    }
}

/// A task for the connection, no larger than what handles it needs.
fn serve(entering: Entering) {
    let Entering { worker, listener, chain, stream, client, held, limited } = entering;
    let held = (held, limited);
    let life = life_of(&worker, &listener, &chain);
    match chain.chain.clone() {
        Chain::Http(chain) => {
            let serving = downstream::serve(worker, chain, stream, client, life, held);
            tokio::task::spawn_local(serving);
        }
        Chain::Tcp(tcp) => {
            let chain = (chain, tcp);
            tokio::task::spawn_local(async move {
                let _held = held;
                tcp::serve(worker, chain, stream, client, life).await;
            });
        }
        Chain::Direct(bytes) => {
            tokio::task::spawn_local(async move {
                let _held = (held, life);
                fixed::answer(stream, &bytes).await;
            });
        }
        Chain::Echo => {
            tokio::task::spawn_local(async move {
                let _held = held;
                fixed::echo(stream, &life).await;
            });
        }
    }
}

/// A connection under a limit of its chain.
struct Limited {
    _of_the_limit: GaugeGuard<Arc<ConnectionLimit>>,
    _shown: GaugeGuard<Arc<ConnectionLimit>>,
}

impl Limited {
    fn begin(limit: &Arc<ConnectionLimit>) -> Option<Self> {
        let counted = GaugeGuard::raise_below(Arc::clone(limit), |l| &l.active, limit.max)?;
        let shown = GaugeGuard::raise(Arc::clone(limit), |l| &l.stats.active_connections);
        Some(Self { _of_the_limit: counted, _shown: shown })
    }
}

/// One connection too many: held for a while if that is asked for, so that its client does not come
/// back at once.
fn refuse(limit: &Arc<ConnectionLimit>, stream: Rewind<Stream>) {
    limit.stats.limited_connections.inc();
    if let Some(delay) = limit.delay {
        tokio::task::spawn_local(async move {
            tokio::time::sleep(delay).await;
            drop(stream);
        });
    }
}

/// The life of a chain's connections. One of a listener that is gone drains from the start.
fn life_of(worker: &Worker, listener: &Arc<Listener>, chain: &Arc<FilterChain>) -> Rc<Life> {
    let life = worker.lives().of(chain, worker.phase());
    if worker.tables().listener(&listener.name).is_none() {
        worker.lives().end(chain);
    }
    life
}

/// What counts a connection for as long as it is open.
struct Held {
    _active: GaugeGuard<Arc<ListenerStats>>,
    _counted: (ConnectionCount, Places),
}

impl Held {
    fn begin(listener: &Listener, counted: (ConnectionCount, Places)) -> Self {
        let stats = Arc::clone(&listener.stats);
        stats.downstream_cx_total.inc();
        Self {
            _active: GaugeGuard::raise(stats, |stats| &stats.downstream_cx_active),
            _counted: counted,
        }
    }
}
