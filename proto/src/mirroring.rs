//! `weft.mirroring.v1`: what Envoy's API has no message for in copies of requests.

use prost::{Message, Name};

use crate::pb::google::protobuf::UInt32Value;

/// What a route says of the copies of its requests, as an entry of its `typed_per_filter_config`. No
/// filter of that name has to be in the chain.
#[derive(Clone, PartialEq, Message)]
pub struct Mirroring {
    /// Whose copies this is about, each cluster once.
    #[prost(message, repeated, tag = "1")]
    pub copies: Vec<Copies>,
}

/// The copies that go to one cluster.
#[derive(Clone, PartialEq, Message)]
pub struct Copies {
    /// The `cluster` of one of the route's `request_mirror_policies`.
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// Copies that may be under way at once to this cluster, of all routes that say so. Those beyond
    /// are not made.
    #[prost(message, optional, tag = "2")]
    pub max_active: Option<UInt32Value>,
    /// Compares the answers to copies with those that clients get.
    #[prost(message, optional, tag = "3")]
    pub compare: Option<Comparison>,
}

/// What is compared besides the status, the status of gRPC and how long the answer took to begin.
#[derive(Clone, PartialEq, Message)]
pub struct Comparison {
    /// Fields of answers.
    #[prost(string, repeated, tag = "1")]
    pub headers: Vec<String>,
    /// Those of them whose values may be logged.
    #[prost(string, repeated, tag = "2")]
    pub shown_headers: Vec<String>,
    /// Bytes of each body that go into its hash (1 MiB by default).
    #[prost(message, optional, tag = "3")]
    pub max_body_bytes: Option<UInt32Value>,
    /// Answers that differ that may be logged each minute (60 by default).
    #[prost(message, optional, tag = "4")]
    pub max_logs_per_minute: Option<UInt32Value>,
}

impl Name for Mirroring {
    const NAME: &'static str = "Mirroring";
    const PACKAGE: &'static str = "weft.mirroring.v1";

    fn full_name() -> String {
        "weft.mirroring.v1.Mirroring".to_owned()
    }

    fn type_url() -> String {
        crate::type_url::MIRRORING.to_owned()
    }
}
