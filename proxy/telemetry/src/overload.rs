//! Whether the process has room for more.

use crate::{metric::Gauge, registry::Value};

/// `overload.*`.
#[derive(Debug, Default)]
pub struct OverloadStats {
    /// The memory of its own that the process holds; only where there are bounds for it.
    pub memory_bytes: Gauge,
    /// 1 while requests are refused.
    pub sheds_requests: Gauge,
    /// 1 while connections are refused.
    pub sheds_connections: Gauge,
    /// The longest that a worker was late with what was due, when looked at last, in milliseconds.
    pub lag_ms: Gauge,
    /// Workers that refuse requests because they are late with what is due.
    pub late_workers: Gauge,
}

impl OverloadStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self { memory_bytes, sheds_requests, sheds_connections, lag_ms, late_workers } = self;
        for (name, gauge) in [
            ("lag_ms", lag_ms),
            ("late_workers", late_workers),
            ("memory_bytes", memory_bytes),
            ("sheds_connections", sheds_connections),
            ("sheds_requests", sheds_requests),
        ] {
            see(name, Value::Gauge(gauge.get()));
        }
    }
}
