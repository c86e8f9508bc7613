//! Resources that live only as long as their server says so again (`Resource.ttl`).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::outline::Name;

/// When resources end that are not refreshed.
#[derive(Debug, Default)]
pub(super) struct Lifetimes {
    ends: BTreeMap<Name, Instant>,
    in_order: BTreeSet<(Instant, Name)>,
}

impl Lifetimes {
    /// From now on a resource lives for `ttl`; for ever without one.
    pub(super) fn set(&mut self, name: &Name, ttl: Option<Duration>, now: Instant) {
        if let Some(end) = self.ends.remove(name) {
            self.in_order.remove(&(end, Name::clone(name)));
        }
        if let Some(end) = ttl.and_then(|ttl| now.checked_add(ttl)) {
            self.ends.insert(Name::clone(name), end);
            self.in_order.insert((end, Name::clone(name)));
        }
    }

    /// When the next one ends.
    pub(super) fn next(&self) -> Option<Instant> {
        self.in_order.first().map(|(end, _)| *end)
    }

    /// Takes out those that have ended.
    pub(super) fn ended(&mut self, now: Instant) -> Vec<Name> {
        let mut ended = Vec::new();
        while self.next().is_some_and(|end| end <= now) {
            let Some((_, name)) = self.in_order.pop_first() else { break };
            self.ends.remove(&name);
            ended.push(name);
        }
        ended
    }
}
