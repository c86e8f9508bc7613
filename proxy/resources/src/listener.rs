//! `envoy.config.listener.v3.Listener`.

use std::time::Duration;

use weft_proto::pb::envoy::{
    config::listener::v3 as wire,
    extensions::filters::network::http_connection_manager::v3::HttpConnectionManager as HttpMessage,
};

use weft_route::ChainMatch;

use crate::{
    extension,
    filter_chain::{self, FilterChain},
    http_connection_manager::{self, HttpConnectionManager},
    listener_filter::{self, ListenerFilter},
    name::ListenerName,
    path::At,
    problem::{Notes, Problem},
    scalar,
    socket::{self, ListenAddress},
};

/// Envoy's default of `listener_filters_timeout`.
const FILTERS_TIMEOUT: Duration = Duration::from_secs(15);

/// A place where requests come in.
#[derive(Debug)]
pub struct Listener {
    /// `name`; the address as text for a static listener that has none.
    pub name: ListenerName,
    /// What it is.
    pub kind: ListenerKind,
}

/// The two things a `Listener` can be.
#[derive(Debug)]
pub enum ListenerKind {
    /// Sockets that a proxy accepts on.
    Sockets(Box<Sockets>),
    /// `api_listener`: what a gRPC client without a proxy reads. A proxy cannot serve it.
    Api(Box<HttpConnectionManager>),
}

/// A listener as a proxy serves it.
#[derive(Debug)]
pub struct Sockets {
    /// `address`, then `additional_addresses`.
    pub addresses: Vec<ListenAddress>,
    /// What handles connections, by conditions.
    pub chains: Vec<FilterChain>,
    /// What handles those that no other chain takes.
    pub default_chain: Option<FilterChain>,
    /// `listener_filters`, in order.
    pub filters: Vec<ListenerFilter>,
    /// `listener_filters_timeout`: how long they may wait for bytes (15 s by default; `None` when 0).
    pub filters_timeout: Option<Duration>,
    /// `continue_on_listener_filters_timeout`: goes on with what is known by then.
    pub continue_on_filters_timeout: bool,
    /// `use_original_dst`: a connection that was redirected goes to the listener of the address it
    /// was meant for, if there is one.
    pub hand_off: bool,
    /// `bind_to_port`: without it the listener only gets what others hand off.
    pub bind: bool,
    /// `ignore_global_conn_limit` or `bypass_overload_manager`: the limit of connections of the
    /// whole process does not hold here.
    pub ignores_global_limit: bool,
}

/// Reads a listener.
pub(crate) fn read(message: &wire::Listener, at: &At<'_>, notes: &mut Notes) -> Option<Listener> {
    if let Some(api) = &message.api_listener {
        if message.address.is_some() || !message.filter_chains.is_empty() {
            notes.refuse::<()>(&at.field("api_listener"), Problem::Conflict("address"));
        }
        let chain = api_listener(api, &at.field("api_listener"), notes);
        if message.name.is_empty() {
            notes.refuse::<()>(&at.field("name"), Problem::Missing);
        }
        let name = ListenerName::from(message.name.as_str());
        return Some(Listener { name, kind: ListenerKind::Api(Box::new(chain?)) });
    }
    refuse_unfollowed(message, at, notes);
    let filters = listener_filter::read(message, at, notes);
    listener_filter::warn_of_blindness(message, &filters, at, notes);
    let addresses = socket::addresses(message, at, notes);
    let chains = chains(message, at, notes);
    let name = match (message.name.as_str(), addresses.first()) {
        ("", Some(main)) => ListenerName::from(main.address.to_string().as_str()),
        (name, _) => ListenerName::from(name),
    };
    let timeout_at = at.field("listener_filters_timeout");
    let filters_timeout = scalar::timeout_or(
        message.listener_filters_timeout.as_ref(),
        Some(FILTERS_TIMEOUT),
        &timeout_at,
        notes,
    );
    let (chains, default_chain) = chains?;
    let sockets = Sockets {
        addresses,
        chains,
        default_chain,
        filters,
        filters_timeout,
        continue_on_filters_timeout: message.continue_on_listener_filters_timeout,
        hand_off: scalar::bool_or(message.use_original_dst.as_ref(), false),
        bind: scalar::bool_or(message.bind_to_port.as_ref(), true),
        ignores_global_limit: message.ignore_global_conn_limit || message.bypass_overload_manager,
    };
    Some(Listener { name, kind: ListenerKind::Sockets(Box::new(sockets)) })
}

fn refuse_unfollowed(message: &wire::Listener, at: &At<'_>, notes: &mut Notes) {
    const CHAINS: &str = "filter_chains with a filter_chain_match are";
    for (set, field, what, supported) in [
        (message.fcds_config.is_some(), "fcds_config", "filter chain discovery", CHAINS),
        (message.filter_chain_matcher.is_some(), "filter_chain_matcher", "matching", CHAINS),
        (message.udp_listener_config.is_some(), "udp_listener_config", "UDP", "TCP is"),
        (
            message.listener_specifier.is_some(),
            "internal_listener",
            "an internal listener",
            "address is",
        ),
    ] {
        if set {
            notes.unsupported::<()>(&at.field(field), what, supported);
        }
    }
}

fn api_listener(
    message: &wire::ApiListener,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HttpConnectionManager> {
    let at = at.field("api_listener");
    let Some(any) = &message.api_listener else { return notes.refuse(&at, Problem::Missing) };
    if !extension::holds::<HttpMessage>(any) {
        return notes.refuse(&at, Problem::UnknownType(extension::type_name(any).to_owned()));
    }
    let message = extension::unpack::<HttpMessage>(any, &at, notes)?;
    http_connection_manager::read(&message, &at, notes)
}

/// The chains with their conditions, then the one that takes what they leave.
fn chains(
    message: &wire::Listener,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<(Vec<FilterChain>, Option<FilterChain>)> {
    let before = notes.reasons.len();
    if message.filter_chains.is_empty() && message.default_filter_chain.is_none() {
        return notes.refuse(&at.field("filter_chains"), Problem::Missing);
    }
    let chains = message.filter_chains.iter().enumerate();
    let chains = chains
        .filter_map(|(index, chain)| {
            filter_chain::read(chain, &at.item("filter_chains", index), notes)
        })
        .collect();
    let default_at = at.field("default_filter_chain");
    let default = match &message.default_filter_chain {
        Some(default) => filter_chain::read(default, &default_at, notes),
        None => None,
    };
    if default.as_ref().is_some_and(|default| default.conditions != ChainMatch::default()) {
        notes.warn(
            &default_at.field("filter_chain_match"),
            "has no effect: the default chain takes what no other takes",
        );
    }
    (notes.reasons.len() == before).then_some((chains, default))
}
