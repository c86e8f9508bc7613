//! Configuration in force: resources compiled to tables, tables published to workers, sockets
//! following listeners.

use std::{
    fs::File,
    io::{self, Read},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use weft_balance::Locality;
use weft_compile::{Answer, Compiler, Question, Report, ResourceType, Tables, Update, name_of_key};
use weft_telemetry::Stats;

use crate::{
    sockets::{BindError, BoundAddress, Sockets},
    workers::Workers,
};

/// The compiler and everything that follows it.
pub(crate) struct Plane {
    compiler: Compiler,
    workers: Workers,
    sockets: Sockets,
    stats: Arc<Stats>,
    published: Arc<Tables>,
    /// Listeners open only once what they lead to is there.
    listening: bool,
}

impl Plane {
    pub(crate) fn new(stats: Arc<Stats>, workers: Workers) -> Self {
        Self {
            compiler: Compiler::new(Arc::clone(&stats)).reading_files(read_file),
            workers,
            sockets: Sockets::default(),
            stats,
            published: Arc::default(),
            listening: false,
        }
    }

    /// For a proxy in this place, whose peers are the endpoints of that cluster.
    pub(crate) fn placed(self, locality: Locality, peers: Arc<str>) -> Self {
        Self { compiler: self.compiler.placed(locality, peers), ..self }
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Takes an update in; [`Plane::publish`] makes it count.
    pub(crate) fn apply(&mut self, update: &Update, now: SystemTime) -> Report {
        let report = self.compiler.apply(update, now);
        for warned in &report.warned {
            self.stats.xds_field_unsupported.add(warned.warnings.len() as u64);
            for warning in &warned.warnings {
                tracing::warn!(resource = name_of_key(&warned.name), kind = %report.resource_type, "{warning}");
            }
        }
        for rejected in &report.rejected {
            for reason in &rejected.reasons {
                tracing::warn!(resource = name_of_key(&rejected.name), kind = %report.resource_type, "refused: {reason}");
            }
        }
        report
    }

    /// There is no such resource, or the source did not say in time whether there is. Says whether
    /// something else is wanted because of it.
    pub(crate) fn missing(&mut self, kind: ResourceType, key: &Arc<str>, timed_out: bool) -> bool {
        let name = name_of_key(key);
        let why = if timed_out { "not received in time" } else { "not to be had" };
        tracing::warn!(%name, %kind, "{why}; going on without it");
        self.compiler.missing(kind, key, SystemTime::now())
    }

    /// A name of a cluster was looked up; [`Plane::publish`] makes it count.
    pub(crate) fn resolved(&mut self, cluster: &Arc<str>, question: &Question, answer: Answer) {
        self.compiler.resolved(cluster, question, answer);
    }

    /// What is known of the health of these clusters' endpoints has changed; [`Plane::publish`]
    /// makes it count.
    pub(crate) fn health_news<'a>(&mut self, clusters: impl IntoIterator<Item = &'a Arc<str>>) {
        for cluster in clusters {
            self.compiler.health_news(cluster);
        }
    }

    /// The tables that workers go by.
    pub(crate) fn published(&self) -> &Arc<Tables> {
        &self.published
    }

    /// Publishes the tables if they changed, and binds what they ask for. An address that cannot be
    /// bound is tried again with the next call.
    pub(crate) fn publish(&mut self) -> Vec<BindError> {
        let tables = self.compiler.tables();
        if !Arc::ptr_eq(&tables, &self.published) {
            self.workers.publish(&tables);
            self.published = tables;
            self.stats.sweep();
        }
        if !self.listening {
            return Vec::new();
        }
        self.sockets.follow(&self.published, &self.workers, &self.stats)
    }

    /// From now on listeners are bound.
    pub(crate) fn open_listeners(&mut self) {
        self.listening = true;
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.listening
    }

    /// Stops accepting for good.
    pub(crate) fn close_listeners(&mut self) {
        self.listening = false;
        self.sockets.close();
    }

    pub(crate) fn addresses(&self) -> Vec<(Arc<str>, BoundAddress)> {
        self.sockets.addresses()
    }
}

/// Reads a file that a resource refers to, and no more of it than one byte above the limit.
fn read_file(name: &str, limit: usize) -> io::Result<Bytes> {
    let mut content = Vec::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    File::open(name)?.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    Ok(content.into())
}
