//! What a route does: forward, redirect or answer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use weft_proto::pb::envoy::config::route::v3 as wire;
use weft_route::PathMatch;

use crate::{
    circuit_breakers::Priority,
    destination::{self, ClusterChoice, RouteTarget},
    hash_policy::{self, HashPolicy},
    internal_redirect::{self, InternalRedirect},
    local_reply::{self, BodyFormat},
    metadata::{self, Labels},
    mirror::{self, Mirror},
    name::ClusterName,
    path::At,
    problem::{Notes, Problem},
    redirect::{self, Redirect},
    retry_policy::{self, RetryPolicy},
    rewrite::{self, HostRewrite, PathRewrite},
    scalar::{self, DataSource},
    upgrade::{self, Upgrade},
};

/// Envoy's default for the whole upstream answer.
const ROUTE_TIMEOUT: Duration = Duration::from_secs(15);

/// A route's action.
#[derive(Debug)]
pub enum RouteAction {
    /// `route`: send it on.
    Forward(Box<Forward>),
    /// `redirect`: answer with a redirect.
    Redirect(Redirect),
    /// `direct_response`: answer with fixed content.
    Direct(DirectResponse),
    /// `non_forwarding_action`: for servers that serve by themselves, such as gRPC's. A proxy that
    /// gets such a request has nowhere to send it.
    Nowhere,
}

/// `RouteAction` of the wire.
#[derive(Debug)]
pub struct Forward {
    /// The cluster, or how it is chosen.
    pub target: RouteTarget,
    /// `timeout`: whole upstream answer within this time (15 s by default; `None` when 0, and
    /// where `max_stream_duration` is set, which takes its place).
    pub timeout: Option<Duration>,
    /// `idle_timeout`: overrides the connection manager's when set; `Some(None)` turns it off.
    pub idle_timeout: Option<Option<Duration>>,
    /// `max_stream_duration`.
    pub stream_limit: StreamLimit,
    /// `max_grpc_timeout`: what takes the place of `timeout` for gRPC requests.
    pub grpc_timeout: Option<GrpcTimeout>,
    /// What becomes of the host.
    pub host: HostRewrite,
    /// `append_x_forwarded_host`: a host that is replaced is kept there.
    pub append_x_forwarded_host: bool,
    /// What becomes of the path.
    pub path: PathRewrite,
    /// `cluster_not_found_response_code` (503 by default).
    pub cluster_not_found: StatusCode,
    /// `hash_policy`.
    pub hash_policy: Box<[HashPolicy]>,
    /// `upgrade_configs`.
    pub upgrades: Box<[Upgrade]>,
    /// Bytes of a request's body that are kept to send it once more (`request_body_buffer_limit` or
    /// `per_request_buffer_limit_bytes`, of the virtual host where the route has none).
    pub body_limit: Option<u64>,
    /// `internal_redirect_policy`.
    pub internal_redirect: Option<Arc<InternalRedirect>>,
    /// `retry_policy`, of the virtual host where the route has none.
    pub retry: Option<Arc<RetryPolicy>>,
    /// `hedge_policy.hedge_on_per_try_timeout`, of the virtual host where the route has no policy.
    pub hedges: Option<bool>,
    /// `metadata_match`: labels that an endpoint must have.
    pub labels: Labels,
    /// `priority`.
    pub priority: Priority,
    /// `request_mirror_policies`, of the virtual host or the route configuration where the route
    /// has none.
    pub mirrors: Arc<[Mirror<ClusterChoice>]>,
}

impl Forward {
    /// The clusters that can be told without a request.
    pub fn clusters(&self) -> Vec<&ClusterName> {
        let copies = self.mirrors.iter().filter_map(|mirror| match &mirror.cluster {
            ClusterChoice::Name(name) => Some(name),
            ClusterChoice::Header(_) => None,
        });
        self.target.names().into_iter().chain(copies).collect()
    }
}

/// `RouteAction.MaxStreamDuration`: how long a request with its answer may take in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamLimit {
    /// `max_stream_duration`; zero is no limit, not even that of the connection manager.
    pub limit: Option<Duration>,
    /// `grpc_timeout_header_max`: where set, `grpc-timeout` of the request is the limit, capped at
    /// this (zero is no cap).
    pub grpc_max: Option<Duration>,
    /// `grpc_timeout_header_offset`: what is taken off `grpc-timeout`.
    pub grpc_offset: Option<Duration>,
}

/// `max_grpc_timeout` with `grpc_timeout_offset`: `grpc-timeout` of a request is how long its answer
/// may take; without one there is no limit but this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcTimeout {
    /// The most that is granted; `None` for no limit.
    pub max: Option<Duration>,
    /// `grpc_timeout_offset`: what is taken off `grpc-timeout` where it is longer than this.
    pub offset: Duration,
}

/// `DirectResponseAction`.
#[derive(Clone, Debug)]
pub struct DirectResponse {
    /// The status.
    pub status: StatusCode,
    /// The body, empty for none.
    pub body: DataSource,
    /// `body_format`: what is made of the body.
    pub format: Option<BodyFormat>,
    /// Bytes the body may have (`max_direct_response_body_size_bytes`).
    pub limit: usize,
}

/// Reads a route's action. `path` is what the route matches, if that could be read.
pub(crate) fn read(
    message: &wire::Route,
    path: Option<&PathMatch>,
    direct_response_limit: u32,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<RouteAction> {
    use wire::route::Action;
    match &message.action {
        None => notes.refuse(&at.field("action"), Problem::Missing),
        Some(Action::Route(action)) => {
            let forward = forward(action, path, &at.field("route"), notes)?;
            Some(RouteAction::Forward(Box::new(forward)))
        }
        Some(Action::Redirect(action)) => {
            redirect::read(action, path, &at.field("redirect"), notes).map(RouteAction::Redirect)
        }
        Some(Action::DirectResponse(action)) => {
            direct(action, direct_response_limit, &at.field("direct_response"), notes)
                .map(RouteAction::Direct)
        }
        Some(Action::FilterAction(_)) => notes.unsupported(
            &at.field("filter_action"),
            "a filter's action",
            "route, redirect, direct_response and non_forwarding_action are",
        ),
        Some(Action::NonForwardingAction(_)) => Some(RouteAction::Nowhere),
    }
}

fn forward(
    message: &wire::RouteAction,
    path: Option<&PathMatch>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Forward> {
    let target = destination::read(message, at, notes);
    let timeout = message.timeout.as_ref();
    let timeout = scalar::timeout_or(timeout, Some(ROUTE_TIMEOUT), &at.field("timeout"), notes);
    let idle_timeout = message.idle_timeout.as_ref().map(|idle| {
        scalar::duration(idle, &at.field("idle_timeout"), notes).filter(|idle| !idle.is_zero())
    });
    let stream_limit = message.max_stream_duration.as_ref();
    let limit_at = at.field("max_stream_duration");
    let stream_limit = stream_limit.map(|limit| self::stream_limit(limit, &limit_at, notes));
    // `max_stream_duration` takes the place of all other timeouts.
    let grpc_timeout = grpc_timeout(message, at, notes).filter(|_| stream_limit.is_none());
    let internal_redirect = internal_redirect::of_route(message, at, notes).map(Arc::new);
    let retry = message.retry_policy.as_ref();
    let retry = retry.and_then(|it| retry_policy::read(it, &at.field("retry_policy"), notes));
    let host = rewrite::host(message, at, notes);
    let rewritten = rewrite::path(message, path, at, notes);
    let cluster_not_found = cluster_not_found(message.cluster_not_found_response_code, at, notes);
    Some(Forward {
        timeout: timeout.filter(|_| stream_limit.is_none()),
        idle_timeout,
        stream_limit: stream_limit.unwrap_or_default(),
        grpc_timeout,
        append_x_forwarded_host: message.append_x_forwarded_host,
        mirrors: mirror::read(&message.request_mirror_policies, at, notes).into(),
        labels: metadata::labels(message.metadata_match.as_ref()),
        priority: Priority::of(message.priority),
        hash_policy: hash_policy::read(&message.hash_policy, at, notes),
        upgrades: upgrade::read(&message.upgrade_configs, at, notes),
        body_limit: None,
        internal_redirect,
        retry: retry.map(Arc::new),
        hedges: message.hedge_policy.as_ref().map(|it| it.hedge_on_per_try_timeout),
        target: target?,
        host: host?,
        path: rewritten?,
        cluster_not_found: cluster_not_found?,
    })
}

fn cluster_not_found(code: i32, at: &At<'_>, notes: &mut Notes) -> Option<StatusCode> {
    use wire::route_action::ClusterNotFoundResponseCode as NotFound;
    match NotFound::try_from(code) {
        Ok(NotFound::ServiceUnavailable) => Some(StatusCode::SERVICE_UNAVAILABLE),
        Ok(NotFound::NotFound) => Some(StatusCode::NOT_FOUND),
        Ok(NotFound::InternalServerError) => Some(StatusCode::INTERNAL_SERVER_ERROR),
        Err(_) => {
            let at = at.field("cluster_not_found_response_code");
            notes.refuse(&at, Problem::UnknownEnum(code))
        }
    }
}

fn stream_limit(
    message: &wire::route_action::MaxStreamDuration,
    at: &At<'_>,
    notes: &mut Notes,
) -> StreamLimit {
    let mut read = |message: &Option<_>, field| {
        message.as_ref().and_then(|it| scalar::duration(it, &at.field(field), notes))
    };
    StreamLimit {
        limit: read(&message.max_stream_duration, "max_stream_duration"),
        grpc_max: read(&message.grpc_timeout_header_max, "grpc_timeout_header_max"),
        grpc_offset: read(&message.grpc_timeout_header_offset, "grpc_timeout_header_offset"),
    }
}

#[expect(deprecated, reason = "older management servers send these, and Envoy honours them")]
fn grpc_timeout(
    message: &wire::RouteAction,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<GrpcTimeout> {
    let mut read = |message: &Option<_>, field| {
        message.as_ref().and_then(|it| scalar::duration(it, &at.field(field), notes))
    };
    let max = read(&message.max_grpc_timeout, "max_grpc_timeout");
    let offset = read(&message.grpc_timeout_offset, "grpc_timeout_offset").unwrap_or_default();
    max.map(|max| GrpcTimeout { max: Some(max).filter(|max| !max.is_zero()), offset })
}

fn direct(
    message: &wire::DirectResponseAction,
    limit: u32,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<DirectResponse> {
    let format = message.body_format.as_ref();
    let format = format.map(|it| local_reply::body_format(it, &at.field("body_format"), notes));
    let status = u16::try_from(message.status)
        .ok()
        .filter(|status| (200..600).contains(status))
        .and_then(|status| StatusCode::from_u16(status).ok());
    if status.is_none() {
        notes.refuse::<()>(&at.field("status"), Problem::Status(message.status));
    }
    let at = at.field("body");
    let body = match &message.body {
        None => DataSource::Inline(Bytes::new()),
        Some(body) => scalar::data(body, &at, notes)?,
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if let DataSource::Inline(body) = &body
        && body.len() > limit
    {
        return notes.refuse(&at, Problem::TooLarge { bytes: body.len(), limit });
    }
    let format = local_reply::allowed(format)?;
    Some(DirectResponse { status: status?, body, format, limit })
}
