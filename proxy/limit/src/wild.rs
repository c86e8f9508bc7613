//! Buckets for any value of a key: made when a value comes, and forgotten when too many others have
//! come since.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    bucket::TokenBucket,
    buckets::{Bucket, DescriptorRate, Entry},
};

/// The buckets of a description with any value for some of its keys.
#[derive(Debug)]
pub(crate) struct Wild {
    rate: DescriptorRate,
    most: usize,
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    by_entries: HashMap<Arc<[Entry]>, (u64, Arc<TokenBucket>)>,
    /// By the turn at which they came last.
    by_turn: BTreeMap<u64, Arc<[Entry]>>,
    turn: u64,
}

impl Wild {
    pub(crate) fn new(rate: DescriptorRate, most: usize) -> Self {
        Self { rate, most: most.max(1), made: Mutex::default() }
    }

    /// The bucket for this, if it is described like this.
    pub(crate) fn bucket(&self, entries: &[Entry]) -> Option<Bucket> {
        let is_like = |((key, value), (other, said)): (&(_, Option<Box<str>>), &Entry)| {
            key == other && value.as_ref().is_none_or(|value| value == said)
        };
        let of_rate = &self.rate.entries;
        if of_rate.len() != entries.len() || !of_rate.iter().zip(entries).all(is_like) {
            return None;
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = made.of(entries, self.most, || TokenBucket::new(self.rate.fill));
        Some(Bucket { tokens, is_shadow: self.rate.is_shadow })
    }
}

impl Made {
    fn of(
        &mut self,
        entries: &[Entry],
        most: usize,
        make: impl FnOnce() -> TokenBucket,
    ) -> Arc<TokenBucket> {
        self.turn += 1;
        if let Some((turn, tokens)) = self.by_entries.get_mut(entries) {
            let before = std::mem::replace(turn, self.turn);
            if let Some(entries) = self.by_turn.remove(&before) {
                self.by_turn.insert(self.turn, entries);
            }
            return Arc::clone(tokens);
        }
        if self.by_entries.len() >= most
            && let Some((_, oldest)) = self.by_turn.pop_first()
        {
            self.by_entries.remove(&oldest);
        }
        let (entries, tokens): (Arc<[Entry]>, _) = (entries.into(), Arc::new(make()));
        self.by_turn.insert(self.turn, Arc::clone(&entries));
        self.by_entries.insert(entries, (self.turn, Arc::clone(&tokens)));
        tokens
    }
}
