//! Load assignments: the endpoints of a cluster, by zone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use weft_config::model::policy::{TrafficSettings, ZoneWeight};
use weft_config::model::service::{Service, Subset};
use weft_proto::pb::envoy::config::core::v3::{Address, HealthStatus, Locality};
use weft_proto::pb::envoy::config::endpoint::v3 as endpoint;
use weft_proto::pb::envoy::config::endpoint::v3::cluster_load_assignment::{
    Policy, policy::DropOverload,
};

use crate::wire::{address, fraction, host_and_port, uint32};
use crate::workloads::Instance;

/// By what requests are counted that a policy has dropped.
const DROPPED: &str = "policy";

/// The endpoints of a Service port, or of one of its Subsets: what is written down, then what has
/// registered. Both dialects take the same form.
pub(crate) fn assignment(
    name: &str,
    service: &Service,
    port: u16,
    subset: Option<&Subset>,
    (policy, weights): (Option<Policy>, &[ZoneWeight]),
    instances: &[Instance],
) -> endpoint::ClusterLoadAssignment {
    let selects = |labels| subset.is_none_or(|subset: &Subset| subset.selects(labels));
    let written = service
        .static_endpoints()
        .filter(|written| written.port.is_none_or(|only| only == port))
        .filter(|written| selects(&written.labels))
        .map(|written| {
            let zone = written.zone.as_deref().unwrap_or_default();
            (zone, Place { at: written.address, weight: written.weight, healthy: true })
        });
    let registered = instances
        .iter()
        .filter(|_| service.takes_registrations())
        .filter(|instance| selects(&instance.labels))
        .map(|instance| {
            let (at, healthy) = (instance.address, instance.healthy);
            (instance.zone.as_str(), Place { at, weight: None, healthy })
        });

    // An address twice is refused by gRPC clients (gRFC A27): an instance that restarted may
    // have registered before its predecessor was noticed gone.
    let mut seen: BTreeSet<SocketAddr> = BTreeSet::new();
    let mut zones: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
    for (zone, place) in written.chain(registered) {
        if seen.insert(place.at) {
            zones.entry(zone).or_default().push(place);
        }
    }
    endpoint::ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: zones
            .into_iter()
            .map(|(zone, endpoints)| locality(zone, &endpoints, weights))
            .collect(),
        policy,
        ..Default::default()
    }
}

/// What becomes of requests as a whole, if anything does.
pub(crate) fn policy(settings: &TrafficSettings) -> Option<Policy> {
    settings.drop.map(|share| Policy {
        drop_overloads: vec![DropOverload {
            category: DROPPED.to_owned(),
            drop_percentage: Some(fraction(share)),
        }],
        ..Default::default()
    })
}

/// An endpoint among those of its zone.
#[derive(Clone, Copy)]
struct Place {
    at: SocketAddr,
    weight: Option<u32>,
    healthy: bool,
}

fn locality(zone: &str, places: &[Place], weights: &[ZoneWeight]) -> endpoint::LocalityLbEndpoints {
    // gRPC clients skip a locality without a weight (gRFC A27). The sum of its endpoints' weights
    // leaves each endpoint the share that it would have without localities.
    let sum = places.iter().map(|each| each.weight.unwrap_or(1)).fold(0, u32::saturating_add);
    let chosen = weights.iter().find(|it| it.zone == zone).map_or(1, |it| it.weight);
    let weight = if weights.is_empty() { sum } else { chosen };
    endpoint::LocalityLbEndpoints {
        locality: Some(Locality { zone: zone.to_owned(), ..Default::default() }),
        lb_endpoints: places.iter().map(|each| each.lb_endpoint()).collect(),
        load_balancing_weight: Some(uint32(weight)),
        ..Default::default()
    }
}

impl Place {
    fn lb_endpoint(self) -> endpoint::LbEndpoint {
        let unhealthy = (!self.healthy).then_some(HealthStatus::Unhealthy);
        endpoint::LbEndpoint {
            health_status: unhealthy.map(i32::from).unwrap_or_default(),
            ..lb_endpoint(self.at, self.weight)
        }
    }
}

pub(crate) fn lb_endpoint(at: SocketAddr, weight: Option<u32>) -> endpoint::LbEndpoint {
    endpoint::LbEndpoint { load_balancing_weight: weight.map(uint32), ..at_address(address(at)) }
}

/// An endpoint whose addresses are looked up.
pub(crate) fn named_endpoint(host: &str, port: u16) -> endpoint::LbEndpoint {
    at_address(host_and_port(host, port))
}

fn at_address(address: Address) -> endpoint::LbEndpoint {
    endpoint::LbEndpoint {
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(
            endpoint::Endpoint { address: Some(address), ..Default::default() },
        )),
        ..Default::default()
    }
}
