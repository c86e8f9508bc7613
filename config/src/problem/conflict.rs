//! Statements of the mesh that cannot both hold.

use crate::document::{DocumentId, Kind};

/// Two statements of the mesh that cannot both hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// A Service with registered endpoints has both TCP and HTTP ports.
    #[error("a Service with registered endpoints cannot have both tcp and HTTP ports")]
    MixedTransports,
    /// One host name would belong to two Services.
    #[error("the host name {hostname:?} already belongs to {owner}")]
    Hostname {
        /// The name.
        hostname: String,
        /// What has it: a Service, or the MeshConfig for hosts outside of the mesh.
        owner: Box<DocumentId>,
    },
    /// Two ports ask for the same listening address.
    #[error("the address {address} is already the listener of {owner}")]
    ListenAddress {
        /// The address.
        address: String,
        /// The port that has it, as `namespace/name:port`.
        owner: String,
    },
    /// A reference must say which of several ports it means.
    #[error("Service {service:?} has several ports ({}): which one?", .ports.join(", "))]
    AmbiguousPort {
        /// The Service.
        service: String,
        /// Its ports.
        ports: Vec<String>,
    },
    /// HTTP rules cannot apply to a TCP port.
    #[error("port {port} of Service {service:?} is a tcp port")]
    TcpPort {
        /// The Service.
        service: String,
        /// The port.
        port: u16,
    },
    /// A route is attached to a Service without any HTTP port.
    #[error("Service {service:?} has no http, http2 or grpc port")]
    NoHttpPort {
        /// The Service.
        service: String,
    },
    /// Only some balancers can give an endpoint less than its share.
    #[error("slowStart is for the policies RoundRobin, LeastRequest and PeakEWMA")]
    SlowStartWithoutUse,
    /// Only one balancer measures latencies.
    #[error("decayTime is used by the policy PeakEWMA only")]
    DecayWithoutUse,
    /// What zones take is said in two ways.
    #[error("loadBalancer.zones and zoneWeights cannot be given both")]
    ZonesTwice,
    /// Sessions are told apart before it is known which Subset a request goes to.
    #[error("stickiness is about a Service as a whole, not about a Subset of it")]
    StickySubset,
    /// Who lets requests come to an application does not know by which Subset they come.
    #[error("adaptiveConcurrency is about a Service as a whole, not about a Subset of it")]
    AdaptiveSubset,
    /// The least number is above the greatest.
    #[error("minConcurrent ({least}) is above maxConcurrent ({most})")]
    ConcurrencyBounds {
        /// `minConcurrent`, or what it is by default.
        least: u32,
        /// `maxConcurrent`, or what it is by default.
        most: u32,
    },
    /// The number of retries is bounded in two ways.
    #[error("circuitBreaker.maxRetries and retries.budget cannot be given both")]
    RetriesTwice,
    /// The longest rest is shorter than the first one.
    #[error("maxBackoff is {most:?}, and the first rest is {least:?} already")]
    BackoffBound {
        /// What was said.
        most: std::time::Duration,
        /// The rest before the second try.
        least: std::time::Duration,
    },
    /// Faults are chosen before it is known where a request goes.
    #[error("fault is about a Service as a whole, not about a Subset of it")]
    FaultOfSubset,
    /// Nobody stands in front of the endpoints of a Service who could count.
    #[error("Service {service:?} has no registered endpoints, so no sidecars that could limit")]
    LimitWithoutSidecars {
        /// The Service.
        service: String,
    },
    /// The health service of gRPC cannot be asked where nothing speaks gRPC.
    #[error("healthCheck.grpc is for ports with grpc or http2, and Service {service:?} has none")]
    GrpcCheck {
        /// The Service.
        service: String,
    },
    /// A share is said in two ways.
    #[error("percent and fraction cannot be given both")]
    TwoShares,
    /// What is said of copies would hold for two kinds of copies to one destination.
    #[error("copies go there twice, with maxActive or compare")]
    MirrorTwice,
    /// One try would be given more time than all of them.
    #[error("backendRequest is longer than request")]
    TryLongerThanRequest,
    /// Nothing would be done with what requests are told apart by.
    #[error("hashOn is used by the policies RingHash and Maglev only")]
    HashWithoutUse,
    /// There is nothing to choose.
    #[error("splitOn chooses among several backendRefs, and the rule has not got them")]
    SplitOfOne,
    /// Connections have no headers.
    #[error("backends of a route for connections cannot have filters")]
    StreamWithFilters,
    /// A rule both answers by itself and forwards.
    #[error("a rule that redirects cannot have backendRefs")]
    RedirectWithBackends,
    /// A rule both redirects and rewrites.
    #[error("a rule cannot have both RequestRedirect and URLRewrite")]
    RedirectWithRewrite,
    /// A prefix can only be replaced where a prefix was matched.
    #[error("ReplacePrefixMatch needs every match of the rule to be a PathPrefix")]
    PrefixWithoutPrefix,
    /// A rewrite of the whole path needs to know the whole path.
    #[error("URLRewrite with ReplaceFullPath needs every match of the rule to have an Exact path")]
    FullPathWithoutExact,
    /// Endpoints found by name cannot be merged with others in one cluster.
    #[error("endpoints by dns cannot be merged with other sources")]
    DnsWithOthers,
    /// Endpoints found by name have no labels to select them by.
    #[error("Service {service:?} has its endpoints from DNS, where they have no labels")]
    SubsetOfDns {
        /// The Service.
        service: String,
    },
    /// No backend of a rule would ever be chosen.
    #[error("every backend has the weight 0")]
    NoWeight,
    /// HTTP rules and tcp ports, or the reverse.
    #[error("port {port} of Service {service:?} does not take plain connections")]
    HttpPort {
        /// The Service.
        service: String,
        /// The port.
        port: u16,
    },
    /// A route for connections is attached to a Service without any tcp port.
    #[error("Service {service:?} has no such {protocol} port")]
    NoStreamPort {
        /// The Service.
        service: String,
        /// `tcp` or `tls`.
        protocol: &'static str,
    },
    /// A route for calls is attached where no HTTP/2 is spoken.
    #[error("Service {service:?} has no such port that speaks http2 or grpc")]
    NoGrpcPort {
        /// The Service.
        service: String,
    },
    /// Two policies for the same target.
    #[error("{target} already has a policy, {owner}")]
    SecondPolicy {
        /// The target.
        target: String,
        /// The policy it has.
        owner: String,
    },
    /// Two routes at a port ask for the same server name.
    #[error("the server name {hostname:?} is already routed by {owner}")]
    ServerName {
        /// The name.
        hostname: String,
        /// The route that has it.
        owner: Box<DocumentId>,
    },
    /// Listeners of a Gateway share a port and speak differently.
    #[error("listeners {listener:?} and {other:?} share port {port} and have different protocols")]
    ListenerProtocol {
        /// One listener.
        listener: String,
        /// The one before it.
        other: String,
        /// The port.
        port: u16,
    },
    /// Listeners of a Gateway share a port and nothing tells them apart.
    #[error("nothing tells listeners {listener:?} and {other:?} of port {port} apart")]
    ListenerHostname {
        /// One listener.
        listener: String,
        /// The one before it.
        other: String,
        /// The port.
        port: u16,
    },
    /// A parent without a kind is a Gateway, and only a Service has the name.
    #[error("no Gateway {service:?}, but there is a Service of that name")]
    ParentIsService {
        /// The Service.
        service: String,
    },
    /// No listener of a Gateway takes this kind of route.
    #[error("no such listener of Gateway {gateway:?} takes a {kind}")]
    NoListenerForKind {
        /// The Gateway.
        gateway: String,
        /// The kind of the route.
        kind: Kind,
    },
    /// A Gateway does not take routes of this namespace.
    #[error("Gateway {gateway:?} takes no routes of the namespace {namespace:?} here")]
    RouteNotAllowed {
        /// The Gateway.
        gateway: String,
        /// The namespace of the route.
        namespace: String,
    },
    /// A route and the listeners of its Gateway have no host name in common.
    #[error("no such listener of Gateway {gateway:?} has a host name in common with the route")]
    NoListenerHostname {
        /// The Gateway.
        gateway: String,
    },
    /// There is one MeshConfig.
    #[error("a MeshConfig is named default, in the namespace default")]
    OtherMeshConfig,
    /// Several instances cannot listen on one port.
    #[error("{instances} instances cannot all listen on port {port}")]
    SharedPort {
        /// How many.
        instances: u16,
        /// The port.
        port: u16,
    },
}

impl Conflict {
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::MixedTransports => {
                "a sidecar has one inbound port, so split the tcp ports off into a Service of their own"
            }
            Self::Hostname { .. } => "use another host name, or attach the route to that Service",
            Self::ListenAddress { .. } => "give each port a listen address of its own",
            Self::AmbiguousPort { .. } => "add the field port",
            Self::TcpPort { .. } | Self::NoHttpPort { .. } => {
                "requests come to a port with protocol http, http2 or grpc"
            }
            Self::TryLongerThanRequest => "give request at least as much time, or none (0s)",
            Self::SlowStartWithoutUse => "use one of these, or remove slowStart",
            Self::DecayWithoutUse => "set loadBalancer.policy to PeakEWMA, or remove decayTime",
            Self::ZonesTwice => "keep zoneWeights for shares that you choose, or zones for none",
            Self::StickySubset | Self::AdaptiveSubset => "put it into the policy of the Service",
            Self::ConcurrencyBounds { .. } => "swap them; without them they are 3 and 1000",
            Self::SplitOfOne => "name its backends, or remove splitOn",
            Self::RetriesTwice => "keep the budget: it grows with what is under way",
            Self::BackoffBound { .. } => "make it longer, or give a shorter backoff",
            Self::FaultOfSubset => "put it into the policy of the Service, with a match",
            Self::LimitWithoutSidecars { .. } => {
                "target an HTTPRoute of the Service: callers limit then; or register its endpoints"
            }
            Self::GrpcCheck { .. } => "use http or tcp, or give the port its protocol",
            Self::TwoShares => "remove one of the two",
            Self::MirrorTwice => "write one RequestMirror for each destination",
            Self::HashWithoutUse => "write policy: RingHash or policy: Maglev beside it",
            Self::StreamWithFilters => "remove the filters: connections have no headers to change",
            Self::RedirectWithBackends => "remove the backendRefs or the RequestRedirect filter",
            Self::RedirectWithRewrite => "remove one of the two filters",
            Self::PrefixWithoutPrefix => "match by PathPrefix, or use ReplaceFullPath",
            Self::FullPathWithoutExact => "match by Exact, or use ReplacePrefixMatch",
            Self::DnsWithOthers => {
                "make two Services and share requests among them by an HTTPRoute"
            }
            Self::SubsetOfDns { .. } => "use static endpoints, which have labels",
            Self::NoWeight => "give one of them a weight",
            Self::HttpPort { .. } | Self::NoStreamPort { .. } => {
                "a TCPRoute needs a port with protocol tcp, a TLSRoute one with protocol tls"
            }
            Self::NoGrpcPort { .. } => "calls of gRPC need a port with protocol grpc or http2",
            Self::SecondPolicy { .. } => "put everything about a target into one policy",
            Self::ServerName { .. } => "keep the name in one of the two routes",
            Self::ListenerProtocol { .. } => "give each protocol a port of its own",
            Self::ListenerHostname { .. } => {
                "give them different host names (HTTP, TLS) or ports of their own"
            }
            Self::ParentIsService { .. } => {
                "write kind: Service: a parent without a kind is a Gateway"
            }
            Self::NoListenerForKind { .. } => {
                "HTTP listeners take HTTPRoute, GRPCRoute and RateLimitPolicy, TCP ones TCPRoute, \
                 TLS ones TLSRoute"
            }
            Self::RouteNotAllowed { .. } => {
                "set allowedRoutes.namespaces.from: All on the listener, or move the route"
            }
            Self::NoListenerHostname { .. } => {
                "a listener with a hostname takes routes for that name only; change one of the two"
            }
            Self::OtherMeshConfig => "give it that name, or remove it",
            Self::SharedPort { .. } => "leave port out and listen on the port in the variable PORT",
        }
    }
}
