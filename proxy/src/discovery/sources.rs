//! Which sources there are, and what is wanted of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use tokio::sync::watch;
use weft_admin::{SubscriptionError, SubscriptionState, SubscriptionView};
use weft_compile::{ApiSource, FetchTimeout, Origin, ResourceType as Kind};
use weft_proto::discovery::Node;
use weft_xds::{
    Mode, Name, ResourceType,
    client::{Backoff, Client, Patience, Settings, State, Status, Wanted},
};

use super::{conversation, file, nowhere, subscriber::Subscriber};
use crate::{bootstrap::Discovery, proxy::Proxy, server::Service};

/// What is wanted of a type.
pub(crate) type Want = (ResourceType, Wanted);

/// A source of resources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SourceId {
    /// ADS.
    Aggregated,
    /// A stream or a file with resources of one type.
    Own(ResourceType, Origin),
}

impl SourceId {
    fn of(kind: ResourceType, origin: &Origin) -> Self {
        match origin {
            Origin::Aggregated => Self::Aggregated,
            Origin::Api(_) | Origin::File(_) => Self::Own(kind, origin.clone()),
        }
    }

    /// What identifies a resource of this source among all of its type.
    pub(crate) fn key(&self, of: ResourceType, name: &Name) -> Name {
        match self {
            // The list of clusters, and that of listeners, comes from one source alone.
            Self::Own(_, origin) if !of.is_root() => origin.key(name),
            Self::Own(..) | Self::Aggregated => Arc::clone(name),
        }
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregated => f.write_str("ADS"),
            Self::Own(of, origin) => write!(f, "{} by {origin}", of.abbreviation()),
        }
    }
}

/// All sources.
#[derive(Default)]
pub(crate) struct Sources {
    discovery: Discovery,
    node: Node,
    running: BTreeMap<SourceId, Running>,
    /// Lists that have not been answered for.
    unanswered: BTreeSet<ResourceType>,
}

struct Running {
    client: SharedClient,
    wants: watch::Sender<Vec<Want>>,
}

/// A protocol machine, which the admin interface looks at. Never locked across an await.
pub(crate) type SharedClient = Arc<Mutex<Client>>;

/// Locks a machine.
pub(crate) fn locked(client: &SharedClient) -> MutexGuard<'_, Client> {
    client.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sources {
    /// The sources that a bootstrap names; none is asked yet.
    pub(crate) fn new(discovery: Discovery, node: Node) -> Self {
        let unanswered = discovery.roots().map(|(of, _)| of).collect();
        Self { discovery, node, running: BTreeMap::new(), unanswered }
    }

    /// Whether nothing comes from anywhere.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.unanswered.is_empty()
    }

    /// Whether every list has been answered for, one way or the other.
    pub(crate) fn are_answered(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// The types of which everything is wanted.
    pub(crate) fn roots(&self) -> Vec<Kind> {
        self.discovery.roots().filter_map(|(of, _)| kind_of(of)).collect()
    }

    /// A list has been answered for.
    pub(crate) fn answered(&mut self, of: ResourceType) {
        self.unanswered.remove(&of);
    }

    /// Tells every source what is wanted of it. Returns what is wanted of `asking`, which has to be
    /// told by whoever asks.
    pub(crate) fn follow(
        &mut self,
        proxy: &Arc<Proxy>,
        wanted: &weft_compile::Wanted,
        asking: Option<&SourceId>,
    ) -> Vec<Want> {
        let wants = self.wants(wanted);
        // Its task ends when nobody can tell it anything any more.
        self.running.retain(|id, _| wants.contains_key(id));
        let mut own = Vec::new();
        for (id, wants) in wants {
            if asking == Some(&id) {
                own.clone_from(&wants);
            }
            if let Some(running) = self.running.get(&id) {
                running.wants.send_replace(wants);
            } else {
                let running = self.start(proxy, &id, wants);
                self.running.insert(id, running);
            }
        }
        own
    }

    /// What is wanted, by source.
    fn wants(&self, wanted: &weft_compile::Wanted) -> BTreeMap<SourceId, Vec<Want>> {
        let mut wants: BTreeMap<SourceId, Vec<Want>> = BTreeMap::new();
        for (of, source) in self.discovery.roots() {
            let want = (of, Wanted::All(patience(source.fetch_timeout)));
            wants.entry(SourceId::of(of, &source.origin)).or_default().push(want);
        }
        let by_name = [
            (ResourceType::Endpoint, &wanted.assignments),
            (ResourceType::Route, &wanted.route_configs),
        ];
        for (of, names) in by_name {
            let mut by_origin: BTreeMap<&Origin, BTreeMap<Name, Patience>> = BTreeMap::new();
            // ADS is told, too, when nothing is wanted of it any more.
            if self.discovery.ads.is_some() {
                by_origin.entry(&Origin::Aggregated).or_default();
            }
            for (key, want) in names.iter() {
                let name = match &want.origin {
                    Origin::Aggregated => Arc::clone(key),
                    _ => Arc::from(weft_compile::name_of_key(key)),
                };
                let names = by_origin.entry(&want.origin).or_default();
                names.insert(name, patience(want.fetch_timeout));
            }
            for (origin, names) in by_origin {
                let id = SourceId::of(of, origin);
                wants.entry(id).or_default().push((of, Wanted::Names(names)));
            }
        }
        wants
    }

    fn start(&self, proxy: &Arc<Proxy>, id: &SourceId, first: Vec<Want>) -> Running {
        let api = match id {
            SourceId::Aggregated => self.discovery.ads.clone(),
            SourceId::Own(_, Origin::Api(api)) => Some(Arc::clone(api)),
            SourceId::Own(..) => None,
        };
        let client = Arc::new(Mutex::new(Client::new(self.settings(api.as_deref()))));
        let (wants, mut told) = watch::channel(first);
        told.mark_changed();
        let subscriber = Subscriber::new(Arc::clone(proxy), id.clone(), Arc::clone(&client), told);
        match (id, api) {
            (SourceId::Own(of, Origin::File(source)), _) => {
                tokio::spawn(file::follow(subscriber, *of, Arc::clone(source)));
            }
            (_, Some(api)) => match self.services(&api) {
                Ok(services) => {
                    tokio::spawn(conversation::converse(subscriber, api, services));
                }
                Err(why) => {
                    tokio::spawn(nowhere::refuse(subscriber, why));
                }
            },
            (_, None) => {
                let why = "no dynamic_resources.ads_config in the bootstrap".to_owned();
                tokio::spawn(nowhere::refuse(subscriber, why));
            }
        }
        Running { client, wants }
    }

    fn settings(&self, api: Option<&ApiSource>) -> Settings {
        let incremental = api.is_some_and(|api| api.incremental);
        Settings {
            mode: if incremental { Mode::Delta } else { Mode::StateOfTheWorld },
            node: self.node.clone(),
            node_in_every_request: api.is_some_and(|api| !api.node_once),
            backoff: Backoff::default(),
        }
    }

    fn services(&self, api: &ApiSource) -> Result<Vec<Arc<Service>>, String> {
        let service = |grpc: &weft_compile::GrpcService| {
            let server = self.discovery.servers.get(&grpc.cluster);
            let server = server.ok_or_else(|| {
                format!("{:?} is no static cluster with an address in the bootstrap", grpc.cluster)
            })?;
            Ok(Arc::new(Service::new(server.clone(), grpc)))
        };
        api.services.iter().map(service).collect()
    }

    /// Every resource that is subscribed to, for the admin interface.
    pub(crate) fn views(&self) -> Vec<SubscriptionView> {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let mut views = Vec::new();
        for (id, running) in &self.running {
            let client = locked(&running.client);
            for of in ResourceType::ALL {
                let Some(kind) = kind_of(of) else { continue };
                views.extend(client.statuses(of).map(|(name, status)| SubscriptionView {
                    kind,
                    key: id.key(of, name),
                    name: Arc::clone(name),
                    state: state(status.state),
                    error: error(status, |at| clock - now.saturating_duration_since(at)),
                }));
            }
        }
        views
    }
}

/// The proxy's own word for a type of the protocol; `None` for types it does not subscribe to.
pub(crate) fn kind_of(of: ResourceType) -> Option<Kind> {
    Kind::from_type_url(of.type_url())
}

fn patience(timeout: FetchTimeout) -> Patience {
    match timeout {
        FetchTimeout::After(time) => Patience::For(time),
        FetchTimeout::Never => Patience::Endless,
    }
}

fn state(state: State) -> SubscriptionState {
    match state {
        State::Requested => SubscriptionState::Requested,
        State::DoesNotExist => SubscriptionState::DoesNotExist,
        State::Timeout => SubscriptionState::TimedOut,
        State::Acked => SubscriptionState::Accepted,
        State::Nacked => SubscriptionState::Refused,
        State::ReceivedError => SubscriptionState::ReceivedError,
    }
}

fn error(status: &Status, when: impl Fn(Instant) -> SystemTime) -> Option<SubscriptionError> {
    let refusal = status.refusal.as_ref()?;
    Some(SubscriptionError {
        version: refusal.version.clone(),
        details: refusal.reason.clone(),
        at: when(refusal.at),
    })
}
