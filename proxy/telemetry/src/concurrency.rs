//! What adaptive concurrency has found out.

use crate::{
    metric::{Counter, Gauge},
    registry::Value,
};

/// `http.<stat_prefix>.adaptive_concurrency.gradient_controller.*`.
#[derive(Debug, Default)]
pub struct ConcurrencyStats {
    /// Requests refused because as many as may be were under way.
    pub rq_blocked: Counter,
    /// Requests that the limit has room for beyond what latencies allow, so that it can grow.
    pub burst_queue_size: Gauge,
    /// Requests that may be under way at once.
    pub concurrency_limit: Gauge,
    /// By what the limit was changed last, in thousandths.
    pub gradient: Gauge,
    /// 1 while it is measured how long an idle server takes.
    pub min_rtt_calc_active: Gauge,
    /// How long an idle server takes, in milliseconds.
    pub min_rtt_msecs: Gauge,
    /// How long requests took in the last window, in milliseconds.
    pub sample_rtt_msecs: Gauge,
}

impl ConcurrencyStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self {
            rq_blocked,
            burst_queue_size,
            concurrency_limit,
            gradient,
            min_rtt_calc_active,
            min_rtt_msecs,
            sample_rtt_msecs,
        } = self;
        let blocked = "adaptive_concurrency.gradient_controller.rq_blocked";
        see(blocked, Value::Counter(rq_blocked.get()));
        for (name, gauge) in [
            ("adaptive_concurrency.gradient_controller.burst_queue_size", burst_queue_size),
            ("adaptive_concurrency.gradient_controller.concurrency_limit", concurrency_limit),
            ("adaptive_concurrency.gradient_controller.gradient", gradient),
            ("adaptive_concurrency.gradient_controller.min_rtt_calc_active", min_rtt_calc_active),
            ("adaptive_concurrency.gradient_controller.min_rtt_msecs", min_rtt_msecs),
            ("adaptive_concurrency.gradient_controller.sample_rtt_msecs", sample_rtt_msecs),
        ] {
            see(name, Value::Gauge(gauge.get()));
        }
    }
}
