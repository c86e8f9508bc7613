//! Clusters whose endpoints are found by name: `STRICT_DNS` and `LOGICAL_DNS`.

use std::{sync::Arc, time::Duration};

use weft_proto::pb::{
    envoy::{
        config::cluster::v3::{self as wire, cluster::DnsLookupFamily as WireFamily},
        extensions::clusters::{
            common::dns::v3::DnsLookupFamily as TypedFamily, dns::v3::DnsCluster,
        },
    },
    google::protobuf,
};

use crate::{
    assignment::{self, Assignment, EndpointAddress, Names},
    dns_resolver::{self, DnsResolver},
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// Envoy's default `dns_refresh_rate`, and that of `dns_min_refresh_rate`.
pub(crate) const REFRESH_RATE: Duration = Duration::from_secs(5);

/// What a cluster found by name says about its names.
#[derive(Clone, Debug, PartialEq)]
pub struct Dns {
    /// What becomes of several addresses of a name.
    pub kind: DnsKind,
    /// The endpoints, with names in place of addresses.
    pub assignment: Assignment,
    /// How names are looked up.
    pub query: Arc<DnsQuery>,
    /// And when again.
    pub refresh: DnsRefresh,
    /// `wait_for_warm_on_init` (true by default): nothing is sent to the cluster before its names
    /// have been looked up once.
    pub waits_for_names: bool,
}

/// What the addresses of a name are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsKind {
    /// `STRICT_DNS`: an endpoint each.
    Strict,
    /// `LOGICAL_DNS`: ways to one endpoint. Connections stay when they change.
    Logical,
}

/// How a name is looked up. Answers to equal queries for one name are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsQuery {
    /// `dns_lookup_family`.
    pub family: LookupFamily,
    /// Whom is asked.
    pub resolver: DnsResolver,
}

/// `dns_lookup_family`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LookupFamily {
    /// IPv6, or else IPv4.
    #[default]
    Auto,
    /// Only IPv4.
    V4Only,
    /// Only IPv6.
    V6Only,
    /// IPv4, or else IPv6.
    V4Preferred,
    /// Both.
    All,
}

/// When a name is looked up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsRefresh {
    /// `dns_refresh_rate` (5 s by default).
    pub rate: Duration,
    /// `respect_dns_ttl`: when the answer expires instead, where it says so.
    pub respect_ttl: bool,
    /// `dns_min_refresh_rate` (5 s by default): but no sooner than this.
    pub min_rate: Duration,
    /// `dns_jitter`: up to so much later.
    pub jitter: Duration,
    /// `dns_failure_refresh_rate`; without it failures are tried again at `rate`.
    pub failure: Option<FailureRefresh>,
}

/// `dns_failure_refresh_rate`: the wait doubles with each failure in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRefresh {
    /// `base_interval`.
    pub base: Duration,
    /// `max_interval` (ten times the base by default).
    pub max: Duration,
}

impl Dns {
    /// The names that have to be looked up.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.assignment.localities.iter().flat_map(|group| &group.endpoints).filter_map(
            |endpoint| match &endpoint.address {
                EndpointAddress::Named { host, .. } => Some(host),
                EndpointAddress::Literal(_) => None,
            },
        )
    }
}

/// `base_interval` and `max_interval`.
type Intervals<'m> = (Option<&'m protobuf::Duration>, Option<&'m protobuf::Duration>);

/// The settings of either form, `DnsCluster` or the fields of the cluster.
struct Settings<'m> {
    rate: Option<&'m protobuf::Duration>,
    failure: Option<Intervals<'m>>,
    respect_ttl: bool,
    min_rate: Option<&'m protobuf::Duration>,
    jitter: Option<&'m protobuf::Duration>,
}

/// Reads a cluster of type `STRICT_DNS` or `LOGICAL_DNS`.
#[expect(deprecated, reason = "nearly every cluster says it in these fields")]
pub(crate) fn by_fields(
    message: &wire::Cluster,
    kind: DnsKind,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Dns> {
    let family = match WireFamily::try_from(message.dns_lookup_family) {
        Ok(known) => family(known),
        Err(_) => {
            let unknown = Problem::UnknownEnum(message.dns_lookup_family);
            return notes.refuse(&at.field("dns_lookup_family"), unknown);
        }
    };
    let resolver = dns_resolver::of_cluster(message, at, notes)?;
    let settings = Settings {
        rate: message.dns_refresh_rate.as_ref(),
        failure: message
            .dns_failure_refresh_rate
            .as_ref()
            .map(|rate| (rate.base_interval.as_ref(), rate.max_interval.as_ref())),
        respect_ttl: message.respect_dns_ttl,
        min_rate: None,
        jitter: message.dns_jitter.as_ref(),
    };
    let refresh = refresh(&settings, at, notes)?;
    finish(message, kind, DnsQuery { family, resolver }, refresh, at, notes)
}

/// The family by its number.
pub(crate) fn family(family: WireFamily) -> LookupFamily {
    match family {
        WireFamily::Auto => LookupFamily::Auto,
        WireFamily::V4Only => LookupFamily::V4Only,
        WireFamily::V6Only => LookupFamily::V6Only,
        WireFamily::V4Preferred => LookupFamily::V4Preferred,
        WireFamily::All => LookupFamily::All,
    }
}

/// Reads a cluster of type `envoy.clusters.dns`.
pub(crate) fn by_extension(
    cluster: &wire::Cluster,
    message: &DnsCluster,
    (at, at_config): (&At<'_>, &At<'_>),
    notes: &mut Notes,
) -> Option<Dns> {
    let family = match TypedFamily::try_from(message.dns_lookup_family) {
        Ok(TypedFamily::Unspecified | TypedFamily::Auto) => LookupFamily::Auto,
        Ok(TypedFamily::V4Only) => LookupFamily::V4Only,
        Ok(TypedFamily::V6Only) => LookupFamily::V6Only,
        Ok(TypedFamily::V4Preferred) => LookupFamily::V4Preferred,
        Ok(TypedFamily::All) => LookupFamily::All,
        Err(_) => {
            let unknown = Problem::UnknownEnum(message.dns_lookup_family);
            return notes.refuse(&at_config.field("dns_lookup_family"), unknown);
        }
    };
    let kind =
        if message.all_addresses_in_single_endpoint { DnsKind::Logical } else { DnsKind::Strict };
    let resolver = match &message.typed_dns_resolver_config {
        Some(config) => {
            dns_resolver::typed(config, &at_config.field("typed_dns_resolver_config"), notes)?
        }
        None => DnsResolver::default(),
    };
    let settings = Settings {
        rate: message.dns_refresh_rate.as_ref(),
        failure: message
            .dns_failure_refresh_rate
            .as_ref()
            .map(|rate| (rate.base_interval.as_ref(), rate.max_interval.as_ref())),
        respect_ttl: message.respect_dns_ttl,
        min_rate: message.dns_min_refresh_rate.as_ref(),
        jitter: message.dns_jitter.as_ref(),
    };
    let refresh = refresh(&settings, at_config, notes)?;
    finish(cluster, kind, DnsQuery { family, resolver }, refresh, at, notes)
}

fn refresh(settings: &Settings<'_>, at: &At<'_>, notes: &mut Notes) -> Option<DnsRefresh> {
    let rate =
        scalar::duration_or(settings.rate, REFRESH_RATE, &at.field("dns_refresh_rate"), notes);
    let failure = match settings.failure {
        None => None,
        Some(intervals) => Some(failure(intervals, at, notes)?),
    };
    let min_at = at.field("dns_min_refresh_rate");
    Some(DnsRefresh {
        rate,
        respect_ttl: settings.respect_ttl,
        min_rate: scalar::duration_or(settings.min_rate, REFRESH_RATE, &min_at, notes),
        jitter: scalar::duration_or(
            settings.jitter,
            Duration::ZERO,
            &at.field("dns_jitter"),
            notes,
        ),
        failure,
    })
}

/// Reads `dns_failure_refresh_rate`.
pub(crate) fn failure(
    (base, max): Intervals<'_>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<FailureRefresh> {
    let at = at.field("dns_failure_refresh_rate");
    let base_at = at.field("base_interval");
    let Some(base) = base else { return notes.refuse(&base_at, Problem::Missing) };
    let base = scalar::duration(base, &base_at, notes)?;
    let max_at = at.field("max_interval");
    let max = scalar::duration_or(max, base * 10, &max_at, notes);
    if max < base {
        return notes.unsupported(&max_at, "less than base_interval", "as much or more is");
    }
    Some(FailureRefresh { base, max })
}

fn finish(
    message: &wire::Cluster,
    kind: DnsKind,
    query: DnsQuery,
    refresh: DnsRefresh,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Dns> {
    let at = at.field("load_assignment");
    let Some(endpoints) = &message.load_assignment else {
        return notes.refuse(&at, Problem::Missing);
    };
    let assignment = assignment::read_with(endpoints, Names::LookedUp, &at, notes)?;
    let count: usize = assignment.localities.iter().map(|group| group.endpoints.len()).sum();
    if kind == DnsKind::Logical && count != 1 {
        let what = format!("LOGICAL_DNS with {count} endpoints");
        return notes.unsupported(&at, what, "exactly one is; STRICT_DNS takes several");
    }
    Some(Dns {
        kind,
        assignment,
        query: Arc::new(query),
        refresh,
        waits_for_names: scalar::bool_or(message.wait_for_warm_on_init.as_ref(), true),
    })
}
