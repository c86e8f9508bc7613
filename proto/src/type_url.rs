//! The names by which types travel in an `Any` and in discovery requests.

/// What every type URL of the protocol begins with.
pub const PREFIX: &str = "type.googleapis.com/";

/// LDS.
pub const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
/// RDS.
pub const ROUTE_CONFIGURATION: &str =
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
/// SRDS.
pub const SCOPED_ROUTE_CONFIGURATION: &str =
    "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration";
/// VHDS.
pub const VIRTUAL_HOST: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
/// CDS.
pub const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// EDS.
pub const CLUSTER_LOAD_ASSIGNMENT: &str =
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// SDS.
pub const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
/// RTDS.
pub const RUNTIME: &str = "type.googleapis.com/envoy.service.runtime.v3.Runtime";
/// ECDS.
pub const EXTENSION_CONFIG: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

/// What a proxy starts with.
pub const BOOTSTRAP: &str = "type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap";
/// The network filter that speaks HTTP.
pub const HTTP_CONNECTION_MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
/// The network filter that forwards bytes.
pub const TCP_PROXY: &str =
    "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
/// The HTTP filter that forwards requests.
pub const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
/// HTTP settings of a cluster's upstream connections.
pub const HTTP_PROTOCOL_OPTIONS: &str =
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Round robin, as a load balancing policy extension.
pub const ROUND_ROBIN: &str =
    "type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin";
/// Least request, as a load balancing policy extension.
pub const LEAST_REQUEST: &str =
    "type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest";
/// Peak EWMA, as a load balancing policy extension of our own.
pub const PEAK_EWMA: &str = "type.googleapis.com/weft.balancing.v1.PeakEwma";
/// Hedging of our own, in the metadata of a cluster.
pub const HEDGE_POLICY: &str = "type.googleapis.com/weft.hedging.v1.HedgePolicy";
/// The HTTP filter of our own by which limits say what is left in standard fields.
pub const RATE_LIMIT_HEADERS: &str = "type.googleapis.com/weft.limits.v1.RateLimitHeaders";
/// What a route says of copies of its requests beyond Envoy's words.
pub const MIRRORING: &str = "type.googleapis.com/weft.mirroring.v1.Mirroring";
/// A locality chosen by weight first, then an endpoint of it.
pub const WRR_LOCALITY: &str =
    "type.googleapis.com/envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality";

/// The message's full name, i.e. what follows the last slash of a type URL.
///
/// ```
/// assert_eq!(
///     weft_proto::type_url::message_name(weft_proto::type_url::CLUSTER),
///     "envoy.config.cluster.v3.Cluster",
/// );
/// ```
#[must_use]
pub fn message_name(type_url: &str) -> &str {
    type_url.rsplit_once('/').map_or(type_url, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use prost::Name;

    use super::*;
    use crate::pb::envoy::config::{
        bootstrap::v3::Bootstrap,
        cluster::v3::Cluster,
        core::v3::TypedExtensionConfig,
        endpoint::v3::ClusterLoadAssignment,
        listener::v3::Listener,
        route::v3::{RouteConfiguration, ScopedRouteConfiguration, VirtualHost},
    };
    use crate::pb::envoy::extensions::{
        filters::http::router::v3::Router,
        filters::network::http_connection_manager::v3::HttpConnectionManager,
        filters::network::tcp_proxy::v3::TcpProxy,
        load_balancing_policies::least_request::v3::LeastRequest,
        load_balancing_policies::round_robin::v3::RoundRobin,
        load_balancing_policies::wrr_locality::v3::WrrLocality, transport_sockets::tls::v3::Secret,
        upstreams::http::v3::HttpProtocolOptions,
    };
    use crate::pb::envoy::service::runtime::v3::Runtime;

    #[test]
    fn constants_are_the_names_of_the_types() {
        assert_eq!(LISTENER, Listener::type_url());
        assert_eq!(ROUTE_CONFIGURATION, RouteConfiguration::type_url());
        assert_eq!(SCOPED_ROUTE_CONFIGURATION, ScopedRouteConfiguration::type_url());
        assert_eq!(VIRTUAL_HOST, VirtualHost::type_url());
        assert_eq!(CLUSTER, Cluster::type_url());
        assert_eq!(CLUSTER_LOAD_ASSIGNMENT, ClusterLoadAssignment::type_url());
        assert_eq!(SECRET, Secret::type_url());
        assert_eq!(RUNTIME, Runtime::type_url());
        assert_eq!(EXTENSION_CONFIG, TypedExtensionConfig::type_url());
        assert_eq!(BOOTSTRAP, Bootstrap::type_url());
        assert_eq!(HTTP_CONNECTION_MANAGER, HttpConnectionManager::type_url());
        assert_eq!(TCP_PROXY, TcpProxy::type_url());
        assert_eq!(ROUTER, Router::type_url());
        assert_eq!(HTTP_PROTOCOL_OPTIONS, HttpProtocolOptions::type_url());
        assert_eq!(ROUND_ROBIN, RoundRobin::type_url());
        assert_eq!(LEAST_REQUEST, LeastRequest::type_url());
        assert_eq!(WRR_LOCALITY, WrrLocality::type_url());
    }

    #[test]
    fn a_name_without_prefix_stays() {
        assert_eq!(message_name("a.B"), "a.B");
        assert_eq!(message_name("other.host/path/a.B"), "a.B");
    }
}
