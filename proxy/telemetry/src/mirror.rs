//! What came of copies of requests, and of comparing their answers.

use crate::{
    histogram::Histogram,
    metric::{Counter, Gauge},
    registry::Value,
};

/// `cluster.<name>.mirror.*`, of the cluster that gets the copies.
#[derive(Debug, Default)]
pub struct MirrorStats {
    /// Copies begun.
    pub rq_total: Counter,
    /// Copies under way now.
    pub rq_active: Gauge,
    /// Copies left out because as many as may be were under way.
    pub rq_overflow: Counter,
    /// Copies that got no whole answer, whatever kept them from it.
    pub rq_failed: Counter,
    /// Pairs of answers of which nothing differed.
    pub compare_match: Counter,
    /// Pairs of answers of which something differed.
    pub compare_mismatch: Counter,
    /// Pairs that could not be compared because one of the two answers did not come as a whole.
    pub compare_incomplete: Counter,
    /// Pairs of which the status differed.
    pub compare_status_mismatch: Counter,
    /// Pairs of which the status of gRPC differed.
    pub compare_grpc_status_mismatch: Counter,
    /// Pairs of which a header differed that is compared.
    pub compare_header_mismatch: Counter,
    /// Pairs of which the body differed.
    pub compare_body_mismatch: Counter,
    /// Differences that were not logged because there were too many.
    pub compare_log_dropped: Counter,
    /// Until the answers to clients began.
    pub compare_original_time: Histogram,
    /// Until the answers to copies began.
    pub compare_copy_time: Histogram,
    /// By how much copies were answered later, where they were.
    pub compare_copy_slower_time: Histogram,
    /// By how much copies were answered sooner, where they were.
    pub compare_copy_faster_time: Histogram,
}

impl MirrorStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        for (name, counter) in [
            ("mirror.rq_total", &self.rq_total),
            ("mirror.rq_overflow", &self.rq_overflow),
            ("mirror.rq_failed", &self.rq_failed),
            ("mirror.compare.match", &self.compare_match),
            ("mirror.compare.mismatch", &self.compare_mismatch),
            ("mirror.compare.incomplete", &self.compare_incomplete),
            ("mirror.compare.status_mismatch", &self.compare_status_mismatch),
            ("mirror.compare.grpc_status_mismatch", &self.compare_grpc_status_mismatch),
            ("mirror.compare.header_mismatch", &self.compare_header_mismatch),
            ("mirror.compare.body_mismatch", &self.compare_body_mismatch),
            ("mirror.compare.log_dropped", &self.compare_log_dropped),
        ] {
            see(name, Value::Counter(counter.get()));
        }
        see("mirror.rq_active", Value::Gauge(self.rq_active.get()));
        for (name, histogram) in [
            ("mirror.compare.original_time", &self.compare_original_time),
            ("mirror.compare.copy_time", &self.compare_copy_time),
            ("mirror.compare.copy_slower_time", &self.compare_copy_slower_time),
            ("mirror.compare.copy_faster_time", &self.compare_copy_faster_time),
        ] {
            see(name, Value::Histogram(histogram));
        }
    }
}
