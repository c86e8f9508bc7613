//! The state of the running process, as the admin interface, the control plane's stream and the
//! life cycle share it. Nothing on the request path comes here.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use weft_admin::{
    BootstrapView, BoundListener, EventView, LogLevel, ServerInfo, ServerState, SubscriptionView,
};
use weft_compile::{
    Answer, BindAddress, ClusterView, Dump, Question, Report, ResourceType, Tables, Update, Wanted,
};
use weft_http::{Load, Phase};
use weft_proto::{discovery::Node, json};
use weft_telemetry::Stats;

use crate::{
    bootstrap::Discovery,
    discovery::{SourceId, Sources, Want},
    events::Events,
    known_good::Standing,
    logging::LogControl,
    plane::Plane,
    sockets::{BindError, BoundAddress},
};

/// The process.
pub(crate) struct Proxy {
    plane: Mutex<Plane>,
    sources: Mutex<Sources>,
    /// Streams to management servers.
    connected: AtomicI64,
    stats: Arc<Stats>,
    started: Instant,
    state: AtomicU8,
    live: Notify,
    /// Other names may have to be looked up.
    names_changed: Notify,
    /// Tables were published, with other endpoints perhaps.
    published: Notify,
    /// A name was looked up, or endpoints were checked, so that something may have become warm.
    resolved: Notify,
    random: Mutex<fastrand::Rng>,
    standing: Mutex<Standing>,
    events: Mutex<Events>,
    /// A server has said something.
    configured: Notify,
    pub(crate) facts: Facts,
}

/// What does not change while the process runs.
pub(crate) struct Facts {
    pub(crate) bootstrap: Bytes,
    pub(crate) loaded: SystemTime,
    pub(crate) node: Node,
    pub(crate) options: serde_json::Map<String, serde_json::Value>,
    pub(crate) log: LogControl,
    /// What outlier detection decides is written there.
    pub(crate) outlier_log: Option<Arc<str>>,
}

impl Proxy {
    pub(crate) fn new(
        plane: Plane,
        stats: Arc<Stats>,
        started: Instant,
        facts: Facts,
    ) -> Arc<Self> {
        let proxy = Self {
            plane: Mutex::new(plane),
            sources: Mutex::default(),
            connected: AtomicI64::new(0),
            stats,
            started,
            state: AtomicU8::new(0),
            live: Notify::new(),
            names_changed: Notify::new(),
            published: Notify::new(),
            resolved: Notify::new(),
            random: Mutex::new(fastrand::Rng::new()),
            standing: Mutex::default(),
            events: Mutex::default(),
            configured: Notify::new(),
            facts,
        };
        proxy.enter(ServerState::PreInitializing);
        Arc::new(proxy)
    }

    pub(crate) fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// For decisions by chance.
    pub(crate) fn random_u64(&self) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }

    /// For jitter.
    pub(crate) fn random_u32(&self) -> u32 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).u32(..)
    }

    /// The configuration. Never held across an await.
    pub(crate) fn plane(&self) -> MutexGuard<'_, Plane> {
        self.plane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts whatever resources come from. Returns whether they come from anywhere.
    pub(crate) fn subscribe(self: &Arc<Self>, discovery: Discovery, node: Node) -> bool {
        *self.sources() = Sources::new(discovery, node);
        let wanted = self.plane().compiler().wanted().clone();
        let mut sources = self.sources();
        sources.follow(self, &wanted, None);
        !sources.is_empty()
    }

    /// Takes an update in, and says what is wanted of the source from now on if that changed.
    pub(crate) fn apply(
        self: &Arc<Self>,
        source: &SourceId,
        update: &Update,
        now: SystemTime,
    ) -> (Report, Vec<Want>) {
        self.standing().hear(update);
        let (report, wanted) = {
            let mut plane = self.plane();
            let report = plane.apply(update, now);
            let wanted = report.wanted_changed.then(|| plane.compiler().wanted().clone());
            (report, wanted)
        };
        self.configured.notify_one();
        (report, self.follow(source, wanted))
    }

    /// Told whenever a server has said something.
    pub(crate) fn configured(&self) -> &Notify {
        &self.configured
    }

    /// Everything that is in force, once all of it was said by servers.
    pub(crate) fn live_configuration(&self) -> Option<Dump> {
        let live = self.standing().is_live();
        live.then(|| self.plane().compiler().dump())
    }

    /// Serves what was written down at that time, if no server has said anything yet.
    pub(crate) fn recall(self: &Arc<Self>, updates: &[Update], written: SystemTime) -> bool {
        {
            let mut standing = self.standing();
            if !standing.is_silent() {
                return false;
            }
            standing.recall(updates, written);
        }
        self.take(updates);
        self.publish();
        self.show_age();
        true
    }

    /// Applies what no source of this process has brought.
    fn take(self: &Arc<Self>, updates: &[Update]) {
        let wanted = {
            let mut plane = self.plane();
            for update in updates {
                plane.apply(update, SystemTime::now());
            }
            plane.compiler().wanted().clone()
        };
        self.sources().follow(self, &wanted, None);
    }

    /// What is served although no server has said it goes once servers have said everything.
    fn conclude(self: &Arc<Self>) {
        let roots = self.sources().roots();
        if roots.is_empty() || !self.plane().compiler().warming().is_over() {
            return;
        }
        let recalled = self.standing().written().is_some();
        let Some(gone) = self.standing().conclude(roots) else { return };
        self.take(&gone);
        self.configured.notify_one();
        if recalled {
            self.show_age();
            tracing::info!("the control plane has spoken: its configuration alone counts");
        }
    }

    /// Puts the age of what is served into the metrics.
    pub(crate) fn show_age(&self) {
        let age = self.age();
        let stats = &self.stats.control_plane;
        stats.last_known_good.set(age.is_some().into());
        stats.last_known_good_age_seconds.set(age.unwrap_or_default().as_secs());
    }

    /// How old is what is served, when it is what was written down.
    fn age(&self) -> Option<Duration> {
        let written = self.standing().written()?;
        Some(SystemTime::now().duration_since(written).unwrap_or_default())
    }

    /// What has happened to endpoints. Never held across an await.
    pub(crate) fn kept_events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other names may have to be looked up after this.
    pub(crate) fn names_changed(&self) -> &Notify {
        &self.names_changed
    }

    /// Told whenever tables may have been published.
    pub(crate) fn published(&self) -> &Notify {
        &self.published
    }

    /// What is known of the health of these clusters' endpoints has changed.
    pub(crate) fn health_news<'a>(
        self: &Arc<Self>,
        clusters: impl IntoIterator<Item = &'a Arc<str>>,
    ) {
        self.plane().health_news(clusters);
        self.publish();
        self.resolved.notify_waiters();
    }

    /// A name of a cluster was looked up.
    pub(crate) fn resolved(
        self: &Arc<Self>,
        cluster: &Arc<str>,
        question: &Question,
        answer: Answer,
    ) {
        self.plane().resolved(cluster, question, answer);
        self.publish();
        self.resolved.notify_waiters();
    }

    /// Returns once nothing waits for its parts any more, in a process that is told by nobody but
    /// name servers, and by endpoints that are checked.
    pub(crate) async fn until_warm(&self) {
        // What is to be checked must be known to those who check.
        self.plane().publish();
        self.published.notify_one();
        loop {
            let resolved = self.resolved.notified();
            if self.plane().compiler().warming().is_over() {
                return;
            }
            resolved.await;
        }
    }

    /// A resource that is not going to come; says what is wanted of the source from now on if that
    /// changed.
    pub(crate) fn missing(
        self: &Arc<Self>,
        source: &SourceId,
        kind: ResourceType,
        key: &Arc<str>,
        timed_out: bool,
    ) -> Vec<Want> {
        let wanted = {
            let mut plane = self.plane();
            plane.missing(kind, key, timed_out).then(|| plane.compiler().wanted().clone())
        };
        self.follow(source, wanted)
    }

    fn follow(self: &Arc<Self>, source: &SourceId, wanted: Option<Wanted>) -> Vec<Want> {
        let Some(wanted) = wanted else { return Vec::new() };
        self.sources().follow(self, &wanted, Some(source))
    }

    /// A list of resources has been answered for.
    pub(crate) fn answered(&self, of: weft_xds::ResourceType) {
        self.sources().answered(of);
    }

    /// A stream was taken by its server, or ended.
    pub(crate) fn connected(&self, change: i64) {
        let connected = self.connected.fetch_add(change, Ordering::Relaxed) + change;
        self.stats.control_plane.connected_state.set((connected > 0).into());
    }

    /// A file with resources of a type is of no use.
    pub(crate) fn note_unreadable(&self, of: weft_xds::ResourceType) {
        use weft_xds::ResourceType as Of;
        let counters = match of {
            Of::Cluster => &self.stats.cds,
            Of::Endpoint => &self.stats.eds,
            Of::Listener => &self.stats.lds,
            Of::Route => &self.stats.rds,
            _ => return,
        };
        counters.update_attempt.inc();
        counters.update_failure.inc();
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what was applied count. Listeners open when all lists have been answered for and
    /// nothing waits for its parts any more.
    pub(crate) fn publish(self: &Arc<Self>) {
        self.conclude();
        self.names_changed.notify_one();
        let answered = self.sources().are_answered() || self.standing().written().is_some();
        let failed = {
            let mut plane = self.plane();
            if answered && !plane.is_listening() && plane.compiler().warming().is_over() {
                plane.open_listeners();
            }
            plane.publish()
        };
        self.published.notify_one();
        report(&failed);
        if self.plane().is_listening() && self.state() == ServerState::PreInitializing {
            self.enter(ServerState::Live);
            tracing::info!(after = ?self.started.elapsed(), "live");
            self.live.notify_waiters();
        }
    }

    /// Returns once listeners have been opened.
    pub(crate) async fn until_live(&self) {
        let live = self.live.notified();
        if self.state() == ServerState::PreInitializing {
            live.await;
        }
    }

    pub(crate) fn enter(&self, state: ServerState) {
        // Envoy's numbers, which `server.state` shows.
        let number = match state {
            ServerState::Live => 0,
            ServerState::Draining => 1,
            ServerState::PreInitializing => 2,
            ServerState::Initializing => 3,
        };
        self.state.store(number, Ordering::Relaxed);
        self.stats.server_state.set(number.into());
    }

    pub(crate) fn state(&self) -> ServerState {
        match self.state.load(Ordering::Relaxed) {
            0 => ServerState::Live,
            1 => ServerState::Draining,
            3 => ServerState::Initializing,
            _ => ServerState::PreInitializing,
        }
    }

    /// Where the listener of this name really accepts.
    pub(crate) fn address_of(&self, listener: &str) -> Option<BoundAddress> {
        let addresses = self.plane().addresses();
        addresses.into_iter().find(|(name, _)| **name == *listener).map(|(_, address)| address)
    }

    /// What goes on in all workers.
    pub(crate) async fn load(&self) -> Load {
        let asked: Vec<oneshot::Receiver<Load>> = self.plane().workers().ask_load();
        let mut total = Load::default();
        for load in asked {
            total = total + load.await.unwrap_or_default();
        }
        total
    }

    pub(crate) fn advance(&self, phase: Phase) {
        self.plane().workers().advance(phase);
    }
}

/// Says what could not be bound. It is tried again whenever something is published.
pub(crate) fn report(failed: &[BindError]) {
    for error in failed {
        tracing::error!("{error}");
    }
}

impl weft_admin::Source for Proxy {
    fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    fn state(&self) -> ServerState {
        self.state()
    }

    fn server_info(&self) -> ServerInfo {
        ServerInfo {
            version: concat!("weft/", env!("CARGO_PKG_VERSION")).to_owned(),
            uptime: self.started.elapsed(),
            node: match json::to_json(&self.facts.node) {
                serde_json::Value::Object(node) => node,
                _ => serde_json::Map::new(),
            },
            command_line_options: self.facts.options.clone(),
        }
    }

    fn last_known_good(&self) -> Option<Duration> {
        self.age()
    }

    fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed) > 0
    }

    fn log_level(&self) -> LogLevel {
        self.facts.log.level()
    }

    fn listeners(&self) -> Vec<BoundListener> {
        let mut listeners: Vec<BoundListener> = Vec::new();
        for (name, address) in self.plane().addresses() {
            let address = match address {
                BoundAddress::Ip(address) => BindAddress::Ip(address),
                BoundAddress::Pipe(path) => BindAddress::Pipe(path),
            };
            match listeners.iter_mut().find(|listener| listener.name == name) {
                Some(listener) => listener.addresses.push(address),
                None => listeners.push(BoundListener { name, addresses: vec![address] }),
            }
        }
        listeners
    }

    fn clusters(&self) -> Vec<ClusterView> {
        self.plane().compiler().cluster_views()
    }

    fn tables(&self) -> Arc<Tables> {
        Arc::clone(self.plane().published())
    }

    fn events(&self) -> Vec<EventView> {
        self.kept_events().newest_last().cloned().collect()
    }

    fn dump(&self) -> Dump {
        self.plane().compiler().dump()
    }

    fn subscriptions(&self) -> Vec<SubscriptionView> {
        self.sources().views()
    }

    fn node(&self) -> Node {
        self.facts.node.clone()
    }

    fn bootstrap(&self) -> BootstrapView {
        BootstrapView { value: self.facts.bootstrap.clone(), loaded: self.facts.loaded }
    }
}
