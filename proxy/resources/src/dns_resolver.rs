//! Whom names are asked of.

use std::{net::SocketAddr, time::Duration};

use prost::Name;
use weft_proto::pb::envoy::{
    config::{cluster::v3 as wire, core::v3 as core},
    extensions::network::dns_resolver::{
        cares::v3::CaresDnsResolverConfig, getaddrinfo::v3::GetAddrInfoDnsResolverConfig,
        hickory::v3::HickoryDnsResolverConfig,
    },
};

use crate::{
    address::{self, Address},
    cluster::optional,
    extension,
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// Whom names are asked of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DnsResolver {
    /// Name servers, after the hosts file.
    Servers(DnsServers),
    /// The system's `getaddrinfo`, whose answers do not say how long they hold.
    System,
}

/// Which name servers, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsServers {
    /// Their addresses; those of `resolv.conf` when empty.
    pub addresses: Vec<SocketAddr>,
    /// Only over TCP (`use_tcp_for_dns_lookups`).
    pub tcp_only: bool,
    /// Leave the search domains of `resolv.conf` out (`no_default_search_domain`).
    pub no_search: bool,
    /// For one query (`query_timeout`); as `resolv.conf` says unless set.
    pub timeout: Option<Duration>,
    /// Tries of one query (`query_tries`); as `resolv.conf` says unless set.
    pub tries: Option<u32>,
    /// Begin with another server each time (`rotate_nameservers`).
    pub rotate: bool,
}

impl Default for DnsResolver {
    fn default() -> Self {
        Self::Servers(DnsServers::default())
    }
}

/// Reads what a cluster says of its resolver: the newest form that is there counts, as in Envoy.
#[expect(deprecated, reason = "older configurations say it in these fields")]
pub(crate) fn of_cluster(
    message: &wire::Cluster,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<DnsResolver> {
    if message.typed_dns_resolver_config.is_some() || message.dns_resolution_config.is_some() {
        return of_hosts(
            message.typed_dns_resolver_config.as_ref(),
            message.dns_resolution_config.as_ref(),
            message.use_tcp_for_dns_lookups,
            at,
            notes,
        );
    }
    let addresses = message
        .dns_resolvers
        .iter()
        .enumerate()
        .map(|(index, server)| self::server(server, &at.item("dns_resolvers", index), notes))
        .collect::<Option<_>>()?;
    let tcp_only = message.use_tcp_for_dns_lookups;
    Some(DnsResolver::Servers(DnsServers { addresses, tcp_only, ..DnsServers::default() }))
}

/// Reads what is said of a resolver in the forms that all have in common.
pub(crate) fn of_hosts(
    typed: Option<&core::TypedExtensionConfig>,
    resolution: Option<&core::DnsResolutionConfig>,
    tcp_only: bool,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<DnsResolver> {
    if let Some(config) = typed {
        return self::typed(config, &at.field("typed_dns_resolver_config"), notes);
    }
    if let Some(config) = resolution {
        let at = at.field("dns_resolution_config");
        let addresses = servers(&config.resolvers, &at, notes)?;
        let options = config.dns_resolver_options.as_ref();
        return Some(DnsResolver::Servers(with_options(addresses, options)));
    }
    Some(DnsResolver::Servers(DnsServers { tcp_only, ..DnsServers::default() }))
}

/// Reads `typed_dns_resolver_config`.
pub(crate) fn typed(
    message: &core::TypedExtensionConfig,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<DnsResolver> {
    let at = at.field("typed_config");
    let Some(any) = &message.typed_config else { return notes.refuse(&at, Problem::Missing) };
    match extension::type_name(any) {
        name if name == CaresDnsResolverConfig::full_name() => {
            let config = extension::unpack::<CaresDnsResolverConfig>(any, &at, notes)?;
            let addresses = servers(&config.resolvers, &at, notes)?;
            Some(DnsResolver::Servers(DnsServers {
                timeout: config.query_timeout_seconds.map(|s| Duration::from_secs(s.value)),
                tries: optional(config.query_tries.as_ref()),
                rotate: config.rotate_nameservers,
                ..with_options(addresses, config.dns_resolver_options.as_ref())
            }))
        }
        name if name == HickoryDnsResolverConfig::full_name() => {
            let config = extension::unpack::<HickoryDnsResolverConfig>(any, &at, notes)?;
            let addresses = servers(&config.resolvers, &at, notes)?;
            let timeout = match &config.query_timeout {
                Some(timeout) => {
                    Some(scalar::duration(timeout, &at.field("query_timeout"), notes)?)
                }
                None => None,
            };
            let tries = optional(config.query_tries.as_ref());
            Some(DnsResolver::Servers(DnsServers {
                addresses,
                timeout,
                tries,
                ..DnsServers::default()
            }))
        }
        name if name == GetAddrInfoDnsResolverConfig::full_name() => Some(DnsResolver::System),
        other => notes.unsupported(&at, other, "cares, hickory and getaddrinfo are"),
    }
}

fn with_options(
    addresses: Vec<SocketAddr>,
    options: Option<&core::DnsResolverOptions>,
) -> DnsServers {
    DnsServers {
        addresses,
        tcp_only: options.is_some_and(|options| options.use_tcp_for_dns_lookups),
        no_search: options.is_some_and(|options| options.no_default_search_domain),
        ..DnsServers::default()
    }
}

fn servers(messages: &[core::Address], at: &At<'_>, notes: &mut Notes) -> Option<Vec<SocketAddr>> {
    messages
        .iter()
        .enumerate()
        .map(|(index, message)| server(message, &at.item("resolvers", index), notes))
        .collect()
}

/// The address of a name server; its protocol is not what decides between UDP and TCP.
fn server(message: &core::Address, at: &At<'_>, notes: &mut Notes) -> Option<SocketAddr> {
    match address::address(Some(message), at, notes)? {
        Address::Ip(address) => Some(address),
        Address::Pipe(_) => notes.unsupported(at, "a Unix socket", "socket_address is"),
    }
}
