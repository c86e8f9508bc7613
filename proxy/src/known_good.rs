//! The last known good configuration, on disk.
//!
//! What was accepted by xDS is written down, so that a proxy that starts while no management
//! server can be reached serves as the one before it did. It goes the way of every update, through
//! the compiler, and it ends once the servers have said what is to be: from then on they alone
//! count.

mod file;
mod folder;
mod record;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use weft_compile::{Dump, ResourceDump, ResourceType, Source, Update, Upsert};

pub(crate) use folder::{Place, place};
use record::{Entry, Record};

use crate::proxy::Proxy;

/// How long the servers may take to say anything before what is remembered is used.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of a burst of changes the last state is written.
const SETTLE: Duration = Duration::from_millis(100);
/// The least time between two writings.
const DISTANCE: Duration = Duration::from_secs(5);
/// In this order everything finds what it refers to.
const ORDER: [ResourceType; 4] = [
    ResourceType::Cluster,
    ResourceType::Assignment,
    ResourceType::Listener,
    ResourceType::RouteConfiguration,
];

/// How far the configuration in force is from what the servers say now.
#[derive(Default)]
pub(crate) struct Standing {
    /// Types of which a server has said something.
    heard: BTreeSet<ResourceType>,
    recalled: Option<Recalled>,
    /// Everything that is in force came from the servers of this process.
    live: bool,
}

/// What came from disk.
struct Recalled {
    written: SystemTime,
    /// What no server has said anything about.
    unheard: BTreeSet<(ResourceType, Arc<str>)>,
}

impl Standing {
    /// A server has said something.
    pub(crate) fn hear(&mut self, update: &Update) {
        self.heard.insert(update.resource_type);
        if let Some(recalled) = &mut self.recalled {
            let upserts = update.upserts.iter().map(|upsert| &upsert.name);
            for name in upserts.chain(&update.removals) {
                recalled.unheard.remove(&(update.resource_type, Arc::clone(name)));
            }
        }
    }

    /// When what serves was written; `None` when it is not from disk.
    pub(crate) fn written(&self) -> Option<SystemTime> {
        self.recalled.as_ref().map(|recalled| recalled.written)
    }

    /// The servers have said what there is to be. Returns what has to go, in order, as they said
    /// nothing of it; `None` as long as they have not, and when this is no news.
    pub(crate) fn conclude(
        &mut self,
        roots: impl IntoIterator<Item = ResourceType>,
    ) -> Option<Vec<Update>> {
        let complete = roots.into_iter().all(|root| self.heard.contains(&root));
        if self.live || !complete {
            return None;
        }
        self.live = true;
        let unheard = self.recalled.take().map(|recalled| recalled.unheard).unwrap_or_default();
        let removal = |of: ResourceType| {
            let keys = unheard.iter().filter(|(other, _)| *other == of);
            let removals = keys.map(|(_, key)| Arc::clone(key)).collect();
            Update { removals, ..update(of, Vec::new()) }
        };
        // What is asked for by name goes with what asks for it.
        let updates = [ResourceType::Listener, ResourceType::Cluster].map(removal);
        Some(updates.into_iter().filter(|update| !update.removals.is_empty()).collect())
    }

    /// What these updates bring was written then.
    pub(crate) fn recall(&mut self, updates: &[Update], written: SystemTime) {
        let keys = updates.iter().flat_map(|update| {
            update.upserts.iter().map(|upsert| (update.resource_type, Arc::clone(&upsert.name)))
        });
        self.recalled = Some(Recalled { written, unheard: keys.collect() });
    }

    /// Whether no server has said anything yet.
    pub(crate) fn is_silent(&self) -> bool {
        self.heard.is_empty()
    }

    /// Whether all that is in force was said by servers to this process.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }
}

fn update(resource_type: ResourceType, upserts: Vec<Upsert>) -> Update {
    Update {
        resource_type,
        version: Arc::from(""),
        upserts,
        removals: Vec::new(),
        full_state: false,
        source: Source::Dynamic,
    }
}

/// Uses what is remembered if the servers say nothing, and remembers what they say. Does not end.
pub(crate) async fn keep(proxy: Arc<Proxy>, place: Place) {
    if tokio::time::timeout(PATIENCE, proxy.configured().notified()).await.is_err() {
        recall(&proxy, &place).await;
        proxy.configured().notified().await;
    }
    let mut written = None;
    loop {
        tokio::time::sleep(SETTLE).await;
        if let Some(dump) = proxy.live_configuration() {
            let entries = entries(&dump);
            if written.as_ref() != Some(&entries) {
                write(&place, entries.clone()).await;
                written = Some(entries);
                tokio::time::sleep(DISTANCE).await;
            }
        }
        proxy.configured().notified().await;
    }
}

async fn recall(proxy: &Arc<Proxy>, place: &Place) {
    let from = place.clone();
    let read = tokio::task::spawn_blocking(move || file::read(&from)).await;
    let Ok(read) = read else { return };
    match read {
        Ok(record) => {
            let resources = record.entries.len();
            let written = record.written();
            let age = SystemTime::now().duration_since(written).unwrap_or_default();
            let updates = updates(record);
            if proxy.recall(&updates, written) {
                tracing::warn!(
                    path = %place.file().display(), resources, age_s = age.as_secs(),
                    "no management server answers: serving the last known good configuration"
                );
            }
        }
        Err(file::ReadError::Missing) => {
            tracing::info!(path = %place.file().display(), "no configuration is remembered");
        }
        Err(error) => tracing::error!("the last known good configuration is not used: {error}"),
    }
}

/// The updates that bring a record into force, in the order of what refers to what.
fn updates(record: Record) -> Vec<Update> {
    let mut updates: Vec<_> = ORDER.map(|kind| update(kind, Vec::new())).into();
    for Entry { type_url, key, version, value } in record.entries {
        let Some(kind) = ResourceType::from_type_url(&type_url) else { continue };
        let Some(update) = updates.iter_mut().find(|update| update.resource_type == kind) else {
            continue;
        };
        let (name, version) = (Arc::from(key), Arc::from(version));
        update.upserts.push(Upsert { name, version, value: value.into() });
    }
    updates.retain(|update| !update.upserts.is_empty());
    updates
}

/// What is good of what came by xDS. No other types are written: none of these has secrets.
fn entries(dump: &Dump) -> Vec<Entry> {
    let entry = |kind: ResourceType, resource: &ResourceDump| {
        let version = resource.warming.as_ref().or(resource.active.as_ref())?;
        Some(Entry {
            type_url: kind.type_url().to_owned(),
            key: resource.key.to_string(),
            version: version.version.to_string(),
            value: version.value.to_vec(),
        })
    };
    let of = |kind: &ResourceType| {
        let dynamic = dump.of(*kind).iter().filter(|resource| resource.source == Source::Dynamic);
        dynamic.filter_map(|resource| entry(*kind, resource)).collect::<Vec<_>>()
    };
    ORDER.iter().flat_map(of).collect()
}

async fn write(place: &Place, entries: Vec<Entry>) {
    let to = place.clone();
    let record = Record::now(place.identity(), entries);
    let written = tokio::task::spawn_blocking(move || file::write(&to, &record)).await;
    if let Ok(Err(error)) = written {
        tracing::warn!("the configuration cannot be remembered for the next start: {error}");
    }
}

/// Where nothing else is said: below `XDG_STATE_HOME`, the home folder, or for root `/var/lib`.
pub(crate) fn default_folder() -> Option<PathBuf> {
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let root = || rustix::process::geteuid().is_root().then(|| PathBuf::from("/var/lib"));
    let state = absolute("XDG_STATE_HOME");
    let state = state.or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Some(state.or_else(root)?.join("weft"))
}
