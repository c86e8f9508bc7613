//! What a proxy would say to a resource, without a proxy.

use std::time::Instant;

use weft_resources::{
    Assignment, Cluster, Decoded, Listener, ListenerKind, Reason, ResourceType, RouteConfiguration,
    Sockets, Terminal, Warning, decode,
};
use weft_telemetry::Stats;

use crate::{
    chain::Names, files::Files, filter_chains, rates::SharedBuckets, route_table, slots::Slots,
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
            route_table::compile(resource, &mut Slots::default(), Files::Assumed)
                .map_err(|reason| vec![reason])?;
            Ok(warnings)
        }
        ResourceType::Listener => {
            let Decoded { resource, warnings } = decode::<Listener>(bytes)?;
            let (clusters, route_configs) = (&mut Slots::default(), &mut Slots::default());
            let buckets = &mut SharedBuckets::default();
            let mut names = Names { clusters, route_configs, buckets, files: Files::Assumed };
            let stats = Stats::new(Instant::now());
            match resource.kind {
                ListenerKind::Sockets(sockets) => {
                    let Sockets { chains, default_chain, .. } = *sockets;
                    filter_chains::compile(chains, default_chain, &[], &mut names, &stats)?;
                }
                ListenerKind::Api(http) => {
                    let http = Terminal::Http(http);
                    filter_chains::terminal(http, &mut names, &stats)
                        .map_err(|reason| vec![reason])?;
                }
            }
            Ok(warnings)
        }
    }
}
