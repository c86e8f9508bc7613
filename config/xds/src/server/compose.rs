//! Making the next response of one type.

use std::{sync::Arc, time::Instant};

use weft_proto::discovery::{
    Any, DeltaDiscoveryResponse, DiscoveryResponse, Resource as DeltaResource, ResourceError,
    ResourceName, Status,
};

use super::track::{InFlight, Sent, Told, Track};
use crate::{
    message::{Mode, Response},
    outline::Name,
    snapshot::{Resource, Version},
};

/// `google.rpc.Code.NOT_FOUND`.
const NOT_FOUND: i32 = 5;

/// One name to tell of: its content, or that there is none.
struct Item {
    name: Name,
    content: Option<Resource>,
}

/// A response, and what it means.
pub(super) struct Composed {
    pub(super) response: Response,
    pub(super) version: Version,
    pub(super) upserts: usize,
    pub(super) removals: usize,
    /// The EDS resources of the clusters within.
    pub(super) endpoints: Vec<Name>,
}

impl Track {
    /// The next response, if one is due and none is on its way.
    pub(super) fn compose(
        &mut self,
        nonce: impl FnOnce() -> String,
        now: Instant,
    ) -> Option<Composed> {
        if !self.is_due() {
            return None;
        }
        let mut items = self.changes();
        if items.is_empty() {
            items = self.next_suspects();
        }
        let answers_emptily = self.owed && self.of.is_root() && self.interest.is_wildcard();
        self.owed = false;
        if items.is_empty() && !answers_emptily {
            self.dirty = false;
            return None;
        }
        let version = self.version();
        let nonce = nonce();
        let composed = Composed {
            response: self.respond(&items, version, &nonce),
            version,
            upserts: items.iter().filter(|item| item.content.is_some()).count(),
            removals: items.iter().filter(|item| item.content.is_none()).count(),
            endpoints: items
                .iter()
                .filter_map(|item| item.content.as_ref()?.endpoints().cloned())
                .collect(),
        };
        self.record(items, version, nonce, now);
        Some(composed)
    }

    /// Where what the client was told differs from what it should have.
    fn changes(&mut self) -> Vec<Item> {
        // State of the world has no word for the end of a single resource; clients ignore it anyway.
        let says_gone = self.mode == Mode::Delta || self.sends_full_sets();
        let mut items = Vec::new();
        let mut unsaid = Vec::new();
        for (name, told) in &self.differing {
            if self.suspected.contains(name) {
                continue;
            }
            let item = |content| Item { name: Name::clone(name), content };
            if let Some(resource) = self.current(name) {
                if *told != Some(Told::Content(resource.version())) {
                    items.push(item(Some(resource.clone())));
                }
                continue;
            }
            if *told == Some(Told::Absent)
                || self.held.contains_key(name)
                || self.is_quarantined(name)
            {
                continue;
            }
            match told {
                None if self.interest.names(name) => items.push(item(None)),
                None => {}
                Some(_) if says_gone => items.push(item(None)),
                Some(_) => unsaid.push(Name::clone(name)),
            }
        }
        for name in unsaid {
            self.tell(&name, Told::Absent);
        }
        items
    }

    /// Whether the newest content of this name is refused and nothing stands in for it. Such a name
    /// is neither sent nor missing.
    fn is_quarantined(&self, name: &str) -> bool {
        self.quarantine.contains_key(name)
    }

    /// The next names of refused responses, whatever the client was told of them.
    fn next_suspects(&mut self) -> Vec<Item> {
        while let Some(batch) = self.suspects.pop_front() {
            let mut items = Vec::new();
            for name in batch {
                if !self.suspected.remove(&name) || !self.interest.contains(&name) {
                    continue;
                }
                let content = self.current(&name).cloned();
                items.push(Item { name, content });
            }
            if !items.is_empty() {
                return items;
            }
        }
        Vec::new()
    }

    /// The version of what the client should have: that of the snapshot, unless the client is
    /// given something else than the snapshot says.
    fn version(&self) -> Version {
        if self.held.is_empty() && self.quarantine.is_empty() {
            self.source.version()
        } else {
            Version::of_set(self.view().into_iter().map(|(name, each)| (name, each.version())))
        }
    }

    fn respond(&self, items: &[Item], version: Version, nonce: &str) -> Response {
        let type_url = self.of.type_url();
        let any =
            |each: &Resource| Any { type_url: type_url.to_owned(), value: each.body().clone() };
        let contents = || items.iter().filter_map(|item| item.content.as_ref());
        let gone = || items.iter().filter(|item| item.content.is_none()).map(|item| &item.name);
        match self.mode {
            Mode::StateOfTheWorld => Response::Sotw(DiscoveryResponse {
                version_info: version.to_string(),
                resources: if self.sends_full_sets() {
                    self.view().into_iter().map(|(_, each)| any(each)).collect()
                } else {
                    contents().map(any).collect()
                },
                type_url: type_url.to_owned(),
                nonce: nonce.to_owned(),
                resource_errors: gone()
                    .filter(|name| self.interest.names(name))
                    .map(not_found)
                    .collect(),
                ..DiscoveryResponse::default()
            }),
            Mode::Delta => Response::Delta(DeltaDiscoveryResponse {
                system_version_info: version.to_string(),
                resources: items
                    .iter()
                    .filter_map(|item| Some((&item.name, item.content.as_ref()?)))
                    .map(|(name, each)| DeltaResource {
                        name: name.to_string(),
                        version: each.version().to_string(),
                        resource: Some(any(each)),
                        ..DeltaResource::default()
                    })
                    .collect(),
                type_url: type_url.to_owned(),
                nonce: nonce.to_owned(),
                removed_resources: gone().map(|name| name.to_string()).collect(),
                ..DeltaDiscoveryResponse::default()
            }),
        }
    }

    fn record(&mut self, items: Vec<Item>, version: Version, nonce: String, since: Instant) {
        let mut sent = Vec::with_capacity(items.len());
        for Item { name, content } in items {
            let content = content.map(|each| each.version());
            let before = match content {
                Some(version) => self.tell(&name, Told::Content(version)),
                None if self.interest.names(&name) => self.tell(&name, Told::Absent),
                None => {
                    let before = self.told(&name);
                    self.differing.remove(&name);
                    before
                }
            };
            sent.push(Sent { name, content, before });
        }
        self.dirty = !self.suspects.is_empty();
        self.nonce.clone_from(&nonce);
        let source = Arc::clone(&self.source);
        self.in_flight = Some(InFlight { nonce, version, items: sent, since, source });
    }
}

fn not_found(name: &Name) -> ResourceError {
    ResourceError {
        resource_name: Some(ResourceName { name: name.to_string() }),
        error_detail: Some(Status {
            code: NOT_FOUND,
            message: format!("there is no resource of the name {name:?} for this client"),
            details: Vec::new(),
        }),
    }
}
