//! What is left of the limits that a service went by.

use std::fmt::Write as _;

use crate::wire::{CurrentLimit, DescriptorStatus};

/// What is left of the limit that is nearest to its end (draft-polli-ratelimit-headers-03).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Requests that the limit lets through, and all limits with their windows: `10, 10;w=60`.
    pub limit: String,
    /// So many are left,
    pub remaining: u32,
    /// and after so many seconds all of them are there again.
    pub reset: u64,
    /// Each limit with the seconds of its window.
    pub policies: Vec<Policy>,
    /// Which of the policies is the one that is nearest to its end.
    pub nearest: Option<usize>,
}

/// A limit of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `name`; empty for most.
    pub name: String,
    /// `requests_per_unit`.
    pub requests: u32,
    /// `unit` in seconds.
    pub window: u64,
}

/// What is left of the limit with the fewest requests left; the first of several.
pub(crate) fn tightest(statuses: &[DescriptorStatus]) -> Option<Left> {
    let limits =
        statuses.iter().filter_map(|status| Some((status, status.current_limit.as_ref()?)));
    let mut tightest: Option<(&DescriptorStatus, &CurrentLimit, Option<usize>)> = None;
    let mut policies = Vec::new();
    for (status, limit) in limits {
        let window = seconds(limit.unit);
        let at = window.map(|_| policies.len());
        if tightest.is_none_or(|(least, ..)| status.limit_remaining < least.limit_remaining) {
            tightest = Some((status, limit, at));
        }
        policies.extend(window.map(|window| Policy {
            name: limit.name.clone(),
            requests: limit.requests_per_unit,
            window,
        }));
    }
    let (status, limit, nearest) = tightest?;
    let reset = status.duration_until_reset.map_or(0, |wait| wait.seconds);
    Some(Left {
        limit: shown(limit.requests_per_unit, &policies),
        remaining: status.limit_remaining,
        reset: u64::try_from(reset).unwrap_or(0),
        policies,
        nearest,
    })
}

fn shown(requests: u32, policies: &[Policy]) -> String {
    let mut shown = requests.to_string();
    for Policy { name, requests, window } in policies {
        let _ = write!(shown, ", {requests};w={window}");
        if !name.is_empty() {
            let _ = write!(shown, ";name=\"{name}\"");
        }
    }
    shown
}

/// The seconds of a `RateLimitResponse.RateLimit.Unit`.
fn seconds(unit: i32) -> Option<u64> {
    const DAY: u64 = 24 * 60 * 60;
    Some(match unit {
        1 => 1,
        2 => 60,
        3 => 60 * 60,
        4 => DAY,
        5 => 30 * DAY,
        6 => 365 * DAY,
        7 => 7 * DAY,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Duration;

    fn status(requests: u32, unit: i32, name: &str, remaining: u32) -> DescriptorStatus {
        let name = name.to_owned();
        DescriptorStatus {
            code: 1,
            current_limit: Some(CurrentLimit { requests_per_unit: requests, unit, name }),
            limit_remaining: remaining,
            duration_until_reset: Some(Duration { seconds: i64::from(remaining) * 10, nanos: 0 }),
        }
    }

    #[test]
    fn the_limit_that_is_nearest_to_its_end_speaks_for_all() {
        let none = DescriptorStatus::default();
        let statuses = [
            status(100, 3, "hour", 50),
            none,
            status(10, 1, "", 3),
            status(7, 0, "no unit", 3),
            status(1, 7, "", 9),
        ];
        let left = tightest(&statuses).unwrap();
        assert_eq!(left.limit, "10, 100;w=3600;name=\"hour\", 10;w=1, 1;w=604800");
        assert_eq!((left.remaining, left.reset, left.nearest), (3, 30, Some(1)));
        assert_eq!(tightest(&[DescriptorStatus::default()]), None);
    }

    #[test]
    fn a_service_cannot_count_back() {
        let mut status = status(1, 1, "", 0);
        status.duration_until_reset = Some(Duration { seconds: -5, nanos: 0 });
        assert_eq!(tightest(&[status]).unwrap().reset, 0);
    }
}
