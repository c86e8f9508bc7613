//! A server, a client, the wire between them, and a caller that applies what it is given.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use weft_xds::{
    Mode, Name, PerType, Request, ResourceType, Resources, Response, Snapshot,
    client::{self, Action, Backoff, Client, Delivery, Settings, Verdict, Wanted},
    server::{self, Scope, Stream, Timing},
};

pub(crate) mod model;
use model::Model;

/// Something that happens; where it has a number, at that source.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// The mesh changes: see [`Model::change`].
    Change { kind: u8, which: u8, content: u8 },
    /// The oldest message on the way to the server arrives.
    ToServer(u8),
    /// The oldest message on the way to the client arrives.
    ToClient(u8),
    /// The caller judges the oldest delivery.
    Judge(u8),
    /// The stream breaks, with everything on it.
    Cut(u8),
    /// The stream breaks, and the next one goes to another server, whose versions are its own.
    Leave(u8),
    /// Time passes.
    Pass(Duration),
}

/// One source: a server, the wire, and the client's side of it.
struct Talk {
    scope: Scope,
    mode: Mode,
    server: Option<Stream>,
    client: Client,
    connect_at: Option<Instant>,
    to_server: VecDeque<Request>,
    to_client: VecDeque<Response>,
    deliveries: VecDeque<Delivery>,
}

impl Talk {
    fn new(scope: Scope, mode: Mode, now: Instant) -> Self {
        let client = Client::new(Settings {
            mode,
            node: weft_proto::discovery::Node { id: "node".into(), ..Default::default() },
            node_in_every_request: false,
            backoff: Backoff::default(),
        });
        Self {
            scope,
            mode,
            server: None,
            client,
            connect_at: Some(now),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            deliveries: VecDeque::new(),
        }
    }

    fn carries(&self, of: ResourceType) -> bool {
        match self.scope {
            Scope::Aggregated => true,
            Scope::Only(only) => only == of,
        }
    }

    fn is_quiet(&self) -> bool {
        self.to_server.is_empty() && self.to_client.is_empty() && self.deliveries.is_empty()
    }

    fn deadline(&self) -> Option<Instant> {
        let server = self.server.as_ref().and_then(Stream::deadline);
        [server, self.client.deadline(), self.connect_at].into_iter().flatten().min()
    }
}

pub(crate) struct World {
    now: Instant,
    pub(crate) model: Model,
    talks: Vec<Talk>,
    applied: PerType<BTreeMap<Name, Bytes>>,
    /// What was offered last.
    offered: Arc<Snapshot>,
    /// Messages sent by either side.
    pub(crate) messages: usize,
    /// Time that the machines took.
    pub(crate) spent: Duration,
    /// Check after every application that routes lead somewhere.
    pub(crate) assert_order: bool,
}

impl World {
    /// Everything by one stream.
    pub(crate) fn new(mode: Mode) -> Self {
        Self::with(&[(Scope::Aggregated, mode)])
    }

    /// Each type by a source of its own.
    pub(crate) fn split(modes: [Mode; 4]) -> Self {
        let scopes = model::TYPES.map(Scope::Only);
        Self::with(&scopes.into_iter().zip(modes).collect::<Vec<_>>())
    }

    fn with(sources: &[(Scope, Mode)]) -> Self {
        let now = Instant::now();
        let talks = sources.iter().map(|&(scope, mode)| Talk::new(scope, mode, now)).collect();
        let mut world = Self {
            now,
            model: Model::default(),
            talks,
            applied: PerType::default(),
            offered: Arc::default(),
            messages: 0,
            spent: Duration::ZERO,
            assert_order: false,
        };
        for of in [ResourceType::Cluster, ResourceType::Listener] {
            let at = world.source_of(of);
            world.consume(at, client::Event::Want(of, Wanted::default()));
        }
        world
    }

    fn source_of(&self, of: ResourceType) -> usize {
        self.talks.iter().position(|talk| talk.carries(of)).unwrap()
    }

    pub(crate) fn applied(&self, of: ResourceType) -> &BTreeMap<Name, Bytes> {
        &self.applied[of]
    }

    pub(crate) fn play(&mut self, op: Op) {
        let which = |number: u8| usize::from(number) % self.talks.len();
        match op {
            Op::Change { kind, which, content } => {
                self.model.change(kind, which, content);
                self.offer_equal();
            }
            Op::ToServer(number) => {
                let at = which(number);
                if let Some(request) = self.talks[at].to_server.pop_front() {
                    self.serve(at, server::Event::Request(request));
                }
            }
            Op::ToClient(number) => {
                let at = which(number);
                if let Some(response) = self.talks[at].to_client.pop_front() {
                    self.consume(at, client::Event::Response(response));
                }
            }
            Op::Judge(number) => self.judge(which(number)),
            Op::Cut(number) => self.cut(which(number)),
            Op::Leave(number) => {
                let at = which(number);
                self.cut(at);
                self.consume(at, client::Event::OtherServer);
            }
            Op::Pass(time) => {
                self.now += time;
                self.tick();
            }
        }
        self.connect_if_due();
    }

    fn cut(&mut self, at: usize) {
        let talk = &mut self.talks[at];
        if talk.server.take().is_some() {
            talk.to_server.clear();
            talk.to_client.clear();
            self.consume(at, client::Event::Disconnected { random: u32::MAX / 2 });
        }
    }

    /// Offers the model anew.
    pub(crate) fn offer_equal(&mut self) {
        let snapshot = Arc::new(self.snapshot());
        self.offered = Arc::clone(&snapshot);
        for at in 0..self.talks.len() {
            self.serve(at, server::Event::Offer(Arc::clone(&snapshot)));
        }
        self.connect_if_due();
    }

    /// Every other snapshot remembers in what it differs from the one before it.
    fn snapshot(&self) -> Snapshot {
        ResourceType::ALL.into_iter().fold(Snapshot::default(), |snapshot, of| {
            let bodies = self.model.encode(of).into_iter().map(|(name, body)| (name.into(), body));
            let resources = Resources::encoded(of, bodies);
            let remembers = self.messages.is_multiple_of(2);
            let previous = self.offered.get(of);
            snapshot.with(of, if remembers { resources.following(previous) } else { resources })
        })
    }

    fn connect_if_due(&mut self) {
        for at in 0..self.talks.len() {
            let talk = &mut self.talks[at];
            if talk.server.is_none() && talk.connect_at.is_some_and(|at| at <= self.now) {
                talk.connect_at = None;
                talk.server = Some(Stream::new(talk.mode, talk.scope, Timing::default()));
                self.consume(at, client::Event::Connected);
                let snapshot = Arc::new(self.snapshot());
                self.serve(at, server::Event::Offer(snapshot));
            }
        }
    }

    fn tick(&mut self) {
        for at in 0..self.talks.len() {
            self.serve(at, server::Event::Tick);
            self.consume(at, client::Event::Tick);
        }
    }

    /// Lets everything on the way arrive, until nothing is on the way; with time, lets it pass as
    /// long as anybody waits for it.
    pub(crate) fn settle(&mut self, with_time: bool) {
        self.connect_if_due();
        for _ in 0..10_000 {
            while let Some(at) = self.talks.iter().position(|talk| !talk.is_quiet()) {
                let at = u8::try_from(at).unwrap();
                for op in [Op::ToServer(at), Op::ToClient(at), Op::Judge(at)] {
                    self.play(op);
                }
                assert!(self.messages < 20_000, "they never stop talking");
            }
            match self.talks.iter().filter_map(Talk::deadline).min() {
                Some(at) if with_time => {
                    assert!(at > self.now, "a deadline in the past");
                    self.play(Op::Pass(at - self.now));
                }
                _ => return,
            }
        }
        panic!("there is always one more deadline");
    }

    fn serve(&mut self, at: usize, event: server::Event) {
        let talk = &mut self.talks[at];
        let Some(server) = &mut talk.server else { return };
        let begin = Instant::now();
        let actions = server.step(event, self.now);
        self.spent += begin.elapsed();
        self.messages += actions.send.len();
        talk.to_client.extend(actions.send);
    }

    fn consume(&mut self, at: usize, event: client::Event) {
        let talk = &mut self.talks[at];
        let begin = Instant::now();
        let actions = talk.client.step(event, self.now);
        self.spent += begin.elapsed();
        for action in actions {
            match action {
                Action::Send(request) => {
                    assert!(talk.server.is_some(), "a request without a stream");
                    self.messages += 1;
                    talk.to_server.push_back(request);
                }
                Action::Deliver(delivery) => talk.deliveries.push_back(delivery),
                Action::Missing { .. } => {}
                Action::ConnectAt(at) => talk.connect_at = Some(at),
            }
        }
    }

    /// Applies a delivery as a proxy does: refuses what is bad, keeps the rest, and wants what it
    /// refers to.
    fn judge(&mut self, at: usize) {
        let Some(delivery) = self.talks[at].deliveries.pop_front() else { return };
        let of = delivery.of;
        let mut refused = Vec::new();
        for upsert in delivery.upserts {
            if model::is_bad(of, &upsert.body) {
                refused.push((upsert.name, "the content is bad".to_owned()));
            } else if self.refers_to(of, &upsert.name) {
                self.applied[of].insert(upsert.name, upsert.body);
            }
        }
        for name in delivery.removals {
            self.applied[of].remove(&name);
        }
        let wanted = match of {
            ResourceType::Cluster => {
                let names = self.applied[of].keys().cloned().collect();
                vec![(ResourceType::Endpoint, names)]
            }
            ResourceType::Listener => {
                let names = self.applied[of].values().map(model::route_of).collect();
                vec![(ResourceType::Route, names)]
            }
            _ => Vec::new(),
        };
        for (of, names) in &wanted {
            let names: &BTreeSet<Name> = names;
            self.applied[*of].retain(|name, _| names.contains(name));
        }
        if self.assert_order {
            self.assert_routes_lead_somewhere();
        }
        // What is wanted of the source that delivered goes with the verdict, the rest is told.
        let mut own = Vec::new();
        for (of, names) in wanted {
            let wanted: Wanted = names.into_iter().collect();
            match self.source_of(of) {
                source if source == at => own.push((of, wanted)),
                source => self.consume(source, client::Event::Want(of, wanted)),
            }
        }
        let verdict = Verdict { delivery: delivery.id, of, refused, wanted: own };
        self.consume(at, client::Event::Verdict(verdict));
    }

    /// Whether the caller still needs what it is given: it may have given it up since it asked.
    fn refers_to(&self, of: ResourceType, name: &Name) -> bool {
        match of {
            ResourceType::Endpoint => self.applied[ResourceType::Cluster].contains_key(name),
            ResourceType::Route => {
                let mut listeners = self.applied[ResourceType::Listener].values();
                listeners.any(|body| model::route_of(body) == *name)
            }
            _ => true,
        }
    }

    fn assert_routes_lead_somewhere(&self) {
        for (route, body) in &self.applied[ResourceType::Route] {
            for cluster in model::clusters_of(body) {
                for of in [ResourceType::Cluster, ResourceType::Endpoint] {
                    let there = self.applied[of].contains_key(cluster.as_str());
                    assert!(there, "route {route} leads to {cluster}, which lacks its {of:?}");
                }
            }
        }
    }

    /// The client has what the model says; where that is bad, it has something good or nothing.
    pub(crate) fn assert_converged(&self) {
        for of in model::TYPES {
            let offered = self.model.encode(of);
            for (name, body) in &offered {
                let here = self.applied[of].get(name.as_str());
                if model::is_bad(of, body) {
                    assert!(here.is_none_or(|body| !model::is_bad(of, body)), "{of:?} {name}");
                } else if self.refers_to(of, &name.as_str().into()) {
                    assert_eq!(here, Some(body), "{of:?} {name}");
                }
            }
            // Only roots are ever taken away; others stay while they are referred to.
            if matches!(of, ResourceType::Cluster | ResourceType::Listener) {
                for name in self.applied[of].keys() {
                    assert!(offered.contains_key(name.as_ref()), "{of:?} {name} is still there");
                }
            }
        }
    }
}
