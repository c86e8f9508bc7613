//! Hashing within bounds: who has much more than its part of the requests in flight is passed over
//! (Mirrokni, Thorup, Zadimoghaddam 2016: consistent hashing with bounded loads).

use crate::{draw::Draw, host::Host, pool::Pool};

/// The position that a hash leads to, or the next one of a sequence of its own that is within the
/// bound; where none is, the least loaded. `factor` is in percent of the average.
///
/// What is in flight is summed up for each pick, so its cost grows with the number of members.
pub(crate) fn at(pool: &Pool, hosts: &[Host], hash: u64, factor: u32) -> usize {
    let home = pool.at_hash(hash);
    let count = pool.len();
    let active = |at: usize| {
        let host = pool.member(at).and_then(|index| hosts.get(index as usize));
        host.map_or(0, |host| u64::from(host.endpoint.active_requests()))
    };
    let total: u64 = (0..count).map(active).sum();
    // Each has room for its part of what would be in flight then, rounded up.
    let room = (u128::from(total) + 1) * u128::from(factor);
    let weights = u128::from(pool.total_weight()) * 100;
    let slots = |at: usize| {
        let part = room * u128::from(pool.weight(at));
        part.div_ceil(weights.max(1)).max(1)
    };
    let is_within = |at: usize| u128::from(active(at)) < slots(at);
    if is_within(home) {
        return home;
    }
    // Neighbours would be overrun one after the other: each hash has a sequence of its own.
    let mut draw = Draw::new(hash);
    let start = below(draw.below(count.max(1) as u64));
    let step = stride(count, &mut draw);
    let sequence = || (0..count).map(|turn| (start + turn * step) % count);
    sequence().find(|at| is_within(*at)).unwrap_or_else(|| {
        // Compared without division: active / slots.
        let less_loaded = |a: &usize, b: &usize| {
            (u128::from(active(*a)) * slots(*b)).cmp(&(u128::from(active(*b)) * slots(*a)))
        };
        sequence().min_by(less_loaded).unwrap_or(home)
    })
}

/// A step that visits every position of a circle.
fn stride(count: usize, draw: &mut Draw) -> usize {
    if count < 3 {
        return 1;
    }
    let first = below(draw.below(count as u64 - 1));
    let steps = (0..count).map(|more| 1 + (first + more) % (count - 1));
    steps.into_iter().find(|step| gcd(*step, count) == 1).unwrap_or(1)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn below(n: u64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_visited() {
        for count in 1..40 {
            for seed in 0..20 {
                let step = stride(count, &mut Draw::new(seed));
                let mut seen = vec![false; count];
                (0..count).for_each(|turn| seen[(turn * step) % count] = true);
                assert!(seen.iter().all(|seen| *seen), "{count} by {step}");
            }
        }
    }
}
