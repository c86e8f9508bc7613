//! What every node was sent, accepted and refused.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use serde::Serialize;
use weft_proto::discovery::Node;
use weft_xds::{ResourceType, server::Note};

use crate::{source::Offer, vetted::Withheld};

/// What every connected node was sent, accepted and refused. Clones are the same ledger.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    streams: Arc<Mutex<BTreeMap<u64, Arc<Mutex<Record>>>>>,
    opened: Arc<AtomicU64>,
}

/// One stream's page. The page is torn out when it is dropped.
#[derive(Debug)]
pub(crate) struct Page {
    ledger: Ledger,
    id: u64,
    record: Arc<Mutex<Record>>,
}

#[derive(Debug)]
struct Record {
    node: String,
    agent: String,
    types: BTreeMap<ResourceType, TypeView>,
    withheld: Vec<Withheld>,
}

/// One node. While a node reconnects it may have two streams; the newer one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Its id.
    pub node: String,
    /// What it says it is, for example `weft 0.1.0`.
    pub agent: String,
    /// Whether it has accepted everything that it is offered, of all it asked for.
    pub converged: bool,
    /// The types that it asked for, in the order of the protocol.
    pub types: Vec<TypeView>,
    /// What it is not sent, because it would refuse it.
    pub withheld: Vec<Withheld>,
}

/// How far a node is with one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeView {
    /// The type's abbreviation, for example `CDS`.
    pub r#type: &'static str,
    /// Whether it has accepted everything of it that it is offered.
    pub converged: bool,
    /// The last response sent.
    pub sent: Option<Stamp>,
    /// The last response accepted.
    pub acknowledged: Option<Stamp>,
    /// The last response refused, until one is accepted after it and nothing remains refused.
    pub refused: Option<RefusedView>,
}

/// A version, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stamp {
    /// The version.
    pub version: String,
    /// When, as in RFC 3339.
    pub at: String,
}

/// What was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedView {
    /// The version.
    pub version: String,
    /// When, as in RFC 3339.
    pub at: String,
    /// The resources to blame, as far as known.
    pub resources: Vec<String>,
    /// The node's words.
    pub reason: String,
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
        let records: Vec<_> = lock(&self.streams).values().cloned().collect();
        let mut nodes: BTreeMap<String, Record> = BTreeMap::new();
        // In the order of opening, so that the newer stream replaces the older one type by type.
        for record in records {
            let record = lock(&record);
            let node = nodes.entry(record.node.clone()).or_insert_with(|| Record {
                node: record.node.clone(),
                agent: String::new(),
                types: BTreeMap::new(),
                withheld: Vec::new(),
            });
            node.agent.clone_from(&record.agent);
            node.withheld.clone_from(&record.withheld);
            node.types.extend(record.types.iter().map(|(of, view)| (*of, view.clone())));
        }
        nodes.into_values().map(NodeView::from).collect()
    }

    pub(crate) fn open(&self, node: &Node) -> Page {
        let id = self.opened.fetch_add(1, Ordering::Relaxed);
        let record = Arc::new(Mutex::new(Record {
            node: node.id.clone(),
            agent: agent(node),
            types: BTreeMap::new(),
            withheld: Vec::new(),
        }));
        lock(&self.streams).insert(id, Arc::clone(&record));
        Page { ledger: self.clone(), id, record }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        lock(&self.ledger.streams).remove(&self.id);
    }
}

impl Page {
    pub(crate) fn offered(&self, offer: &Offer) {
        lock(&self.record).withheld = offer.withheld().to_vec();
    }

    /// Writes down what a step of the stream came to.
    pub(crate) fn write(&self, notes: Vec<Note>, is_converged: impl Fn(ResourceType) -> bool) {
        let record = &mut *lock(&self.record);
        for note in notes {
            record.note(note);
        }
        for (of, view) in &mut record.types {
            view.converged = is_converged(*of);
            if view.converged {
                view.refused = None;
            }
        }
    }
}

impl Record {
    fn note(&mut self, note: Note) {
        let at = || Timestamp::now().to_string();
        match note {
            Note::Subscribed(of) => {
                self.page(of);
            }
            Note::Sent { of, version, .. } => {
                self.page(of).sent = Some(Stamp { version: version.to_string(), at: at() });
            }
            Note::Acknowledged { of, version } => {
                self.page(of).acknowledged = Some(Stamp { version: version.to_string(), at: at() });
            }
            Note::Refused { of, version, names, reason } => {
                let resources: Vec<String> = names.iter().map(|name| name.to_string()).collect();
                tracing::warn!(
                    node = self.node,
                    kind = of.abbreviation(),
                    resources = resources.join(", "),
                    reason,
                    "refused by the node"
                );
                self.page(of).refused =
                    Some(RefusedView { version: version.to_string(), at: at(), resources, reason });
            }
            Note::Ignored(why) => tracing::debug!(node = self.node, ?why, "request ignored"),
        }
    }

    fn page(&mut self, of: ResourceType) -> &mut TypeView {
        self.types.entry(of).or_insert_with(|| TypeView {
            r#type: of.abbreviation(),
            converged: false,
            sent: None,
            acknowledged: None,
            refused: None,
        })
    }
}

impl From<Record> for NodeView {
    fn from(record: Record) -> Self {
        let types: Vec<_> = record.types.into_values().collect();
        Self {
            node: record.node,
            agent: record.agent,
            converged: types.iter().all(|view| view.converged) && record.withheld.is_empty(),
            types,
            withheld: record.withheld,
        }
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

/// Records are only ever replaced by complete values, so they are sound even after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
