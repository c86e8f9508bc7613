//! The guard against running out of memory: what the process holds against its bounds, several times a
//! second. What workers say of how late they are becomes statistics here.

use std::{fs, sync::Arc, time::Duration};

use weft_http::{Overload, Pressure};
use weft_net::give_back_free_memory;
use weft_telemetry::Stats;

use crate::overload_actions::HeapActions;

/// How often it looks. Requests in between are let in, so a bound is exceeded by no more than comes in
/// this time.
const EVERY: Duration = Duration::from_millis(100);
/// Where the kernel says how much memory the process may have: cgroups v2, and v1.
const CGROUP: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// Shares of that, in percent, where no bounds are given.
const SHED_AT: u64 = 85;
const REFUSE_AT: u64 = 95;
/// The share of a bound, in percent, that has to be reached for it to be over: without it every other
/// look would find something else.
const OVER_BELOW: u64 = 95;
/// How often, counted in looks, the allocator is asked beyond a bound for what it keeps.
const GIVEN_BACK_EVERY: u32 = 5;
const MIB: u64 = 1 << 20;

/// Bounds of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Above this, requests are refused.
    shed: Option<u64>,
    /// Above this, connections are, too.
    refuse: Option<u64>,
    /// Above this, the allocator is asked for what it keeps, as it is above the others.
    shrink: Option<u64>,
}

impl Bounds {
    /// Those that are given, in MiB, of which 0 is none; those of the cgroup for the others.
    pub(crate) fn new(shed: Option<u64>, refuse: Option<u64>) -> Self {
        Self::within(shed, refuse, CGROUP.iter().find_map(|path| allowed(path)))
    }

    fn within(shed: Option<u64>, refuse: Option<u64>, allowed: Option<u64>) -> Self {
        let bound = |given: Option<u64>, share| match given {
            Some(0) => None,
            Some(mib) => Some(mib.saturating_mul(MIB)),
            None => allowed.map(|bytes| bytes / 100 * share),
        };
        Self { shed: bound(shed, SHED_AT), refuse: bound(refuse, REFUSE_AT), shrink: None }
    }

    /// What a bootstrap asks for comes first.
    pub(crate) fn or_as_asked(self, asked: HeapActions) -> Self {
        Self {
            shed: asked.shed.or(self.shed),
            refuse: asked.refuse.or(self.refuse),
            shrink: asked.shrink,
        }
    }

    /// Whether so many bytes are too many to keep what nobody uses.
    fn shrinks(&self, held: u64) -> bool {
        self.shrink.is_some_and(|bound| held > bound)
    }

    /// What so many bytes mean, after this.
    fn pressure(&self, held: u64, before: Pressure) -> Pressure {
        let beyond = |bound: Option<u64>, was: bool| {
            bound.is_some_and(|bound| held > if was { bound / 100 * OVER_BELOW } else { bound })
        };
        if beyond(self.refuse, before >= Pressure::ShedConnections) {
            Pressure::ShedConnections
        } else if beyond(self.shed, before >= Pressure::ShedRequests) {
            Pressure::ShedRequests
        } else {
            Pressure::None
        }
    }
}

/// Looks after the process as long as it lives.
pub(crate) async fn follow(bounds: Bounds, overload: Arc<Overload>, stats: Arc<Stats>) {
    let is_bounded = bounds != Bounds::default();
    let mut tick = tokio::time::interval(EVERY);
    let mut ticks: u32 = 0;
    loop {
        tick.tick().await;
        let lag = u64::try_from(overload.take_lag().as_millis()).unwrap_or(u64::MAX);
        stats.overload.lag_ms.set(lag);
        stats.overload.late_workers.set(overload.late_workers() as u64);
        let Some(held) = (if is_bounded { held() } else { None }) else { continue };
        let before = overload.get();
        let pressure = bounds.pressure(held, before);
        if (pressure > Pressure::None || bounds.shrinks(held))
            && ticks.is_multiple_of(GIVEN_BACK_EVERY)
        {
            // What was given up meanwhile counts as held until then.
            give_back_free_memory();
        }
        ticks = ticks.wrapping_add(1);
        stats.overload.memory_bytes.set(held);
        if pressure == before {
            continue;
        }
        overload.set(pressure);
        stats.overload.sheds_requests.set((pressure >= Pressure::ShedRequests).into());
        stats.overload.sheds_connections.set((pressure >= Pressure::ShedConnections).into());
        let mib = held / MIB;
        match pressure {
            Pressure::None => tracing::info!(mib, "memory: below its bounds again"),
            Pressure::ShedRequests => {
                tracing::warn!(
                    mib,
                    "memory: beyond the bound for requests (--shed-memory-mib, stop_accepting_requests), which are refused"
                );
            }
            Pressure::ShedConnections => {
                tracing::warn!(
                    mib,
                    "memory: beyond the bound for connections (--max-memory-mib, reject_incoming_connections), which are refused"
                );
            }
        }
    }
}

/// What the cgroup may have. Without a limit v2 says `max`, and v1 nearly all that fits a number.
fn allowed(path: &str) -> Option<u64> {
    let bytes = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (bytes < 1 << 60).then_some(bytes)
}

/// The memory of its own that the process holds.
fn held() -> Option<u64> {
    held_by(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Pages of files are not counted: the kernel takes those back.
fn held_by(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_what_is_given_or_shares_of_what_there_is() {
        let bounds = |shed, refuse, allowed| {
            let Bounds { shed, refuse, .. } = Bounds::within(shed, refuse, allowed);
            (shed, refuse)
        };
        assert_eq!(bounds(None, None, None), (None, None));
        assert_eq!(bounds(None, None, Some(1000)), (Some(850), Some(950)));
        assert_eq!(bounds(Some(1), Some(2), Some(1000)), (Some(MIB), Some(2 * MIB)));
        assert_eq!(bounds(Some(0), Some(0), Some(1000)), (None, None));
        assert_eq!(bounds(Some(u64::MAX), None, None), (Some(u64::MAX), None));
    }

    #[test]
    fn what_a_bootstrap_asks_for_comes_first() {
        let given = Bounds { shed: Some(1), refuse: Some(2), shrink: None };
        assert_eq!(given.or_as_asked(HeapActions::default()), given);
        let asked = HeapActions { shed: Some(10), refuse: None, shrink: Some(5) };
        let both = given.or_as_asked(asked);
        assert_eq!(both, Bounds { shed: Some(10), refuse: Some(2), shrink: Some(5) });
        assert_eq!(
            (both.shrinks(5), both.shrinks(6), given.shrinks(u64::MAX)),
            (false, true, false)
        );
    }

    #[test]
    fn pressure_ends_a_little_below_where_it_begins() {
        use Pressure::{None as Enough, ShedConnections, ShedRequests};
        let bounds = Bounds { shed: Some(1000), refuse: Some(2000), shrink: None };
        for (held, before, expected) in [
            (1000, Enough, Enough),
            (1001, Enough, ShedRequests),
            (951, ShedRequests, ShedRequests),
            (950, ShedRequests, Enough),
            (2001, Enough, ShedConnections),
            (1901, ShedConnections, ShedConnections),
            (1900, ShedConnections, ShedRequests),
            (0, ShedConnections, Enough),
        ] {
            assert_eq!(bounds.pressure(held, before), expected, "{held} after {before:?}");
        }
        let never = Bounds::default();
        assert_eq!(never.pressure(u64::MAX, ShedConnections), Enough);
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        let status = "Name:\tweft\nVmRSS:\t    9000 kB\nRssAnon:\t    1028 kB\nRssFile:\t 1 kB\n";
        assert_eq!(held_by(status), Some(1028 * 1024));
        for wrong in ["", "RssAnon: kB", "RssAnon: 1 MB", "RssAnon: -1 kB"] {
            assert_eq!(held_by(wrong), None, "{wrong}");
        }
        assert!(held().is_some_and(|bytes| bytes > 0));
    }
}
