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

/// `upstream_bind_config`: the address that connections come from, by the family of the endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceAddresses {
    /// Towards IPv4 endpoints.
    pub v4: Option<SocketAddr>,
    /// Towards IPv6 endpoints.
    pub v6: Option<SocketAddr>,
}

impl SourceAddresses {
    /// The address to bind before connecting to `peer`.
    pub fn towards(&self, peer: IpAddr) -> Option<SocketAddr> {
        match peer {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }

    fn of_family(&mut self, of: &SocketAddr) -> &mut Option<SocketAddr> {
        if of.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

/// Reads `upstream_connection_options.tcp_keepalive`. Zero leaves a value to the system, and all
/// zeros leave keep-alive off, as in Envoy.
pub(crate) fn tcp_keepalive(message: &wire::Cluster) -> Option<TcpKeepalive> {
    let options = message.upstream_connection_options.as_ref()?;
    let core::TcpKeepalive { keepalive_probes, keepalive_time, keepalive_interval } =
        options.tcp_keepalive.as_ref()?;
    let seconds = |value| match optional(value) {
        Some(0) => None,
        Some(seconds) => Some(Duration::from_secs(seconds.into())),
        None => None,
    };
    let all = [keepalive_probes, keepalive_time, keepalive_interval];
    if all.iter().all(|value| value.as_ref().is_some_and(|value| value.value == 0)) {
        return None;
    }
    Some(TcpKeepalive {
        probes: optional(keepalive_probes.as_ref()).filter(|probes| *probes > 0),
        time: seconds(keepalive_time.as_ref()),
        interval: seconds(keepalive_interval.as_ref()),
    })
}

/// Reads `upstream_bind_config`: at most one address for each family.
pub(crate) fn sources(message: &wire::Cluster, at: &At<'_>, notes: &mut Notes) -> SourceAddresses {
    let mut sources = SourceAddresses::default();
    let Some(config) = &message.upstream_bind_config else { return sources };
    let at = at.field("upstream_bind_config");
    let Some(main) = &config.source_address else {
        if !config.extra_source_addresses.is_empty() {
            notes.refuse::<()>(&at.field("source_address"), Problem::Missing);
        }
        return sources;
    };
    source(main, &mut sources, &at.field("source_address"), notes);
    for (index, extra) in config.extra_source_addresses.iter().enumerate() {
        let at = at.item("extra_source_addresses", index);
        let at = at.field("address");
        match &extra.address {
            Some(address) => source(address, &mut sources, &at, notes),
            None => {
                notes.refuse::<()>(&at, Problem::Missing);
            }
        }
    }
    sources
}

fn source(
    message: &core::SocketAddress,
    sources: &mut SourceAddresses,
    at: &At<'_>,
    notes: &mut Notes,
) {
    let Some(Address::Ip(address)) = address::socket_address(message, at, notes) else { return };
    let place = sources.of_family(&address);
    if place.is_some() {
        notes.unsupported::<()>(at, "a second address of its family", "one for each family is");
    }
    *place = Some(address);
}
