//! The metrics of a cluster.

use std::sync::{Arc, OnceLock};

use crate::{
    groups::StatusClasses,
    health::{CheckStats, OutlierStats},
    histogram::Histogram,
    http2::Http2Stats,
    metric::{Counter, Gauge},
    mirror::MirrorStats,
    rate_service::{RateServiceStats, RateServices},
    registry::Value,
    under_way::{self, UnderWay},
    zones::ZoneBytes,
};

/// `cluster.<name>.*`.
#[derive(Debug, Default)]
pub struct ClusterStats {
    /// Connections opened.
    pub upstream_cx_total: Counter,
    /// HTTP/1.1 connections opened.
    pub upstream_cx_http1_total: Counter,
    /// h2 connections opened.
    pub upstream_cx_http2_total: Counter,
    /// Connection attempts that failed, timeouts included.
    pub upstream_cx_connect_fail: Counter,
    /// Connection attempts that timed out.
    pub upstream_cx_connect_timeout: Counter,
    /// Picks that found no endpoint to use.
    pub upstream_cx_none_healthy: Counter,
    /// Raw connections given up after as many attempts as are allowed.
    pub upstream_cx_connect_attempts_exceeded: Counter,
    /// Connections not opened because of `max_connections`.
    pub upstream_cx_overflow: Counter,
    /// Pools not made because of `max_connection_pools`.
    pub upstream_cx_pool_overflow: Counter,
    /// Connections closed because what the endpoint said made no sense; of h2, `http2.*` tells why.
    pub upstream_cx_protocol_error: Counter,
    /// Connections closed because they were idle for too long.
    pub upstream_cx_idle_timeout: Counter,
    /// Connections closed because they had carried all requests they may.
    pub upstream_cx_max_requests: Counter,
    /// Connections closed because they had reached their age.
    pub upstream_cx_max_duration_reached: Counter,
    /// Requests sent.
    pub upstream_rq_total: Counter,
    /// Responses received completely enough to have a status.
    pub upstream_rq_completed: Counter,
    /// Responses by class.
    pub upstream_rq_xx: StatusClasses,
    /// Requests that exceeded the route's timeout.
    pub upstream_rq_timeout: Counter,
    /// Requests that gave up a try because its own time was over.
    pub upstream_rq_per_try_timeout: Counter,
    /// Tries that were given up because nothing of their response came for too long.
    pub upstream_rq_per_try_idle_timeout: Counter,
    /// Requests that lasted longer than the cluster's `max_stream_duration`.
    pub upstream_rq_max_duration_reached: Counter,
    /// Requests sent again.
    pub upstream_rq_retry: Counter,
    /// Requests that a retry has brought an answer that nobody wants to retry.
    pub upstream_rq_retry_success: Counter,
    /// Retries left out because of `max_retries` or `retry_budget`.
    pub upstream_rq_retry_overflow: Counter,
    /// Retries left out because there had been as many as the policy allows.
    pub upstream_rq_retry_limit_exceeded: Counter,
    /// Retries after a pause that grows each time.
    pub upstream_rq_retry_backoff_exponential: Counter,
    /// Retries after the pause that a response asked for.
    pub upstream_rq_retry_backoff_ratelimited: Counter,
    /// Requests sent to another endpoint as well, because they were slow.
    pub upstream_rq_hedge: Counter,
    /// Requests that were answered first by an endpoint that they were sent to as well.
    pub upstream_rq_hedge_won: Counter,
    /// Tries that were broken off because another one had answered first.
    pub upstream_rq_hedge_cancelled: Counter,
    /// Slow requests that were not sent as well because too many others were.
    pub upstream_rq_hedge_overflow: Counter,
    /// Requests under way that were sent as well.
    pub upstream_rq_hedge_active: Gauge,
    /// Retries left out because the body of the request was too long to be kept.
    pub retry_or_shadow_abandoned: Counter,
    /// Requests whose upstream connection or stream broke before the response ended.
    pub upstream_rq_rx_reset: Counter,
    /// Requests that had to wait for a connection.
    pub upstream_rq_pending_total: Counter,
    /// Requests refused because of `max_pending_requests`.
    pub upstream_rq_pending_overflow: Counter,
    /// Requests refused because of `max_requests`.
    pub upstream_rq_active_overflow: Counter,
    /// Requests dropped by `drop_overloads`.
    pub upstream_rq_drop_overload: Counter,
    /// Redirects that were followed here.
    pub upstream_internal_redirect_succeeded_total: Counter,
    /// Redirects that were to be followed here and were passed on.
    pub upstream_internal_redirect_failed_total: Counter,
    /// Picks that disregarded the state of hosts because too few were available.
    pub lb_healthy_panic: Counter,
    /// Requests that stayed in the zone of this proxy, which takes all of them.
    pub lb_zone_routing_all_directly: Counter,
    /// Requests that stayed in the zone of this proxy, which takes some of them.
    pub lb_zone_routing_sampled: Counter,
    /// Requests that went to another zone, because the own one could not carry them.
    pub lb_zone_routing_cross_zone: Counter,
    /// Bytes within the zone of this proxy, and beyond it.
    pub zone_bytes: ZoneBytes,
    /// Picks from the subset that a request asked for.
    pub lb_subsets_selected: Counter,
    /// Picks from elsewhere, for requests that no subset was found for.
    pub lb_subsets_fallback: Counter,
    /// Picks from all endpoints, because there were none to fall back on.
    pub lb_subsets_fallback_panic: Counter,
    /// Requests whose header named no address (`ORIGINAL_DST`).
    pub original_dst_host_invalid: Counter,
    /// Subsets that there are.
    pub lb_subsets_active: Gauge,
    /// Endpoints.
    pub membership_total: Gauge,
    /// Endpoints that may be picked.
    pub membership_healthy: Gauge,
    /// Endpoints that are used where too few are healthy.
    pub membership_degraded: Gauge,
    /// Endpoints that are going away.
    pub membership_excluded: Gauge,
    /// Name resolutions begun.
    pub update_attempt: Counter,
    /// Name resolutions that brought an answer.
    pub update_success: Counter,
    /// Name resolutions that failed; the addresses known before stay.
    pub update_failure: Counter,
    /// Name resolutions whose answer had no address.
    pub update_empty: Counter,
    /// `http2.*`.
    pub http2: Arc<Http2Stats>,
    /// `circuit_breakers.default.*`: what is under way for requests of default priority.
    pub default_priority: UnderWay,
    /// `circuit_breakers.high.*`.
    pub high_priority: UnderWay,
    /// From sending the request to the end of the response.
    pub upstream_rq_time: Histogram,
    outlier_detection: OnceLock<Arc<OutlierStats>>,
    health_check: OnceLock<Arc<CheckStats>>,
    /// Set when the first copy of a request goes there.
    mirror: OnceLock<Box<MirrorStats>>,
    rate_services: RateServices,
}

impl ClusterStats {
    /// `outlier_detection.*`, which is there from the first use on.
    pub fn outlier_detection(&self) -> &Arc<OutlierStats> {
        self.outlier_detection.get_or_init(Arc::default)
    }

    /// `health_check.*`, which is there from the first use on.
    pub fn health_check(&self) -> &Arc<CheckStats> {
        self.health_check.get_or_init(Arc::default)
    }

    /// `ratelimit.*`, or `ratelimit.<prefix>.*`, which is there from the first use on.
    pub fn rate_service(&self, prefix: &str) -> Arc<RateServiceStats> {
        self.rate_services.of(prefix)
    }

    /// What is counted of the copies of requests that go there.
    pub fn mirror(&self) -> &MirrorStats {
        self.mirror.get_or_init(Box::default)
    }

    /// Shows what is there of these.
    pub(crate) fn visit_rate_services(&self, see: &mut dyn FnMut(&str, &'static str, Value<'_>)) {
        self.rate_services.visit(see);
    }

    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self {
            upstream_cx_total,
            upstream_cx_http1_total,
            upstream_cx_http2_total,
            upstream_cx_connect_fail,
            upstream_cx_connect_timeout,
            upstream_cx_none_healthy,
            upstream_cx_connect_attempts_exceeded,
            upstream_cx_overflow,
            upstream_cx_pool_overflow,
            upstream_cx_protocol_error,
            upstream_cx_idle_timeout,
            upstream_cx_max_requests,
            upstream_cx_max_duration_reached,
            upstream_rq_total,
            upstream_rq_completed,
            upstream_rq_xx,
            upstream_rq_timeout,
            upstream_rq_per_try_timeout,
            upstream_rq_per_try_idle_timeout,
            upstream_rq_max_duration_reached,
            upstream_rq_retry,
            upstream_rq_retry_success,
            upstream_rq_retry_overflow,
            upstream_rq_retry_limit_exceeded,
            upstream_rq_retry_backoff_exponential,
            upstream_rq_retry_backoff_ratelimited,
            upstream_rq_hedge,
            upstream_rq_hedge_won,
            upstream_rq_hedge_cancelled,
            upstream_rq_hedge_overflow,
            upstream_rq_hedge_active,
            retry_or_shadow_abandoned,
            upstream_rq_rx_reset,
            upstream_rq_pending_total,
            upstream_rq_pending_overflow,
            upstream_rq_active_overflow,
            upstream_rq_drop_overload,
            upstream_internal_redirect_succeeded_total,
            upstream_internal_redirect_failed_total,
            lb_healthy_panic,
            lb_zone_routing_all_directly,
            lb_zone_routing_sampled,
            lb_zone_routing_cross_zone,
            zone_bytes,
            lb_subsets_selected,
            lb_subsets_fallback,
            lb_subsets_fallback_panic,
            original_dst_host_invalid,
            lb_subsets_active,
            membership_total,
            membership_healthy,
            membership_degraded,
            membership_excluded,
            update_attempt,
            update_success,
            update_failure,
            update_empty,
            http2,
            default_priority,
            high_priority,
            upstream_rq_time,
            outlier_detection,
            health_check,
            mirror,
            // Under names of their own.
            rate_services: _,
        } = self;
        const CLASSES: [&str; 5] = [
            "upstream_rq_1xx",
            "upstream_rq_2xx",
            "upstream_rq_3xx",
            "upstream_rq_4xx",
            "upstream_rq_5xx",
        ];
        for (name, counter) in [
            ("upstream_cx_total", upstream_cx_total),
            ("upstream_cx_http1_total", upstream_cx_http1_total),
            ("upstream_cx_http2_total", upstream_cx_http2_total),
            ("upstream_cx_connect_fail", upstream_cx_connect_fail),
            ("upstream_cx_connect_timeout", upstream_cx_connect_timeout),
            ("upstream_cx_none_healthy", upstream_cx_none_healthy),
            ("upstream_cx_connect_attempts_exceeded", upstream_cx_connect_attempts_exceeded),
            ("upstream_cx_overflow", upstream_cx_overflow),
            ("upstream_cx_pool_overflow", upstream_cx_pool_overflow),
            ("upstream_cx_protocol_error", upstream_cx_protocol_error),
            ("upstream_cx_idle_timeout", upstream_cx_idle_timeout),
            ("upstream_cx_max_requests", upstream_cx_max_requests),
            ("upstream_cx_max_duration_reached", upstream_cx_max_duration_reached),
            ("upstream_rq_total", upstream_rq_total),
            ("upstream_rq_completed", upstream_rq_completed),
            ("upstream_rq_timeout", upstream_rq_timeout),
            ("upstream_rq_per_try_timeout", upstream_rq_per_try_timeout),
            ("upstream_rq_per_try_idle_timeout", upstream_rq_per_try_idle_timeout),
            ("upstream_rq_max_duration_reached", upstream_rq_max_duration_reached),
            ("upstream_rq_retry", upstream_rq_retry),
            ("upstream_rq_retry_success", upstream_rq_retry_success),
            ("upstream_rq_retry_overflow", upstream_rq_retry_overflow),
            ("upstream_rq_retry_limit_exceeded", upstream_rq_retry_limit_exceeded),
            ("upstream_rq_retry_backoff_exponential", upstream_rq_retry_backoff_exponential),
            ("upstream_rq_retry_backoff_ratelimited", upstream_rq_retry_backoff_ratelimited),
            ("upstream_rq_hedge", upstream_rq_hedge),
            ("upstream_rq_hedge_won", upstream_rq_hedge_won),
            ("upstream_rq_hedge_cancelled", upstream_rq_hedge_cancelled),
            ("upstream_rq_hedge_overflow", upstream_rq_hedge_overflow),
            ("retry_or_shadow_abandoned", retry_or_shadow_abandoned),
            ("upstream_rq_rx_reset", upstream_rq_rx_reset),
            ("upstream_rq_pending_total", upstream_rq_pending_total),
            ("upstream_rq_pending_overflow", upstream_rq_pending_overflow),
            ("upstream_rq_active_overflow", upstream_rq_active_overflow),
            ("upstream_rq_drop_overload", upstream_rq_drop_overload),
            (
                "upstream_internal_redirect_succeeded_total",
                upstream_internal_redirect_succeeded_total,
            ),
            ("upstream_internal_redirect_failed_total", upstream_internal_redirect_failed_total),
            ("lb_healthy_panic", lb_healthy_panic),
            ("lb_zone_routing_all_directly", lb_zone_routing_all_directly),
            ("lb_zone_routing_sampled", lb_zone_routing_sampled),
            ("lb_zone_routing_cross_zone", lb_zone_routing_cross_zone),
            ("lb_subsets_selected", lb_subsets_selected),
            ("lb_subsets_fallback", lb_subsets_fallback),
            ("lb_subsets_fallback_panic", lb_subsets_fallback_panic),
            ("original_dst_host_invalid", original_dst_host_invalid),
            ("update_attempt", update_attempt),
            ("update_success", update_success),
            ("update_failure", update_failure),
            ("update_empty", update_empty),
        ] {
            see(name, Value::Counter(counter.get()));
        }
        http2.visit_scoped(see);
        zone_bytes.visit(see);
        upstream_rq_xx.visit(&CLASSES, see);
        for (name, gauge) in [
            ("lb_subsets_active", lb_subsets_active),
            ("upstream_rq_hedge_active", upstream_rq_hedge_active),
            ("membership_total", membership_total),
            ("membership_healthy", membership_healthy),
            ("membership_degraded", membership_degraded),
            ("membership_excluded", membership_excluded),
        ] {
            see(name, Value::Gauge(gauge.get()));
        }
        for (name, of) in [
            ("upstream_cx_active", (|it| &it.connections) as fn(&UnderWay) -> &Gauge),
            ("upstream_rq_active", |it| &it.requests),
            ("upstream_rq_pending_active", |it| &it.pending_requests),
        ] {
            see(name, Value::Gauge(of(default_priority).get() + of(high_priority).get()));
        }
        default_priority.visit(&under_way::DEFAULT, see);
        high_priority.visit(&under_way::HIGH, see);
        if let Some(mirror) = mirror.get() {
            mirror.visit(see);
        }
        if let Some(outliers) = outlier_detection.get() {
            outliers.visit_scoped(see);
        }
        if let Some(checks) = health_check.get() {
            checks.visit_scoped(see);
        }
        see("upstream_rq_time", Value::Histogram(upstream_rq_time));
    }
}
