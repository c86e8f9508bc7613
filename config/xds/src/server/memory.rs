//! What a client refused, kept from one of its streams to the next.
//!
//! A client that comes back with what it had would refuse the same again. So what it refused stays
//! back until it changes. A client that starts anew holds nothing, and is told everything once more:
//! what it refused may have been for something around it that has changed since.

use std::collections::BTreeMap;

use super::{
    stream::Stream,
    track::{Quarantined, Track},
};
use crate::{outline::Name, resource_type::ResourceType};

/// What a client refused and has not been offered otherwise since.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    types: BTreeMap<ResourceType, BTreeMap<Name, Quarantined>>,
}

impl Refusals {
    /// Whether nothing is refused.
    pub fn is_empty(&self) -> bool {
        self.types.values().all(BTreeMap::is_empty)
    }

    /// Takes what a newer stream knows of the types that its client asked for there.
    pub fn update(&mut self, newer: Self) {
        self.types.extend(newer.types);
        self.types.retain(|_, names| !names.is_empty());
    }
}

impl Stream {
    /// What the client refused, of the types that it has asked for on this stream.
    pub fn refusals(&self) -> Refusals {
        let started = self.tracks.iter().filter(|(_, track)| track.started);
        let types = started.map(|(of, track)| {
            let known = track.remembered.iter().chain(&track.quarantine);
            (of, known.map(|(name, held)| (Name::clone(name), held.clone())).collect())
        });
        Refusals { types: types.collect() }
    }

    /// A stream just opened, whose client refused this on streams before.
    #[must_use]
    pub fn remembering(mut self, refusals: &Refusals) -> Self {
        for (of, names) in &refusals.types {
            self.tracks[*of].remembered.clone_from(names);
        }
        self
    }

    /// Keeps back what the client refused before, as soon as it is known to be the same client, and
    /// that it wants it still.
    pub(super) fn recall(&mut self, of: ResourceType) {
        self.continues |= self.tracks[of].resumed;
        if self.continues {
            for (_, track) in self.tracks.iter_mut() {
                track.recall();
            }
        }
    }
}

impl Track {
    fn recall(&mut self) {
        if self.remembered.is_empty() || !self.started {
            return;
        }
        for (name, held) in std::mem::take(&mut self.remembered) {
            if self.interest.contains(&name) {
                self.quarantine.entry(name).or_insert(held);
            } else {
                self.remembered.insert(name, held);
            }
        }
        self.dirty = true;
    }
}
