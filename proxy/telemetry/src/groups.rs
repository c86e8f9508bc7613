//! The metrics, grouped by what they describe. Each group lists its own members in `visit`, which
//! takes the struct apart completely: a metric that is not listed does not compile.

use crate::{
    concurrency::ConcurrencyStats,
    histogram::Histogram,
    metric::{Counter, Gauge},
    registry::Value,
};

/// Responses by the first digit of their status.
#[derive(Debug, Default)]
pub struct StatusClasses([Counter; 5]);

/// Metric suffixes of [`StatusClasses`], in order.
pub(crate) const CLASS_NAMES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl StatusClasses {
    /// Counts a response. A status outside 100–599 is not counted.
    #[inline]
    pub fn count(&self, status: u16) {
        if let Some(class) = usize::from(status / 100).checked_sub(1).and_then(|at| self.0.get(at))
        {
            class.inc();
        }
    }

    /// Responses of the class `digit` (1 to 5).
    pub fn get(&self, digit: usize) -> u64 {
        digit.checked_sub(1).and_then(|at| self.0.get(at)).map_or(0, Counter::get)
    }

    pub(crate) fn visit<'a>(
        &'a self,
        names: &[&'static str; 5],
        see: &mut dyn FnMut(&'static str, Value<'a>),
    ) {
        for (name, class) in names.iter().zip(&self.0) {
            see(name, Value::Counter(class.get()));
        }
    }
}

/// `http.<stat_prefix>.*`.
#[derive(Debug, Default)]
pub struct HttpStats {
    /// Connections accepted.
    pub downstream_cx_total: Counter,
    /// Connections open now.
    pub downstream_cx_active: Gauge,
    /// HTTP/1.1 connections.
    pub downstream_cx_http1_total: Counter,
    /// h2 connections.
    pub downstream_cx_http2_total: Counter,
    /// Connections closed for a protocol error of the peer.
    pub downstream_cx_protocol_error: Counter,
    /// Connections closed for being idle.
    pub downstream_cx_idle_timeout: Counter,
    /// Connections and streams that became tunnels.
    pub downstream_cx_upgrades_total: Counter,
    /// Tunnels open now.
    pub downstream_cx_upgrades_active: Gauge,
    /// Connections ended at their `max_connection_duration`.
    pub downstream_cx_max_duration_reached: Counter,
    /// Connections ended at their `max_requests_per_connection`.
    pub downstream_cx_max_requests_reached: Counter,
    /// Requests received.
    pub downstream_rq_total: Counter,
    /// Requests not yet answered completely.
    pub downstream_rq_active: Gauge,
    /// Responses sent.
    pub downstream_rq_completed: Counter,
    /// Responses by class.
    pub downstream_rq_xx: StatusClasses,
    /// Streams closed because nothing moved for too long.
    pub downstream_rq_idle_timeout: Counter,
    /// Requests whose heads had not come within `request_headers_timeout`.
    pub downstream_rq_header_timeout: Counter,
    /// Requests that had not come as a whole within `request_timeout`.
    pub downstream_rq_timeout: Counter,
    /// Header fields dropped for an underscore in their names.
    pub dropped_headers_with_underscores: Counter,
    /// Requests refused for an underscore in a name.
    pub requests_rejected_with_underscores_in_headers: Counter,
    /// Streams that lasted longer than `max_stream_duration`.
    pub downstream_rq_max_duration_reached: Counter,
    /// Requests refused because the process has no room for more.
    pub downstream_rq_overload_close: Counter,
    /// Requests that no route matched.
    pub no_route: Counter,
    /// Requests whose route named a cluster that is not there.
    pub no_cluster: Counter,
    /// Redirects of upstreams passed on: those whose `location` is no absolute URL.
    pub passthrough_internal_redirect_bad_location: Counter,
    /// Redirects of upstreams passed on: those that would change the scheme.
    pub passthrough_internal_redirect_unsafe_scheme: Counter,
    /// Redirects of upstreams passed on: those of a request that was redirected often enough.
    pub passthrough_internal_redirect_too_many_redirects: Counter,
    /// Redirects of upstreams passed on: those to what no route matches.
    pub passthrough_internal_redirect_no_route: Counter,
    /// Redirects of upstreams passed on: those that a predicate of the policy forbids.
    pub passthrough_internal_redirect_predicate: Counter,
    /// Redirect actions.
    pub rq_redirect: Counter,
    /// Direct responses.
    pub rq_direct_response: Counter,
    /// Requests of pages whose origin a CORS policy allows.
    pub cors_origin_valid: Counter,
    /// Requests of pages whose origin no CORS policy allows.
    pub cors_origin_invalid: Counter,
    /// Requests that were delayed on purpose.
    pub fault_delays: Counter,
    /// Requests that were failed on purpose.
    pub fault_aborts: Counter,
    /// Requests that were left alone because there were as many as may be.
    pub fault_overflow: Counter,
    /// Answers slowed down on purpose.
    pub fault_response_limits: Counter,
    /// Requests that something is done to on purpose now.
    pub fault_active: Gauge,
    /// Requests that went to the endpoint of their session,
    pub session_routed: Counter,
    /// that went to another one,
    pub session_failed_open: Counter,
    /// that might not,
    pub session_failed_closed: Counter,
    /// and that had no session.
    pub session_none: Counter,
    /// What adaptive concurrency has found out.
    pub concurrency: ConcurrencyStats,
    /// From the request's head to the end of the response.
    pub downstream_rq_time: Histogram,
}

impl HttpStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self {
            downstream_cx_total,
            downstream_cx_active,
            downstream_cx_http1_total,
            downstream_cx_http2_total,
            downstream_cx_protocol_error,
            downstream_cx_idle_timeout,
            downstream_cx_upgrades_total,
            downstream_cx_upgrades_active,
            downstream_cx_max_duration_reached,
            downstream_cx_max_requests_reached,
            downstream_rq_total,
            downstream_rq_active,
            downstream_rq_completed,
            downstream_rq_xx,
            downstream_rq_idle_timeout,
            downstream_rq_header_timeout,
            downstream_rq_timeout,
            dropped_headers_with_underscores,
            requests_rejected_with_underscores_in_headers,
            downstream_rq_max_duration_reached,
            downstream_rq_overload_close,
            no_route,
            no_cluster,
            passthrough_internal_redirect_bad_location,
            passthrough_internal_redirect_unsafe_scheme,
            passthrough_internal_redirect_too_many_redirects,
            passthrough_internal_redirect_no_route,
            passthrough_internal_redirect_predicate,
            rq_redirect,
            rq_direct_response,
            cors_origin_valid,
            cors_origin_invalid,
            fault_delays,
            fault_aborts,
            fault_overflow,
            fault_response_limits,
            fault_active,
            session_routed,
            session_failed_open,
            session_failed_closed,
            session_none,
            concurrency,
            downstream_rq_time,
        } = self;
        const CLASSES: [&str; 5] = [
            "downstream_rq_1xx",
            "downstream_rq_2xx",
            "downstream_rq_3xx",
            "downstream_rq_4xx",
            "downstream_rq_5xx",
        ];
        for (name, counter) in [
            ("downstream_cx_total", downstream_cx_total),
            ("downstream_cx_http1_total", downstream_cx_http1_total),
            ("downstream_cx_http2_total", downstream_cx_http2_total),
            ("downstream_cx_protocol_error", downstream_cx_protocol_error),
            ("downstream_cx_idle_timeout", downstream_cx_idle_timeout),
            ("downstream_cx_upgrades_total", downstream_cx_upgrades_total),
            ("downstream_cx_max_duration_reached", downstream_cx_max_duration_reached),
            ("downstream_cx_max_requests_reached", downstream_cx_max_requests_reached),
            ("downstream_rq_total", downstream_rq_total),
            ("downstream_rq_completed", downstream_rq_completed),
            ("downstream_rq_idle_timeout", downstream_rq_idle_timeout),
            ("downstream_rq_max_duration_reached", downstream_rq_max_duration_reached),
            ("downstream_rq_header_timeout", downstream_rq_header_timeout),
            ("downstream_rq_timeout", downstream_rq_timeout),
            ("dropped_headers_with_underscores", dropped_headers_with_underscores),
            (
                "requests_rejected_with_underscores_in_headers",
                requests_rejected_with_underscores_in_headers,
            ),
            ("downstream_rq_overload_close", downstream_rq_overload_close),
            ("no_route", no_route),
            ("no_cluster", no_cluster),
            (
                "passthrough_internal_redirect_bad_location",
                passthrough_internal_redirect_bad_location,
            ),
            (
                "passthrough_internal_redirect_unsafe_scheme",
                passthrough_internal_redirect_unsafe_scheme,
            ),
            (
                "passthrough_internal_redirect_too_many_redirects",
                passthrough_internal_redirect_too_many_redirects,
            ),
            ("passthrough_internal_redirect_no_route", passthrough_internal_redirect_no_route),
            ("passthrough_internal_redirect_predicate", passthrough_internal_redirect_predicate),
            ("rq_redirect", rq_redirect),
            ("rq_direct_response", rq_direct_response),
            ("cors.origin_valid", cors_origin_valid),
            ("cors.origin_invalid", cors_origin_invalid),
            ("fault.aborts_injected", fault_aborts),
            ("fault.delays_injected", fault_delays),
            ("fault.faults_overflow", fault_overflow),
            ("fault.response_rl_injected", fault_response_limits),
            ("stateful_session.routed", session_routed),
            ("stateful_session.failed_open", session_failed_open),
            ("stateful_session.failed_closed", session_failed_closed),
            ("stateful_session.no_session", session_none),
        ] {
            see(name, Value::Counter(counter.get()));
        }
        downstream_rq_xx.visit(&CLASSES, see);
        concurrency.visit(see);
        see("downstream_cx_active", Value::Gauge(downstream_cx_active.get()));
        let tunnels = Value::Gauge(downstream_cx_upgrades_active.get());
        see("downstream_cx_upgrades_active", tunnels);
        see("downstream_rq_active", Value::Gauge(downstream_rq_active.get()));
        see("fault.active_faults", Value::Gauge(fault_active.get()));
        see("downstream_rq_time", Value::Histogram(downstream_rq_time));
    }
}

/// `tcp.<stat_prefix>.*`.
#[derive(Debug, Default)]
pub struct TcpStats {
    /// Connections handled.
    pub downstream_cx_total: Counter,
    /// Connections open now.
    pub downstream_cx_active: Gauge,
    /// Connections closed because the cluster is not there.
    pub downstream_cx_no_route: Counter,
    /// Bytes from clients.
    pub downstream_cx_rx_bytes_total: Counter,
    /// Bytes to clients.
    pub downstream_cx_tx_bytes_total: Counter,
    /// Connections closed because nothing moved for too long.
    pub idle_timeout: Counter,
    /// Connections closed because they lasted as long as they may.
    pub max_downstream_connection_duration: Counter,
}

impl TcpStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self {
            downstream_cx_total,
            downstream_cx_active,
            downstream_cx_no_route,
            downstream_cx_rx_bytes_total,
            downstream_cx_tx_bytes_total,
            idle_timeout,
            max_downstream_connection_duration,
        } = self;
        for (name, counter) in [
            ("max_downstream_connection_duration", max_downstream_connection_duration),
            ("downstream_cx_total", downstream_cx_total),
            ("downstream_cx_no_route", downstream_cx_no_route),
            ("downstream_cx_rx_bytes_total", downstream_cx_rx_bytes_total),
            ("downstream_cx_tx_bytes_total", downstream_cx_tx_bytes_total),
            ("idle_timeout", idle_timeout),
        ] {
            see(name, Value::Counter(counter.get()));
        }
        see("downstream_cx_active", Value::Gauge(downstream_cx_active.get()));
    }
}

/// `connection_limit.<stat_prefix>.*`.
#[derive(Debug, Default)]
pub struct ConnectionLimitStats {
    /// Connections under the limit now.
    pub active_connections: Gauge,
    /// Connections closed because there were too many.
    pub limited_connections: Counter,
}

impl ConnectionLimitStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self { active_connections, limited_connections } = self;
        see("limited_connections", Value::Counter(limited_connections.get()));
        see("active_connections", Value::Gauge(active_connections.get()));
    }
}

/// `local_rate_limit.<stat_prefix>.*` and `listener_local_ratelimit.<stat_prefix>.*`.
#[derive(Debug, Default)]
pub struct RateStats {
    /// What came too soon.
    pub rate_limited: Counter,
}

impl RateStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        see("rate_limited", Value::Counter(self.rate_limited.get()));
    }
}

/// `ratelimit.<stat_prefix>.*`: connections about which a rate limit service is asked.
#[derive(Debug, Default)]
pub struct ConnectionQuestionStats {
    /// Questions asked.
    pub total: Counter,
    /// Questions that wait for their answer now.
    pub active: Gauge,
    /// Connections that were within their limits.
    pub ok: Counter,
    /// Connections that were over one.
    pub over_limit: Counter,
    /// Questions to which no answer came.
    pub error: Counter,
    /// Connections that were let through without an answer.
    pub failure_mode_allowed: Counter,
    /// Connections that were closed.
    pub cx_closed: Counter,
}

impl ConnectionQuestionStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self { total, active, ok, over_limit, error, failure_mode_allowed, cx_closed } = self;
        for (name, counter) in [
            ("total", total),
            ("ok", ok),
            ("over_limit", over_limit),
            ("error", error),
            ("failure_mode_allowed", failure_mode_allowed),
            ("cx_closed", cx_closed),
        ] {
            see(name, Value::Counter(counter.get()));
        }
        see("active", Value::Gauge(active.get()));
    }
}

/// `<stat_prefix>.http_local_rate_limit.*`.
#[derive(Debug, Default)]
pub struct HttpRateStats {
    /// Requests that were asked for a token.
    pub enabled: Counter,
    /// Requests that had one.
    pub ok: Counter,
    /// Requests that had none.
    pub rate_limited: Counter,
    /// Requests that were refused for that.
    pub enforced: Counter,
    /// Requests that had none where that is only noted.
    pub shadow_mode: Counter,
}

impl HttpRateStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self { enabled, ok, rate_limited, enforced, shadow_mode } = self;
        for (name, counter) in [
            ("enabled", enabled),
            ("enforced", enforced),
            ("ok", ok),
            ("rate_limited", rate_limited),
            ("shadow_mode", shadow_mode),
        ] {
            see(name, Value::Counter(counter.get()));
        }
    }
}

/// `listener.<address>.*`.
#[derive(Debug, Default)]
pub struct ListenerStats {
    /// Connections accepted.
    pub downstream_cx_total: Counter,
    /// Connections open now.
    pub downstream_cx_active: Gauge,
    /// Connections closed.
    pub downstream_cx_destroy: Counter,
    /// Accepts that failed (out of file descriptors, aborted handshakes).
    pub downstream_cx_accept_error: Counter,
    /// Connections closed because the listener has as many as it may.
    pub downstream_cx_overflow: Counter,
    /// Connections closed because the process has as many as it may.
    pub downstream_global_cx_overflow: Counter,
    /// Connections closed because the process has no room for more.
    pub downstream_cx_overload_reject: Counter,
    /// Connections closed because no filter chain takes them.
    pub no_filter_chain_match: Counter,
    /// Connections that listener filters look at now.
    pub downstream_pre_cx_active: Gauge,
    /// Connections whose first bytes did not come in time.
    pub downstream_pre_cx_timeout: Counter,
    /// Connections that clients closed before listener filters had seen enough.
    pub downstream_listener_filter_remote_close: Counter,
    /// Connections that a listener filter closed, or that broke under it.
    pub downstream_listener_filter_error: Counter,
}

impl ListenerStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self {
            downstream_cx_total,
            downstream_cx_active,
            downstream_cx_destroy,
            downstream_cx_accept_error,
            downstream_cx_overflow,
            downstream_global_cx_overflow,
            downstream_cx_overload_reject,
            no_filter_chain_match,
            downstream_pre_cx_active,
            downstream_pre_cx_timeout,
            downstream_listener_filter_remote_close,
            downstream_listener_filter_error,
        } = self;
        for (name, counter) in [
            ("downstream_cx_total", downstream_cx_total),
            ("downstream_cx_destroy", downstream_cx_destroy),
            ("downstream_cx_accept_error", downstream_cx_accept_error),
            ("downstream_cx_overflow", downstream_cx_overflow),
            ("downstream_global_cx_overflow", downstream_global_cx_overflow),
            ("downstream_cx_overload_reject", downstream_cx_overload_reject),
            ("no_filter_chain_match", no_filter_chain_match),
            ("downstream_pre_cx_timeout", downstream_pre_cx_timeout),
            ("downstream_listener_filter_remote_close", downstream_listener_filter_remote_close),
            ("downstream_listener_filter_error", downstream_listener_filter_error),
        ] {
            see(name, Value::Counter(counter.get()));
        }
        see("downstream_pre_cx_active", Value::Gauge(downstream_pre_cx_active.get()));
        see("downstream_cx_active", Value::Gauge(downstream_cx_active.get()));
    }
}

/// Updates of one resource type: `cluster_manager.cds.*`, `listener_manager.lds.*`, `rds.*`, `eds.*`.
#[derive(Debug, Default)]
pub struct UpdateStats {
    /// Responses received.
    pub update_attempt: Counter,
    /// Responses accepted as a whole.
    pub update_success: Counter,
    /// Responses with at least one refused resource.
    pub update_rejected: Counter,
    /// Files that could not be read.
    pub update_failure: Counter,
    /// Resources waited for in vain (`initial_fetch_timeout`).
    pub init_fetch_timeout: Counter,
}

impl UpdateStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self {
            update_attempt,
            update_success,
            update_rejected,
            update_failure,
            init_fetch_timeout,
        } = self;
        for (name, counter) in [
            ("update_attempt", update_attempt),
            ("update_success", update_success),
            ("update_rejected", update_rejected),
            ("update_failure", update_failure),
            ("init_fetch_timeout", init_fetch_timeout),
        ] {
            see(name, Value::Counter(counter.get()));
        }
    }
}

/// `control_plane.*`.
#[derive(Debug, Default)]
pub struct ControlPlaneStats {
    /// 1 while any stream to a management server is up.
    pub connected_state: Gauge,
    /// Streams opened.
    pub stream_opened: Counter,
    /// Streams and connection attempts that failed.
    pub stream_failed: Counter,
    /// 1 while the last known good configuration serves, as no server could be reached yet.
    pub last_known_good: Gauge,
    /// How old that is.
    pub last_known_good_age_seconds: Gauge,
}

impl ControlPlaneStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self {
            connected_state,
            stream_opened,
            stream_failed,
            last_known_good,
            last_known_good_age_seconds,
        } = self;
        see("stream_opened", Value::Counter(stream_opened.get()));
        see("stream_failed", Value::Counter(stream_failed.get()));
        see("connected_state", Value::Gauge(connected_state.get()));
        see("last_known_good", Value::Gauge(last_known_good.get()));
        let age = last_known_good_age_seconds.get();
        see("last_known_good_age_seconds", Value::Gauge(age));
    }
}
