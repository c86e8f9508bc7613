//! The methods of the protocol: which path is which conversation.

use weft_proto::discovery::{DeltaDiscoveryRequest, DiscoveryRequest};
use weft_xds::{Mode, Request, ResourceType, server::Scope};

/// A gRPC service of discovery: its name, what it is for, and its methods.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) scope: Scope,
    state_of_the_world: Option<&'static str>,
    delta: &'static str,
}

const fn service(
    name: &'static str,
    scope: Scope,
    state_of_the_world: &'static str,
    delta: &'static str,
) -> Service {
    Service { name, scope, state_of_the_world: Some(state_of_the_world), delta }
}

/// Every discovery service that is served. For types that nothing is translated to so far, the
/// answer is that there is none.
pub(crate) const SERVICES: [Service; 10] = [
    service(
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        Scope::Aggregated,
        "StreamAggregatedResources",
        "DeltaAggregatedResources",
    ),
    service(
        "envoy.service.cluster.v3.ClusterDiscoveryService",
        Scope::Only(ResourceType::Cluster),
        "StreamClusters",
        "DeltaClusters",
    ),
    service(
        "envoy.service.endpoint.v3.EndpointDiscoveryService",
        Scope::Only(ResourceType::Endpoint),
        "StreamEndpoints",
        "DeltaEndpoints",
    ),
    service(
        "envoy.service.listener.v3.ListenerDiscoveryService",
        Scope::Only(ResourceType::Listener),
        "StreamListeners",
        "DeltaListeners",
    ),
    service(
        "envoy.service.route.v3.RouteDiscoveryService",
        Scope::Only(ResourceType::Route),
        "StreamRoutes",
        "DeltaRoutes",
    ),
    service(
        "envoy.service.route.v3.ScopedRoutesDiscoveryService",
        Scope::Only(ResourceType::ScopedRoute),
        "StreamScopedRoutes",
        "DeltaScopedRoutes",
    ),
    Service {
        name: "envoy.service.route.v3.VirtualHostDiscoveryService",
        scope: Scope::Only(ResourceType::VirtualHost),
        state_of_the_world: None,
        delta: "DeltaVirtualHosts",
    },
    service(
        "envoy.service.secret.v3.SecretDiscoveryService",
        Scope::Only(ResourceType::Secret),
        "StreamSecrets",
        "DeltaSecrets",
    ),
    service(
        "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
        Scope::Only(ResourceType::ExtensionConfig),
        "StreamExtensionConfigs",
        "DeltaExtensionConfigs",
    ),
    service(
        "envoy.service.runtime.v3.RuntimeDiscoveryService",
        Scope::Only(ResourceType::Runtime),
        "StreamRuntime",
        "DeltaRuntime",
    ),
];

impl Service {
    /// The mode of the method that a request path ends in.
    pub(crate) fn mode(&self, path: &str) -> Option<Mode> {
        let (_, method) = path.rsplit_once('/')?;
        if self.state_of_the_world == Some(method) {
            Some(Mode::StateOfTheWorld)
        } else if method == self.delta {
            Some(Mode::Delta)
        } else {
            None
        }
    }
}

/// A mode's messages on the wire.
pub(crate) trait Dialect: Send + 'static {
    const MODE: Mode;
    type Request: prost::Message + Default + 'static;

    fn request(message: Self::Request) -> Request;
}

/// State of the world.
pub(crate) struct Sotw;

/// Incremental.
pub(crate) struct Delta;

impl Dialect for Sotw {
    const MODE: Mode = Mode::StateOfTheWorld;
    type Request = DiscoveryRequest;

    fn request(message: DiscoveryRequest) -> Request {
        Request::Sotw(message)
    }
}

impl Dialect for Delta {
    const MODE: Mode = Mode::Delta;
    type Request = DeltaDiscoveryRequest;

    fn request(message: DeltaDiscoveryRequest) -> Request {
        Request::Delta(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_modes() {
        let [aggregated, clusters, ..] = &SERVICES;
        assert_eq!(aggregated.mode("/a.B/StreamAggregatedResources"), Some(Mode::StateOfTheWorld));
        assert_eq!(clusters.mode("/a.B/DeltaClusters"), Some(Mode::Delta));
        assert_eq!(clusters.mode("/a.B/FetchClusters"), None);
        assert_eq!(clusters.mode("DeltaClusters"), None);
        let incremental_only = SERVICES.iter().find(|each| each.state_of_the_world.is_none());
        assert_eq!(incremental_only.map(|each| each.mode("/a.B/")), Some(None));
    }
}
