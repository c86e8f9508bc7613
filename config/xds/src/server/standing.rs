//! What a stream can tell of its client: for people, and for CSDS.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::{
    stream::Stream,
    track::{Told, Track},
};
use crate::{
    outline::Name,
    resource_type::ResourceType,
    snapshot::{Resource, Version},
};

/// How a client stands with one resource that it asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its type.
    pub of: ResourceType,
    /// Its name.
    pub name: Name,
    /// How far it has come.
    pub state: State,
    /// What the client is given under that name, if anything.
    pub resource: Option<Resource>,
}

/// How far a resource has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The client accepted what it is given.
    Accepted,
    /// It was sent, and there is no verdict yet.
    Sent,
    /// It has yet to be sent.
    Due,
    /// There is none of that name, or there is no more.
    Absent,
    /// The client refused its newest version.
    Refused(Refusal),
}

/// A version that a client refused, which is not sent to it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The version.
    pub version: Version,
    /// The client's words, cut to a few kilobytes.
    pub reason: Arc<str>,
}

impl Stream {
    /// Every resource that the client asked for or is given, in the order of types and names.
    pub fn standings(&self) -> Vec<Standing> {
        self.tracks
            .iter()
            .filter(|(_, track)| track.started)
            .flat_map(|(_, track)| track.standings())
            .collect()
    }

    /// What the client refused and is not sent again until it changes: name, refusal, and what the
    /// client is left with as far as that is known.
    pub fn quarantined(
        &self,
    ) -> impl Iterator<Item = (ResourceType, &Name, Refusal, Option<Version>)> {
        self.tracks.iter().flat_map(|(of, track)| {
            track.quarantine.iter().map(move |(name, held)| {
                let refusal = Refusal { version: held.refused, reason: Arc::clone(&held.reason) };
                (of, name, refusal, track.current(name).map(Resource::version))
            })
        })
    }

    /// How many names the client subscribes to, over all types.
    pub fn subscriptions(&self) -> usize {
        self.tracks.iter().map(|(_, track)| track.interest.named().len()).sum()
    }

    /// Since when the oldest response without a verdict is on its way.
    pub fn unanswered_since(&self) -> Option<Instant> {
        self.tracks.iter().filter_map(|(_, track)| Some(track.in_flight.as_ref()?.since)).min()
    }

    /// Whether the client was sent everything that it is offered of all it asked for, and answered.
    pub fn is_settled(&self) -> bool {
        self.tracks.iter().all(|(_, track)| track.is_settled())
    }
}

impl Track {
    fn standings(&self) -> Vec<Standing> {
        let all = self.interest.is_wildcard().then(|| self.source.iter().map(|(name, _)| name));
        let others = self.interest.named().iter().chain(self.differing.keys());
        let names: BTreeSet<&Name> = all.into_iter().flatten().chain(others).collect();
        names.into_iter().map(|name| self.standing(name)).collect()
    }

    fn standing(&self, name: &Name) -> Standing {
        let resource = self.current(name).cloned();
        let in_flight = || {
            let mut items = self.in_flight.iter().flat_map(|sent| &sent.items);
            items.any(|sent| sent.name == *name)
        };
        let told = self.told(name);
        let state = if let Some(held) = self.quarantine.get(name) {
            State::Refused(Refusal { version: held.refused, reason: Arc::clone(&held.reason) })
        } else if in_flight() {
            State::Sent
        } else {
            match &resource {
                Some(resource) if told == Some(Told::Content(resource.version())) => {
                    State::Accepted
                }
                Some(_) => State::Due,
                None => State::Absent,
            }
        };
        Standing { of: self.of, name: Name::clone(name), state, resource }
    }
}
