//! Where a route may send a request: clusters, and what is behind them at this moment.

use serde::Serialize;
use weft_balance::{Chosen, Condition, Criteria, EndpointAddress, Host, Picked, Verdict};
use weft_compile::{Cluster, ClusterChoice, ClusterId, Forward, RouteTarget, Tables, Target};

use crate::{Pick, Question, pick::pick};

/// Picks that are drawn to see how they fall.
const DRAWS: u32 = 1000;

/// A cluster that the request may go to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// Its name.
    pub cluster: String,
    /// How many of a hundred requests it gets.
    pub percent: f64,
    /// Why nothing can be sent there, if nothing can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The one of its endpoints that this very request gets, where its hash decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pick: Option<Pick>,
    /// Which of its endpoints are picked among, where it has subsets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// What is behind it.
    pub endpoints: Vec<Endpoint>,
}

/// One address behind a cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// `ip:port`, a path or a name.
    pub address: String,
    /// What its source says of it, in Envoy's words.
    pub health: &'static str,
    /// Relative to its neighbours.
    pub weight: u32,
    /// 0 is used first.
    pub priority: u32,
    /// Its zone, or empty.
    pub zone: String,
    /// How many of a hundred requests to the cluster it gets as things are.
    pub percent: f64,
    /// Requests to it that are under way.
    pub active_requests: u64,
    /// Why it gets none, or only as a last resort; empty where nothing keeps requests away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept_from: Vec<&'static str>,
}

/// The same, and the endpoints that this very request gets there.
pub(crate) fn picked(tables: &Tables, forward: &Forward, question: &Question) -> Vec<Destination> {
    let mut all = destinations(tables, forward);
    for (index, destination) in all.iter_mut().enumerate() {
        let asked = match &forward.target {
            RouteTarget::Weighted(weighted) => {
                weighted.clusters.get(index).and_then(|each| each.labels.as_deref())
            }
            _ => forward.labels.as_deref(),
        };
        let cluster = tables.cluster_named(&destination.cluster).and_then(|id| tables.cluster(id));
        destination.pick = cluster.and_then(|cluster| pick(cluster, asked, forward, question));
    }
    all
}

/// Every cluster that a route may send requests to.
pub fn destinations(tables: &Tables, forward: &Forward) -> Vec<Destination> {
    match &forward.target {
        RouteTarget::Cluster(id) => {
            vec![destination(tables, *id, 100.0, forward.labels.as_deref())]
        }
        RouteTarget::Header(name) => vec![by_header(name.as_str(), 100.0)],
        RouteTarget::Weighted(weighted) => {
            let clusters = weighted.clusters.iter().map(|each| (each.up_to, each));
            let shares =
                shares(weighted.total, clusters).map(|(percent, each)| match &each.cluster {
                    ClusterChoice::Id(id) => {
                        destination(tables, *id, percent, each.labels.as_deref())
                    }
                    ClusterChoice::Header(name) => by_header(name.as_str(), percent),
                });
            shares.collect()
        }
    }
}

/// Every cluster that the bytes of a connection may be sent to.
pub fn carried(tables: &Tables, target: &Target) -> Vec<Destination> {
    match target {
        Target::Cluster(id) => vec![destination(tables, *id, 100.0, None)],
        Target::Weighted(weighted) => {
            let clusters = weighted.clusters.iter().copied();
            let shares = shares(weighted.total, clusters);
            shares.map(|(percent, id)| destination(tables, id, percent, None)).collect()
        }
    }
}

/// Running sums of weights as shares of a hundred.
fn shares<T>(total: u32, sums: impl Iterator<Item = (u32, T)>) -> impl Iterator<Item = (f64, T)> {
    let mut before = 0;
    sums.map(move |(up_to, cluster)| {
        let weight = up_to - std::mem::replace(&mut before, up_to);
        (f64::from(weight) * 100.0 / f64::from(total.max(1)), cluster)
    })
}

fn by_header(name: &str, percent: f64) -> Destination {
    let cluster = format!("the cluster that the header {name} names");
    Destination { cluster, percent, trouble: None, subset: None, pick: None, endpoints: Vec::new() }
}

fn destination(
    tables: &Tables,
    id: ClusterId,
    percent: f64,
    asked: Option<&Criteria>,
) -> Destination {
    let Some(cluster) = tables.cluster(id) else {
        let trouble = Some("it is not there, or waits for its endpoints".to_owned());
        let cluster = "unknown".to_owned();
        return Destination {
            cluster,
            percent,
            trouble,
            subset: None,
            pick: None,
            endpoints: Vec::new(),
        };
    };
    let endpoints = endpoints(cluster, asked);
    let subset = cluster.subsets.as_ref().map(|_| subset(cluster, asked));
    let takes = endpoints.iter().any(|endpoint| endpoint.percent > 0.0);
    let trouble = match (endpoints.is_empty(), takes) {
        _ if cluster.original_destination.is_some() || cluster.dynamic_hosts.is_some() => None,
        (true, _) => Some("it has no endpoints: nothing is registered or listed".to_owned()),
        (false, false) if matches!(cluster.chosen(asked), Chosen::Nowhere) => {
            Some("no endpoint has the labels that are asked for".to_owned())
        }
        (false, false) => Some("none of its endpoints is healthy".to_owned()),
        (false, true) => None,
    };
    Destination {
        cluster: cluster.name.to_string(),
        percent,
        trouble,
        subset,
        pick: None,
        endpoints,
    }
}

/// Which endpoints are picked among, and why.
fn subset(cluster: &Cluster, asked: Option<&Criteria>) -> String {
    let labels: Vec<_> = asked
        .into_iter()
        .flat_map(Criteria::labels)
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let labels = labels.join(", ");
    match cluster.chosen(asked) {
        Chosen::Subset(_) => format!("the endpoints with {labels}"),
        Chosen::Fallback(_) if labels.is_empty() => {
            "the route asks for no labels: where the cluster falls back to".to_owned()
        }
        Chosen::Fallback(_) => {
            format!("there is no subset for {labels}: where the cluster falls back to")
        }
        Chosen::Panic(_) => "any endpoint: there is none to fall back on".to_owned(),
        Chosen::Nowhere => format!("there is no subset for {labels}, and nothing to fall back on"),
    }
}

fn endpoints(cluster: &Cluster, asked: Option<&Criteria>) -> Vec<Endpoint> {
    let hosts = cluster.balancer.hosts();
    let mut drawn = vec![0_u32; hosts.len()];
    for draw in 0..u64::from(DRAWS) {
        // Any numbers that are spread out will do; the balancer mixes them.
        let random = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let Some(picked) = at_random(cluster, asked, random) else { continue };
        let is_picked = |host: &Host| host.endpoint.id() == picked.endpoint.id();
        if let Some(count) = hosts.iter().position(is_picked).and_then(|at| drawn.get_mut(at)) {
            *count += 1;
        }
    }
    let each = hosts.iter().zip(drawn);
    each.map(|(host, drawn)| Endpoint {
        address: address(host.endpoint.address()),
        health: host.health.name(),
        weight: host.weight,
        priority: host.priority,
        zone: host.locality.as_ref().map(|of| of.zone.to_string()).unwrap_or_default(),
        percent: f64::from(drawn) * 100.0 / f64::from(DRAWS),
        active_requests: host.endpoint.active_requests().into(),
        kept_from: kept_from(host),
    })
    .collect()
}

/// Like a request's pick, but counted by nobody.
fn at_random<'a>(
    cluster: &'a Cluster,
    asked: Option<&Criteria>,
    random: u64,
) -> Option<Picked<'a>> {
    let picked = cluster.chosen(asked).balancer()?.pick(random)?;
    match cluster.members.get(picked.group) {
        Some(member) if member.subsets.is_some() => member.chosen(asked).balancer()?.pick(random),
        _ => Some(picked),
    }
}

/// What keeps requests from an endpoint.
fn kept_from(host: &Host) -> Vec<&'static str> {
    const VERDICTS: [(Verdict, &str); 5] = [
        (Verdict::Ejected, "outlier detection has ejected it"),
        (Verdict::FailedCheck, "its health checks fail"),
        (Verdict::AwaitsCheck, "it was not checked yet"),
        (Verdict::Excluded, "it asked to be left alone"),
        (Verdict::DegradedByCheck, "its health checks say that it is degraded"),
    ];
    let standing = host.endpoint.standing();
    let verdicts = VERDICTS.iter().filter(|(verdict, _)| standing.has(*verdict));
    let mut reasons: Vec<_> = verdicts.map(|(_, text)| *text).collect();
    if reasons.is_empty() {
        reasons.extend(match host.condition() {
            Condition::Healthy => None,
            Condition::Degraded => Some("its source says that it is degraded"),
            Condition::Unhealthy => Some("its source says that it is not healthy"),
            Condition::Excluded => Some("its source says that it drains"),
        });
    }
    reasons
}

pub(crate) fn address(address: &EndpointAddress) -> String {
    match address {
        EndpointAddress::Ip(address) => address.to_string(),
        EndpointAddress::Pipe(path) => path.display().to_string(),
        EndpointAddress::Name(name) => name.to_string(),
    }
}
