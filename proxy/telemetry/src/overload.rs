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
}

impl OverloadStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self { memory_bytes, sheds_requests, sheds_connections } = self;
        for (name, gauge) in [
            ("memory_bytes", memory_bytes),
            ("sheds_connections", sheds_connections),
            ("sheds_requests", sheds_requests),
        ] {
            see(name, Value::Gauge(gauge.get()));
        }
    }
}
