//! Faults that are made on purpose, to see who can bear them.

use std::time::Duration;

use serde::Serialize;

use super::policy::{is_default, time};
use super::request_match::RequestMatch;
use super::share::Share;

/// What callers' proxies do to a share of the requests before they send them on, at least one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// They wait first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// They answer by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
    /// Only requests like this; all without it.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matched: Option<RequestMatch>,
    /// How many requests a proxy does it to at once; any number without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_active: Option<u32>,
}

/// A request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Delay {
    /// For how long, more than zero.
    #[serde(serialize_with = "time")]
    pub time: Duration,
    /// How many requests; all without it.
    #[serde(flatten, skip_serializing_if = "is_default")]
    pub share: Option<Share>,
}

/// A request is answered without being sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Abort {
    /// With what.
    #[serde(flatten)]
    pub answer: AbortAnswer,
    /// How many requests; all without it.
    #[serde(flatten, skip_serializing_if = "is_default")]
    pub share: Option<Share>,
}

/// What a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AbortAnswer {
    /// This status of HTTP, 400 to 599.
    Status(u16),
    /// This status of gRPC.
    GrpcStatus(GrpcStatus),
}

/// The statuses of gRPC that are errors, as its documentation numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "gRPC names them better")]
pub enum GrpcStatus {
    Cancelled = 1,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

impl GrpcStatus {
    /// All of them, by number.
    pub const ALL: [Self; 16] = [
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];
    /// Their names, in the same order.
    pub const NAMES: [&'static str; 16] = [
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];

    /// Its number.
    pub fn code(self) -> u32 {
        self as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_named_and_numbered_alike() {
        for (index, (status, name)) in
            GrpcStatus::ALL.into_iter().zip(GrpcStatus::NAMES).enumerate()
        {
            assert_eq!(serde_json::json!(status), serde_json::json!(name));
            assert_eq!(usize::try_from(status.code()), Ok(index + 1));
        }
    }
}
