//! Make before break: what may go out now, and what has to wait for what.
//!
//! - Clusters go first, their endpoints with them. A cluster that changed warms again at the
//!   client, so its endpoints are sent again even if unchanged: Envoy does not ask for them and
//!   would wait for `initial_fetch_timeout`.
//! - Listeners and routes go when the clusters are accepted and their endpoints too.
//! - What is no longer offered leaves when nothing at the client can refer to it any more: when
//!   listeners and routes without it are accepted, when the client itself unsubscribes from a
//!   name, or after a grace.

use std::time::Instant;

use super::stream::{Actions, Note, Scope, Stream};
use crate::resource_type::ResourceType;

impl Stream {
    /// When to be woken with [`Event::Tick`](super::Event::Tick), unless something happens before.
    pub fn deadline(&self) -> Option<Instant> {
        if !self.offered {
            return None;
        }
        let patience = self.waiting_since.map(|since| since + self.timing.patience);
        let held = self.tracks.iter().flat_map(|(_, track)| track.held.values());
        let grace = held.map(|held| held.since + self.timing.grace).min();
        patience.into_iter().chain(grace).min()
    }

    /// Sends everything that is due and may go.
    pub(super) fn pump(&mut self, now: Instant, actions: &mut Actions) {
        if self.waiting_since.is_some_and(|since| now >= since + self.timing.patience) {
            self.overdue = true;
            self.warming.clear();
        }
        loop {
            for of in ResourceType::ALL {
                if !self.must_wait(of) {
                    self.send_due(of, now, actions);
                }
            }
            if !self.release(now) {
                break;
            }
        }
        let waits = ResourceType::ALL.into_iter().any(|of| self.must_wait(of));
        self.waiting_since = if waits { self.waiting_since.or(Some(now)) } else { None };
    }

    /// Whether something of this type is due, and would refer to clusters that are not ready.
    fn must_wait(&self, of: ResourceType) -> bool {
        let refers = matches!(
            of,
            ResourceType::Listener
                | ResourceType::Route
                | ResourceType::ScopedRoute
                | ResourceType::VirtualHost
        );
        let clusters_ready =
            self.tracks[ResourceType::Cluster].is_settled() && self.warming.is_empty();
        refers && self.tracks[of].is_due() && !clusters_ready && !self.overdue
    }

    fn send_due(&mut self, of: ResourceType, now: Instant, actions: &mut Actions) {
        let nonces = &mut self.nonces;
        let next_nonce = || {
            *nonces += 1;
            nonces.to_string()
        };
        let Some(composed) = self.tracks[of].compose(next_nonce, now) else { return };
        if of == ResourceType::Cluster && self.scope == Scope::Aggregated {
            for name in composed.endpoints {
                let endpoints = &mut self.tracks[ResourceType::Endpoint];
                endpoints.send_again(&name);
                if endpoints.source.get(&name).is_some() {
                    self.warming.insert(name);
                }
            }
        }
        actions.notes.push(Note::Sent {
            of,
            version: composed.version,
            upserts: composed.upserts,
            removals: composed.removals,
        });
        actions.send.push(composed.response);
    }

    /// Lets go of held resources that nobody needs any more. Whether there were any.
    fn release(&mut self, now: Instant) -> bool {
        let mut released = false;
        for of in ResourceType::ALL {
            if self.tracks[of].held.is_empty() {
                continue;
            }
            let unreferenced = self.is_unreferenced(of);
            let grace = self.timing.grace;
            let track = &mut self.tracks[of];
            let before = track.held.len();
            let interest = &track.interest;
            track.held.retain(|name, held| {
                // A name of its own in the subscription is a reference by itself.
                let needed = interest.names(name) || !unreferenced;
                needed && now < held.since + grace
            });
            if track.held.len() < before {
                track.forget_departed();
                track.dirty = true;
                released = true;
            }
        }
        released
    }

    /// Whether what refers to resources of this type has been brought up to date.
    fn is_unreferenced(&self, of: ResourceType) -> bool {
        if self.scope != Scope::Aggregated {
            return true;
        }
        let listeners = || self.tracks[ResourceType::Listener].is_accepted();
        match of {
            ResourceType::Cluster => {
                let routes = &self.tracks[ResourceType::Route];
                listeners() && (!routes.started || routes.is_accepted())
            }
            ResourceType::Endpoint => {
                let clusters = &self.tracks[ResourceType::Cluster];
                clusters.is_accepted() && clusters.held.is_empty()
            }
            _ => listeners(),
        }
    }
}
