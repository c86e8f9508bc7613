//! What a proxy would say to a resource, without a proxy.

use std::time::Instant;

use weft_resources::{
    Assignment, Cluster, Decoded, FilterChain, Listener, ListenerKind, Reason, ResourceType,
    RouteConfiguration, Warning, decode,
};
use weft_telemetry::Stats;

use crate::{
    chain::{self, Names},
    slots::Slots,
};

/// Runs one resource through everything that a proxy would, except for what depends on other
/// resources. A listener may also be an `api_listener`, which proxies refuse and gRPC clients
/// need.
///
/// # Errors
/// All reasons why a proxy would refuse it, at least one.
pub fn check_resource(
    resource_type: ResourceType,
    bytes: &[u8],
) -> Result<Vec<Warning>, Vec<Reason>> {
    match resource_type {
        ResourceType::Cluster => decode::<Cluster>(bytes).map(|decoded| decoded.warnings),
        ResourceType::Assignment => decode::<Assignment>(bytes).map(|decoded| decoded.warnings),
        ResourceType::RouteConfiguration => {
            let Decoded { resource, warnings } = decode::<RouteConfiguration>(bytes)?;
            chain::route_config(resource, &mut Slots::default()).map_err(|reason| vec![reason])?;
            Ok(warnings)
        }
        ResourceType::Listener => {
            let Decoded { resource, warnings } = decode::<Listener>(bytes)?;
            let chain = match resource.kind {
                ListenerKind::Sockets { chain, .. } => chain,
                ListenerKind::Api(http) => FilterChain::Http(http),
            };
            let (clusters, route_configs) = (&mut Slots::default(), &mut Slots::default());
            let mut names = Names { clusters, route_configs };
            let stats = Stats::new(Instant::now());
            chain::chain(chain, &mut names, &stats).map_err(|reason| vec![reason])?;
            Ok(warnings)
        }
    }
}
