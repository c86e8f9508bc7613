//! What every node was sent, accepted and refused: the streams, as others may look at them.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use prost::Message as _;
use weft_proto::discovery::Node;
use weft_xds::{
    ResourceType, Response, Version,
    server::{Event, Note, Standing, Stream},
};

use crate::{leash::Leash, memory::Memory, source::Offer, view::NodeView};

/// What every connected node was sent, accepted and refused. Clones are the same ledger.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    streams: Arc<Mutex<BTreeMap<u64, Arc<Entry>>>>,
    opened: Arc<AtomicU64>,
    memory: Memory,
}

/// One stream's page. The page is torn out when it is dropped.
#[derive(Debug)]
pub(crate) struct Page {
    ledger: Ledger,
    id: u64,
    entry: Arc<Entry>,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) node: String,
    pub(crate) agent: String,
    pub(crate) since: SystemTime,
    /// The node as it introduced itself, encoded, without the long list of what it can do.
    introduction: Bytes,
    leash: Leash,
    record: Mutex<Record>,
}

/// What changes of a stream. Locked for a step at a time, and never across an await.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) machine: Stream,
    pub(crate) offer: Option<Arc<Offer>>,
    pub(crate) types: BTreeMap<ResourceType, Stamps>,
}

/// When what happened last, of one type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamps {
    pub(crate) sent: Option<(Version, SystemTime)>,
    pub(crate) acknowledged: Option<(Version, SystemTime)>,
    pub(crate) refused: Option<Refused>,
}

/// A response that was refused.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) version: Version,
    pub(crate) at: SystemTime,
    pub(crate) resources: Vec<String>,
    pub(crate) reason: String,
}

/// What came of a step.
pub(crate) struct Step {
    pub(crate) send: Vec<Response>,
    pub(crate) deadline: Option<Instant>,
    /// Nothing is on its way and nothing is due.
    pub(crate) settled: bool,
    pub(crate) subscriptions: usize,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every connected node, by id.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeView> {
        let mut nodes: BTreeMap<String, NodeView> = BTreeMap::new();
        // In the order of opening, so that the newer stream replaces the older one type by type.
        for entry in self.entries() {
            let view = NodeView::of(&entry, &entry.record());
            match nodes.get_mut(&view.node) {
                Some(older) => older.replace_by(view),
                None => drop(nodes.insert(view.node.clone(), view)),
            }
        }
        nodes.into_values().collect()
    }

    /// Every connected node as it introduced itself, by id, without the list of its extensions.
    #[must_use]
    pub fn introductions(&self) -> BTreeMap<String, Node> {
        self.entries().iter().map(|entry| (entry.node.clone(), entry.introduction())).collect()
    }

    /// Every stream, in the order of opening.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        lock(&self.streams).values().cloned().collect()
    }

    pub(crate) fn open(&self, node: &Node, machine: Stream, leash: Leash) -> Page {
        let id = self.opened.fetch_add(1, Ordering::Relaxed);
        let brief = Node { extensions: Vec::new(), ..node.clone() };
        let agent = agent(node);
        let machine = self.memory.recall(&node.id, &agent, machine);
        let entry = Arc::new(Entry {
            node: node.id.clone(),
            agent,
            since: SystemTime::now(),
            introduction: brief.encode_to_vec().into(),
            leash,
            record: Mutex::new(Record { machine, offer: None, types: BTreeMap::new() }),
        });
        lock(&self.streams).insert(id, Arc::clone(&entry));
        Page { ledger: self.clone(), id, entry }
    }

    /// Cuts the connections of clients that owe an answer for longer than this, for ever.
    pub(crate) async fn cut_debtors(&self, limit: Duration) -> Infallible {
        let mut rounds = tokio::time::interval((limit / 8).max(Duration::from_millis(1)));
        loop {
            rounds.tick().await;
            let now = tokio::time::Instant::now().into_std();
            for entry in self.entries() {
                let since = entry.record().machine.unanswered_since();
                if since.is_some_and(|since| now.saturating_duration_since(since) >= limit) {
                    tracing::warn!(node = entry.node, ?limit, "cut: no answer to what was sent");
                    entry.leash.cut();
                }
            }
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        lock(&self.ledger.streams).remove(&self.id);
    }
}

impl Page {
    pub(crate) fn offered(&self, offer: Arc<Offer>) {
        self.entry.record().offer = Some(offer);
    }

    /// Steps the machine and writes down what that came to.
    pub(crate) fn step(&self, event: Event, now: Instant) -> Step {
        let record = &mut *self.entry.record();
        let actions = record.machine.step(event, now);
        let mut judged = false;
        for note in actions.notes {
            judged |= matches!(note, Note::Refused { .. } | Note::Acknowledged { .. });
            record.note(&self.entry.node, note);
        }
        if judged {
            self.ledger.memory.note(&self.entry.node, &self.entry.agent, &record.machine);
        }
        Step {
            send: actions.send,
            deadline: record.machine.deadline(),
            settled: record.machine.is_settled(),
            subscriptions: record.machine.subscriptions(),
        }
    }
}

impl Entry {
    /// Records are only ever replaced by complete values, so they are sound even after a panic.
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }

    /// The node as it introduced itself.
    pub(crate) fn introduction(&self) -> Node {
        // We encoded it.
        Node::decode(self.introduction.clone()).unwrap_or_default()
    }

    pub(crate) fn standings(&self) -> Vec<(Standing, Stamps)> {
        let record = self.record();
        let stamps = |of: ResourceType| record.types.get(&of).cloned().unwrap_or_default();
        let all = record.machine.standings().into_iter();
        all.map(|standing| {
            let stamps = stamps(standing.of);
            (standing, stamps)
        })
        .collect()
    }
}

impl Record {
    fn note(&mut self, node: &str, note: Note) {
        let now = SystemTime::now();
        match note {
            Note::Subscribed(of) => drop(self.types.entry(of).or_default()),
            Note::Sent { of, version, .. } => self.stamps(of).sent = Some((version, now)),
            Note::Acknowledged { of, version } => {
                self.stamps(of).acknowledged = Some((version, now));
                if self.machine.is_converged(of) {
                    self.stamps(of).refused = None;
                }
            }
            Note::Refused { of, version, names, reason } => {
                let resources: Vec<String> = names.iter().map(|name| name.to_string()).collect();
                tracing::warn!(
                    node,
                    kind = of.abbreviation(),
                    resources = resources.join(", "),
                    reason,
                    "refused by the node"
                );
                self.stamps(of).refused = Some(Refused { version, at: now, resources, reason });
            }
            Note::Ignored(why) => tracing::debug!(node, ?why, "request ignored"),
        }
    }

    fn stamps(&mut self, of: ResourceType) -> &mut Stamps {
        self.types.entry(of).or_default()
    }
}

/// What a node says it is.
fn agent(node: &Node) -> String {
    use weft_proto::pb::envoy::config::core::v3::node::UserAgentVersionType;
    let version = match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(version)) => version.clone(),
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => {
            build.version.map_or_else(String::new, |version| {
                format!("{}.{}.{}", version.major_number, version.minor_number, version.patch)
            })
        }
        None => String::new(),
    };
    format!("{} {version}", node.user_agent_name).trim().to_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
