//! Hosts that requests name themselves (`dynamic_forward_proxy`): looked up when somebody asks for
//! them, and for as long as somebody does.

use std::{sync::Arc, time::Duration};

use weft_proto::pb::envoy::{
    config::cluster::v3::cluster::{DnsLookupFamily, RefreshRate},
    extensions::{
        clusters::dynamic_forward_proxy::v3::{
            ClusterConfig, cluster_config::ClusterImplementationSpecifier,
        },
        common::dynamic_forward_proxy::v3::DnsCacheConfig,
        filters::http::dynamic_forward_proxy::v3::{
            FilterConfig, filter_config::ImplementationSpecifier,
        },
    },
};

use crate::{
    cluster::optional,
    dns::{self, DnsQuery, DnsRefresh},
    dns_resolver,
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// Envoy's default `dns_refresh_rate` here.
const REFRESH_RATE: Duration = Duration::from_secs(60);
/// Envoy's default `host_ttl`.
const HOST_TTL: Duration = Duration::from_secs(5 * 60);
/// Envoy's default `dns_query_timeout`.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Envoy's default `max_hosts`, and that of `max_pending_requests`.
const MOST: u32 = 1024;

/// `DnsCacheConfig`.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicHosts {
    /// How hosts are looked up.
    pub query: Arc<DnsQuery>,
    /// And when again: as the answer says, or after a failure.
    pub refresh: DnsRefresh,
    /// `host_ttl` (5 min by default): a host nobody asked for in this time is forgotten.
    pub kept_for: Duration,
    /// `max_hosts` (1024 by default).
    pub most: usize,
    /// `max_pending_requests` (1024 by default): requests that wait for a lookup at a time.
    pub most_waiting: usize,
    /// `dns_query_timeout` (5 s by default): how long a request waits; `None` for as long as it takes.
    pub patience: Option<Duration>,
}

/// Reads the cluster's side.
pub(crate) fn of_cluster(
    message: &ClusterConfig,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<DynamicHosts> {
    match &message.cluster_implementation_specifier {
        Some(ClusterImplementationSpecifier::DnsCacheConfig(cache)) => {
            read(cache, &at.field("dns_cache_config"), notes)
        }
        Some(ClusterImplementationSpecifier::SubClustersConfig(_)) => notes.unsupported(
            &at.field("sub_clusters_config"),
            "a cluster for each host",
            "dns_cache_config is",
        ),
        None => notes.refuse(&at.field("dns_cache_config"), Problem::Missing),
    }
}

/// Reads the filter's side. What it says is what its clusters say, so nothing of it is kept.
pub(crate) fn check_filter(message: &FilterConfig, at: &At<'_>, notes: &mut Notes) -> Option<()> {
    match &message.implementation_specifier {
        Some(ImplementationSpecifier::DnsCacheConfig(cache)) => {
            read(cache, &at.field("dns_cache_config"), notes).map(|_| ())
        }
        Some(ImplementationSpecifier::SubClusterConfig(_)) => notes.unsupported(
            &at.field("sub_cluster_config"),
            "a cluster for each host",
            "dns_cache_config is",
        ),
        None => notes.refuse(&at.field("dns_cache_config"), Problem::Missing),
    }
}

#[expect(deprecated, reason = "older configurations say it in these fields")]
fn read(message: &DnsCacheConfig, at: &At<'_>, notes: &mut Notes) -> Option<DynamicHosts> {
    let family_at = at.field("dns_lookup_family");
    let family = match DnsLookupFamily::try_from(message.dns_lookup_family) {
        Ok(family) => dns::family(family),
        Err(_) => {
            return notes.refuse(&family_at, Problem::UnknownEnum(message.dns_lookup_family));
        }
    };
    let resolver = dns_resolver::of_hosts(
        message.typed_dns_resolver_config.as_ref(),
        message.dns_resolution_config.as_ref(),
        message.use_tcp_for_dns_lookups,
        at,
        notes,
    )?;
    let mut time =
        |value, default, field| scalar::duration_or(value, default, &at.field(field), notes);
    let rate = time(message.dns_refresh_rate.as_ref(), REFRESH_RATE, "dns_refresh_rate");
    let min_rate =
        time(message.dns_min_refresh_rate.as_ref(), dns::REFRESH_RATE, "dns_min_refresh_rate");
    let kept_for = time(message.host_ttl.as_ref(), HOST_TTL, "host_ttl");
    let patience = time(message.dns_query_timeout.as_ref(), QUERY_TIMEOUT, "dns_query_timeout");
    let failure = match &message.dns_failure_refresh_rate {
        None => None,
        Some(RefreshRate { base_interval, max_interval }) => {
            let intervals = (base_interval.as_ref(), max_interval.as_ref());
            Some(dns::failure(intervals, at, notes)?)
        }
    };
    let most_waiting = message
        .dns_cache_circuit_breaker
        .as_ref()
        .and_then(|breaker| optional(breaker.max_pending_requests.as_ref()));
    let count = |number: Option<u32>| usize::try_from(number.unwrap_or(MOST)).unwrap_or(usize::MAX);
    Some(DynamicHosts {
        query: Arc::new(DnsQuery { family, resolver }),
        refresh: DnsRefresh { rate, respect_ttl: true, min_rate, jitter: Duration::ZERO, failure },
        kept_for,
        most: count(optional(message.max_hosts.as_ref())),
        most_waiting: count(most_waiting),
        patience: Some(patience).filter(|limit| !limit.is_zero()),
    })
}
