//! Requests that are sent to a second endpoint as well when they are slow.

use std::time::{Duration, Instant};

use http::{HeaderName, Method};
use weft_limit::Usual;
use weft_resources::{Hedging, Slow};
use weft_route::RequestView;

/// What a caller who sends a request again marks it by (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The policy of a cluster, and what it goes by.
#[derive(Debug)]
pub struct Hedges {
    settings: Hedging,
    usual: Option<Usual>,
}

impl Hedges {
    pub(crate) fn new(settings: Hedging) -> Self {
        let usual = match settings.slow {
            Slow::Quantile(quantile) => Some(Usual::new(quantile)),
            Slow::After(_) => None,
        };
        Self { settings, usual }
    }

    /// What was configured.
    pub fn settings(&self) -> &Hedging {
        &self.settings
    }

    /// Whether this request may be done twice.
    pub fn are_for(&self, request: &RequestView<'_>) -> bool {
        let asked = &self.settings.requests;
        if asked.is_empty() {
            // RFC 9110 section 9.2.2.
            let method = Method::try_from(request.method);
            return method.is_ok_and(|method| method.is_idempotent())
                || request.headers.contains_key(&IDEMPOTENCY_KEY);
        }
        asked.iter().any(|matcher| matcher.matches(request))
    }

    /// After how long a try is slow; `None` while that is not known.
    pub fn after(&self) -> Option<Duration> {
        match self.settings.slow {
            Slow::After(after) => Some(after),
            Slow::Quantile(_) => self.usual.as_ref()?.time(),
        }
    }

    /// An answer came after so long, or was not waited for any longer.
    pub fn took(&self, time: Duration, now: Instant) {
        if let Some(usual) = &self.usual {
            usual.took(time, now);
        }
    }
}
