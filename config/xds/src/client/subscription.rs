//! One type of resource: what is wanted, what was asked for on this stream, what is held.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::{
    ask::problem_text,
    decode::{Decoded, Incoming, Refreshed},
    lifetime::Lifetimes,
    machine::{Upsert, Verdict},
    status::{Refusal, State, Status},
    wanted::{Asked, Wanted},
};
use crate::{
    message::{Mode, Request, Response},
    outline::Name,
    resource_type::ResourceType,
    snapshot::Version,
};

/// What is known of one resource.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) status: Status,
    /// The content accepted last.
    pub(super) content: Option<Version>,
    /// Content has come, whatever became of it: its absence is no longer waited for.
    pub(super) received: bool,
    /// Its version is in the words of a server that was left for another one.
    pub(super) of_other_server: bool,
}

impl Entry {
    fn requested() -> Self {
        Self { status: Status::requested(), content: None, received: false, of_other_server: false }
    }
}

/// A response that awaits the caller's verdict.
#[derive(Debug)]
pub(super) struct Pending {
    delivery: u64,
    /// What to answer it by; `None` when the stream that brought it is gone.
    pub(super) nonce: Option<String>,
    version: String,
    items: Vec<Item>,
    removals: Vec<Name>,
    problems: Vec<String>,
}

/// A resource of a response that awaits its verdict.
#[derive(Debug)]
struct Item {
    name: Name,
    version: String,
    content: Version,
    ttl: Option<Duration>,
}

/// What a response comes to.
#[expect(
    clippy::large_enum_variant,
    reason = "each is moved a few times and never kept; a box would cost more"
)]
#[derive(Debug)]
pub(super) enum Reception {
    /// The caller has to judge it.
    Deliver { version: String, upserts: Vec<Upsert>, removals: Vec<Name> },
    /// It is answered by this.
    Answered(Request),
}

/// One type of resource.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) of: ResourceType,
    pub(super) mode: Mode,
    pub(super) wanted: Option<Wanted>,
    /// What was asked for on this stream.
    pub(super) asked: Option<Asked>,
    /// Given up and wanted again before the server heard of it (state of the world). It has to hear
    /// of it, or it would see no reason to send them again.
    pub(super) again: BTreeSet<Name>,
    /// Given up by a request that answered no response (state of the world). A server that had sent
    /// its next response by then passes over such a request, and over the one that wants them again.
    pub(super) unheard: BTreeSet<Name>,
    /// The nonce answered last on this stream.
    pub(super) nonce: String,
    /// The version accepted last (state of the world).
    pub(super) version: String,
    pub(super) entries: BTreeMap<Name, Entry>,
    pub(super) pending: Option<Pending>,
    backlog: VecDeque<Response>,
    /// When to stop waiting, for a name or for the first response of a type wanted as a whole.
    pub(super) timers: BTreeSet<(Instant, Option<Name>)>,
    /// There was a response, on any stream.
    pub(super) answered: bool,
    /// When clusters and listeners go that are not refreshed. Others go when nothing refers to them.
    lifetimes: Lifetimes,
}

impl Subscription {
    pub(super) fn new(of: ResourceType, mode: Mode) -> Self {
        Self {
            of,
            mode,
            wanted: None,
            asked: None,
            again: BTreeSet::new(),
            unheard: BTreeSet::new(),
            nonce: String::new(),
            version: String::new(),
            entries: BTreeMap::new(),
            pending: None,
            backlog: VecDeque::new(),
            timers: BTreeSet::new(),
            answered: false,
            lifetimes: Lifetimes::default(),
        }
    }

    pub(super) fn statuses(&self) -> impl Iterator<Item = (&Name, &Status)> {
        self.entries.iter().map(|(name, entry)| (name, &entry.status))
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let ends = if self.pending.is_some() { None } else { self.lifetimes.next() };
        self.timers.first().map(|(at, _)| *at).into_iter().chain(ends).min()
    }

    /// Resources that have not been refreshed for as long as they live, which are to be removed.
    pub(super) fn outlived(&mut self, delivery: u64, now: Instant) -> Option<Reception> {
        if self.pending.is_some() {
            return None;
        }
        let ended = self.lifetimes.ended(now).into_iter();
        let removals: Vec<Name> = ended.filter(|name| self.entries.contains_key(name)).collect();
        if removals.is_empty() {
            return None;
        }
        let version = self.version.clone();
        self.pending = Some(Pending {
            delivery,
            nonce: None,
            version: version.clone(),
            items: Vec::new(),
            removals: removals.clone(),
            problems: Vec::new(),
        });
        Some(Reception::Deliver { version, upserts: Vec::new(), removals })
    }

    /// Replaces what is wanted. What no longer is gets forgotten.
    pub(super) fn want(&mut self, wanted: Wanted) {
        if self.wanted.as_ref() == Some(&wanted) {
            return;
        }
        self.entries.retain(|name, _| wanted.contains(name));
        self.again.retain(|name| wanted.contains(name));
        for name in wanted.names() {
            if !self.entries.contains_key(name) {
                self.entries.insert(Name::clone(name), Entry::requested());
                if matches!(&self.asked, Some(Asked::Names(asked)) if asked.contains(name)) {
                    self.again.insert(Name::clone(name));
                }
            }
        }
        self.wanted = Some(wanted);
    }

    /// The stream is gone. What is held stays; what was asked has to be asked again.
    pub(super) fn disconnect(&mut self) {
        self.asked = None;
        self.again.clear();
        self.unheard.clear();
        self.nonce.clear();
        self.backlog.clear();
        self.timers.clear();
        if let Some(pending) = &mut self.pending {
            pending.nonce = None;
        }
    }

    /// The next stream goes to another server: what the versions say means nothing there.
    pub(super) fn leave_server(&mut self) {
        self.version.clear();
        for entry in self.entries.values_mut() {
            entry.of_other_server = true;
        }
    }

    /// Whether something is wanted of which there is neither content nor an answer.
    pub(super) fn is_lacking(&self) -> bool {
        let unanswered = |entry: &Entry| {
            entry.content.is_none()
                && !matches!(entry.status.state, State::DoesNotExist | State::ReceivedError)
        };
        let list = self.wanted.as_ref().is_some_and(Wanted::is_all) && !self.answered;
        list || self.entries.values().any(unanswered)
    }

    /// Takes a response. `missing` collects names that the server says it does not have.
    pub(super) fn receive(
        &mut self,
        response: Response,
        delivery: u64,
        now: Instant,
        missing: &mut Vec<Name>,
    ) -> Option<Reception> {
        self.asked.as_ref()?;
        if self.pending.is_some() {
            self.backlog.push_back(response);
            return None;
        }
        let decoded = Decoded::new(self.of, response);
        if let Some(name) = decoded.duplicate {
            let problem = problem_text(&[format!("{name}: the name occurs twice in one response")]);
            let answer = self.answer(decoded.nonce, Some(problem), now);
            return Some(Reception::Answered(answer));
        }
        let first = !std::mem::replace(&mut self.answered, true);
        let removals = self.removals(&decoded, missing);
        self.note_errors(&decoded.errors, now, missing);
        self.refresh(&decoded.refreshed, now);
        let mut pending = Pending {
            delivery,
            nonce: Some(decoded.nonce),
            version: decoded.version,
            items: Vec::new(),
            removals,
            problems: decoded.problems,
        };
        let mut upserts = Vec::new();
        for incoming in decoded.resources {
            if !self.wanted.as_ref().is_some_and(|wanted| wanted.contains(&incoming.name)) {
                continue;
            }
            let entry =
                self.entries.entry(Name::clone(&incoming.name)).or_insert_with(Entry::requested);
            entry.received = true;
            let news = entry.content != Some(incoming.content);
            pending.items.push(Item {
                name: Name::clone(&incoming.name),
                version: incoming.version.clone(),
                content: incoming.content,
                ttl: incoming.ttl,
            });
            if news {
                let Incoming { name, version, body, .. } = incoming;
                upserts.push(Upsert { name, version, body });
            }
        }
        if upserts.is_empty() && pending.removals.is_empty() && !(first && self.of.is_root()) {
            return self.conclude(pending, &[], now).map(Reception::Answered);
        }
        let (version, removals) = (pending.version.clone(), pending.removals.clone());
        self.pending = Some(pending);
        Some(Reception::Deliver { version, upserts, removals })
    }

    /// The roots that a response removes. Other types go when nothing refers to them, that is when
    /// they are no longer wanted; a server that has none of a name says so here.
    fn removals(&mut self, decoded: &Decoded, missing: &mut Vec<Name>) -> Vec<Name> {
        let mut removals = Vec::new();
        for name in &decoded.removed {
            let Some(entry) = self.entries.get_mut(name) else { continue };
            if entry.content.is_none() && !entry.received {
                if entry.status.state == State::Requested {
                    entry.status.state = State::DoesNotExist;
                    missing.push(Name::clone(name));
                }
            } else if self.of.is_root() {
                removals.push(Name::clone(name));
            }
        }
        // Absence is deletion only if everything present could be named, and not in a response that
        // does nothing but refresh.
        let is_heartbeat = decoded.resources.is_empty() && !decoded.refreshed.is_empty();
        let tells_all = decoded.problems.is_empty() && !is_heartbeat;
        if self.mode == Mode::StateOfTheWorld && self.of.is_root() && tells_all {
            let present: BTreeSet<&Name> = decoded
                .resources
                .iter()
                .map(|incoming| &incoming.name)
                .chain(decoded.refreshed.iter().map(|refreshed| &refreshed.name))
                .collect();
            let absent = self
                .entries
                .iter()
                .filter(|(name, entry)| entry.received && !present.contains(name))
                .map(|(name, _)| Name::clone(name));
            removals.extend(absent);
        }
        removals
    }

    fn refresh(&mut self, refreshed: &[Refreshed], now: Instant) {
        for Refreshed { name, version, ttl } in refreshed.iter().filter(|_| self.of.is_root()) {
            let Some(entry) = self.entries.get(name) else { continue };
            if version.is_empty() || *version == entry.status.version {
                self.lifetimes.set(name, *ttl, now);
            }
        }
    }

    fn note_errors(&mut self, errors: &[(Name, String)], now: Instant, missing: &mut Vec<Name>) {
        for (name, reason) in errors {
            let Some(entry) = self.entries.get_mut(name) else { continue };
            entry.status.refusal =
                Some(Refusal { version: String::new(), reason: reason.clone(), at: now });
            if entry.status.state == State::Requested && !entry.received {
                missing.push(Name::clone(name));
            }
            entry.status.state = State::ReceivedError;
        }
    }

    /// Nothing of what the server says can be read. Returns what need not be waited for because of
    /// that; what is held stays.
    pub(super) fn unreadable(&mut self, reason: &str, now: Instant) -> Vec<Option<Name>> {
        let errors: Vec<_> =
            self.entries.keys().map(|name| (Name::clone(name), reason.to_owned())).collect();
        let mut missing = Vec::new();
        self.note_errors(&errors, now, &mut missing);
        let list = self.wanted.as_ref().is_some_and(Wanted::is_all) && !self.answered;
        list.then_some(None).into_iter().chain(missing.into_iter().map(Some)).collect()
    }

    /// Takes the caller's verdict. The outer `None`: no such delivery awaits one.
    pub(super) fn judge(&mut self, verdict: &Verdict, now: Instant) -> Option<Option<Request>> {
        let pending = self.pending.take_if(|pending| pending.delivery == verdict.delivery)?;
        Some(self.conclude(pending, &verdict.refused, now))
    }

    fn conclude(
        &mut self,
        pending: Pending,
        refusals: &[(Name, String)],
        now: Instant,
    ) -> Option<Request> {
        let mut problems = pending.problems;
        let reasons: BTreeMap<&Name, &String> =
            refusals.iter().map(|(name, reason)| (name, reason)).collect();
        for Item { name, version, content, ttl } in pending.items {
            // It may have been given up while the verdict was out.
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            if let Some(&reason) = reasons.get(&name) {
                entry.status.state = State::Nacked;
                entry.status.refusal = Some(Refusal { version, reason: reason.clone(), at: now });
            } else {
                if entry.content.replace(content) != Some(content) {
                    entry.status.updated = Some(now);
                }
                entry.of_other_server = false;
                entry.status.version = version;
                entry.status.state = State::Acked;
                entry.status.refusal = None;
                if self.of.is_root() {
                    self.lifetimes.set(&name, ttl, now);
                }
            }
        }
        problems.extend(refusals.iter().map(|(name, reason)| format!("{name}: {reason}")));
        for name in pending.removals {
            self.lifetimes.set(&name, None, now);
            if self.wanted.as_ref().is_some_and(Wanted::is_all) {
                self.entries.remove(&name);
            } else if let Some(entry) = self.entries.get_mut(&name) {
                *entry = Entry::requested();
                entry.status.state = State::DoesNotExist;
            }
        }
        if problems.is_empty() && self.mode == Mode::StateOfTheWorld {
            self.version = pending.version;
        }
        let problem = (!problems.is_empty()).then(|| problem_text(&problems));
        Some(self.answer(pending.nonce?, problem, now))
    }

    /// The next response that came while another awaited its verdict.
    pub(super) fn next_in_backlog(&mut self) -> Option<Response> {
        if self.pending.is_some() { None } else { self.backlog.pop_front() }
    }

    /// What has been waited for long enough: names, or `None` for the type as a whole.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Option<Name>> {
        let mut missing = Vec::new();
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, name)) = self.timers.pop_first() else { break };
            let Some(name) = name else {
                if !self.answered {
                    missing.push(None);
                }
                continue;
            };
            if let Some(entry) = self.entries.get_mut(&name)
                && entry.status.state == State::Requested
                && !entry.received
            {
                entry.status.state = State::Timeout;
                missing.push(Some(name));
            }
        }
        missing
    }
}
