//! What rate limit services said of the requests to a cluster.

use std::sync::{Arc, PoisonError, RwLock};

use crate::{metric::Counter, registry::Value};

/// `cluster.<name>.ratelimit.*`, or `cluster.<name>.ratelimit.<stat_prefix>.*`.
#[derive(Debug, Default)]
pub struct RateServiceStats {
    /// Requests within their limits.
    pub ok: Counter,
    /// Requests over one of them.
    pub over_limit: Counter,
    /// Requests about which the service did not answer.
    pub error: Counter,
    /// Those of them that went on.
    pub failure_mode_allowed: Counter,
}

impl RateServiceStats {
    fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self { ok, over_limit, error, failure_mode_allowed } = self;
        for (name, counter) in [
            ("error", error),
            ("failure_mode_allowed", failure_mode_allowed),
            ("ok", ok),
            ("over_limit", over_limit),
        ] {
            see(name, Value::Counter(counter.get()));
        }
    }
}

/// Those of a cluster by the `stat_prefix` of the filter, which is mostly empty. They are few, and
/// looked up once for each call of a service.
#[derive(Debug, Default)]
pub(crate) struct RateServices(RwLock<Vec<(Box<str>, Arc<RateServiceStats>)>>);

impl RateServices {
    pub(crate) fn of(&self, prefix: &str) -> Arc<RateServiceStats> {
        if let Some(found) = find(&self.0.read().unwrap_or_else(PoisonError::into_inner), prefix) {
            return found;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have come first.
        find(&all, prefix).unwrap_or_else(|| {
            let made = Arc::<RateServiceStats>::default();
            all.push((prefix.into(), Arc::clone(&made)));
            made
        })
    }

    pub(crate) fn visit(&self, see: &mut dyn FnMut(&str, &'static str, Value<'_>)) {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        for (prefix, stats) in &all {
            stats.visit(&mut |metric, value| see(prefix, metric, value));
        }
    }
}

fn find(all: &[(Box<str>, Arc<RateServiceStats>)], prefix: &str) -> Option<Arc<RateServiceStats>> {
    all.iter().find(|(name, _)| **name == *prefix).map(|(_, stats)| Arc::clone(stats))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_group() {
        let services = RateServices::default();
        services.of("").ok.inc();
        services.of("").ok.inc();
        services.of("other").error.inc();
        let mut seen = Vec::new();
        services.visit(&mut |prefix, metric, value| {
            let Value::Counter(count) = value else { return };
            if count > 0 {
                seen.push(format!("{prefix}.{metric}={count}"));
            }
        });
        assert_eq!(seen, [".ok=2", "other.error=1"]);
    }
}
