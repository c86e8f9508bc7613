//! What happened, for machines: the header `proxy-status` (RFC 9209) of every answer to a fault.

use super::{Breaker, Fault, SetBy};

impl Fault {
    /// What happened, and the setting to look at, as the value of `proxy-status`.
    pub fn proxy_status(self) -> &'static str {
        match self {
            Self::NoRoute => r#"weft; error=destination_not_found; details="no route matches""#,
            Self::NoCluster(_) => {
                r#"weft; error=proxy_configuration_error; details="the route's cluster is not known""#
            }
            Self::NoHealthyUpstream => {
                r#"weft; error=destination_unavailable; details="no endpoint of the cluster may be picked""#
            }
            Self::NoSuchEndpoint(_) => {
                r#"weft; error=destination_not_found; details="the endpoint of the session is gone, and it is strict""#
            }
            Self::ConnectFailed => {
                r#"weft; error=destination_unavailable; details="no connection to any endpoint that was tried""#
            }
            Self::ConnectTimeout => {
                r#"weft; error=connection_timeout; details="setting: connect_timeout of the cluster""#
            }
            Self::UpstreamClosed => {
                r#"weft; error=connection_terminated; details="the endpoint closed the connection""#
            }
            Self::UpstreamReset => {
                r#"weft; error=connection_terminated; details="the endpoint reset the stream""#
            }
            Self::UpstreamRefused => {
                r#"weft; error=destination_unavailable; details="the endpoint refused the stream""#
            }
            Self::UpstreamOverflow(Breaker::PendingRequests) => {
                r#"weft; error=connection_limit_reached; details="setting: circuit_breakers max_pending_requests of the cluster""#
            }
            Self::UpstreamOverflow(Breaker::Requests) => {
                r#"weft; error=connection_limit_reached; details="setting: circuit_breakers max_requests of the cluster""#
            }
            Self::UpstreamOverflow(Breaker::ConnectionPools) => {
                r#"weft; error=connection_limit_reached; details="setting: circuit_breakers max_connection_pools of the cluster""#
            }
            Self::DropOverload | Self::DropOverloadAlways => {
                r#"weft; error=http_request_denied; details="setting: drop_overloads of the cluster's endpoints""#
            }
            Self::UpstreamProtocol => {
                r#"weft; error=http_protocol_error; details="the endpoint's answer is not HTTP""#
            }
            Self::RequestTimeout(SetBy::Caller) => {
                r#"weft; error=http_response_timeout; details="setting: x-envoy-upstream-rq-timeout-ms or x-envoy-expected-rq-timeout-ms of the request""#
            }
            Self::RequestTimeout(SetBy::GrpcTimeout)
            | Self::StreamDuration(SetBy::GrpcTimeout | SetBy::Caller) => {
                r#"weft; error=http_response_timeout; details="setting: grpc-timeout of the request""#
            }
            Self::RequestTimeout(SetBy::Route | SetBy::ConnectionManager) => {
                r#"weft; error=http_response_timeout; details="setting: timeout of the route""#
            }
            Self::PerTryTimeout => {
                r#"weft; error=http_response_timeout; details="setting: per_try_timeout of the retry policy""#
            }
            Self::PerTryIdle => {
                r#"weft; error=http_response_timeout; details="setting: per_try_idle_timeout of the retry policy""#
            }
            Self::StreamDuration(SetBy::Route) => {
                r#"weft; error=http_response_timeout; details="setting: max_stream_duration of the route""#
            }
            Self::StreamDuration(SetBy::ConnectionManager) => {
                r#"weft; error=http_response_timeout; details="setting: max_stream_duration of the listener""#
            }
            Self::SlowRequest(SetBy::GrpcTimeout | SetBy::Caller) => {
                r#"weft; error=http_request_error; details="the request was not sent in time; setting: grpc-timeout of the request""#
            }
            Self::SlowRequest(SetBy::Route) => {
                r#"weft; error=http_request_error; details="the request was not sent in time; setting: max_stream_duration of the route""#
            }
            Self::SlowRequest(SetBy::ConnectionManager) => {
                r#"weft; error=http_request_error; details="the request was not sent in time; setting: max_stream_duration of the listener""#
            }
            Self::UpstreamDuration => {
                r#"weft; error=http_response_timeout; details="setting: max_stream_duration of the cluster""#
            }
            Self::SlowForUpstream => {
                r#"weft; error=http_request_error; details="the request was not sent in time; setting: max_stream_duration of the cluster""#
            }
            Self::StreamIdle => {
                r#"weft; error=http_response_timeout; details="setting: idle_timeout of the route or stream_idle_timeout of the listener""#
            }
            Self::RequestIdle => {
                r#"weft; error=http_request_error; details="the request was not sent in time; setting: idle_timeout of the route or stream_idle_timeout of the listener""#
            }
            Self::RequestNotWhole => {
                r#"weft; error=http_request_error; details="the request was not sent in time; setting: request_timeout of the listener""#
            }
            Self::Underscore => {
                r#"weft; error=http_request_error; details="setting: headers_with_underscores_action of the listener""#
            }
            Self::UpgradeRefused => {
                r#"weft; error=http_upgrade_failed; details="setting: upgrade_configs of the route or the listener""#
            }
            Self::BadRequest(_) | Self::ClientGone | Self::NotBase64 => {
                "weft; error=http_request_error"
            }
            Self::RequestTooLarge => {
                r#"weft; error=http_request_error; details="setting: max_request_bytes of the buffer filter""#
            }
            Self::DnsFailed => {
                r#"weft; error=dns_error; details="the host that the request names was not found""#
            }
            Self::DnsCacheOverflow => {
                r#"weft; error=dns_error; details="setting: max_hosts of the DNS cache""#
            }
            Self::DnsPendingOverflow => {
                r#"weft; error=connection_limit_reached; details="setting: max_pending_requests of the DNS cache""#
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    /// Error types of RFC 9209 §2.3.
    const REGISTERED: [&str; 12] = [
        "connection_limit_reached",
        "connection_terminated",
        "connection_timeout",
        "destination_not_found",
        "destination_unavailable",
        "dns_error",
        "http_protocol_error",
        "http_request_denied",
        "http_request_error",
        "http_response_timeout",
        "http_upgrade_failed",
        "proxy_configuration_error",
    ];

    /// Every fault, one after the other.
    fn after(fault: Fault) -> Option<Fault> {
        use Fault as F;
        let by = |by| match by {
            SetBy::Route => Some(SetBy::ConnectionManager),
            SetBy::ConnectionManager => Some(SetBy::GrpcTimeout),
            SetBy::GrpcTimeout => Some(SetBy::Caller),
            SetBy::Caller => None,
        };
        Some(match fault {
            F::NoRoute => F::NoCluster(StatusCode::NOT_FOUND),
            F::NoCluster(_) => F::NoHealthyUpstream,
            F::NoHealthyUpstream => F::NoSuchEndpoint(StatusCode::NOT_FOUND),
            F::NoSuchEndpoint(_) => F::ConnectFailed,
            F::ConnectFailed => F::ConnectTimeout,
            F::ConnectTimeout => F::UpstreamClosed,
            F::UpstreamClosed => F::UpstreamReset,
            F::UpstreamReset => F::UpstreamRefused,
            F::UpstreamRefused => F::UpstreamOverflow(Breaker::PendingRequests),
            F::UpstreamOverflow(Breaker::PendingRequests) => F::UpstreamOverflow(Breaker::Requests),
            F::UpstreamOverflow(Breaker::Requests) => F::UpstreamOverflow(Breaker::ConnectionPools),
            F::UpstreamOverflow(Breaker::ConnectionPools) => F::DropOverload,
            F::DropOverload => F::DropOverloadAlways,
            F::DropOverloadAlways => F::UpstreamProtocol,
            F::UpstreamProtocol => F::RequestTimeout(SetBy::Route),
            F::RequestTimeout(set) => by(set).map_or(F::PerTryTimeout, F::RequestTimeout),
            F::PerTryTimeout => F::PerTryIdle,
            F::PerTryIdle => F::StreamDuration(SetBy::Route),
            F::StreamDuration(set) => {
                by(set).map_or(F::SlowRequest(SetBy::Route), F::StreamDuration)
            }
            F::SlowRequest(set) => by(set).map_or(F::UpstreamDuration, F::SlowRequest),
            F::UpstreamDuration => F::SlowForUpstream,
            F::SlowForUpstream => F::StreamIdle,
            F::StreamIdle => F::RequestIdle,
            F::RequestIdle => F::RequestNotWhole,
            F::RequestNotWhole => F::Underscore,
            F::Underscore => F::UpgradeRefused,
            F::UpgradeRefused => F::BadRequest("why"),
            F::BadRequest(_) => F::ClientGone,
            F::ClientGone => F::RequestTooLarge,
            F::RequestTooLarge => F::NotBase64,
            F::NotBase64 => F::DnsFailed,
            F::DnsFailed => F::DnsCacheOverflow,
            F::DnsCacheOverflow => F::DnsPendingOverflow,
            F::DnsPendingOverflow => return None,
        })
    }

    fn all() -> impl Iterator<Item = Fault> {
        std::iter::successors(Some(Fault::NoRoute), |fault| after(*fault))
    }

    #[test]
    fn every_fault_is_a_registered_error_of_this_proxy() {
        for fault in all() {
            let said = fault.proxy_status();
            let mut parts = said.split("; ");
            assert_eq!(parts.next(), Some("weft"), "{said}");
            let error = parts.next().and_then(|error| error.strip_prefix("error="));
            assert!(REGISTERED.contains(&error.unwrap()), "{said}");
            let details = parts.collect::<Vec<_>>().join("; ");
            let text = details.strip_prefix("details=\"").and_then(|it| it.strip_suffix('"'));
            let is_string = text.is_some_and(|it| !it.is_empty() && !it.contains(['"', '\\']));
            assert!(details.is_empty() || is_string, "{said}");
        }
    }

    #[test]
    fn every_timeout_names_its_setting() {
        let late = [StatusCode::GATEWAY_TIMEOUT, StatusCode::REQUEST_TIMEOUT];
        let timeouts: Vec<_> = all().filter(|fault| late.contains(&fault.status())).collect();
        assert_eq!(timeouts.len(), 19);
        for fault in timeouts.into_iter().chain([Fault::ConnectTimeout]) {
            assert!(fault.proxy_status().contains("setting: "), "{fault:?}");
        }
    }
}
