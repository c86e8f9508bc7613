//! `weft.hedging.v1`: hedging beyond what Envoy's API says of it.

use prost::{Message, Name, Oneof};

use crate::pb::{
    envoy::{config::route::v3::HeaderMatcher, r#type::v3::Percent},
    google::protobuf::{Duration, UInt32Value},
};

/// In the `typed_filter_metadata` of a cluster, under [`METADATA`](Self::METADATA): a request that is not
/// answered within its usual time is sent to a second endpoint as well. Whoever answers first has won.
#[derive(Clone, PartialEq, Message)]
pub struct HedgePolicy {
    /// What is slow; must be set.
    #[prost(oneof = "Slow", tags = "1, 2")]
    pub slow: Option<Slow>,
    /// How often one request is sent as well: 1 to 5, once by default.
    #[prost(message, optional, tag = "3")]
    pub extra: Option<UInt32Value>,
    /// For all requests of the cluster.
    #[prost(message, optional, tag = "4")]
    pub budget: Option<Budget>,
    /// Requests of which any of these is true. Without any they are those whose method changes
    /// nothing twice (RFC 9110 section 9.2.2), and those with an `Idempotency-Key`.
    #[prost(message, repeated, tag = "5")]
    pub request_headers: Vec<HeaderMatcher>,
}

/// What is slow.
#[derive(Clone, PartialEq, Oneof)]
pub enum Slow {
    /// What takes longer than this share of the answers that came lately: above 0 and below 1.
    #[prost(double, tag = "1")]
    Quantile(f64),
    /// What takes longer than this: more than zero.
    #[prost(message, tag = "2")]
    After(Duration),
}

/// How much of what is under way may be hedges.
#[derive(Clone, PartialEq, Message)]
pub struct Budget {
    /// Of the requests under way; 10 % by default.
    #[prost(message, optional, tag = "1")]
    pub share: Option<Percent>,
    /// As many in any case; 1 by default.
    #[prost(message, optional, tag = "2")]
    pub minimum: Option<UInt32Value>,
}

impl HedgePolicy {
    /// Where it stands among the metadata of a cluster.
    pub const METADATA: &'static str = "weft.hedging";
}

impl Name for HedgePolicy {
    const NAME: &'static str = "HedgePolicy";
    const PACKAGE: &'static str = "weft.hedging.v1";

    fn full_name() -> String {
        "weft.hedging.v1.HedgePolicy".to_owned()
    }

    fn type_url() -> String {
        crate::type_url::HEDGE_POLICY.to_owned()
    }
}
