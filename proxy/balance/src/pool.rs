//! Hosts that share one stream of picks.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    draw::{Draw, GOLDEN, scale},
    host::Host,
    latency::{Decay, Ticks},
    placement::{Hashing, Placed, Placement},
};

/// Some hosts of a cluster with their shares of the picks.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Indices of hosts; never empty.
    members: Box<[u32]>,
    /// Running sums of the members' weights; `None` when all are alike.
    upto: Option<Box<[u64]>>,
    /// Where hashes lead, where they decide.
    placement: Option<Placement>,
    /// Picks so far, counted by all workers; 0 until the first pick chose where to begin.
    cursor: AtomicU64,
}

impl Pool {
    /// `None` without members.
    pub(crate) fn new(
        members: Vec<(u32, u64)>,
        hosts: &[Host],
        hashing: Option<Hashing>,
    ) -> Option<Self> {
        let placement = hashing.and_then(|hashing| {
            let placed = |&(index, weight): &(u32, u64)| {
                let key = hosts.get(index as usize).map(Host::placed_by).unwrap_or_default();
                Placed { key, weight }
            };
            let placed: Vec<Placed> = members.iter().map(placed).collect();
            Placement::new(hashing, &placed)
        });
        let (_, first_weight) = *members.first()?;
        let alike = members.iter().all(|(_, weight)| *weight == first_weight);
        let upto = (!alike).then(|| {
            members
                .iter()
                .scan(0u64, |sum, (_, weight)| {
                    *sum = sum.saturating_add(*weight);
                    Some(*sum)
                })
                .collect()
        });
        let members = members.into_iter().map(|(index, _)| index).collect();
        Some(Self { members, upto, placement, cursor: AtomicU64::new(0) })
    }

    /// The member after position `at`, in a circle.
    pub(crate) fn member(&self, at: usize) -> Option<u32> {
        self.members.get(at % self.members.len().max(1)).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The weight of the member at a position.
    pub(crate) fn weight(&self, at: usize) -> u64 {
        let Some(upto) = &self.upto else { return 1 };
        let before = at.checked_sub(1).and_then(|at| upto.get(at)).copied().unwrap_or(0);
        upto.get(at).copied().unwrap_or(before).saturating_sub(before)
    }

    /// The weights of all members.
    pub(crate) fn total_weight(&self) -> u64 {
        match &self.upto {
            None => self.members.len() as u64,
            Some(upto) => upto.last().copied().unwrap_or(0),
        }
    }

    /// Position of the next member in turn.
    ///
    /// Members of one weight take strict turns. Otherwise the picks walk around the circle of
    /// weights in steps of the golden ratio: at any time each member has had its share to within
    /// a few picks, and picks of one member are as far apart as they can be, whatever the weights
    /// and without a schedule in memory.
    #[inline]
    pub(crate) fn next_in_turn(&self, draw: &mut Draw) -> usize {
        // Where to begin is random, or else every proxy of a mesh would start with the same host
        // after each update.
        if self.cursor.load(Ordering::Relaxed) == 0 {
            let start = (draw.number() >> 1) | 1;
            let _ = self.cursor.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed);
        }
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed);
        match &self.upto {
            None => below_len(turn % self.members.len().max(1) as u64),
            Some(upto) => at_weight(upto, turn.wrapping_mul(GOLDEN)),
        }
    }

    /// Position of the least loaded of some members drawn at random by weight.
    ///
    /// On a tie the first drawn stays,
    /// so that an idle pool is used in proportion to the weights.
    #[inline]
    pub(crate) fn least_loaded(
        &self,
        choices: u32,
        draw: &mut Draw,
        load: impl Fn(usize) -> f64,
    ) -> usize {
        let mut best = self.at_random(draw);
        for _ in 1..choices {
            let mut other = self.at_random(draw);
            if other == best {
                other = (other + 1) % self.members.len().max(1);
            }
            if load(other) < load(best) {
                best = other;
            }
        }
        best
    }

    /// Position of the member that a hash leads to.
    #[inline]
    pub(crate) fn at_hash(&self, hash: u64) -> usize {
        self.placement.as_ref().map_or(0, |placement| placement.at(hash))
    }

    /// Position of a member drawn at random by weight.
    #[inline]
    pub(crate) fn at_random(&self, draw: &mut Draw) -> usize {
        match &self.upto {
            None => below_len(draw.below(self.members.len().max(1) as u64)),
            Some(upto) => at_weight(upto, draw.number()),
        }
    }

    /// How long a request would wait at a member, per weight.
    #[inline]
    pub(crate) fn wait(
        &self,
        hosts: &[Host],
        at: usize,
        (now, decay): (Option<Ticks>, Decay),
    ) -> f64 {
        let host = self.member(at).and_then(|index| hosts.get(index as usize));
        let wait = host.map_or(f64::MAX, |host| host.endpoint.expected_wait(now, decay));
        #[expect(clippy::cast_precision_loss, reason = "a ratio of loads needs no more")]
        let weight = self.weight(at).max(1) as f64;
        wait / weight
    }

    /// Requests in flight, to the power of the bias, per weight. Members of one weight are told
    /// apart by their requests alone.
    #[inline]
    pub(crate) fn load(&self, hosts: &[Host], at: usize, bias: f64) -> f64 {
        let active = self
            .member(at)
            .and_then(|index| hosts.get(index as usize))
            .map_or(u32::MAX, |host| host.endpoint.active_requests());
        let active = f64::from(active);
        if self.upto.is_none() {
            return active;
        }
        let weight = self.weight(at);
        #[expect(clippy::cast_precision_loss, reason = "a ratio of loads needs no more")]
        let weight = weight.max(1) as f64;
        if bias == 1.0 {
            active / weight
        } else if bias == 0.0 {
            0.0
        } else {
            active.powf(bias) / weight
        }
    }
}

/// The position whose share of the circle holds a point.
#[inline]
fn at_weight(upto: &[u64], point: u64) -> usize {
    let total = upto.last().copied().unwrap_or(0);
    let point = scale(point, total);
    upto.partition_point(|sum| *sum <= point)
}

/// A remainder of a length fits `usize` again.
#[inline]
fn below_len(n: u64) -> usize {
    usize::try_from(n).unwrap_or(0)
}
