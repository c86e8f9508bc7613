//! Several clients that speak the bare protocol, each with a stream of its own to one model.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use weft_proto::discovery::{DeltaDiscoveryRequest, DiscoveryRequest, Status};
use weft_xds::{
    Mode, PerType, Request, ResourceType, Resources, Response, Snapshot, name_of,
    server::{Event, Scope, Stream, Timing},
};

use crate::world::model::{Model, TYPES, is_bad};

/// Something that happens; where it has a number, to that client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// The mesh changes: see [`Model::change`].
    Change { kind: u8, which: u8, content: u8 },
    /// The client's oldest message on the way arrives.
    ToServer(u8),
    /// The server's oldest message on the way arrives, and is answered.
    ToClient(u8),
    /// The client subscribes to the names of this mask.
    Subscribe { client: u8, of: u8, names: u8 },
    /// The stream breaks, and another one is opened.
    Reconnect { client: u8, delta: bool, remembers: bool },
    /// The client answers something that was never said.
    Lie { client: u8, of: u8 },
    /// Time passes.
    Pass(Duration),
}

/// What a client wants of a type.
#[derive(Clone, Debug, Default, PartialEq)]
struct Wanted {
    /// On this stream it has asked for the type.
    asked: bool,
    /// It has named something on this stream, so that naming nothing means nothing.
    has_named: bool,
    names: BTreeSet<String>,
}

struct ClientSide {
    mode: Mode,
    stream: Stream,
    /// It drops good resources along with bad ones.
    strict: bool,
    wanted: PerType<Wanted>,
    held: PerType<BTreeMap<String, Bytes>>,
    versions: PerType<HashMap<String, String>>,
    version: PerType<String>,
    nonce: PerType<String>,
    to_server: VecDeque<Request>,
    to_client: VecDeque<Response>,
    /// Nonces of responses that the server has no verdict on.
    unanswered: PerType<Option<String>>,
    nonces: BTreeSet<String>,
}

pub(crate) struct Crowd {
    now: Instant,
    model: Model,
    snapshot: Arc<Snapshot>,
    clients: Vec<ClientSide>,
    /// Sent by the server.
    pub(crate) responses: usize,
}

/// Names of the model, of one type.
fn name(of: ResourceType, number: u8) -> String {
    let letter = match of {
        ResourceType::Cluster | ResourceType::Endpoint => 'c',
        ResourceType::Listener => 'l',
        _ => 'r',
    };
    format!("{letter}{number}")
}

impl Crowd {
    /// One client for each pair: whether it speaks delta, and whether it is strict.
    pub(crate) fn new(clients: &[(bool, bool)]) -> Self {
        let clients = clients.iter().map(|&(delta, strict)| ClientSide::new(delta, strict));
        let mut crowd = Self {
            now: Instant::now(),
            model: Model::default(),
            snapshot: Arc::default(),
            clients: clients.collect(),
            responses: 0,
        };
        crowd.offer();
        crowd
    }

    pub(crate) fn play(&mut self, op: Op) {
        let which = |number: u8| usize::from(number) % self.clients.len();
        let type_of = |number: u8| TYPES[usize::from(number) % TYPES.len()];
        match op {
            Op::Change { kind, which, content } => {
                self.model.change(kind, which, content);
                self.offer();
            }
            Op::ToServer(client) => self.serve(which(client)),
            Op::ToClient(client) => {
                let client = which(client);
                if let Some(response) = self.clients[client].to_client.pop_front() {
                    self.clients[client].hear(response);
                }
            }
            Op::Subscribe { client, of, names } => {
                let (client, of) = (which(client), type_of(of));
                self.clients[client].subscribe(of, names);
            }
            Op::Reconnect { client, delta, remembers } => {
                let client = which(client);
                self.clients[client].reconnect(delta, remembers);
                self.step(client, Event::Offer(Arc::clone(&self.snapshot)));
            }
            Op::Lie { client, of } => {
                let (client, of) = (which(client), type_of(of));
                self.clients[client].lie(of);
            }
            Op::Pass(time) => {
                self.now += time;
                for client in 0..self.clients.len() {
                    self.step(client, Event::Tick);
                }
            }
        }
    }

    /// Offers the model to everybody; every other time, as a change of what was before.
    pub(crate) fn offer(&mut self) {
        let remembers = self.responses.is_multiple_of(2);
        let snapshot = TYPES.into_iter().fold(Snapshot::default(), |snapshot, of| {
            let bodies = self.model.encode(of).into_iter().map(|(name, body)| (name.into(), body));
            let resources = Resources::encoded(of, bodies);
            let previous = self.snapshot.get(of);
            snapshot.with(of, if remembers { resources.following(previous) } else { resources })
        });
        self.snapshot = Arc::new(snapshot);
        for client in 0..self.clients.len() {
            self.step(client, Event::Offer(Arc::clone(&self.snapshot)));
        }
    }

    fn serve(&mut self, client: usize) {
        let side = &mut self.clients[client];
        let Some(request) = side.to_server.pop_front() else { return };
        let (url, nonce) = match &request {
            Request::Sotw(request) => (&request.type_url, &request.response_nonce),
            Request::Delta(request) => (&request.type_url, &request.response_nonce),
        };
        let of = ResourceType::from_type_url(url).unwrap();
        side.unanswered[of].take_if(|unanswered| unanswered == nonce);
        self.step(client, Event::Request(request));
    }

    fn step(&mut self, client: usize, event: Event) {
        let side = &mut self.clients[client];
        let actions = side.stream.step(event, self.now);
        for response in actions.send {
            let nonce = match &response {
                Response::Sotw(response) => response.nonce.clone(),
                Response::Delta(response) => response.nonce.clone(),
            };
            let of = ResourceType::from_type_url(response.type_url()).unwrap();
            assert!(side.nonces.insert(nonce.clone()), "nonce {nonce} was given twice");
            let before = side.unanswered[of].replace(nonce);
            assert_eq!(before, None, "two responses of {of:?} are on their way");
            self.responses += 1;
            side.to_client.push_back(response);
        }
    }

    /// Lets everything on the way arrive, and time pass, until nobody waits for anything.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            for client in 0..self.clients.len() {
                let number = u8::try_from(client).unwrap();
                while !self.clients[client].is_quiet() {
                    self.play(Op::ToServer(number));
                    self.play(Op::ToClient(number));
                    assert!(self.responses < 20_000, "they never stop talking");
                }
            }
            let deadlines = self.clients.iter().filter_map(|side| side.stream.deadline());
            let Some(at) = deadlines.min() else { return };
            assert!(at > self.now, "a deadline in the past");
            self.play(Op::Pass(at - self.now));
        }
        panic!("there is always one more deadline");
    }

    /// Every client has what it subscribes to of the model; where that is bad, nothing bad.
    pub(crate) fn assert_converged(&self) {
        for (number, side) in self.clients.iter().enumerate() {
            for of in TYPES.into_iter().filter(|of| side.wanted[*of].asked) {
                let offered = self.model.encode(of);
                for (name, body) in &offered {
                    let here = side.held[of].get(name);
                    if is_bad(of, body) {
                        assert!(
                            here.is_none_or(|body| !is_bad(of, body)),
                            "{number} {of:?} {name}"
                        );
                    } else if side.wants(of, name) {
                        assert_eq!(here, Some(body), "{number} {of:?} {name}");
                    }
                }
                let hears_of_removals = side.mode == Mode::Delta || of.is_root();
                for name in side.held[of].keys().filter(|_| hears_of_removals) {
                    let known = offered.contains_key(name) || !side.wants(of, name);
                    assert!(known, "{number} {of:?} {name} is still there");
                }
            }
        }
    }
}

impl ClientSide {
    fn new(delta: bool, strict: bool) -> Self {
        let mode = if delta { Mode::Delta } else { Mode::StateOfTheWorld };
        Self {
            mode,
            stream: Stream::new(mode, Scope::Aggregated, Timing::default()),
            strict,
            wanted: PerType::default(),
            held: PerType::default(),
            versions: PerType::default(),
            version: PerType::default(),
            nonce: PerType::default(),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            unanswered: PerType::default(),
            nonces: BTreeSet::new(),
        }
    }

    fn is_quiet(&self) -> bool {
        self.to_server.is_empty() && self.to_client.is_empty()
    }

    fn wants(&self, of: ResourceType, name: &str) -> bool {
        let wanted = &self.wanted[of];
        let everything = of.is_root() && !wanted.has_named;
        everything || wanted.names.contains(name)
    }

    /// Subscribes to the names of a mask: a root without names from the start is everything.
    fn subscribe(&mut self, of: ResourceType, mask: u8) {
        let names: BTreeSet<String> =
            (0..5).filter(|bit| mask & (1 << bit) != 0).map(|bit| name(of, bit)).collect();
        // In delta mode everything is given up by its own name only; keep to one or the other.
        let first = !self.wanted[of].asked;
        if !first && of.is_root() && !self.wanted[of].has_named && self.mode == Mode::Delta {
            return;
        }
        let before = std::mem::replace(&mut self.wanted[of].names, names.clone());
        self.wanted[of].asked = true;
        self.wanted[of].has_named |= !names.is_empty();
        // State of the world: the server may not hear that a name was given up and taken again
        // (such a request can be stale), so its content is kept.
        if self.mode == Mode::Delta {
            let held = self.held[of].keys();
            let given_up: Vec<_> = held.filter(|name| !self.wants(of, name)).cloned().collect();
            for name in given_up {
                self.held[of].remove(&name);
                self.versions[of].remove(&name);
            }
        }
        let nonce = self.nonce[of].clone();
        self.say(of, &before, HashMap::new(), nonce, None);
    }

    fn reconnect(&mut self, delta: bool, remembers: bool) {
        let fresh = Self::new(delta, self.strict);
        let before = std::mem::replace(self, fresh);
        // What one mode calls a version means nothing in the other.
        let same_mode = before.mode == self.mode;
        // A full set may carry what the client refuses as long as it may hold a good version of
        // it that the server does not know. Who drops everything along with it must not say so.
        let remembers = remembers && (self.mode == Mode::Delta || !self.strict);
        for of in TYPES {
            self.wanted[of].names.clone_from(&before.wanted[of].names);
            self.wanted[of].has_named = !self.wanted[of].names.is_empty();
            self.wanted[of].asked = before.wanted[of].asked;
            // Everything is asked for anew, or nothing that was everything.
            let wanted: Vec<_> =
                before.held[of].keys().filter(|name| self.wants(of, name)).cloned().collect();
            for name in wanted {
                self.held[of].insert(name.clone(), before.held[of][&name].clone());
                if let Some(version) = before.versions[of].get(&name) {
                    self.versions[of].insert(name, version.clone());
                }
            }
            if !self.wanted[of].asked {
                continue;
            }
            let mut held = HashMap::new();
            if remembers && same_mode {
                self.version[of].clone_from(&before.version[of]);
                held.clone_from(&self.versions[of]);
            } else {
                // It starts with nothing, which is what it says.
                self.held[of].clear();
                self.versions[of].clear();
            }
            self.say(of, &BTreeSet::new(), held, String::new(), None);
        }
    }

    fn lie(&mut self, of: ResourceType) {
        if self.wanted[of].asked {
            let names = self.wanted[of].names.clone();
            self.say(of, &names, HashMap::new(), "never given".to_owned(), None);
        }
    }

    /// Says what it wants now, of which it wanted some before.
    fn say(
        &mut self,
        of: ResourceType,
        before: &BTreeSet<String>,
        held: HashMap<String, String>,
        response_nonce: String,
        error_detail: Option<Status>,
    ) {
        let (names, type_url) = (&self.wanted[of].names, of.type_url().to_owned());
        self.to_server.push_back(match self.mode {
            Mode::StateOfTheWorld => Request::Sotw(DiscoveryRequest {
                version_info: self.version[of].clone(),
                resource_names: names.iter().cloned().collect(),
                type_url,
                response_nonce,
                error_detail,
                ..Default::default()
            }),
            Mode::Delta => Request::Delta(DeltaDiscoveryRequest {
                type_url,
                resource_names_subscribe: names.difference(before).cloned().collect(),
                resource_names_unsubscribe: before.difference(names).cloned().collect(),
                initial_resource_versions: held,
                // A change of subscription answers nothing.
                response_nonce: if names == before { response_nonce } else { String::new() },
                error_detail,
                ..Default::default()
            }),
        });
    }

    /// Applies a response and answers it.
    fn hear(&mut self, response: Response) {
        let of = ResourceType::from_type_url(response.type_url()).unwrap();
        let (nonce, mut upserts, mut removals, versions) =
            (String::new(), Vec::new(), Vec::new(), HashMap::new());
        let (mut nonce, mut versions): (String, HashMap<String, String>) = (nonce, versions);
        let mut version = None;
        match response {
            Response::Sotw(response) => {
                nonce.clone_from(&response.nonce);
                for any in &response.resources {
                    upserts.push((name_of(&any.value).unwrap().to_string(), any.value.clone()));
                }
                if of.is_root() {
                    let there: BTreeSet<_> = upserts.iter().map(|(name, _)| name.clone()).collect();
                    removals.extend(
                        self.held[of].keys().filter(|name| !there.contains(*name)).cloned(),
                    );
                }
                version = Some(response.version_info);
            }
            Response::Delta(response) => {
                nonce.clone_from(&response.nonce);
                for each in response.resources {
                    versions.insert(each.name.clone(), each.version);
                    upserts.push((each.name, each.resource.unwrap().value));
                }
                removals = response.removed_resources;
            }
        }
        let bad: Vec<String> = upserts
            .iter()
            .filter(|(_, body)| is_bad(of, body))
            .map(|(name, _)| name.clone())
            .collect();
        if bad.is_empty() || !self.strict {
            for name in removals {
                self.held[of].remove(&name);
                self.versions[of].remove(&name);
            }
            for (name, body) in upserts {
                let is_of_interest = self.mode == Mode::StateOfTheWorld || self.wants(of, &name);
                if !bad.contains(&name) && is_of_interest {
                    if let Some(version) = versions.get(&name) {
                        self.versions[of].insert(name.clone(), version.clone());
                    }
                    self.held[of].insert(name, body);
                }
            }
        }
        let message = format!("cannot take: {}", bad.join(", "));
        let error = (!bad.is_empty()).then(|| Status { code: 3, message, details: Vec::new() });
        if error.is_none() {
            self.version[of] = version.unwrap_or_default();
        }
        self.nonce[of].clone_from(&nonce);
        let names = self.wanted[of].names.clone();
        self.say(of, &names, HashMap::new(), nonce, error);
    }
}
