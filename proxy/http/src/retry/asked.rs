//! What a request asks for of retries, hedging and timeouts in fields of its own.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use weft_compile::RetryOn;

const RETRY_ON: HeaderName = HeaderName::from_static("x-envoy-retry-on");
const RETRY_GRPC_ON: HeaderName = HeaderName::from_static("x-envoy-retry-grpc-on");
const MAX_RETRIES: HeaderName = HeaderName::from_static("x-envoy-max-retries");
const STATUS_CODES: HeaderName = HeaderName::from_static("x-envoy-retriable-status-codes");
const HEADER_NAMES: HeaderName = HeaderName::from_static("x-envoy-retriable-header-names");
const PER_TRY_TIMEOUT: HeaderName =
    HeaderName::from_static("x-envoy-upstream-rq-per-try-timeout-ms");
const HEDGE: HeaderName = HeaderName::from_static("x-envoy-hedge-on-per-try-timeout");
const TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-upstream-rq-timeout-ms");

/// What a caller inside the mesh asks for in headers, which end here.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(super) on: RetryOn,
    pub(super) retries: Option<u32>,
    pub(super) statuses: Vec<u16>,
    pub(super) names: Vec<HeaderName>,
    pub(super) per_try_timeout: Option<Duration>,
    /// In place of what the route says of hedging.
    pub(super) hedges: Option<bool>,
    /// In place of the route's; `Some(None)` for none.
    pub(crate) timeout: Option<Option<Duration>>,
}

impl Asked {
    /// Takes the wishes from a request's fields. Nearly no request has any.
    pub(crate) fn take(fields: &mut HeaderMap) -> Option<Box<Self>> {
        let any = fields.keys().any(|name| name.as_str().starts_with("x-envoy-"));
        if any { Self::read(fields) } else { None }
    }

    #[cold]
    fn read(fields: &mut HeaderMap) -> Option<Box<Self>> {
        let mut asked = Self::default();
        let mut any = false;
        let mut take = |name: HeaderName| {
            let value = fields.remove(name)?;
            any = true;
            value.to_str().ok().map(str::to_owned)
        };
        let list = |text: Option<String>| text.unwrap_or_default();
        asked.on =
            RetryOn::list(&list(take(RETRY_ON))).0 | RetryOn::list(&list(take(RETRY_GRPC_ON))).0;
        asked.retries = take(MAX_RETRIES).and_then(|text| text.trim().parse().ok());
        let statuses = list(take(STATUS_CODES));
        asked.statuses = statuses.split(',').filter_map(|it| it.trim().parse().ok()).collect();
        let names = list(take(HEADER_NAMES));
        asked.names = names.split(',').filter_map(|it| it.trim().parse().ok()).collect();
        let millis = |text: Option<String>| {
            text.and_then(|text| text.trim().parse().ok()).map(Duration::from_millis)
        };
        asked.per_try_timeout = millis(take(PER_TRY_TIMEOUT)).filter(|limit| !limit.is_zero());
        asked.timeout = millis(take(TIMEOUT)).map(|limit| Some(limit).filter(|it| !it.is_zero()));
        asked.hedges = take(HEDGE).and_then(|text| text.trim().parse().ok());
        any.then(|| Box::new(asked))
    }
}
