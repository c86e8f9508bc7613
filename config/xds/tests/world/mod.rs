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

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// The mesh changes: see [`Model::change`].
    Change { kind: u8, which: u8, content: u8 },
    /// The oldest message on the way to the server arrives.
    ToServer,
    /// The oldest message on the way to the client arrives.
    ToClient,
    /// The caller judges the oldest delivery.
    Judge,
    /// The stream breaks, with everything on it.
    Cut,
    /// The stream breaks, and the next one goes to another server, whose versions are its own.
    Leave,
    /// Time passes.
    Pass(Duration),
}

pub(crate) struct World {
    mode: Mode,
    now: Instant,
    pub(crate) model: Model,
    server: Option<Stream>,
    client: Client,
    connect_at: Option<Instant>,
    to_server: VecDeque<Request>,
    to_client: VecDeque<Response>,
    deliveries: VecDeque<Delivery>,
    applied: PerType<BTreeMap<Name, Bytes>>,
    /// Messages sent by either side.
    pub(crate) messages: usize,
    /// Time that the two machines took.
    pub(crate) spent: Duration,
    /// Check after every application that routes lead somewhere.
    pub(crate) assert_order: bool,
}

impl World {
    pub(crate) fn new(mode: Mode) -> Self {
        let now = Instant::now();
        let mut client = Client::new(Settings {
            mode,
            node: weft_proto::discovery::Node { id: "node".into(), ..Default::default() },
            node_in_every_request: false,
            backoff: Backoff::default(),
        });
        for of in [ResourceType::Cluster, ResourceType::Listener] {
            assert_eq!(client.step(client::Event::Want(of, Wanted::default()), now), []);
        }
        Self {
            mode,
            now,
            model: Model::default(),
            server: None,
            client,
            connect_at: Some(now),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            deliveries: VecDeque::new(),
            applied: PerType::default(),
            messages: 0,
            spent: Duration::ZERO,
            assert_order: false,
        }
    }

    pub(crate) fn applied(&self, of: ResourceType) -> &BTreeMap<Name, Bytes> {
        &self.applied[of]
    }

    pub(crate) fn play(&mut self, op: Op) {
        match op {
            Op::Change { kind, which, content } => {
                self.model.change(kind, which, content);
                self.offer_equal();
            }
            Op::ToServer => {
                if let Some(request) = self.to_server.pop_front() {
                    self.serve(server::Event::Request(request));
                }
            }
            Op::ToClient => {
                if let Some(response) = self.to_client.pop_front() {
                    self.consume(client::Event::Response(response));
                }
            }
            Op::Judge => self.judge(),
            Op::Cut => self.cut(),
            Op::Leave => {
                self.cut();
                self.consume(client::Event::OtherServer);
            }
            Op::Pass(time) => {
                self.now += time;
                self.tick();
            }
        }
        self.connect_if_due();
    }

    fn cut(&mut self) {
        if self.server.take().is_some() {
            self.to_server.clear();
            self.to_client.clear();
            self.consume(client::Event::Disconnected { random: u32::MAX / 2 });
        }
    }

    /// Offers the model anew.
    pub(crate) fn offer_equal(&mut self) {
        let snapshot = Arc::new(self.snapshot());
        self.serve(server::Event::Offer(snapshot));
        self.connect_if_due();
    }

    fn snapshot(&self) -> Snapshot {
        ResourceType::ALL.into_iter().fold(Snapshot::default(), |snapshot, of| {
            let bodies = self.model.encode(of).into_iter().map(|(name, body)| (name.into(), body));
            snapshot.with(of, Resources::encoded(of, bodies))
        })
    }

    fn connect_if_due(&mut self) {
        if self.server.is_none() && self.connect_at.is_some_and(|at| at <= self.now) {
            self.connect_at = None;
            self.server = Some(Stream::new(self.mode, Scope::Aggregated, Timing::default()));
            self.consume(client::Event::Connected);
            let snapshot = Arc::new(self.snapshot());
            self.serve(server::Event::Offer(snapshot));
        }
    }

    fn tick(&mut self) {
        self.serve(server::Event::Tick);
        self.consume(client::Event::Tick);
    }

    /// Lets everything on the way arrive, until nothing is on the way; with time, lets it pass as
    /// long as anybody waits for it.
    pub(crate) fn settle(&mut self, with_time: bool) {
        self.connect_if_due();
        for _ in 0..10_000 {
            while !self.is_quiet() {
                for op in [Op::ToServer, Op::ToClient, Op::Judge] {
                    self.play(op);
                }
                assert!(self.messages < 20_000, "they never stop talking");
            }
            let server = self.server.as_ref().and_then(Stream::deadline);
            let next =
                [server, self.client.deadline(), self.connect_at].into_iter().flatten().min();
            match next {
                Some(at) if with_time => {
                    assert!(at > self.now, "a deadline in the past");
                    self.play(Op::Pass(at - self.now));
                }
                _ => return,
            }
        }
        panic!("there is always one more deadline");
    }

    fn is_quiet(&self) -> bool {
        self.to_server.is_empty() && self.to_client.is_empty() && self.deliveries.is_empty()
    }

    fn serve(&mut self, event: server::Event) {
        let Some(server) = &mut self.server else { return };
        let begin = Instant::now();
        let actions = server.step(event, self.now);
        self.spent += begin.elapsed();
        self.messages += actions.send.len();
        self.to_client.extend(actions.send);
    }

    fn consume(&mut self, event: client::Event) {
        let begin = Instant::now();
        let actions = self.client.step(event, self.now);
        self.spent += begin.elapsed();
        for action in actions {
            match action {
                Action::Send(request) => {
                    assert!(self.server.is_some(), "a request without a stream");
                    self.messages += 1;
                    self.to_server.push_back(request);
                }
                Action::Deliver(delivery) => self.deliveries.push_back(delivery),
                Action::Missing { .. } => {}
                Action::ConnectAt(at) => self.connect_at = Some(at),
            }
        }
    }

    /// Applies a delivery as a proxy does: refuses what is bad, keeps the rest, and wants what it
    /// refers to.
    fn judge(&mut self) {
        let Some(delivery) = self.deliveries.pop_front() else { return };
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
        let wanted =
            wanted.into_iter().map(|(of, names)| (of, names.into_iter().collect())).collect();
        let verdict = Verdict { delivery: delivery.id, of, refused, wanted };
        self.consume(client::Event::Verdict(verdict));
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
