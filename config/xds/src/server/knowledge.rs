//! What a client was told, kept as what differs from what it is offered.
//!
//! Nearly always a client was told exactly what is offered. So that is what is assumed of every
//! name it subscribes to, and exceptions are listed: a new offer adds the names that changed, and
//! responses take them away again. An update costs what it changes, however much there is.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{
    ask::Change,
    interest::WILDCARD,
    track::{Held, Told, Track},
};
use crate::{
    outline::{Name, canonical},
    snapshot::{Resource, Resources, Version},
};

impl Track {
    /// What the client was told of a name that it subscribes to.
    pub(super) fn told(&self, name: &str) -> Option<Told> {
        match self.differing.get(name) {
            Some(told) => *told,
            None if self.interest.contains(name) => content_of(self.source.get(name)),
            None => None,
        }
    }

    /// Notes what the client was told of a name. What it had been told before.
    pub(super) fn tell(&mut self, name: &Name, told: Told) -> Option<Told> {
        let before = self.told(name);
        let usual = self.interest.contains(name) && content_of(self.source.get(name)) == Some(told);
        if usual {
            self.differing.remove(name);
        } else {
            self.differing.insert(Name::clone(name), Some(told));
        }
        before
    }

    /// Forgets what the client was told of a name. What that was.
    pub(super) fn forget(&mut self, name: &Name) -> Option<Told> {
        let before = self.told(name);
        if self.interest.contains(name) {
            self.differing.insert(Name::clone(name), None);
        } else {
            self.differing.remove(name);
        }
        before
    }

    /// Takes what is offered from now on.
    pub(super) fn offer(&mut self, source: &Arc<Resources>, now: Instant) {
        if Arc::ptr_eq(&self.source, source) {
            return;
        }
        let previous = std::mem::replace(&mut self.source, Arc::clone(source));
        self.held.retain(|name, _| source.get(name).is_none());
        for name in source.changed_since(&previous) {
            if !self.interest.contains(&name) {
                continue;
            }
            let told = match self.differing.get(&name) {
                Some(told) => *told,
                None => content_of(previous.get(&name)),
            };
            let leaves = source.get(&name).is_none();
            let has_it = told.is_some_and(|told| told != Told::Absent);
            if leaves && has_it && self.holds_removals() {
                let resource = previous.get(&name).cloned();
                self.held.entry(Name::clone(&name)).or_insert(Held { resource, since: now });
            }
            let usual = told == content_of(source.get(&name));
            let of_interest = told.is_some() || self.interest.names(&name);
            if usual && (told.is_some() || !of_interest) {
                self.differing.remove(&name);
            } else {
                self.differing.insert(name, told);
            }
        }
        self.forget_departed();
        self.dirty = true;
    }

    /// Takes a change of subscription.
    pub(super) fn subscribe(&mut self, change: Change, now: Instant) {
        let first = !std::mem::replace(&mut self.started, true);
        if let Change::Replace { names, .. } = &change {
            let listed = Some(Version::of_names(names));
            if self.listed == listed {
                return;
            }
            self.listed = listed;
        }
        // Whoever asks for everything was told nothing of what it had not named before.
        let widens = !self.interest.is_wildcard() && (first || change.asks_for_all());
        let named = widens.then(|| self.interest.named().clone());
        let (touched, held) = match change {
            Change::Replace { names, resumed } => {
                self.resumed = first && resumed;
                (self.interest.replace(self.of, names, &self.source), HashMap::new())
            }
            Change::Adjust { subscribe, unsubscribe, held } => {
                let known = &self.source;
                (self.interest.adjust(self.of, first, subscribe, unsubscribe, known), held)
            }
        };
        self.forget_unwanted();
        if let Some(named) = named
            && self.interest.is_wildcard()
        {
            let untold = self.source.iter().map(|(name, _)| name);
            let untold = untold.filter(|name| !named.contains(*name));
            self.differing.extend(untold.map(|name| (Name::clone(name), None)));
            self.dirty = true;
        }
        for name in &touched {
            self.forget(name);
            self.quarantine.remove(name);
        }
        if first && !held.is_empty() {
            self.resume(held, now);
        }
        self.owed |= first;
        self.dirty |= first || !touched.is_empty();
    }

    /// Believes a delta client what it says it holds. Versions that are not ours are as good as
    /// unknown, but names that we do not offer are there to be removed, in good order.
    fn resume(&mut self, held: HashMap<String, String>, now: Instant) {
        self.resumed = true;
        for (name, version) in held {
            let name = canonical(name);
            if !self.interest.contains(&name) {
                continue;
            }
            // Even what we offer may be gone before it is sent: the client has something to lose then.
            let told = Version::parse(&version).map_or(Told::Unsure, Told::Content);
            let known = self.source.get_key_value(&name).map(|(name, _)| Name::clone(name));
            let name = known.unwrap_or_else(|| {
                let name = Name::from(name);
                if self.holds_removals() {
                    self.held.insert(Name::clone(&name), Held { resource: None, since: now });
                }
                name
            });
            self.tell(&name, told);
        }
    }

    /// Forgets what the client was told of names it no longer subscribes to.
    fn forget_unwanted(&mut self) {
        let interest = &self.interest;
        self.differing.retain(|name, _| interest.contains(name));
        self.held.retain(|name, _| interest.contains(name));
        self.quarantine.retain(|name, _| interest.contains(name));
    }

    /// Makes one resource due, whatever the client was told of it.
    pub(super) fn send_again(&mut self, name: &Name) {
        if self.told(name).is_some() {
            self.forget(name);
            self.quarantine.remove(name);
            self.dirty = true;
        }
    }
}

impl Change {
    fn asks_for_all(&self) -> bool {
        let names = match self {
            Self::Replace { names, .. } => names,
            Self::Adjust { subscribe, .. } => subscribe,
        };
        names.iter().any(|name| name == WILDCARD)
    }
}

fn content_of(resource: Option<&Resource>) -> Option<Told> {
    resource.map(|resource| Told::Content(resource.version()))
}
