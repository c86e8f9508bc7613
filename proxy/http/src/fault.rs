//! Everything that can go wrong with a request, as one closed list.

mod proxy_status;

use http::{HeaderName, StatusCode};

/// Why a request was not answered by an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No virtual host or no route matches.
    NoRoute,
    /// The route's cluster is not in the tables; the status is the route's
    /// `cluster_not_found_response_code`.
    NoCluster(StatusCode),
    /// The cluster has no endpoint that may be picked.
    NoHealthyUpstream,
    /// The request asks for an endpoint that the cluster has not, and no other will do
    /// (`stateful_session`); the status is the one for that.
    NoSuchEndpoint(StatusCode),
    /// No connection to any endpoint tried.
    ConnectFailed,
    /// No connection within `connect_timeout`.
    ConnectTimeout,
    /// The connection ended before a response began.
    UpstreamClosed,
    /// The upstream reset the stream before a response began.
    UpstreamReset,
    /// The upstream refused the stream before it looked at it (REFUSED_STREAM, GOAWAY).
    UpstreamRefused,
    /// The cluster has as much under way as it may (`circuit_breakers`).
    UpstreamOverflow(Breaker),
    /// Dropped to take load off the cluster (`drop_overloads`).
    DropOverload,
    /// The cluster takes no request at all: all are dropped to take load off it.
    DropOverloadAlways,
    /// The upstream's answer is not HTTP.
    UpstreamProtocol,
    /// The time for the response passed before it ended.
    RequestTimeout(SetBy),
    /// One try took longer than the retry policy lets it (`per_try_timeout`), and was the last one.
    PerTryTimeout,
    /// Nothing of one try's response came for as long as the retry policy waits
    /// (`per_try_idle_timeout`), and it was the last one.
    PerTryIdle,
    /// The time for the whole stream passed before the response ended.
    StreamDuration(SetBy),
    /// The same while the client had not sent all of its request.
    SlowRequest(SetBy),
    /// The cluster's `max_stream_duration` passed before the response ended.
    UpstreamDuration,
    /// The same while the client had not sent all of its request.
    SlowForUpstream,
    /// Nothing moved for the stream idle timeout.
    StreamIdle,
    /// The same while the client had not sent all of its request.
    RequestIdle,
    /// The request had not come as a whole within the `request_timeout`.
    RequestNotWhole,
    /// A name with an underscore where none may be.
    Underscore,
    /// Another protocol was asked for that is not configured here.
    UpgradeRefused,
    /// The client's message is not acceptable.
    BadRequest(&'static str),
    /// The client broke off while its request was being sent on.
    ClientGone,
    /// The request has a longer body than a filter buffers.
    RequestTooLarge,
    /// What a gRPC-Web client sends as text is not base64.
    NotBase64,
    /// The host that the request names is nowhere, or was not looked up in time.
    DnsFailed,
    /// As many hosts are known as may be, and the one that the request names is none of them.
    DnsCacheOverflow,
    /// As many requests wait for the hosts that they name as may.
    DnsPendingOverflow,
}

/// Which limit of a cluster was reached (`circuit_breakers.thresholds`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// `max_pending_requests`: as many wait for a connection as may.
    PendingRequests,
    /// `max_requests`.
    Requests,
    /// `max_connection_pools`: there is none to the endpoint, and no other is unused.
    ConnectionPools,
}

/// Who has set how long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// The route: its `timeout`, or its `max_stream_duration`.
    Route,
    /// The connection manager's `max_stream_duration`.
    ConnectionManager,
    /// The caller by its `grpc-timeout`, as far as the route lets it.
    GrpcTimeout,
    /// A caller inside, or a proxy before this one, by a header.
    Caller,
}

/// What is known of a request at the endpoint that it was meant for, when no response came of it.
/// Without a policy only the first lets it be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processed {
    /// The endpoint cannot have acted on it: it was not sent, or the endpoint says so.
    No,
    /// The endpoint has begun to answer.
    Yes,
    /// The endpoint may have acted on it.
    Unknown,
}

impl Fault {
    /// Whether it is the end of a request whatever is known of it at the endpoint: a limit of ours
    /// was reached, or it is the client's doing, so that no other endpoint would help.
    pub fn is_final(self) -> bool {
        match self {
            Self::UpstreamOverflow(_)
            | Self::DropOverload
            | Self::DropOverloadAlways
            | Self::RequestTimeout(_)
            | Self::StreamDuration(_)
            | Self::SlowRequest(_)
            | Self::StreamIdle
            | Self::RequestIdle
            | Self::RequestNotWhole
            | Self::RequestTooLarge
            | Self::ClientGone
            | Self::BadRequest(_)
            | Self::NotBase64
            | Self::Underscore
            | Self::UpgradeRefused
            | Self::NoRoute
            | Self::NoCluster(_)
            | Self::NoSuchEndpoint(_)
            | Self::DnsFailed
            | Self::DnsCacheOverflow
            | Self::DnsPendingOverflow => true,
            Self::NoHealthyUpstream
            | Self::ConnectFailed
            | Self::ConnectTimeout
            | Self::UpstreamClosed
            | Self::UpstreamReset
            | Self::UpstreamRefused
            | Self::UpstreamProtocol
            | Self::PerTryTimeout
            | Self::PerTryIdle
            | Self::UpstreamDuration
            | Self::SlowForUpstream => false,
        }
    }

    /// The status a plain HTTP client gets. Follows Envoy's choices.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoCluster(status) | Self::NoSuchEndpoint(status) => status,
            Self::NoHealthyUpstream
            | Self::ConnectFailed
            | Self::ConnectTimeout
            | Self::UpstreamClosed
            | Self::UpstreamReset
            | Self::UpstreamOverflow(_)
            | Self::DropOverload
            | Self::DropOverloadAlways
            | Self::UpstreamRefused
            | Self::DnsFailed
            | Self::DnsCacheOverflow
            | Self::DnsPendingOverflow => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamProtocol => StatusCode::BAD_GATEWAY,
            Self::RequestTimeout(_)
            | Self::PerTryTimeout
            | Self::PerTryIdle
            | Self::StreamDuration(_)
            | Self::UpstreamDuration
            | Self::StreamIdle => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestIdle
            | Self::SlowRequest(_)
            | Self::SlowForUpstream
            | Self::RequestNotWhole => StatusCode::REQUEST_TIMEOUT,
            Self::UpgradeRefused => StatusCode::FORBIDDEN,
            Self::BadRequest(_) | Self::Underscore | Self::ClientGone | Self::NotBase64 => {
                StatusCode::BAD_REQUEST
            }
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// What happened, in a word that formats show (`%RESPONSE_CODE_DETAILS%`), as Envoy says it.
    pub fn details(self) -> &'static str {
        match self {
            Self::NoRoute => "route_not_found",
            Self::NoCluster(_) => "cluster_not_found",
            Self::NoHealthyUpstream | Self::NoSuchEndpoint(_) => "no_healthy_upstream",
            Self::ConnectFailed => {
                "upstream_reset_before_response_started{remote_connection_failure}"
            }
            Self::ConnectTimeout => "upstream_reset_before_response_started{connection_timeout}",
            Self::UpstreamClosed => {
                "upstream_reset_before_response_started{connection_termination}"
            }
            Self::UpstreamReset => "upstream_reset_before_response_started{remote_reset}",
            Self::UpstreamRefused => {
                "upstream_reset_before_response_started{remote_refused_stream_reset}"
            }
            Self::UpstreamOverflow(_) => "upstream_reset_before_response_started{overflow}",
            Self::DropOverload => "drop_overload",
            Self::DropOverloadAlways => "unconditional_drop_overload",
            Self::UpstreamProtocol => "upstream_reset_before_response_started{protocol_error}",
            Self::RequestTimeout(_) => "response_timeout",
            Self::PerTryTimeout => "upstream_per_try_timeout",
            Self::PerTryIdle => "upstream_per_try_idle_timeout",
            Self::StreamDuration(_) | Self::SlowRequest(_) => "max_duration_timeout",
            Self::UpstreamDuration | Self::SlowForUpstream => {
                "upstream_max_stream_duration_reached"
            }
            Self::StreamIdle | Self::RequestIdle => "stream_idle_timeout",
            Self::RequestNotWhole => "request_overall_timeout",
            Self::Underscore => "http1.unexpected_underscore",
            Self::BadRequest(_) => "http1.codec_error",
            Self::UpgradeRefused => "upgrade_failed",
            Self::ClientGone => "downstream_remote_disconnect",
            Self::RequestTooLarge => "request_payload_too_large",
            Self::NotBase64 => "grpc_base_64_decode_failed",
            Self::DnsFailed => "dns_resolution_failure",
            Self::DnsCacheOverflow => "dns_cache_overflow",
            Self::DnsPendingOverflow => "dynamic_forward_proxy_pending_request_overflow",
        }
    }

    /// What happened, as the flag that formats show (`%RESPONSE_FLAGS%`), as Envoy says it.
    pub fn flags(self) -> &'static str {
        match self {
            Self::NoRoute => "NR",
            Self::NoCluster(_) => "NC",
            Self::NoHealthyUpstream | Self::NoSuchEndpoint(_) => "UH",
            Self::ConnectFailed | Self::ConnectTimeout => "UF",
            Self::UpstreamClosed => "UC",
            Self::UpstreamReset | Self::UpstreamRefused => "UR",
            Self::UpstreamOverflow(_) => "UO",
            Self::DropOverload => "DO",
            Self::DropOverloadAlways => "UDO",
            Self::UpstreamProtocol => "UPE",
            Self::RequestTimeout(_) | Self::PerTryTimeout | Self::PerTryIdle => "UT",
            Self::StreamDuration(_) | Self::SlowRequest(_) => "DT",
            Self::UpstreamDuration | Self::SlowForUpstream => "UMSDR",
            Self::StreamIdle | Self::RequestIdle => "SI",
            Self::RequestNotWhole | Self::Underscore => "",
            Self::BadRequest(_) => "DPE",
            Self::UpgradeRefused
            | Self::RequestTooLarge
            | Self::NotBase64
            | Self::DnsCacheOverflow
            | Self::DnsPendingOverflow => "",
            Self::DnsFailed => "DF",
            Self::ClientGone => "DC",
        }
    }

    /// The body (and `grpc-message`) that says why. Empty where Envoy's is.
    pub fn message(self) -> &'static str {
        match self {
            Self::NoRoute | Self::NoCluster(_) | Self::UpgradeRefused => "",
            Self::NoHealthyUpstream | Self::NoSuchEndpoint(_) => "no healthy upstream",
            Self::ConnectFailed => {
                "upstream connect error or disconnect/reset before headers. reset reason: remote \
                 connection failure"
            }
            Self::ConnectTimeout => {
                "upstream connect error or disconnect/reset before headers. reset reason: \
                 connection timeout"
            }
            Self::UpstreamClosed => {
                "upstream connect error or disconnect/reset before headers. reset reason: \
                 connection termination"
            }
            Self::UpstreamReset => {
                "upstream connect error or disconnect/reset before headers. reset reason: remote \
                 reset"
            }
            Self::UpstreamRefused => {
                "upstream connect error or disconnect/reset before headers. reset reason: remote \
                 refused stream reset"
            }
            Self::UpstreamOverflow(_) => {
                "upstream connect error or disconnect/reset before headers. reset reason: overflow"
            }
            Self::DropOverload => "drop overload",
            Self::DropOverloadAlways => "unconditional drop overload",
            Self::UpstreamProtocol => {
                "upstream connect error or disconnect/reset before headers. reset reason: \
                 protocol error"
            }
            Self::RequestTimeout(_) | Self::PerTryTimeout | Self::PerTryIdle => {
                "upstream request timeout"
            }
            Self::StreamDuration(_) | Self::SlowRequest(_) => "downstream duration timeout",
            Self::UpstreamDuration | Self::SlowForUpstream => {
                "upstream max stream duration reached"
            }
            Self::StreamIdle | Self::RequestIdle => "stream timeout",
            Self::RequestNotWhole => "request timeout",
            Self::Underscore => "Bad Request",
            Self::BadRequest(why) => why,
            Self::ClientGone => "downstream closed",
            Self::RequestTooLarge => "Payload Too Large",
            Self::NotBase64 => "Bad gRPC-web request, invalid base64 data.",
            Self::DnsFailed => "DNS resolution failure",
            Self::DnsCacheOverflow => "DNS cache overflow",
            Self::DnsPendingOverflow => "Dynamic forward proxy pending request overflow",
        }
    }

    /// The header that tells callers and other proxies not to come again at once. Routers that
    /// suppress `x-envoy-` headers leave it out.
    pub fn overload_header(self) -> Option<HeaderName> {
        match self {
            Self::UpstreamOverflow(_) => Some(HeaderName::from_static("x-envoy-overloaded")),
            Self::DropOverload => Some(HeaderName::from_static("x-envoy-drop-overload")),
            Self::DropOverloadAlways => {
                Some(HeaderName::from_static("x-envoy-unconditional-drop-overload"))
            }
            _ => None,
        }
    }
}
