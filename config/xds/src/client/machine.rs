//! The conversation: events in, actions out.

use std::time::Instant;

use bytes::Bytes;
use weft_proto::discovery::Node;

use super::{
    backoff::Backoff,
    status::Status,
    subscription::{Reception, Subscription},
    wanted::Wanted,
};
use crate::{
    message::{Mode, Request, Response},
    outline::Name,
    resource_type::{PerType, ResourceType},
};

/// How to talk to a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which variant of the protocol.
    pub mode: Mode,
    /// Who we are.
    pub node: Node,
    /// Whether every request says who we are, not just the first of a stream.
    pub node_in_every_request: bool,
    /// When to connect again.
    pub backoff: Backoff,
}

/// What happens to a conversation.
#[derive(Debug)]
pub enum Event {
    /// A stream is open.
    Connected,
    /// The stream ended, or an attempt to open one failed.
    Disconnected {
        /// Uniform, for the wait before the next attempt.
        random: u32,
    },
    /// The next stream goes to another server than the last one.
    OtherServer,
    /// The server said something.
    Response(Response),
    /// What the server says of a type cannot be read at all; nothing of it is known.
    Unreadable {
        /// The type.
        of: ResourceType,
        /// Why.
        reason: String,
    },
    /// Something else is wanted of a type from now on.
    Want(ResourceType, Wanted),
    /// The caller has judged a delivery.
    Verdict(Verdict),
    /// The time of [`Client::deadline`] has come.
    Tick,
}

/// What the caller thinks of a delivery. What it does not refuse, it has applied.
#[derive(Debug)]
pub struct Verdict {
    /// Of which delivery.
    pub delivery: u64,
    /// Its type.
    pub of: ResourceType,
    /// The resources refused, and why.
    pub refused: Vec<(Name, String)>,
    /// What is wanted now that the rest has been applied. Given here, and not as an event of its
    /// own, new names are asked for in one request, before the acknowledgement.
    pub wanted: Vec<(ResourceType, Wanted)>,
}

/// A change to apply and judge.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Identifies it in the [`Verdict`].
    pub id: u64,
    /// The type of what changes.
    pub of: ResourceType,
    /// The version of the response.
    pub version: String,
    /// Resources that are new, or differ from what was accepted before.
    pub upserts: Vec<Upsert>,
    /// Resources that are gone. Only clusters and listeners are ever removed this way; others are
    /// kept until they are no longer wanted.
    pub removals: Vec<Name>,
}

/// A new or changed resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Upsert {
    /// Its name.
    pub name: Name,
    /// Its version, in the server's words.
    pub version: String,
    /// The encoded message.
    pub body: Bytes,
}

/// What to do about an event.
#[expect(
    clippy::large_enum_variant,
    reason = "each is moved a few times and never kept; a box would cost more"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send this.
    Send(Request),
    /// Apply this, and return a [`Verdict`].
    Deliver(Delivery),
    /// Proceed without a resource: it was waited for in vain, or the server says there is none.
    Missing {
        /// The type of the resource.
        of: ResourceType,
        /// Its name; `None` if not even the list of a type wanted as a whole has come.
        name: Option<Name>,
        /// Whether time ran out, rather than the server having said so.
        timed_out: bool,
    },
    /// Open a stream at this time.
    ConnectAt(Instant),
}

/// One conversation with a server, see the [module](super).
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    subscriptions: PerType<Subscription>,
    connected: bool,
    /// The node was sent on this stream.
    introduced: bool,
    /// Streams that ended without a response since the last response.
    failures: u32,
    deliveries: u64,
}

impl Client {
    /// A conversation that has not begun. The first stream may be opened at once.
    pub fn new(settings: Settings) -> Self {
        let mode = settings.mode;
        Self {
            settings,
            subscriptions: PerType::from_fn(|of| Subscription::new(of, mode)),
            connected: false,
            introduced: false,
            failures: 0,
            deliveries: 0,
        }
    }

    /// Takes an event and says what to do, in this order.
    pub fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Connected => {
                self.connected = true;
                self.introduced = false;
                self.ask_all(now, &mut actions);
            }
            Event::Disconnected { random } => {
                self.connected = false;
                for (_, subscription) in self.subscriptions.iter_mut() {
                    subscription.disconnect();
                }
                let wait = self.settings.backoff.wait(self.failures, random);
                self.failures = self.failures.saturating_add(1);
                actions.push(Action::ConnectAt(now + wait));
            }
            Event::OtherServer => {
                for (_, subscription) in self.subscriptions.iter_mut() {
                    subscription.leave_server();
                }
            }
            Event::Response(response) => {
                self.failures = 0;
                if let Some(of) = ResourceType::from_type_url(response.type_url()) {
                    self.receive(of, response, now, &mut actions);
                }
            }
            Event::Unreadable { of, reason } => {
                for name in self.subscriptions[of].unreadable(&reason, now) {
                    actions.push(Action::Missing { of, name, timed_out: false });
                }
            }
            Event::Want(of, wanted) => {
                self.subscriptions[of].want(wanted);
                self.ask_all(now, &mut actions);
            }
            Event::Verdict(verdict) => self.judge(verdict, now, &mut actions),
            Event::Tick => {
                for (of, subscription) in self.subscriptions.iter_mut() {
                    for name in subscription.expire(now) {
                        actions.push(Action::Missing { of, name, timed_out: true });
                    }
                    let id = self.deliveries + 1;
                    if let Some(Reception::Deliver { version, upserts, removals }) =
                        subscription.outlived(id, now)
                    {
                        self.deliveries = id;
                        actions.push(Action::Deliver(Delivery {
                            id,
                            of,
                            version,
                            upserts,
                            removals,
                        }));
                    }
                }
            }
        }
        actions
    }

    /// When to be woken with [`Event::Tick`].
    pub fn deadline(&self) -> Option<Instant> {
        self.subscriptions.iter().filter_map(|(_, subscription)| subscription.deadline()).min()
    }

    /// Whether a stream is open.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// What is known of the resources of a type, by name.
    pub fn statuses(&self, of: ResourceType) -> impl Iterator<Item = (&Name, &Status)> {
        self.subscriptions[of].statuses()
    }

    /// The version of the last response accepted as a whole (state of the world).
    pub fn version(&self, of: ResourceType) -> &str {
        self.subscriptions[of].version()
    }

    /// Whether something is wanted of which there is neither content nor an answer: a reason to
    /// ask another server.
    pub fn is_lacking(&self) -> bool {
        self.subscriptions.iter().any(|(_, subscription)| subscription.is_lacking())
    }

    /// What a stream to another server would begin with. [`Event::OtherServer`] and
    /// [`Event::Connected`] send the same, unless something else is wanted by then.
    pub fn opening(&self) -> Vec<Request> {
        let all = self.subscriptions.iter();
        let mut requests: Vec<_> =
            all.filter_map(|(_, subscription)| subscription.opening()).collect();
        let introductions = if self.settings.node_in_every_request { requests.len() } else { 1 };
        for request in requests.iter_mut().take(introductions) {
            self.introduce(request);
        }
        requests
    }

    /// Asks for what is wanted and not asked for yet, in the order of the types.
    fn ask_all(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.ask_all_but(None, now, actions);
    }

    fn ask_all_but(&mut self, but: Option<ResourceType>, now: Instant, actions: &mut Vec<Action>) {
        if !self.connected {
            return;
        }
        for of in ResourceType::ALL.into_iter().filter(|&of| Some(of) != but) {
            if let Some(request) = self.subscriptions[of].ask(now) {
                self.send(request, actions);
            }
        }
    }

    fn receive(
        &mut self,
        of: ResourceType,
        response: Response,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if !self.connected {
            return;
        }
        self.deliveries += 1;
        let id = self.deliveries;
        let mut missing = Vec::new();
        let reception = self.subscriptions[of].receive(response, id, now, &mut missing);
        for name in missing {
            actions.push(Action::Missing { of, name: Some(name), timed_out: false });
        }
        match reception {
            Some(Reception::Deliver { version, upserts, removals }) => {
                actions.push(Action::Deliver(Delivery { id, of, version, upserts, removals }));
            }
            Some(Reception::Answered(answer)) => {
                self.send(answer, actions);
                self.ask_all(now, actions);
            }
            None => {}
        }
    }

    fn judge(&mut self, mut verdict: Verdict, now: Instant, actions: &mut Vec<Action>) {
        let of = verdict.of;
        for (of, wanted) in std::mem::take(&mut verdict.wanted) {
            self.subscriptions[of].want(wanted);
        }
        let Some(answer) = self.subscriptions[of].judge(&verdict, now) else { return };
        // New names of other types go before the answer, those of this one with it or after it.
        self.ask_all_but(Some(of), now, actions);
        if let Some(answer) = answer {
            self.send(answer, actions);
        }
        self.ask_all(now, actions);
        while let Some(response) = self.subscriptions[of].next_in_backlog() {
            self.receive(of, response, now, actions);
        }
    }

    fn send(&mut self, mut request: Request, actions: &mut Vec<Action>) {
        if !self.introduced || self.settings.node_in_every_request {
            self.introduced = true;
            self.introduce(&mut request);
        }
        actions.push(Action::Send(request));
    }

    fn introduce(&self, request: &mut Request) {
        let node = Some(self.settings.node.clone());
        match request {
            Request::Sotw(request) => request.node = node,
            Request::Delta(request) => request.node = node,
        }
    }
}
