//! One type of resource on one stream: what the client wants, what it was told, what is on its way.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::interest::Interest;
use crate::{
    message::Mode,
    outline::Name,
    resource_type::ResourceType,
    snapshot::{Resource, Resources, Version},
};

/// What a client was last told of a name. It may have refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Its content.
    Content(Version),
    /// That it does not exist.
    Absent,
    /// Something that it may hold or not: it came with something refused, or from another server.
    Unsure,
}

/// A response without a verdict so far.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) nonce: String,
    /// The version of the response as a whole, for the ledger.
    pub(super) version: Version,
    pub(super) items: Vec<Sent>,
    pub(super) since: Instant,
    /// What the response was made from.
    pub(super) source: Arc<Resources>,
}

/// One name within a response.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) name: Name,
    pub(super) content: Option<Version>,
    /// What the client had been told before.
    pub(super) before: Option<Told>,
}

/// A resource that is no longer offered, kept at the client because others may still refer to it.
#[derive(Debug)]
pub(super) struct Held {
    /// Unknown when the client brought the resource from an earlier stream.
    pub(super) resource: Option<Resource>,
    pub(super) since: Instant,
}

/// A resource whose newest content the client refused.
#[derive(Clone, Debug)]
pub(super) struct Quarantined {
    pub(super) refused: Version,
    pub(super) instead: Instead,
    /// The client's words.
    pub(super) reason: Arc<str>,
}

/// What the client is given in place of content that it refused.
#[derive(Clone, Debug)]
pub(super) enum Instead {
    /// Nothing: it keeps what it has, or has none.
    Nothing,
    /// In a full set, the last content that it accepted.
    Good(Resource),
    /// In a full set, the refused content: the client may hold a good one that we do not know, and
    /// to leave the name out would delete it.
    Same,
}

/// One type of resource on one stream.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) of: ResourceType,
    pub(super) mode: Mode,
    pub(super) interest: Interest,
    /// State of the world: the list of names that the interest was made of. Clients repeat it in
    /// every request.
    pub(super) listed: Option<Version>,
    /// What is offered now, and what the client was told of every name that it subscribes to, but
    /// for those that differ.
    pub(super) source: Arc<Resources>,
    /// What was offered when the client last accepted a response.
    pub(super) good: Arc<Resources>,
    /// What the client was told of names of which it was told something else than is offered;
    /// `None` is nothing at all. A client that is up to date costs no memory here.
    pub(super) differing: BTreeMap<Name, Option<Told>>,
    pub(super) held: BTreeMap<Name, Held>,
    pub(super) quarantine: BTreeMap<Name, Quarantined>,
    /// What the client refused on an earlier stream, and has not asked for on this one.
    pub(super) remembered: BTreeMap<Name, Quarantined>,
    /// Names of refused responses, to be sent again in smaller ones until the guilty is alone.
    pub(super) suspects: VecDeque<Vec<Name>>,
    pub(super) suspected: BTreeSet<Name>,
    pub(super) in_flight: Option<InFlight>,
    /// The nonce of the newest response.
    pub(super) nonce: String,
    /// The client has asked for this type on this stream.
    pub(super) started: bool,
    /// The client's first request has no answer yet.
    pub(super) owed: bool,
    /// The client holds resources of an earlier stream that we know nothing of.
    pub(super) resumed: bool,
    /// There may be something to send that no response in flight tells of.
    pub(super) dirty: bool,
    /// The client's last verdict was a refusal.
    pub(super) refused: bool,
}

impl Track {
    pub(super) fn new(of: ResourceType, mode: Mode) -> Self {
        Self {
            of,
            mode,
            interest: Interest::default(),
            listed: None,
            source: Arc::default(),
            good: Arc::default(),
            differing: BTreeMap::new(),
            held: BTreeMap::new(),
            quarantine: BTreeMap::new(),
            remembered: BTreeMap::new(),
            suspects: VecDeque::new(),
            suspected: BTreeSet::new(),
            in_flight: None,
            nonce: String::new(),
            started: false,
            owed: false,
            resumed: false,
            dirty: false,
            refused: false,
        }
    }

    /// Whether every response carries everything, so that absence deletes.
    pub(super) fn sends_full_sets(&self) -> bool {
        self.mode == Mode::StateOfTheWorld && self.of.is_root()
    }

    /// Whether a removal reaches the client at all, and may hurt what still refers to it.
    pub(super) fn holds_removals(&self) -> bool {
        match self.mode {
            Mode::StateOfTheWorld => self.of == ResourceType::Cluster,
            Mode::Delta => self.of != ResourceType::Listener,
        }
    }

    /// Everything that is due was sent, and has its verdict. True of a type nobody asked for.
    pub(super) fn is_settled(&self) -> bool {
        !self.started || (self.in_flight.is_none() && !self.dirty)
    }

    /// There is something to send, or may be, and nothing of this type is on its way.
    pub(super) fn is_due(&self) -> bool {
        self.started && self.dirty && self.in_flight.is_none()
    }

    /// Everything that is due was sent and accepted.
    pub(super) fn is_accepted(&self) -> bool {
        self.started && self.is_settled() && !self.refused && self.quarantine.is_empty()
    }

    /// What the client should have under this name now.
    pub(super) fn current(&self, name: &str) -> Option<&Resource> {
        let held = || self.held.get(name).and_then(|held| held.resource.as_ref());
        let resource = self.source.get(name).or_else(held)?;
        match self.quarantine.get(name) {
            Some(held) if held.refused == resource.version() => match &held.instead {
                Instead::Nothing => None,
                Instead::Good(good) => Some(good),
                Instead::Same => Some(resource),
            },
            _ => Some(resource),
        }
    }

    /// Everything the client should have now, of what it subscribes to.
    pub(super) fn view(&self) -> Vec<(&Name, &Resource)> {
        if self.interest.is_wildcard() {
            let lingering = self.held.keys().filter(|name| self.source.get(name).is_none());
            let names = self.source.iter().map(|(name, _)| name).chain(lingering);
            names.filter_map(|name| Some((name, self.current(name)?))).collect()
        } else {
            let names = self.interest.named().iter();
            names.filter_map(|name| Some((name, self.current(name)?))).collect()
        }
    }

    /// Forgets what was refused and is offered no more.
    pub(super) fn forget_departed(&mut self) {
        let (source, held) = (&self.source, &self.held);
        self.quarantine.retain(|name, _| source.get(name).is_some() || held.contains_key(name));
    }
}
