//! Listeners with their filter chains.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use weft_resources::ConnectionQuestion;
use weft_route::{ChainTable, ConnectionView};
use weft_telemetry::{ConnectionLimitStats, ConnectionQuestionStats, Gauge, ListenerStats};

use super::{BindAddress, HttpChain, Inspection, ListenAddress, TcpChain};
use crate::{rates::ConnectionRate, references::Reference};

/// A listener that is ready to accept.
#[derive(Debug)]
pub struct Listener {
    /// The resource name.
    pub name: Arc<str>,
    /// All its addresses, the main one first.
    pub addresses: Vec<ListenAddress>,
    /// What is found out of a connection first.
    pub inspection: Inspection,
    /// `use_original_dst`: whether a connection that was redirected goes to the listener of the
    /// address it was meant for.
    pub hand_off: bool,
    /// Whether its addresses are bound; else it only gets what other listeners hand off.
    pub bind: bool,
    /// Whether the limit of connections of the whole process does not hold here.
    pub ignores_global_limit: bool,
    /// What handles its connections.
    pub chains: Chains,
    /// `listener.<address>.*`.
    pub stats: Arc<ListenerStats>,
    /// Identifies the configuration this was built from: equal to the previous table's value when
    /// the resource did not change, in which case the `Arc` is the same too.
    pub hash: u64,
}

/// The filter chains of a listener, and which of them takes which connection.
#[derive(Debug)]
pub struct Chains {
    pub(crate) table: ChainTable,
    /// As the table numbers them.
    pub(crate) by_number: Box<[Arc<FilterChain>]>,
    pub(crate) default: Option<Arc<FilterChain>>,
    /// The one chain, where nothing has to be chosen.
    pub(crate) only: Option<Arc<FilterChain>>,
}

impl Listener {
    /// Whether it is found at the same addresses as another version of it.
    pub fn is_where(&self, other: &Self) -> bool {
        let addresses = |listener: &'_ Self| -> Vec<BindAddress> {
            listener.addresses.iter().map(|each| each.address.clone()).collect()
        };
        addresses(self) == addresses(other)
    }
}

impl Chains {
    /// The chain that takes every connection, if nothing has to be known of it to say so.
    #[inline]
    pub fn only(&self) -> Option<&Arc<FilterChain>> {
        self.only.as_ref()
    }

    /// The chain that takes a connection. Neither allocates nor slows with the number of chains.
    pub fn find(&self, connection: &ConnectionView<'_>) -> Option<&Arc<FilterChain>> {
        let found = self.table.find(connection).and_then(|number| self.by_number.get(number));
        found.or(self.default.as_ref())
    }

    /// Whether the address that a client connected to must be known.
    pub fn looks_at_destination(&self) -> bool {
        self.table.looks_at_destination()
    }

    /// All of them, the default one last.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<FilterChain>> {
        self.by_number.iter().chain(&self.default)
    }
}

/// A filter chain. The same `Arc` as in the tables before as long as the chain did not change,
/// whatever else did in its listener: its connections stay.
#[derive(Debug)]
pub struct FilterChain {
    /// `name`, or where in the listener it stands.
    pub name: Arc<str>,
    /// What bounds how many connections it gets, in order.
    pub gates: Box<[Gate]>,
    /// Whether the server name of a TLS hello names the cluster of a TCP chain.
    pub sni_cluster: bool,
    /// Its last filter.
    pub chain: Chain,
    /// The route configuration it needs.
    pub(crate) routes: Option<Reference>,
    /// Identifies what it was built from.
    pub(crate) identity: u128,
}

/// A filter that lets some connections through.
#[derive(Debug)]
pub enum Gate {
    /// So many at once.
    AtOnce(Arc<ConnectionLimit>),
    /// So many within a time.
    Rate(ConnectionRate),
    /// Those that a service lets through.
    Asked(Arc<AskedConnections>),
}

/// `ratelimit`, with what it counts.
#[derive(Debug)]
pub struct AskedConnections {
    /// What is asked.
    pub question: ConnectionQuestion,
    /// `ratelimit.<stat_prefix>.*`.
    pub stats: Arc<ConnectionQuestionStats>,
}

/// `connection_limit`, with what counts against it in all workers.
#[derive(Debug)]
pub struct ConnectionLimit {
    /// How many there may be.
    pub max: u64,
    /// How long one too many is held before it is closed.
    pub delay: Option<Duration>,
    /// How many there are.
    pub active: Gauge,
    /// `connection_limit.<stat_prefix>.*`.
    pub stats: Arc<ConnectionLimitStats>,
}

/// What handles a connection of a filter chain.
#[derive(Clone, Debug)]
pub enum Chain {
    /// HTTP/1.1 and h2 through routes.
    Http(Arc<HttpChain>),
    /// Bytes to a cluster.
    Tcp(Arc<TcpChain>),
    /// These bytes, and the end.
    Direct(Bytes),
    /// What came, back again.
    Echo,
}

/// Listeners by address, as positions in the tables. Empty as long as no listener hands off.
#[derive(Debug, Default)]
pub struct HandOff(HashMap<SocketAddr, usize, RandomState>);

impl HandOff {
    /// For sorted listeners. Of an address that several claim, the first has it.
    pub(crate) fn of(listeners: &[Arc<Listener>]) -> Self {
        let mut addresses = HashMap::default();
        if listeners.iter().any(|listener| listener.hand_off) {
            for (at, listener) in listeners.iter().enumerate() {
                for ListenAddress { address, socket } in &listener.addresses {
                    let BindAddress::Ip(address) = address else { continue };
                    addresses.entry(*address).or_insert(at);
                    if socket.ipv4_compat && address.ip() == Ipv6Addr::UNSPECIFIED {
                        let over_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
                        addresses.entry(over_v4).or_insert(at);
                    }
                }
            }
        }
        Self(addresses)
    }

    pub(super) fn find(&self, address: SocketAddr) -> Option<usize> {
        let every = match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let wildcard = SocketAddr::new(every, address.port());
        self.0.get(&address).or_else(|| self.0.get(&wildcard)).copied()
    }
}
