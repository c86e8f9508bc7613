//! What a request says of the endpoint it went to, in the words of outlier detection.

use http::{HeaderMap, HeaderName, Response, StatusCode};
use weft_balance::Outcome;

use crate::fault::Fault;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// What a failed attempt says; `None` where it says nothing of the endpoint.
pub(crate) fn of_fault(fault: Fault) -> Option<Outcome> {
    match fault {
        Fault::ConnectFailed
        | Fault::ConnectTimeout
        | Fault::UpstreamClosed
        | Fault::UpstreamReset
        | Fault::UpstreamRefused
        | Fault::UpstreamProtocol => Some(Outcome::Broken),
        Fault::RequestTimeout(_) | Fault::PerTryTimeout | Fault::PerTryIdle => {
            Some(Outcome::TimedOut)
        }
        // The limits of the cluster, the client, or settings that speak of both sides together.
        Fault::NoRoute
        | Fault::NoCluster(_)
        | Fault::NoHealthyUpstream
        | Fault::NoSuchEndpoint(_)
        | Fault::UpstreamOverflow(_)
        | Fault::DropOverload
        | Fault::DropOverloadAlways
        | Fault::StreamDuration(_)
        | Fault::SlowRequest(_)
        | Fault::UpstreamDuration
        | Fault::SlowForUpstream
        | Fault::StreamIdle
        | Fault::RequestIdle
        | Fault::RequestNotWhole
        | Fault::Underscore
        | Fault::UpgradeRefused
        | Fault::BadRequest(_)
        | Fault::ClientGone
        | Fault::RequestTooLarge
        | Fault::NotBase64
        | Fault::DnsFailed
        | Fault::DnsCacheOverflow
        | Fault::DnsPendingOverflow => None,
    }
}

/// What the head of a response says; `None` for a gRPC call whose status comes with its trailers.
pub(crate) fn of_head(head: &Response<()>, is_grpc: bool, is_end: bool) -> Option<Outcome> {
    if !is_grpc {
        return Some(Outcome::Responded(head.status().as_u16()));
    }
    match of_grpc(head.headers()) {
        None if is_end || head.status() != StatusCode::OK => {
            Some(Outcome::Responded(head.status().as_u16()))
        }
        outcome => outcome,
    }
}

/// What `grpc-status` says, where it is.
pub(crate) fn of_grpc(fields: &HeaderMap) -> Option<Outcome> {
    let status = fields.get(GRPC_STATUS)?;
    let code = std::str::from_utf8(status.as_bytes()).ok().and_then(|text| text.parse().ok());
    Some(Outcome::Responded(code.map_or(500, http_status)))
}

/// The HTTP status that stands for a gRPC status, as in Envoy and in `google.rpc.Code`.
fn http_status(code: u16) -> u16 {
    match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Breaker;

    fn head(status: u16, grpc: Option<&str>) -> Response<()> {
        let mut response = Response::builder().status(status);
        if let Some(grpc) = grpc {
            response = response.header("grpc-status", grpc);
        }
        response.body(()).unwrap()
    }

    #[test]
    fn calls_are_judged_by_their_own_status() {
        let of = |status, grpc, is_end| of_head(&head(status, grpc), true, is_end);
        assert_eq!(of(200, Some("14"), true), Some(Outcome::Responded(503)));
        assert_eq!(of(200, Some("0"), true), Some(Outcome::Responded(200)));
        assert_eq!(of(200, Some("99"), true), Some(Outcome::Responded(500)));
        assert_eq!(of(200, Some("x"), true), Some(Outcome::Responded(500)));
        assert_eq!(of(200, None, false), None);
        assert_eq!(of(200, None, true), Some(Outcome::Responded(200)));
        assert_eq!(of(502, None, false), Some(Outcome::Responded(502)));
        let plain = of_head(&head(200, Some("14")), false, false);
        assert_eq!(plain, Some(Outcome::Responded(200)));
    }

    #[test]
    fn what_is_not_the_endpoints_fault_says_nothing_of_it() {
        assert_eq!(of_fault(Fault::UpstreamOverflow(Breaker::Requests)), None);
        assert_eq!(of_fault(Fault::ClientGone), None);
        assert_eq!(of_fault(Fault::ConnectFailed), Some(Outcome::Broken));
        assert_eq!(of_fault(Fault::PerTryTimeout), Some(Outcome::TimedOut));
    }
}
