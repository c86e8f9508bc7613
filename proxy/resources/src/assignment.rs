//! `envoy.config.endpoint.v3.ClusterLoadAssignment`.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    net::SocketAddr,
    sync::Arc,
};

use weft_proto::pb::{
    envoy::config::{core::v3 as core, endpoint::v3 as wire},
    google::protobuf,
};
use weft_route::Denominator;

use crate::{
    address::{self, Address},
    cluster::optional,
    health_check::{self, EndpointCheck},
    metadata::{self, Labels},
    name::AssignmentName,
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// Highest `priority` (lowest precedence) there is.
const LAST_PRIORITY: u32 = 128;

/// The endpoints of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// `cluster_name`.
    pub name: AssignmentName,
    /// `endpoints`, those without any endpoint left out.
    pub localities: Vec<LocalityEndpoints>,
    /// `policy.overprovisioning_factor` in percent (140 by default).
    pub overprovisioning_factor: u32,
    /// `policy.drop_overloads`: shares of the requests that are not sent, each of what the ones
    /// before left.
    pub drop_overloads: Vec<DropOverload>,
}

/// One entry of `policy.drop_overloads`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropOverload {
    /// `category`.
    pub category: Arc<str>,
    /// `drop_percentage` in parts of a million, at most all of it.
    pub per_million: u32,
}

impl Assignment {
    /// No endpoints at all.
    pub fn empty(name: AssignmentName) -> Self {
        Self {
            name,
            localities: Vec::new(),
            overprovisioning_factor: OVERPROVISIONING,
            drop_overloads: Vec::new(),
        }
    }
}

const OVERPROVISIONING: u32 = 140;

/// The endpoints of one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalityEndpoints {
    /// `locality`.
    pub locality: Locality,
    /// `priority`: 0 first.
    pub priority: u32,
    /// `load_balancing_weight` among localities of the same priority. Where those weights are
    /// followed, a locality without one takes no requests.
    pub weight: Option<u32>,
    /// `lb_endpoints`.
    pub endpoints: Vec<Endpoint>,
}

/// Region, zone and sub-zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    /// `region`.
    pub region: Box<str>,
    /// `zone`.
    pub zone: Box<str>,
    /// `sub_zone`.
    pub sub_zone: Box<str>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `endpoint.address`.
    pub address: EndpointAddress,
    /// `endpoint.additional_addresses`: other ways to it.
    pub alternatives: Vec<SocketAddr>,
    /// `load_balancing_weight`; 1 unless set.
    pub weight: u32,
    /// `health_status`.
    pub health: HealthStatus,
    /// `endpoint.hostname`; empty for none.
    pub hostname: Box<str>,
    /// `hash_key` of its metadata `envoy.lb`: what it is placed by where requests are hashed.
    pub hash_key: Option<Box<str>>,
    /// Its metadata `envoy.lb`, if it has any: what subsets are made by.
    pub labels: Option<Arc<Labels>>,
    /// `endpoint.health_check_config`.
    pub check: Option<Box<EndpointCheck>>,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointAddress {
    /// At an address.
    Literal(Address),
    /// Where a name leads (in clusters of a DNS type only).
    Named {
        /// The name.
        host: Arc<str>,
        /// The port. 0 with a name like `_service._proto.domain` takes it from SRV records.
        port: u16,
    },
}

impl EndpointAddress {
    /// Whether its name stands for SRV records.
    pub fn is_service(&self) -> bool {
        matches!(self, Self::Named { host, port: 0 } if host.starts_with('_'))
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(address) => address.fmt(f),
            Self::Named { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Whether names may stand in place of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// No.
    Refused,
    /// Yes.
    LookedUp,
}

/// `core.v3.HealthStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthStatus {
    /// Nothing is known; used like a healthy one.
    Unknown,
    /// Healthy.
    Healthy,
    /// Not to be used.
    Unhealthy,
    /// Going away; not to be used for new requests.
    Draining,
    /// Its health check timed out; not to be used.
    Timeout,
    /// Used only when there are too few healthy ones.
    Degraded,
}

impl HealthStatus {
    pub(crate) fn read(number: i32, at: &At<'_>, notes: &mut Notes) -> Option<Self> {
        use core::HealthStatus as Wire;
        Some(match Wire::try_from(number) {
            Ok(Wire::Unknown) => Self::Unknown,
            Ok(Wire::Healthy) => Self::Healthy,
            Ok(Wire::Unhealthy) => Self::Unhealthy,
            Ok(Wire::Draining) => Self::Draining,
            Ok(Wire::Timeout) => Self::Timeout,
            Ok(Wire::Degraded) => Self::Degraded,
            Err(_) => return notes.refuse(at, Problem::UnknownEnum(number)),
        })
    }

    /// The name of the enum value on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Draining => "DRAINING",
            Self::Timeout => "TIMEOUT",
            Self::Degraded => "DEGRADED",
        }
    }
}

/// Reads an assignment whose endpoints have addresses.
pub(crate) fn read(
    message: &wire::ClusterLoadAssignment,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Assignment> {
    read_with(message, Names::Refused, at, notes)
}

/// Reads an assignment.
pub(crate) fn read_with(
    message: &wire::ClusterLoadAssignment,
    names: Names,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Assignment> {
    if message.cluster_name.is_empty() {
        notes.refuse::<()>(&at.field("cluster_name"), Problem::Missing);
    }
    let mut localities = Vec::with_capacity(message.endpoints.len());
    let mut seen = HashSet::new();
    for (index, group) in message.endpoints.iter().enumerate() {
        localities.extend(locality(group, names, &mut seen, &at.item("endpoints", index), notes));
    }
    check_sum(&localities, at, notes);
    let policy = message.policy.as_ref();
    let policy_at = at.field("policy");
    let drop_overloads = policy
        .iter()
        .flat_map(|policy| &policy.drop_overloads)
        .enumerate()
        .filter_map(|(index, drop)| {
            drop_overload(drop, &policy_at.item("drop_overloads", index), notes)
        })
        .collect();
    let overprovisioning_factor = policy
        .and_then(|policy| optional(policy.overprovisioning_factor.as_ref()))
        .unwrap_or(OVERPROVISIONING);
    let name = AssignmentName::from(message.cluster_name.as_str());
    Some(Assignment { name, localities, overprovisioning_factor, drop_overloads })
}

fn drop_overload(
    message: &wire::cluster_load_assignment::policy::DropOverload,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<DropOverload> {
    let at_share = at.field("drop_percentage");
    let Some(share) = &message.drop_percentage else {
        return notes.refuse(&at_share, Problem::Missing);
    };
    let fraction = scalar::fractional_percent(share, &at_share, notes)?;
    let per_unit = match fraction.denominator {
        Denominator::Hundred => 10_000,
        Denominator::TenThousand => 100,
        Denominator::Million => 1,
    };
    // No share is more than the whole.
    let per_million = fraction.numerator * per_unit;
    Some(DropOverload { category: Arc::from(message.category.as_str()), per_million })
}

fn locality(
    message: &wire::LocalityLbEndpoints,
    names: Names,
    seen: &mut HashSet<EndpointAddress>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<LocalityEndpoints> {
    if message.lb_config.is_some() {
        notes.unsupported::<()>(&at.field("lb_config"), "LEDS", "lb_endpoints is");
    }
    if message.priority > LAST_PRIORITY {
        let what = message.priority.to_string();
        notes.unsupported::<()>(&at.field("priority"), what, "0 to 128 are");
    }
    let mut endpoints = Vec::with_capacity(message.lb_endpoints.len());
    for (index, endpoint) in message.lb_endpoints.iter().enumerate() {
        let at = at.item("lb_endpoints", index);
        let Some(endpoint) = self::endpoint(endpoint, names, &at, notes) else { continue };
        if seen.insert(endpoint.address.clone()) {
            endpoints.push(endpoint);
        } else {
            notes.warn(&at, format!("{} is there already; the first one counts", endpoint.address));
        }
    }
    let total: u64 = endpoints.iter().map(|endpoint| u64::from(endpoint.weight)).sum();
    if total > u64::from(u32::MAX) {
        notes.refuse::<()>(&at.field("lb_endpoints"), Problem::Weights(total));
    }
    let weight = message.load_balancing_weight.as_ref();
    let weight = weight.map(|_| self::weight(weight, at, notes));
    let locality = message.locality.as_ref().map(place).unwrap_or_default();
    let group = LocalityEndpoints { locality, priority: message.priority, weight, endpoints };
    (!group.endpoints.is_empty()).then_some(group)
}

fn place(message: &core::Locality) -> Locality {
    Locality {
        region: message.region.as_str().into(),
        zone: message.zone.as_str().into(),
        sub_zone: message.sub_zone.as_str().into(),
    }
}

fn endpoint(
    message: &wire::LbEndpoint,
    names: Names,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Endpoint> {
    use wire::lb_endpoint::HostIdentifier;
    let health = HealthStatus::read(message.health_status, &at.field("health_status"), notes);
    let weight = weight(message.load_balancing_weight.as_ref(), at, notes);
    match &message.host_identifier {
        None => notes.refuse(&at.field("endpoint"), Problem::Missing),
        Some(HostIdentifier::EndpointName(_)) => {
            notes.unsupported(&at.field("endpoint_name"), "a named endpoint", "endpoint is")
        }
        Some(HostIdentifier::Endpoint(endpoint)) => {
            let at_metadata = at.field("metadata");
            let at = at.field("endpoint");
            let address = destination(endpoint, names, &at.field("address"), notes)?;
            let alternatives = alternatives(endpoint, &at, notes)?;
            Some(Endpoint {
                address,
                alternatives,
                weight,
                health: health?,
                hostname: endpoint.hostname.as_str().into(),
                hash_key: hash_key(message.metadata.as_ref()),
                labels: labels(message, &at_metadata, notes),
                check: health_check::of_endpoint(endpoint, &at, notes),
            })
        }
    }
}

fn destination(
    message: &wire::Endpoint,
    names: Names,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<EndpointAddress> {
    if names == Names::LookedUp
        && let Some((host, port)) = address::named(message.address.as_ref(), at, notes)
    {
        let found = EndpointAddress::Named { host: Arc::from(host), port };
        if port == 0 && !found.is_service() {
            return notes.refuse(at, Problem::Port(0));
        }
        return Some(found);
    }
    let address = address::address(message.address.as_ref(), at, notes)?;
    if matches!(&address, Address::Ip(ip) if ip.port() == 0) {
        return notes.refuse(at, Problem::Port(0));
    }
    Some(EndpointAddress::Literal(address))
}

/// How many sets of labels an endpoint may be counted under where its lists stand for their items.
const MOST_SETS: usize = 1024;

fn labels(message: &wire::LbEndpoint, at: &At<'_>, notes: &mut Notes) -> Option<Arc<Labels>> {
    let labels = metadata::labels(message.metadata.as_ref());
    let lists = labels.values().filter_map(|label| label.items.as_ref().map(|items| items.len()));
    if lists.fold(1, usize::saturating_mul) > MOST_SETS {
        let text = "its lists combine in more than 1024 ways; no more of them count for a selector";
        notes.warn(at, text);
    }
    (!labels.is_empty()).then(|| Arc::new(labels))
}

fn hash_key(metadata: Option<&core::Metadata>) -> Option<Box<str>> {
    use protobuf::value::Kind;
    let fields = &metadata?.filter_metadata.get("envoy.lb")?.fields;
    match fields.get("hash_key")?.kind.as_ref()? {
        Kind::StringValue(key) => Some(key.as_str().into()),
        _ => None,
    }
}

/// Further addresses of an endpoint, which are IP addresses as its first one is.
fn alternatives(
    message: &wire::Endpoint,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Vec<SocketAddr>> {
    message
        .additional_addresses
        .iter()
        .enumerate()
        .map(|(index, additional)| {
            let at = at.item("additional_addresses", index);
            let at = at.field("address");
            match address::address(additional.address.as_ref(), &at, notes)? {
                Address::Ip(address) => Some(address),
                Address::Pipe(_) => notes.unsupported(&at, "a Unix socket", "socket_address is"),
            }
        })
        .collect()
}

fn weight(message: Option<&protobuf::UInt32Value>, at: &At<'_>, notes: &mut Notes) -> u32 {
    match optional(message) {
        None => 1,
        Some(0) => {
            notes.refuse::<()>(&at.field("load_balancing_weight"), Problem::Weights(0));
            1
        }
        Some(weight) => weight,
    }
}

/// Envoy refuses localities of one priority whose weights do not fit 32 bits together.
fn check_sum(localities: &[LocalityEndpoints], at: &At<'_>, notes: &mut Notes) {
    let mut sums = BTreeMap::<u32, u64>::new();
    for group in localities {
        *sums.entry(group.priority).or_default() += u64::from(group.weight.unwrap_or(0));
    }
    for sum in sums.into_values().filter(|sum| *sum > u64::from(u32::MAX)) {
        notes.refuse::<()>(&at.field("endpoints"), Problem::Weights(sum));
    }
}
