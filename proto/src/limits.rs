//! `weft.limits.v1`: what limits do that Envoy's API has no message for.

use prost::{Message, Name};

/// An HTTP filter: the limits of its chain say what is left of them in the fields `RateLimit` and
/// `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), for requests that pass it.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct RateLimitHeaders {}

impl Name for RateLimitHeaders {
    const NAME: &'static str = "RateLimitHeaders";
    const PACKAGE: &'static str = "weft.limits.v1";

    fn full_name() -> String {
        "weft.limits.v1.RateLimitHeaders".to_owned()
    }

    fn type_url() -> String {
        crate::type_url::RATE_LIMIT_HEADERS.to_owned()
    }
}
