//! The methods of the protocol: which path is which conversation.

use weft_proto::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use weft_xds::{Mode, Request, ResourceType, Response, server::Scope};

/// A gRPC service of discovery: its name, what it is for, and its methods.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) scope: Scope,
    state_of_the_world: &'static str,
    delta: &'static str,
}

/// Every discovery service that is served.
pub(crate) const SERVICES: [Service; 5] = [
    Service {
        name: "envoy.service.discovery.v3.AggregatedDiscoveryService",
        scope: Scope::Aggregated,
        state_of_the_world: "StreamAggregatedResources",
        delta: "DeltaAggregatedResources",
    },
    Service {
        name: "envoy.service.cluster.v3.ClusterDiscoveryService",
        scope: Scope::Only(ResourceType::Cluster),
        state_of_the_world: "StreamClusters",
        delta: "DeltaClusters",
    },
    Service {
        name: "envoy.service.endpoint.v3.EndpointDiscoveryService",
        scope: Scope::Only(ResourceType::Endpoint),
        state_of_the_world: "StreamEndpoints",
        delta: "DeltaEndpoints",
    },
    Service {
        name: "envoy.service.listener.v3.ListenerDiscoveryService",
        scope: Scope::Only(ResourceType::Listener),
        state_of_the_world: "StreamListeners",
        delta: "DeltaListeners",
    },
    Service {
        name: "envoy.service.route.v3.RouteDiscoveryService",
        scope: Scope::Only(ResourceType::Route),
        state_of_the_world: "StreamRoutes",
        delta: "DeltaRoutes",
    },
];

impl Service {
    /// The mode of the method that a request path ends in.
    pub(crate) fn mode(&self, path: &str) -> Option<Mode> {
        let (_, method) = path.rsplit_once('/')?;
        if method == self.state_of_the_world {
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
    type Response: prost::Message + Default + 'static;

    fn request(message: Self::Request) -> Request;

    /// The message of a response. `None` if it is one of the other mode, which a stream of this
    /// mode does not make.
    fn response(response: Response) -> Option<Self::Response>;
}

/// State of the world.
pub(crate) struct Sotw;

/// Incremental.
pub(crate) struct Delta;

impl Dialect for Sotw {
    const MODE: Mode = Mode::StateOfTheWorld;
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn request(message: DiscoveryRequest) -> Request {
        Request::Sotw(message)
    }

    fn response(response: Response) -> Option<DiscoveryResponse> {
        match response {
            Response::Sotw(message) => Some(message),
            Response::Delta(_) => None,
        }
    }
}

impl Dialect for Delta {
    const MODE: Mode = Mode::Delta;
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn request(message: DeltaDiscoveryRequest) -> Request {
        Request::Delta(message)
    }

    fn response(response: Response) -> Option<DeltaDiscoveryResponse> {
        match response {
            Response::Delta(message) => Some(message),
            Response::Sotw(_) => None,
        }
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
    }
}
