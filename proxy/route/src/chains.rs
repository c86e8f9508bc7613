//! Which filter chain takes a connection (`listener.v3.FilterChainMatch`).
//!
//! Nine conditions are looked at in Envoy's order, each time the most specific value that some
//! chain asks for and the connection has. There is no way back: whoever was more specific in an
//! earlier condition wins, also when a later one fails.

mod levels;
mod prefix;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use prefix::{Prefix, PrefixError};

use levels::{Level, Names, Prefixes, Sources};

/// Combinations of values that the chains of one listener may come to. Each costs memory.
const MAX_COMBINATIONS: usize = 1 << 17;

/// `FilterChainMatch`, parsed. A list that is empty and an option that is `None` ask for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainMatch {
    /// The port the client connected to.
    pub destination_port: Option<u16>,
    /// Where the address the client connected to must be.
    pub prefix_ranges: Vec<Prefix>,
    /// What the client's TLS hello must name.
    pub server_names: Vec<ServerName>,
    /// `tls` or `raw_buffer`.
    pub transport_protocol: Option<Box<str>>,
    /// Protocols the client must offer, or be seen to speak.
    pub application_protocols: Vec<Box<str>>,
    /// Where the other end of the connection itself must be.
    pub direct_source_prefix_ranges: Vec<Prefix>,
    /// Whether the client must be on this host.
    pub source_type: SourceType,
    /// Where the client must be, as the PROXY protocol tells it.
    pub source_prefix_ranges: Vec<Prefix>,
    /// The client's port.
    pub source_ports: Vec<u16>,
}

/// `FilterChainMatch.ConnectionSourceType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SourceType {
    /// Every client.
    #[default]
    Any,
    /// A client on this host.
    SameIpOrLoopback,
    /// A client elsewhere.
    External,
}

/// A server name that a chain asks for, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerName {
    /// Exactly this one.
    Exact(Box<str>),
    /// Every name below a domain; kept with its dot, as `.example.com`.
    Below(Box<str>),
}

impl ServerName {
    /// Reads `www.example.com` or `*.example.com`. `None` for a star anywhere else, and for nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix('*') {
            Some(below) if below.starts_with('.') && below.len() > 1 && !below.contains('*') => {
                Some(Self::Below(below.into()))
            }
            None if !text.is_empty() && !text.contains('*') => {
                Some(Self::Exact(text.into_boxed_str()))
            }
            _ => None,
        }
    }
}

/// What is known of a connection when its chain is chosen. Addresses of Unix sockets are `None`.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionView<'a> {
    /// Where the client meant to go.
    pub destination: Option<SocketAddr>,
    /// The client, as the PROXY protocol tells it.
    pub source: Option<SocketAddr>,
    /// The other end of the connection itself.
    pub direct_source: Option<SocketAddr>,
    /// In lower case; empty when there is none.
    pub server_name: &'a str,
    /// `tls` or `raw_buffer`.
    pub transport_protocol: &'a str,
    /// In the client's order.
    pub application_protocols: &'a [Box<str>],
}

impl ConnectionView<'_> {
    /// Envoy's `isSameIpOrLoopback`: of 127.0.0.0/8 only its first address counts.
    fn is_local(&self) -> bool {
        let Some(source) = self.source.map(|source| source.ip()) else { return true };
        source == IpAddr::V4(Ipv4Addr::LOCALHOST)
            || source == IpAddr::V6(Ipv6Addr::LOCALHOST)
            || self.destination.is_some_and(|destination| destination.ip() == source)
    }
}

/// Chains that have no unambiguous meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Two chains take the same connections.
    #[error("filter chain {second} takes connections that filter chain {first} takes too")]
    Overlap {
        /// The chain that came first, as the caller numbers them.
        first: usize,
        /// The one that comes too late.
        second: usize,
    },
    /// The product of the lists is too large to be held.
    #[error(
        "the conditions come to more than {MAX_COMBINATIONS} combinations (hint: use prefixes \
         instead of single values)"
    )]
    TooMany {
        /// The chain with which it became too much.
        chain: usize,
    },
}

/// The chains of a listener, compiled. A look-up neither allocates nor slows down with their number.
#[derive(Debug, Default)]
pub struct ChainTable {
    ports: Level<u16, ByDestination>,
    combinations: usize,
    looks_at_destination: bool,
    asks: bool,
}

type ByDestination = Prefixes<ByName>;
type ByName = Names<ByTransport>;
type ByTransport = Level<Box<str>, ByApplication>;
type ByApplication = Level<Box<str>, ByDirectSource>;
type ByDirectSource = Prefixes<BySourceType>;
type BySourceType = Sources<BySource>;
type BySource = Prefixes<BySourcePort>;
type BySourcePort = Level<u16, Leaf>;

/// The chain that all these values lead to.
#[derive(Debug, Default)]
struct Leaf(Option<usize>);

impl ChainTable {
    /// Compiles chains, which are numbered as they come.
    ///
    /// # Errors
    /// When two chains take the same connections, or there are too many combinations.
    pub fn compile<'m>(
        chains: impl IntoIterator<Item = &'m ChainMatch>,
    ) -> Result<Self, ChainError> {
        let mut table = Self::default();
        for (chain, conditions) in chains.into_iter().enumerate() {
            table.add(chain, conditions)?;
        }
        Ok(table)
    }

    /// Whether a connection's own address has a say, which costs a system call to learn.
    pub fn looks_at_destination(&self) -> bool {
        self.looks_at_destination
    }

    /// Whether any chain asks for anything.
    pub fn asks(&self) -> bool {
        self.asks
    }

    /// The chain that takes a connection.
    pub fn find(&self, connection: &ConnectionView<'_>) -> Option<usize> {
        let destination = connection.destination;
        let source = connection.source;
        let by_name = self
            .ports
            .find(destination.map(|at| at.port()).as_ref())?
            .find(destination.map(|at| at.ip()))?;
        let by_direct_source = by_name
            .find(connection.server_name)?
            .find(Some(connection.transport_protocol))?
            .find_first(connection.application_protocols)?;
        let by_source = by_direct_source
            .find(connection.direct_source.map(|at| at.ip()))?
            .find(|| connection.is_local())?;
        by_source.find(source.map(|at| at.ip()))?.find(source.map(|at| at.port()).as_ref())?.0
    }

    fn add(&mut self, chain: usize, conditions: &ChainMatch) -> Result<(), ChainError> {
        let product = [
            conditions.prefix_ranges.len(),
            conditions.server_names.len(),
            conditions.application_protocols.len(),
            conditions.direct_source_prefix_ranges.len(),
            conditions.source_prefix_ranges.len(),
            conditions.source_ports.len(),
        ]
        .into_iter()
        .try_fold(1usize, |product, values| product.checked_mul(values.max(1)))
        .and_then(|product| product.checked_add(self.combinations))
        .filter(|combinations| *combinations <= MAX_COMBINATIONS);
        self.combinations = product.ok_or(ChainError::TooMany { chain })?;
        self.looks_at_destination |= conditions.destination_port.is_some()
            || !conditions.prefix_ranges.is_empty()
            || conditions.source_type != SourceType::Any;
        self.asks |= *conditions != ChainMatch::default();
        let by_destination = self.ports.entry(conditions.destination_port);
        for prefix in each(&conditions.prefix_ranges) {
            let by_name = by_destination.entry(prefix);
            for name in each(&conditions.server_names) {
                let by_transport = by_name.entry(name);
                let by_application = by_transport.entry(conditions.transport_protocol.clone());
                for protocol in each(&conditions.application_protocols) {
                    add_source(by_application.entry(protocol), chain, conditions)?;
                }
            }
        }
        Ok(())
    }
}

/// The half of the conditions that is about the client.
fn add_source(
    by_direct_source: &mut ByDirectSource,
    chain: usize,
    conditions: &ChainMatch,
) -> Result<(), ChainError> {
    for direct in each(&conditions.direct_source_prefix_ranges) {
        let by_source = by_direct_source.entry(direct).entry(conditions.source_type);
        for prefix in each(&conditions.source_prefix_ranges) {
            let by_port = by_source.entry(prefix);
            for port in each(&conditions.source_ports) {
                let leaf = by_port.entry(port);
                match leaf.0 {
                    // A value that is listed twice within a chain harms nobody.
                    Some(first) if first != chain => {
                        return Err(ChainError::Overlap { first, second: chain });
                    }
                    _ => leaf.0 = Some(chain),
                }
            }
        }
    }
    Ok(())
}

/// Each value, or the one absence of a value.
fn each<T: Clone>(values: &[T]) -> impl Iterator<Item = Option<T>> {
    let nothing = values.is_empty().then_some(None);
    values.iter().cloned().map(Some).chain(nothing)
}
