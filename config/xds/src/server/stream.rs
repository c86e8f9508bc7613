//! One stream: events in, responses and notes out.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{ask::Ask, refusal::bounded, track::Track};
use crate::{
    message::{Mode, Request, Response},
    outline::Name,
    resource_type::{PerType, ResourceType},
    snapshot::{Snapshot, Version},
};

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All types, in good order (ADS).
    Aggregated,
    /// One type, which requests need not name.
    Only(ResourceType),
}

/// How long good order may delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long listeners and routes wait for the clusters they may refer to.
    pub patience: Duration,
    /// How long a removal waits for the client to stop referring to what is removed.
    pub grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { patience: Duration::from_secs(5), grace: Duration::from_secs(10) }
    }
}

/// What happens to a stream.
#[expect(
    clippy::large_enum_variant,
    reason = "each is moved a few times and never kept; a box would cost more"
)]
#[derive(Debug)]
pub enum Event {
    /// The client said something.
    Request(Request),
    /// What the client is to be offered from now on. Nothing is answered before the first.
    Offer(Arc<Snapshot>),
    /// The time of [`Stream::deadline`] has come.
    Tick,
}

/// What to do about an event.
#[derive(Debug, Default)]
pub struct Actions {
    /// Responses to send, in this order.
    pub send: Vec<Response>,
    /// What is worth knowing.
    pub notes: Vec<Note>,
}

/// What is worth knowing of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// The client asked for a type for the first time.
    Subscribed(ResourceType),
    /// A response goes out.
    Sent {
        /// Its type.
        of: ResourceType,
        /// Its version: that of the snapshot's resources, unless the client is given other ones.
        version: Version,
        /// New and changed resources that it tells of.
        upserts: usize,
        /// Removed and non-existent ones.
        removals: usize,
    },
    /// The client accepted the response in flight.
    Acknowledged {
        /// Its type.
        of: ResourceType,
        /// Its version.
        version: Version,
    },
    /// The client refused the response in flight.
    Refused {
        /// Its type.
        of: ResourceType,
        /// Its version.
        version: Version,
        /// The resources to blame, as far as known.
        names: Vec<Name>,
        /// The client's words, cut to a few kilobytes.
        reason: String,
    },
    /// A request was not acted upon.
    Ignored(Ignored),
}

/// Why a request was not acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// A type that we do not serve, those of xDS v2 included.
    UnknownType(String),
    /// State of the world: it answers a response that is not the newest of its type. The client
    /// repeats itself when it sees that one.
    Stale(ResourceType),
    /// A per-type stream: it asks for another type.
    OtherType(ResourceType),
}

/// One stream that a client opened, see the [module](super).
#[derive(Debug)]
pub struct Stream {
    pub(super) mode: Mode,
    pub(super) scope: Scope,
    pub(super) timing: Timing,
    pub(super) tracks: PerType<Track>,
    /// There has been an offer.
    pub(super) offered: bool,
    /// The client has said that it holds resources of an earlier stream.
    pub(super) continues: bool,
    /// Nonces given so far.
    pub(super) nonces: u64,
    /// EDS resources of clusters just sent, which have to be accepted before the clusters are usable.
    pub(super) warming: BTreeSet<Name>,
    /// Since when a listener or route has been waiting for clusters.
    pub(super) waiting_since: Option<Instant>,
    /// The clusters took too long; nothing waits for them until they are accepted.
    pub(super) overdue: bool,
}

impl Stream {
    /// A stream just opened.
    pub fn new(mode: Mode, scope: Scope, timing: Timing) -> Self {
        Self {
            mode,
            scope,
            timing,
            tracks: PerType::from_fn(|of| Track::new(of, mode)),
            offered: false,
            continues: false,
            nonces: 0,
            warming: BTreeSet::new(),
            waiting_since: None,
            overdue: false,
        }
    }

    /// Takes an event and says what to do.
    pub fn step(&mut self, event: Event, now: Instant) -> Actions {
        let mut actions = Actions::default();
        match event {
            Event::Request(request) => self.take(request, now, &mut actions),
            Event::Offer(snapshot) => {
                self.offered = true;
                for (of, track) in self.tracks.iter_mut() {
                    track.offer(snapshot.get(of), now);
                }
                let endpoints = snapshot.get(ResourceType::Endpoint);
                self.warming.retain(|name| endpoints.get(name).is_some());
            }
            Event::Tick => {}
        }
        if self.offered {
            self.pump(now, &mut actions);
        }
        actions
    }

    /// Whether the client has accepted everything of a type that it is offered.
    pub fn is_converged(&self, of: ResourceType) -> bool {
        let track = &self.tracks[of];
        track.is_accepted() && track.held.is_empty()
    }

    fn take(&mut self, request: Request, now: Instant, actions: &mut Actions) {
        let of = match self.type_of(&request) {
            Ok(of) => of,
            Err(reason) => return actions.notes.push(Note::Ignored(reason)),
        };
        let ask = Ask::from(request);
        let track = &mut self.tracks[of];
        let is_newest = !ask.nonce.is_empty() && ask.nonce == track.nonce;
        // The first request of a stream may carry a nonce of the stream before.
        if self.mode == Mode::StateOfTheWorld
            && track.started
            && !is_newest
            && !ask.nonce.is_empty()
        {
            return actions.notes.push(Note::Ignored(Ignored::Stale(of)));
        }
        if let Some(answered) = track.in_flight.take_if(|sent| sent.nonce == ask.nonce) {
            for sent in &answered.items {
                if of == ResourceType::Endpoint {
                    self.warming.remove(&sent.name);
                }
            }
            let version = answered.version;
            actions.notes.push(if let Some(status) = ask.refusal {
                let reason = bounded(&status.message).to_owned();
                let names = track.refuse(answered, &status.message);
                Note::Refused { of, version, names, reason }
            } else {
                track.acknowledge(&answered);
                Note::Acknowledged { of, version }
            });
            if of == ResourceType::Cluster {
                self.overdue = false;
                if track.refused {
                    self.warming.clear();
                }
            }
        }
        if !track.started {
            actions.notes.push(Note::Subscribed(of));
        }
        track.subscribe(ask.change, now);
        self.recall(of);
    }

    fn type_of(&self, request: &Request) -> Result<ResourceType, Ignored> {
        let url = request.type_url();
        let asked = ResourceType::from_type_url(url);
        match self.scope {
            Scope::Aggregated => asked.ok_or_else(|| Ignored::UnknownType(url.to_owned())),
            Scope::Only(of) if url.is_empty() || asked == Some(of) => Ok(of),
            Scope::Only(_) => {
                Err(asked.map_or_else(|| Ignored::UnknownType(url.to_owned()), Ignored::OtherType))
            }
        }
    }
}
