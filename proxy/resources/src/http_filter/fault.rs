//! `HTTPFault`: delays and failures that are made on purpose.

use std::time::Duration;

use http::StatusCode;
use weft_proto::pb::envoy::extensions::filters::{
    common::fault::v3 as common, http::fault::v3 as wire,
};
use weft_route::{Denominator, Fraction, HeaderMatch};

use crate::{
    cluster::optional,
    matching,
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// What goes wrong on purpose, and for whom.
#[derive(Debug)]
pub struct FaultRules {
    /// `delay`.
    pub delay: Option<Injection<Duration>>,
    /// `abort`.
    pub abort: Option<Injection<Aborted>>,
    /// `response_rate_limit`: answers go on with so many KiB a second.
    pub response_limit: Option<Injection<u64>>,
    /// `upstream_cluster`: only requests that go there.
    pub upstream_cluster: Option<Box<str>>,
    /// `headers`: only requests that match all of them.
    pub headers: Box<[HeaderMatch]>,
    /// `max_active_faults`: so many requests at once, over all workers.
    pub max_active: Option<u64>,
}

/// What is done to a share of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection<T> {
    /// What it is; `None` where headers of the request say so.
    pub fixed: Option<T>,
    /// `percentage`; what headers say can only make it smaller.
    pub share: Fraction,
}

/// How a request is answered in place of its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aborted {
    /// `http_status`.
    Http(StatusCode),
    /// `grpc_status`.
    Grpc(u16),
}

/// Reads the settings.
pub(super) fn read(
    message: &wire::HttpFault,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<FaultRules> {
    if !message.downstream_nodes.is_empty() {
        let at = at.field("downstream_nodes");
        notes.unsupported::<()>(&at, "choosing requests by the node of the caller", "headers are");
    }
    let delay = match &message.delay {
        None => None,
        Some(delay) => Some(self::delay(delay, &at.field("delay"), notes)?),
    };
    let abort = match &message.abort {
        None => None,
        Some(abort) => Some(self::abort(abort, &at.field("abort"), notes)?),
    };
    let response_limit = match &message.response_rate_limit {
        None => None,
        Some(limit) => Some(response_limit(limit, &at.field("response_rate_limit"), notes)?),
    };
    let cluster = message.upstream_cluster.as_str();
    Some(FaultRules {
        delay,
        abort,
        response_limit,
        upstream_cluster: (!cluster.is_empty()).then(|| cluster.into()),
        headers: matching::headers(&message.headers, "headers", at, notes)?,
        max_active: optional(message.max_active_faults.as_ref()).map(u64::from),
    })
}

fn delay(
    message: &common::FaultDelay,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Injection<Duration>> {
    use common::fault_delay::FaultDelaySecifier as Kind;
    let fixed = match &message.fault_delay_secifier {
        None => return notes.refuse(at, Problem::Missing),
        Some(Kind::FixedDelay(delay)) => {
            Some(scalar::duration(delay, &at.field("fixed_delay"), notes)?)
        }
        Some(Kind::HeaderDelay(_)) => None,
    };
    let share = share(message.percentage.as_ref(), at, notes)?;
    Some(Injection { fixed, share })
}

fn abort(message: &wire::FaultAbort, at: &At<'_>, notes: &mut Notes) -> Option<Injection<Aborted>> {
    use wire::fault_abort::ErrorType as Kind;
    let fixed = match &message.error_type {
        None => return notes.refuse(at, Problem::Missing),
        Some(Kind::HttpStatus(number)) => {
            let status = u16::try_from(*number).ok().filter(|status| (200..600).contains(status));
            let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) else {
                return notes.refuse(&at.field("http_status"), Problem::Status(*number));
            };
            Some(Aborted::Http(status))
        }
        Some(Kind::GrpcStatus(number)) => match u16::try_from(*number) {
            Ok(number) => Some(Aborted::Grpc(number)),
            Err(_) => {
                let number = Problem::Number((*number).into());
                return notes.refuse(&at.field("grpc_status"), number);
            }
        },
        Some(Kind::HeaderAbort(_)) => None,
    };
    let share = share(message.percentage.as_ref(), at, notes)?;
    Some(Injection { fixed, share })
}

fn response_limit(
    message: &common::FaultRateLimit,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Injection<u64>> {
    use common::fault_rate_limit::LimitType as Kind;
    let fixed = match &message.limit_type {
        None => return notes.refuse(at, Problem::Missing),
        Some(Kind::FixedLimit(limit)) if limit.limit_kbps == 0 => {
            let at = at.field("fixed_limit");
            return notes.refuse(&at.field("limit_kbps"), Problem::Number(0));
        }
        Some(Kind::FixedLimit(limit)) => Some(limit.limit_kbps),
        Some(Kind::HeaderLimit(_)) => None,
    };
    let share = share(message.percentage.as_ref(), at, notes)?;
    Some(Injection { fixed, share })
}

/// Nothing where it is not set, as in Envoy.
fn share(
    message: Option<&weft_proto::pb::envoy::r#type::v3::FractionalPercent>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Fraction> {
    match message {
        None => Some(Fraction { numerator: 0, denominator: Denominator::Hundred }),
        Some(share) => scalar::fractional_percent(share, &at.field("percentage"), notes),
    }
}
