//! `envoy.config.listener.v3.FilterChain`: which connections, and what handles them.

use bytes::Bytes;
use prost::Message as _;
use weft_proto::pb::envoy::{
    config::listener::v3 as wire,
    extensions::filters::network::{
        connection_limit::v3::ConnectionLimit as ConnectionLimitMessage,
        direct_response::v3::Config as DirectResponseMessage, echo::v3::Echo,
        http_connection_manager::v3::HttpConnectionManager as HttpMessage,
        local_ratelimit::v3::LocalRateLimit, ratelimit::v3::RateLimit, sni_cluster::v3::SniCluster,
        tcp_proxy::v3::TcpProxy as TcpMessage,
    },
};
use weft_route::ChainMatch;

use crate::{
    chain_match,
    connection_question::{self, ConnectionQuestion},
    extension,
    http_connection_manager::{self, HttpConnectionManager},
    network_filter::{self, ConnectionLimit, ConnectionRate},
    path::At,
    problem::{Notes, Problem},
    scalar,
    tcp_proxy::{self, TcpProxy},
    transport,
};

/// A chain of filters, with the connections it takes.
#[derive(Debug)]
pub struct FilterChain {
    /// `name`, which may be empty.
    pub name: Box<str>,
    /// Where in the listener it stands, as `filter_chains[2]`.
    pub path: Box<str>,
    /// `filter_chain_match`.
    pub conditions: ChainMatch,
    /// Filters that stand before the last one and bound how many connections it gets, in order.
    pub gates: Vec<Gate>,
    /// `sni_cluster`: the server name of a TLS hello names the cluster of a `tcp_proxy`.
    pub sni_cluster: bool,
    /// The last filter, which handles the connection.
    pub terminal: Terminal,
    /// What it was read from: chains with the same text do the same.
    pub identity: Box<[u8]>,
}

impl FilterChain {
    /// Its name, or where it stands.
    pub fn title(&self) -> &str {
        if self.name.is_empty() { &self.path } else { &self.name }
    }
}

/// What lets through some connections of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// `connection_limit`: so many at once.
    AtOnce(ConnectionLimit),
    /// `local_ratelimit`: so many within a time.
    Rate(ConnectionRate),
    /// `ratelimit`: those that a service lets through.
    Asked(Box<ConnectionQuestion>),
}

/// The last filter of a chain.
#[derive(Debug)]
pub enum Terminal {
    /// `http_connection_manager`.
    Http(Box<HttpConnectionManager>),
    /// `tcp_proxy`.
    Tcp(TcpProxy),
    /// `direct_response`: these bytes, and the end.
    Direct(Bytes),
    /// `echo`: what came, back again.
    Echo,
}

/// Reads a chain.
pub(crate) fn read(
    message: &wire::FilterChain,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<FilterChain> {
    let match_at = at.field("filter_chain_match");
    let conditions = chain_match::read(message.filter_chain_match.as_ref(), &match_at, notes);
    if let Some(socket) = &message.transport_socket {
        transport::plaintext(socket, &at.field("transport_socket"), notes);
    }
    let filters = filters(&message.filters, at, notes);
    let (before, terminal) = filters?;
    Some(FilterChain {
        name: message.name.as_str().into(),
        path: at.to_string().into(),
        conditions: conditions?,
        gates: before.gates,
        sni_cluster: before.sni_cluster,
        terminal,
        identity: identity(message),
    })
}

/// The encoded message without what changes nothing. Maps have no order on the wire, and the
/// metadata holds the only ones outside of packed messages.
fn identity(message: &wire::FilterChain) -> Box<[u8]> {
    wire::FilterChain { metadata: None, ..message.clone() }.encode_to_vec().into()
}

/// What stands before the last filter.
#[derive(Default)]
struct Before {
    gates: Vec<Gate>,
    sni_cluster: bool,
}

fn filters(filters: &[wire::Filter], at: &At<'_>, notes: &mut Notes) -> Option<(Before, Terminal)> {
    const ORDER: Problem = Problem::FilterOrder(
        "needs exactly one filter that handles the connection, as its last: \
         http_connection_manager, tcp_proxy, direct_response or echo",
    );
    let Some((last, before)) = filters.split_last() else {
        return notes.refuse(&at.field("filters"), ORDER);
    };
    let mut found = Before::default();
    for (index, filter) in before.iter().enumerate() {
        let at = at.item("filters", index);
        if gate(filter, &mut found, &at, notes).is_none() && terminal(filter, &at, notes).is_some()
        {
            notes.refuse::<()>(&at, ORDER);
        }
    }
    let terminal = terminal(last, &at.item("filters", before.len()), notes)?;
    Some((found, terminal))
}

/// Reads a filter that lets connections through; `None` when it is none.
fn gate(message: &wire::Filter, found: &mut Before, at: &At<'_>, notes: &mut Notes) -> Option<()> {
    let Some(wire::filter::ConfigType::TypedConfig(any)) = &message.config_type else {
        return None;
    };
    if extension::holds::<SniCluster>(any) {
        found.sni_cluster = true;
        return Some(());
    }
    let at = at.field("typed_config");
    let gate = if extension::holds::<ConnectionLimitMessage>(any) {
        let message = extension::unpack::<ConnectionLimitMessage>(any, &at, notes);
        let limit = message.and_then(|it| network_filter::connection_limit(&it, &at, notes));
        limit.flatten().map(Gate::AtOnce)
    } else if extension::holds::<LocalRateLimit>(any) {
        let message = extension::unpack::<LocalRateLimit>(any, &at, notes);
        let rate = message.and_then(|it| network_filter::network_rate(&it, &at, notes));
        rate.flatten().map(Gate::Rate)
    } else if extension::holds::<RateLimit>(any) {
        let message = extension::unpack::<RateLimit>(any, &at, notes);
        let asked = message.and_then(|it| connection_question::read(&it, &at, notes));
        asked.map(|asked| Gate::Asked(Box::new(asked)))
    } else {
        return None;
    };
    found.gates.extend(gate);
    Some(())
}

fn terminal(message: &wire::Filter, at: &At<'_>, notes: &mut Notes) -> Option<Terminal> {
    use wire::filter::ConfigType;
    let any = match &message.config_type {
        None => return notes.refuse(&at.field("typed_config"), Problem::Missing),
        Some(ConfigType::ConfigDiscovery(_)) => {
            return notes.unsupported(&at.field("config_discovery"), "ECDS", "typed_config is");
        }
        Some(ConfigType::TypedConfig(any)) => any,
    };
    let at = at.field("typed_config");
    if extension::holds::<HttpMessage>(any) {
        let message = extension::unpack::<HttpMessage>(any, &at, notes)?;
        let http = http_connection_manager::read(&message, &at, notes)?;
        Some(Terminal::Http(Box::new(http)))
    } else if extension::holds::<TcpMessage>(any) {
        let message = extension::unpack::<TcpMessage>(any, &at, notes)?;
        tcp_proxy::read(&message, &at, notes).map(Terminal::Tcp)
    } else if extension::holds::<DirectResponseMessage>(any) {
        let message = extension::unpack::<DirectResponseMessage>(any, &at, notes)?;
        let response = match &message.response {
            Some(response) => scalar::inline_data(response, &at.field("response"), notes)?,
            None => Bytes::new(),
        };
        Some(Terminal::Direct(response))
    } else if extension::holds::<Echo>(any) {
        Some(Terminal::Echo)
    } else {
        notes.refuse(&at, Problem::UnknownType(extension::type_name(any).to_owned()))
    }
}
