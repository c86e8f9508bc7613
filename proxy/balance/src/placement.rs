//! Consistent hashing: which member of a pool a hash belongs to, so that few hashes move when
//! members come or go.
//!
//! Both tables place members as Envoy's do, which is more than a matter of taste: while a mesh
//! moves from one proxy to the other, caches behind it stay warm.

use xxhash_rust::xxh64::xxh64;

/// How hashes are spread over members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashing {
    /// A ring of points (`RING_HASH`, ketama): a hash belongs to the next point on it.
    Ring {
        /// `minimum_ring_size` in points.
        least: u64,
        /// `maximum_ring_size` in points.
        most: u64,
    },
    /// A table that members fill in turns (`MAGLEV`, Eisenbud and others 2016, §3.4).
    Maglev {
        /// `table_size`, a prime number.
        size: u32,
    },
}

/// A member of a pool as hashing sees it.
#[derive(Debug)]
pub(crate) struct Placed {
    /// What it is hashed by.
    pub(crate) key: String,
    /// Its weight among all.
    pub(crate) weight: u64,
}

/// Where hashes lead, as positions of members.
#[derive(Debug)]
pub(crate) enum Placement {
    /// Points in the order of their hashes; never empty.
    Ring(Box<[(u64, u32)]>),
    /// Never empty.
    Maglev(Box<[u32]>),
}

impl Placement {
    /// `None` without members.
    pub(crate) fn new(hashing: Hashing, members: &[Placed]) -> Option<Self> {
        if members.is_empty() {
            return None;
        }
        Some(match hashing {
            Hashing::Ring { least, most } => Self::Ring(ring(members, least, most)),
            Hashing::Maglev { size } => Self::Maglev(maglev(members, size.max(2))),
        })
    }

    /// The position that a hash leads to.
    #[inline]
    pub(crate) fn at(&self, hash: u64) -> usize {
        let position = match self {
            Self::Ring(points) => {
                let next = points.partition_point(|(point, _)| *point < hash);
                points.get(next).or(points.first()).map(|(_, position)| *position)
            }
            Self::Maglev(table) => {
                let slot = hash.checked_rem(table.len() as u64).unwrap_or(0);
                usize::try_from(slot).ok().and_then(|slot| table.get(slot)).copied()
            }
        };
        position.unwrap_or(0) as usize
    }
}

/// The share of each member; they add up to 1.
fn shares(members: &[Placed]) -> impl Iterator<Item = f64> {
    #[expect(clippy::cast_precision_loss, reason = "shares need no more")]
    let float = |number: u64| number as f64;
    let sum = members.iter().fold(0u64, |sum, member| sum.saturating_add(member.weight));
    members.iter().map(move |member| float(member.weight) / float(sum.max(1)))
}

/// As many points for each member as its share asks for, and whole ones for the lightest, within
/// the bounds of the ring.
fn ring(members: &[Placed], least: u64, most: u64) -> Box<[(u64, u32)]> {
    #[expect(clippy::cast_precision_loss, reason = "rings have at most 8M points")]
    let (least, most) = (least as f64, most.max(1) as f64);
    let lightest = shares(members).fold(1.0, f64::min);
    let points_in_all = ((lightest * least).ceil() / lightest).min(most).max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 8M")]
    let mut points = Vec::with_capacity(points_in_all.ceil() as usize);
    let (mut there, mut due) = (0.0, 0.0);
    let mut key = String::new();
    for ((position, member), share) in (0u32..).zip(members).zip(shares(members)) {
        due += points_in_all * share;
        let mut number = 0u64;
        while there < due {
            key.clear();
            key.push_str(&member.key);
            key.push('_');
            key.push_str(&number.to_string());
            points.push((xxh64(key.as_bytes(), 0), position));
            number += 1;
            there += 1.0;
        }
    }
    points.sort_unstable_by_key(|(hash, _)| *hash);
    points.into_boxed_slice()
}

/// A member's own order of the slots of a table.
struct Turns {
    position: u32,
    offset: u64,
    skip: u64,
    tried: u64,
    share: f64,
    /// The sum of shares at which it takes a slot.
    due: f64,
}

impl Turns {
    fn next(&mut self, size: u64) -> usize {
        let slot = self.offset.wrapping_add(self.skip.wrapping_mul(self.tried)) % size;
        self.tried += 1;
        usize::try_from(slot).unwrap_or(0)
    }
}

/// Members take free slots in turns, each the next one of its own order; those of less weight sit
/// out some turns. They take turns in the order of their keys, so that the order in which they are
/// configured makes no difference.
fn maglev(members: &[Placed], size: u32) -> Box<[u32]> {
    let slots = u64::from(size);
    let mut keyed: Vec<(&str, u32, f64)> = (0u32..)
        .zip(members)
        .zip(shares(members))
        .map(|((position, member), share)| (member.key.as_str(), position, share))
        .collect();
    keyed.sort_by_key(|(key, ..)| *key);
    let heaviest = keyed.iter().fold(0.0, |heaviest, (_, _, share)| f64::max(heaviest, *share));
    let mut turns: Vec<Turns> = keyed
        .into_iter()
        .map(|(key, position, share)| Turns {
            position,
            offset: xxh64(key.as_bytes(), 0) % slots,
            skip: xxh64(key.as_bytes(), 1) % (slots - 1) + 1,
            tried: 0,
            share,
            due: 0.0,
        })
        .collect();
    let mut table: Vec<Option<u32>> = vec![None; size as usize];
    let mut free = table.len();
    for round in 1u32.. {
        for member in &mut turns {
            if free == 0 {
                return table.into_iter().map(|slot| slot.unwrap_or(0)).collect();
            }
            if f64::from(round) * member.share < member.due {
                continue;
            }
            member.due += heaviest;
            // Its order visits every slot, for the size is prime, so a free one is found.
            while let Some(slot) = table.get_mut(member.next(slots)) {
                if slot.is_none() {
                    *slot = Some(member.position);
                    free -= 1;
                    break;
                }
            }
        }
    }
    Box::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: Hashing = Hashing::Ring { least: 1024, most: 8 << 20 };
    const MAGLEV: Hashing = Hashing::Maglev { size: 65_537 };

    fn members(weights: &[u64]) -> Vec<Placed> {
        (1..)
            .zip(weights)
            .map(|(port, weight)| Placed { key: format!("10.0.0.{port}:80"), weight: *weight })
            .collect()
    }

    fn counts(placement: &Placement, members: usize) -> Vec<u64> {
        let mut counts = vec![0; members];
        for number in 0..20_000u64 {
            counts[placement.at(xxh64(&number.to_be_bytes(), 0))] += 1;
        }
        counts
    }

    #[test]
    fn shares_follow_weights() {
        for (hashing, slack) in [(RING, 900), (MAGLEV, 300)] {
            let placement = Placement::new(hashing, &members(&[1, 2, 5])).unwrap();
            let counts = counts(&placement, 3);
            for (count, expected) in counts.iter().zip([2_500u64, 5_000, 12_500]) {
                assert!(count.abs_diff(expected) < slack, "{hashing:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn few_hashes_move_when_a_member_goes() {
        for hashing in [RING, MAGLEV] {
            let all = Placement::new(hashing, &members(&[1; 10])).unwrap();
            let fewer = Placement::new(hashing, &members(&[1; 9])).unwrap();
            let moved = (0..20_000u64)
                .map(|number| xxh64(&number.to_be_bytes(), 0))
                .filter(|hash| all.at(*hash) < 9 && all.at(*hash) != fewer.at(*hash))
                .count();
            // Nine of ten would, were hashes dealt out by remainders.
            assert!(moved < 1_500, "{hashing:?}: {moved}");
        }
    }

    #[test]
    fn the_order_of_members_makes_no_difference_to_a_table() {
        let one = members(&[3, 1, 2]);
        let mut other = members(&[3, 1, 2]);
        other.reverse();
        let (first, second) =
            (Placement::new(MAGLEV, &one).unwrap(), Placement::new(MAGLEV, &other).unwrap());
        for hash in (0..1_000u64).map(|number| xxh64(&number.to_be_bytes(), 0)) {
            assert_eq!(one[first.at(hash)].key, other[second.at(hash)].key);
        }
    }

    #[test]
    fn bounds_of_a_ring_are_kept() {
        let points = |least, most, weights: &[u64]| match Placement::new(
            Hashing::Ring { least, most },
            &members(weights),
        )
        .unwrap()
        {
            Placement::Ring(points) => points.len(),
            Placement::Maglev(_) => 0,
        };
        assert_eq!(points(1024, 8 << 20, &[1; 4]), 1024);
        // Every member has whole points.
        assert_eq!(points(10, 8 << 20, &[1; 3]), 12);
        assert_eq!(points(1, 5, &[1; 4]), 4);
        assert_eq!(points(6, 6, &[1; 4]), 6);
        // The lightest of unlike members has whole points, too.
        assert_eq!(points(1, 8 << 20, &[1, 999]), 1000);
        assert_eq!(points(1, 100, &[1, 999]), 100);
    }

    #[test]
    fn every_hash_leads_somewhere() {
        for hashing in [RING, MAGLEV, Hashing::Maglev { size: 2 }] {
            assert!(Placement::new(hashing, &[]).is_none());
            let one = Placement::new(hashing, &members(&[7])).unwrap();
            for hash in [0, 1, u64::MAX, u64::MAX / 2] {
                assert_eq!(one.at(hash), 0);
            }
        }
    }
}
