//! How much of the load each priority gets, after Envoy's description of priority levels and
//! degraded endpoints (`docs/root/intro/arch_overview/upstream/load_balancing`).

/// How many hosts of a priority are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) healthy: usize,
    pub(crate) degraded: usize,
    pub(crate) total: usize,
    /// `overprovisioning_factor` in percent.
    pub(crate) overprovisioning: u32,
}

impl Census {
    /// Percent of the load that `part` of the hosts can carry.
    fn covers(&self, part: usize) -> u64 {
        let covered = u64::from(self.overprovisioning).saturating_mul(part as u64);
        (covered / (self.total.max(1) as u64)).min(100)
    }

    fn available_percent(&self) -> u64 {
        100 * (self.healthy + self.degraded) as u64 / self.total.max(1) as u64
    }
}

/// Percent of all requests that go to a priority, and which of its hosts take them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// To healthy hosts.
    pub(crate) healthy: u64,
    /// To degraded hosts.
    pub(crate) degraded: u64,
    /// So few hosts are available that all are used instead: their state is more likely to be
    /// wrong than everything to be down.
    pub(crate) panic: bool,
}

/// Loads of priorities, which are in order and none of which is empty. They add up to 100.
///
/// A priority counts as fully available while its available hosts times the overprovisioning
/// factor cover it.
pub(crate) fn loads(priorities: &[Census], panic_below: u64) -> Vec<Load> {
    let healthy: Vec<u64> = priorities.iter().map(|p| p.covers(p.healthy)).collect();
    let degraded: Vec<u64> = priorities.iter().map(|p| p.covers(p.degraded)).collect();
    let available = healthy.iter().chain(&degraded).sum::<u64>().min(100);
    let panics = |census: &Census| available < 100 && census.available_percent() < panic_below;
    if priorities.iter().all(panics) {
        return everyone_panics(priorities);
    }
    let mut left = 100;
    let mut take = |availability: u64| {
        let part = left.min(availability * 100 / available.max(1));
        left -= part;
        part
    };
    let healthy_loads: Vec<u64> = healthy.iter().map(|share| take(*share)).collect();
    let degraded_loads: Vec<u64> = degraded.iter().map(|share| take(*share)).collect();
    let mut loads: Vec<Load> = priorities
        .iter()
        .zip(healthy_loads.iter().zip(&degraded_loads))
        .map(|(census, (healthy, degraded))| Load {
            healthy: *healthy,
            degraded: *degraded,
            panic: panics(census),
        })
        .collect();
    // What rounding left over goes to the first priority that has anything.
    if let Some(first) = loads.iter_mut().find(|load| load.healthy > 0) {
        first.healthy += left;
    } else if let Some(first) = loads.iter_mut().find(|load| load.degraded > 0) {
        first.degraded += left;
    }
    loads
}

/// With no priority that can be trusted, every host gets the same: priorities by their size.
fn everyone_panics(priorities: &[Census]) -> Vec<Load> {
    let total = priorities.iter().map(|p| p.total).sum::<usize>().max(1) as u64;
    let mut loads: Vec<Load> = priorities
        .iter()
        .map(|p| Load { healthy: 100 * p.total as u64 / total, degraded: 0, panic: true })
        .collect();
    let given: u64 = loads.iter().map(|load| load.healthy).sum();
    if let Some(first) = loads.first_mut() {
        first.healthy += 100 - given;
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (u64, u64, bool);

    fn of(priorities: &[(usize, usize, usize)]) -> Vec<Row> {
        with_panic_below(50, priorities)
    }

    fn with_panic_below(percent: u64, priorities: &[(usize, usize, usize)]) -> Vec<Row> {
        let census: Vec<Census> = priorities
            .iter()
            .map(|(healthy, degraded, total)| Census {
                healthy: *healthy,
                degraded: *degraded,
                total: *total,
                overprovisioning: 140,
            })
            .collect();
        loads(&census, percent)
            .iter()
            .map(|load| (load.healthy, load.degraded, load.panic))
            .collect()
    }

    /// The rows of the tables in Envoy's documentation of priority levels, which leaves panic out of
    /// account there.
    #[test]
    fn documented_loads() {
        let p = |healthy| (healthy, 0, 100);
        let healthy = |rows: Vec<(u64, u64, bool)>| rows.iter().map(|r| r.0).collect::<Vec<_>>();
        let of = |priorities: &[_]| with_panic_below(0, priorities);
        assert_eq!(healthy(of(&[p(100), p(100)])), [100, 0]);
        assert_eq!(healthy(of(&[p(72), p(72)])), [100, 0]);
        assert_eq!(healthy(of(&[p(71), p(71)])), [99, 1]);
        assert_eq!(healthy(of(&[p(50), p(60)])), [70, 30]);
        assert_eq!(healthy(of(&[p(25), p(100)])), [35, 65]);
        assert_eq!(healthy(of(&[p(0), p(100)])), [0, 100]);
        assert_eq!(healthy(of(&[p(25), p(25)])), [50, 50]);
        assert_eq!(healthy(of(&[p(0), p(25), p(25)])), [0, 50, 50]);
    }

    #[test]
    fn degraded_hosts_take_what_healthy_ones_cannot() {
        assert_eq!(of(&[(50, 50, 100)]), [(70, 30, false)]);
        assert_eq!(of(&[(0, 4, 4)]), [(0, 100, false)]);
        assert_eq!(of(&[(1, 1, 4), (0, 0, 4)])[0], (50, 50, false));
    }

    #[test]
    fn too_few_hosts_are_all_used() {
        assert_eq!(of(&[(0, 0, 3), (0, 0, 1)]), [(75, 0, true), (25, 0, true)]);
        assert_eq!(of(&[(1, 0, 4)]), [(100, 0, true)]);
        assert_eq!(of(&[(2, 0, 4)]), [(100, 0, false)]);
        // No priority can be trusted: their sizes count, not what little is available.
        assert_eq!(of(&[(1, 0, 4), (1, 0, 12)]), [(25, 0, true), (75, 0, true)]);
        // The second priority can carry everything: no need to panic.
        assert_eq!(of(&[(1, 0, 4), (4, 0, 4)]), [(35, 0, false), (65, 0, false)]);
    }
}
