//! Requests that are not sent at all, to take load off a cluster.

use std::sync::Arc;

use crate::draw::Draw;

/// Sets the draws of drops apart from those of picks, which use the same random number.
const SALT: u64 = 0xd1b5_4a32_d192_ed03;
/// The unit of [`DropOverload::per_million`].
const MILLION: u64 = 1_000_000;

/// One entry of `policy.drop_overloads`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropOverload {
    /// `category`, by which drops are reported.
    pub category: Arc<str>,
    /// `drop_percentage`, in parts of a million.
    pub per_million: u32,
}

/// Shares of the requests that are dropped, each of those that the ones before let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropOverloads(Box<[DropOverload]>);

impl DropOverloads {
    /// These shares, in order.
    pub fn new(shares: Vec<DropOverload>) -> Self {
        Self(shares.into_boxed_slice())
    }

    /// The share that a request falls into, if it is to be dropped. `random` is uniformly random.
    #[inline]
    pub fn dropped(&self, random: u64) -> Option<&DropOverload> {
        if self.0.is_empty() {
            return None;
        }
        let mut draw = Draw::new(random ^ SALT);
        self.0.iter().find(|share| draw.below(MILLION) < u64::from(share.per_million))
    }

    /// Whether one of the shares is everything.
    pub fn drop_all(&self) -> bool {
        self.0.iter().any(|share| u64::from(share.per_million) >= MILLION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shares: &[(&str, u32)]) -> DropOverloads {
        let share = |(category, per_million): &(&str, u32)| DropOverload {
            category: Arc::from(*category),
            per_million: *per_million,
        };
        DropOverloads::new(shares.iter().map(share).collect())
    }

    #[test]
    fn nothing_and_everything() {
        let (none, all) = (of(&[("never", 0)]), of(&[("always", 1_000_000)]));
        for random in 0..10_000 {
            assert!(DropOverloads::default().dropped(random).is_none());
            assert!(none.dropped(random).is_none());
            assert!(all.dropped(random).is_some());
        }
        assert!(all.drop_all() && !none.drop_all() && !DropOverloads::default().drop_all());
    }

    #[test]
    fn later_shares_are_of_what_is_left() {
        let both = of(&[("first", 500_000), ("second", 500_000)]);
        let mut counts = [0u32; 3];
        for random in 0..100_000 {
            match both.dropped(random).map(|share| &*share.category) {
                None => counts[0] += 1,
                Some("first") => counts[1] += 1,
                Some(_) => counts[2] += 1,
            }
        }
        let bounds = [24_000..26_000, 49_000..51_000, 24_000..26_000];
        for (count, bounds) in counts.iter().zip(bounds) {
            assert!(bounds.contains(count), "{counts:?}");
        }
    }

    /// What is dropped says nothing about which host the others go to.
    #[test]
    fn the_same_random_number_decides_both_independently() {
        let half = of(&[("half", 500_000)]);
        let kept = (0..40_000u64).filter(|random| half.dropped(*random).is_none());
        let low = kept.filter(|random| Draw::new(*random).below(4) == 0).count();
        assert!((4_700..5_300).contains(&low), "{low}");
    }
}
