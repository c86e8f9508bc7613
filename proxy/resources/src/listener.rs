//! `envoy.config.listener.v3.Listener`.

use weft_proto::pb::envoy::{
    config::listener::v3 as wire,
    extensions::filters::{
        listener::{http_inspector::v3::HttpInspector, tls_inspector::v3::TlsInspector},
        network::{
            http_connection_manager::v3::HttpConnectionManager as HttpMessage,
            tcp_proxy::v3::TcpProxy as TcpMessage,
        },
    },
};

use crate::{
    address::{self, Address},
    cluster, extension,
    http_connection_manager::{self, HttpConnectionManager},
    name::ListenerName,
    path::At,
    problem::{Notes, Problem},
    scalar,
    tcp_proxy::{self, TcpProxy},
};

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
    Sockets {
        /// `address`, then `additional_addresses`.
        addresses: Vec<Address>,
        /// What handles every connection.
        chain: FilterChain,
    },
    /// `api_listener`: what a gRPC client without a proxy reads. A proxy cannot serve it.
    Api(Box<HttpConnectionManager>),
}

/// The terminal filter of a chain.
#[derive(Debug)]
pub enum FilterChain {
    /// HTTP.
    Http(Box<HttpConnectionManager>),
    /// Bytes.
    Tcp(TcpProxy),
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
    listener_filters(&message.listener_filters, at, notes);
    let mut addresses = Vec::with_capacity(1 + message.additional_addresses.len());
    addresses.extend(address::address(message.address.as_ref(), &at.field("address"), notes));
    for (index, additional) in message.additional_addresses.iter().enumerate() {
        let at = at.item("additional_addresses", index);
        let at = at.field("address");
        addresses.extend(address::address(additional.address.as_ref(), &at, notes));
    }
    let chain = chains(message, at, notes);
    let name = match (message.name.as_str(), addresses.first()) {
        ("", Some(address)) => ListenerName::from(address.to_string().as_str()),
        (name, _) => ListenerName::from(name),
    };
    let kind = ListenerKind::Sockets { addresses, chain: chain? };
    Some(Listener { name, kind })
}

fn refuse_unfollowed(message: &wire::Listener, at: &At<'_>, notes: &mut Notes) {
    const ONE_CHAIN: &str = "one filter chain that takes every connection is";
    for (set, field, what, supported) in [
        (message.fcds_config.is_some(), "fcds_config", "filter chain discovery", ONE_CHAIN),
        (message.filter_chain_matcher.is_some(), "filter_chain_matcher", "matching", ONE_CHAIN),
        (message.udp_listener_config.is_some(), "udp_listener_config", "UDP", "TCP is"),
        (
            message.listener_specifier.is_some(),
            "internal_listener",
            "an internal listener",
            "address is",
        ),
        (
            scalar::bool_or(message.use_original_dst.as_ref(), false),
            "use_original_dst",
            "handing connections to other listeners",
            "leave it out",
        ),
        (
            !scalar::bool_or(message.bind_to_port.as_ref(), true),
            "bind_to_port",
            "a listener without a socket",
            "true is",
        ),
    ] {
        if set {
            notes.unsupported::<()>(&at.field(field), what, supported);
        }
    }
}

/// Inspectors tell chains apart. With one chain for every connection they have nothing to do, so
/// leaving them out changes nothing that a client could see.
fn listener_filters(filters: &[wire::ListenerFilter], at: &At<'_>, notes: &mut Notes) {
    use wire::listener_filter::ConfigType;
    for (index, filter) in filters.iter().enumerate() {
        let at = at.item("listener_filters", index);
        match &filter.config_type {
            Some(ConfigType::TypedConfig(any))
                if extension::holds::<TlsInspector>(any)
                    || extension::holds::<HttpInspector>(any) =>
            {
                notes.warn(&at, "not run: every connection goes to the one filter chain");
            }
            Some(ConfigType::TypedConfig(any)) => {
                let held = extension::type_name(any).to_owned();
                notes.refuse::<()>(&at.field("typed_config"), Problem::UnknownType(held));
            }
            Some(ConfigType::ConfigDiscovery(_)) => {
                notes.unsupported::<()>(&at.field("config_discovery"), "ECDS", "typed_config is");
            }
            None => {
                notes.refuse::<()>(&at.field("typed_config"), Problem::Missing);
            }
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

/// Finds the one chain: `filter_chains[0]` without conditions, or `default_filter_chain` alone.
fn chains(message: &wire::Listener, at: &At<'_>, notes: &mut Notes) -> Option<FilterChain> {
    const SUPPORTED: &str = "one filter chain without conditions is";
    match (message.filter_chains.as_slice(), &message.default_filter_chain) {
        ([], None) => notes.refuse(&at.field("filter_chains"), Problem::Missing),
        ([only], None) => chain(only, &at.item("filter_chains", 0), notes),
        ([], Some(default)) => chain(default, &at.field("default_filter_chain"), notes),
        (several, _) => notes.unsupported(
            &at.field("filter_chains"),
            format!("choosing among {} filter chains", several.len().max(2)),
            SUPPORTED,
        ),
    }
}

fn chain(message: &wire::FilterChain, at: &At<'_>, notes: &mut Notes) -> Option<FilterChain> {
    let conditions = message.filter_chain_match.as_ref();
    if conditions.is_some_and(|conditions| *conditions != wire::FilterChainMatch::default()) {
        notes.unsupported::<()>(
            &at.field("filter_chain_match"),
            "a condition",
            "a chain that takes every connection is",
        );
    }
    if let Some(socket) = &message.transport_socket {
        cluster::plaintext(socket, &at.field("transport_socket"), notes);
    }
    const ORDER: Problem =
        Problem::FilterOrder("needs exactly one filter: http_connection_manager or tcp_proxy");
    let Some((last, before)) = message.filters.split_last() else {
        return notes.refuse(&at.field("filters"), ORDER);
    };
    for (index, filter) in before.iter().enumerate() {
        let at = at.item("filters", index);
        if terminal(filter, &at, notes).is_some() {
            notes.refuse::<()>(&at, ORDER);
        }
    }
    terminal(last, &at.item("filters", before.len()), notes)
}

fn terminal(message: &wire::Filter, at: &At<'_>, notes: &mut Notes) -> Option<FilterChain> {
    use wire::filter::ConfigType;
    match &message.config_type {
        None => notes.refuse(&at.field("typed_config"), Problem::Missing),
        Some(ConfigType::ConfigDiscovery(_)) => {
            notes.unsupported(&at.field("config_discovery"), "ECDS", "typed_config is")
        }
        Some(ConfigType::TypedConfig(any)) => {
            let at = at.field("typed_config");
            if extension::holds::<HttpMessage>(any) {
                let message = extension::unpack::<HttpMessage>(any, &at, notes)?;
                let http = http_connection_manager::read(&message, &at, notes)?;
                Some(FilterChain::Http(Box::new(http)))
            } else if extension::holds::<TcpMessage>(any) {
                let message = extension::unpack::<TcpMessage>(any, &at, notes)?;
                tcp_proxy::read(&message, &at, notes).map(FilterChain::Tcp)
            } else {
                notes.refuse(&at, Problem::UnknownType(extension::type_name(any).to_owned()))
            }
        }
    }
}
