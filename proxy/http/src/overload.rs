//! Whether the process has room for more, as all workers are told: with too little of it requests are
//! answered 503, those of low priority first, and with less than that connections are closed as they come.

use std::{
    sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header::RETRY_AFTER};

use crate::{headers, local_reply::Answer};

/// How much room the process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Enough.
    #[default]
    None,
    /// What is under way goes on, and new requests are refused, but for those of high priority.
    ShedRequests,
    /// Those are refused as well, and new connections.
    ShedConnections,
}

/// What all workers look at. Asking costs one relaxed load.
#[derive(Debug, Default)]
pub struct Overload {
    level: AtomicU8,
    /// Workers that are late with what is due.
    late: AtomicUsize,
    /// The longest that one was late since somebody asked, in microseconds.
    lag: AtomicU64,
}

impl Overload {
    /// From now on it is this.
    pub fn set(&self, pressure: Pressure) {
        let level = match pressure {
            Pressure::None => 0,
            Pressure::ShedRequests => 1,
            Pressure::ShedConnections => 2,
        };
        self.level.store(level, Ordering::Relaxed);
    }

    /// What it is now.
    pub fn get(&self) -> Pressure {
        match self.level.load(Ordering::Relaxed) {
            0 => Pressure::None,
            1 => Pressure::ShedRequests,
            _ => Pressure::ShedConnections,
        }
    }

    /// How many workers are late with what is due, and refuse requests.
    pub fn late_workers(&self) -> usize {
        self.late.load(Ordering::Relaxed)
    }

    /// The longest that a worker was late since this was asked last.
    pub fn take_lag(&self) -> Duration {
        Duration::from_micros(self.lag.swap(0, Ordering::Relaxed))
    }

    pub(crate) fn note_lag(&self, late_by: Duration) {
        let micros = u64::try_from(late_by.as_micros()).unwrap_or(u64::MAX);
        self.lag.fetch_max(micros, Ordering::Relaxed);
    }

    pub(crate) fn count_late(&self, is_late: bool) {
        let count = if is_late { AtomicUsize::fetch_add } else { AtomicUsize::fetch_sub };
        count(&self.late, 1, Ordering::Relaxed);
    }

    pub(crate) fn sheds_requests(&self) -> bool {
        self.level.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn sheds_connections(&self) -> bool {
        self.level.load(Ordering::Relaxed) > 1
    }
}

/// What a request is told that there is no room for. It was not looked at, so it may be sent to another
/// endpoint at once, and here again after a second. A connection of HTTP/1.1 ends with it. HTTP/2 gets the same:
/// a stream that is refused (REFUSED_STREAM) is repeated by many clients at once and to the same endpoint, which is the
/// last thing that it needs.
pub(crate) fn refusal(version: Version) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    headers::close_after(&mut headers, version);
    let body = Bytes::from_static(b"the proxy is overloaded");
    let answer = Answer::direct(StatusCode::SERVICE_UNAVAILABLE, body, headers);
    let why =
        r#"weft; error=http_request_denied; details="the proxy is short of memory or of time""#;
    Answer { details: "overload", flags: "OM", proxy_status: why, ..answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_refused_only_where_requests_are() {
        let overload = Overload::default();
        for (pressure, requests, connections) in [
            (Pressure::None, false, false),
            (Pressure::ShedRequests, true, false),
            (Pressure::ShedConnections, true, true),
        ] {
            overload.set(pressure);
            assert_eq!(overload.get(), pressure);
            assert_eq!(overload.sheds_requests(), requests);
            assert_eq!(overload.sheds_connections(), connections);
        }
    }
}
