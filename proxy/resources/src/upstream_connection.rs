//! Upstream connections as sockets: where they come from, and how they are kept alive.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use weft_proto::pb::envoy::config::{cluster::v3 as wire, core::v3 as core};

use crate::{
    address::{self, Address},
    cluster::optional,
    path::At,
    problem::{Notes, Problem},
    scalar,
    socket::{self, SocketOption, SocketState},
};

/// `upstream_connection_options.tcp_keepalive`; what is not set is up to the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// `keepalive_probes`.
    pub probes: Option<u32>,
    /// `keepalive_time`.
    pub time: Option<Duration>,
    /// `keepalive_interval`.
    pub interval: Option<Duration>,
}

/// `upstream_connection_options.happy_eyeballs_config`: in which order the addresses of an endpoint
/// are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyOrder {
    /// `first_address_family_version`: whether IPv4 comes first; `None` for the family of the first
    /// address.
    pub leads_v4: Option<bool>,
    /// `first_address_family_count`: so many of that family before each of the other one (1 by
    /// default).
    pub count: u32,
}

impl Default for FamilyOrder {
    fn default() -> Self {
        Self { leads_v4: None, count: 1 }
    }
}

/// `upstream_bind_config`: the address that connections come from, by the family of the endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceAddresses {
    /// Towards IPv4 endpoints.
    pub v4: Option<SourceAddress>,
    /// Towards IPv6 endpoints.
    pub v6: Option<SourceAddress>,
    /// `freebind`: the address need not be one of this host.
    pub freebind: bool,
    /// `socket_options`, in order.
    pub options: Box<[SocketOption]>,
}

/// `source_address` or one of `extra_source_addresses`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceAddress {
    /// What is bound before connecting.
    pub address: SocketAddr,
    /// `socket_options.socket_options` of an extra one: in place of those for all.
    pub options: Option<Box<[SocketOption]>>,
}

impl SourceAddresses {
    /// The address to bind before connecting to `peer`.
    pub fn towards(&self, peer: IpAddr) -> Option<&SourceAddress> {
        match peer {
            IpAddr::V4(_) => self.v4.as_ref(),
            IpAddr::V6(_) => self.v6.as_ref(),
        }
    }

    /// What to set on the socket of a connection to `peer`.
    pub fn options_towards(&self, peer: IpAddr) -> impl Iterator<Item = &SocketOption> {
        let own = self.towards(peer).and_then(|source| source.options.as_ref());
        let version = if peer.is_ipv4() { 4 } else { 6 };
        let options = own.unwrap_or(&self.options).iter();
        options.filter(move |option| option.only_for.is_none_or(|only| only == version))
    }

    fn of_family(&mut self, of: &SocketAddr) -> &mut Option<SourceAddress> {
        if of.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

/// Reads `upstream_connection_options.happy_eyeballs_config`.
pub(crate) fn family_order(message: &wire::Cluster) -> FamilyOrder {
    use wire::upstream_connection_options::FirstAddressFamilyVersion as First;
    let options = message.upstream_connection_options.as_ref();
    let Some(config) = options.and_then(|options| options.happy_eyeballs_config.as_ref()) else {
        return FamilyOrder::default();
    };
    FamilyOrder {
        leads_v4: match First::try_from(config.first_address_family_version) {
            Ok(First::V4) => Some(true),
            Ok(First::V6) => Some(false),
            // Any number but these was refused before.
            _ => None,
        },
        count: optional(config.first_address_family_count.as_ref()).unwrap_or(1),
    }
}

/// Reads a `tcp_keepalive`. What is not set is left to the system, and a zero anywhere leaves
/// keep-alive off.
pub(crate) fn tcp_keepalive(message: Option<&core::TcpKeepalive>) -> Option<TcpKeepalive> {
    let core::TcpKeepalive { keepalive_probes, keepalive_time, keepalive_interval } = message?;
    let [probes, time, interval] =
        [keepalive_probes, keepalive_time, keepalive_interval].map(|v| optional(v.as_ref()));
    if [probes, time, interval].contains(&Some(0)) {
        return None;
    }
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Some(TcpKeepalive { probes, time: time.map(seconds), interval: interval.map(seconds) })
}

/// Reads `upstream_bind_config`: at most one address for each family.
pub(crate) fn sources(message: &wire::Cluster, at: &At<'_>, notes: &mut Notes) -> SourceAddresses {
    let mut sources = SourceAddresses::default();
    let Some(config) = &message.upstream_bind_config else { return sources };
    let at = at.field("upstream_bind_config");
    sources.freebind = scalar::bool_or(config.freebind.as_ref(), false);
    sources.options = socket::options(&config.socket_options, &at, notes);
    warn_of_listening(&sources.options, &at, notes);
    let Some(main) = &config.source_address else {
        if !config.extra_source_addresses.is_empty() {
            notes.refuse::<()>(&at.field("source_address"), Problem::Missing);
        }
        return sources;
    };
    source(main, None, &mut sources, &at.field("source_address"), notes);
    for (index, extra) in config.extra_source_addresses.iter().enumerate() {
        let at = at.item("extra_source_addresses", index);
        let options = extra.socket_options.as_ref().map(|own| {
            let at = at.field("socket_options");
            let options = socket::options(&own.socket_options, &at, notes);
            warn_of_listening(&options, &at, notes);
            options
        });
        let at = at.field("address");
        match &extra.address {
            Some(address) => source(address, options, &mut sources, &at, notes),
            None => {
                notes.refuse::<()>(&at, Problem::Missing);
            }
        }
    }
    sources
}

fn warn_of_listening(options: &[SocketOption], at: &At<'_>, notes: &mut Notes) {
    if options.iter().any(|option| option.state == SocketState::Listening) {
        let text = "STATE_LISTENING has no effect: connections to endpoints never listen";
        notes.warn(&at.field("socket_options"), text);
    }
}

fn source(
    message: &core::SocketAddress,
    options: Option<Box<[SocketOption]>>,
    sources: &mut SourceAddresses,
    at: &At<'_>,
    notes: &mut Notes,
) {
    let Some(Address::Ip(address)) = address::socket_address(message, at, notes) else { return };
    let place = sources.of_family(&address);
    if place.is_some() {
        notes.unsupported::<()>(at, "a second address of its family", "one for each family is");
    }
    *place = Some(SourceAddress { address, options });
}
