//! Clusters (CDS), each with its endpoints once they are there.

use std::{collections::BTreeSet, sync::Arc};

use weft_resources::{Cluster as Resource, Discovery, Origin};
use weft_telemetry::Stats;

use crate::{
    assignments::Assignments,
    catalog::Catalog,
    endpoints::{self, Parts},
    entry::Entry,
    intake,
    references::{self, Reference, References, WantedNames},
    report::Report,
    slots::{self, Slots},
    tables::{Cluster, ClusterId},
    update::{Moment, Source, Update},
};

/// Clusters by name.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    pub(crate) catalog: Catalog<Resource>,
    pub(crate) slots: Slots,
    /// As published, by slot.
    built: Vec<Option<Arc<Cluster>>>,
    /// Names whose slot in `built` is out of date.
    dirty: BTreeSet<Arc<str>>,
    references: References,
}

impl Clusters {
    /// Takes an update in.
    pub(crate) fn apply(
        &mut self,
        update: &Update,
        assignments: &mut Assignments,
        wanted: &mut WantedNames,
        now: Moment,
        report: &mut Report,
    ) {
        let gone = self.catalog.gone(update);
        let intake = intake::read::<Resource, _>(update, &mut self.catalog, |_| true, now, report);
        for name in &intake.back {
            self.relink(name, wanted);
        }
        // Those of the bootstrap may name each other.
        let fixed: BTreeSet<&str> = match update.source {
            Source::Static => update.upserts.iter().map(|upsert| &*upsert.name).collect(),
            Source::Dynamic => BTreeSet::new(),
        };
        for (fresh, resource) in intake.fresh {
            let name = &fresh.upsert.name;
            let unreachable = references::unreachable(origin(&resource), |server| {
                self.is_static(server) || fixed.contains(server)
            });
            if !unreachable.is_empty() {
                let at = (fresh.upsert, fresh.index);
                self.catalog.refuse(at, unreachable, (update.source, now), report);
                continue;
            }
            report.warn(name, fresh.warnings.clone());
            let version = fresh.version(resource, now);
            let entry = self.catalog.entry(name, update.source);
            let settled = eds_name(&version.value)
                .is_none_or(|eds| assignments.catalog.is_settled(eds, entry.active.is_some()));
            if settled {
                entry.activate(version);
                self.dirty.insert(Arc::clone(name));
            } else {
                entry.warm(version);
            }
            self.relink(name, wanted);
        }
        for name in gone {
            self.remove(&name, wanted);
        }
        self.forget_orphans(assignments, wanted);
    }

    /// There is news about an assignment: whoever waited for it is warm now, and whoever uses it
    /// has new endpoints if they are `changed`.
    pub(crate) fn assignment_news(
        &mut self,
        assignment: &str,
        changed: bool,
        assignments: &mut Assignments,
        wanted: &mut WantedNames,
    ) {
        for name in self.references.users(assignment) {
            let Some(entry) = self.catalog.get_mut(&name) else { continue };
            let waited = entry.warming.as_ref().and_then(|warming| eds_name(&warming.value))
                == Some(assignment);
            let promoted = waited
                && assignments.catalog.is_settled(assignment, entry.active.is_some())
                && entry.promote();
            let uses = entry.active.as_ref().and_then(|active| eds_name(&active.value))
                == Some(assignment);
            if promoted || (uses && changed) {
                self.dirty.insert(Arc::clone(&name));
            }
            if promoted {
                self.relink(&name, wanted);
            }
        }
        self.forget_orphans(assignments, wanted);
    }

    /// Whether there is a cluster of this name, warm or not.
    pub(crate) fn is_known(&self, name: &str) -> bool {
        self.catalog.get(name).is_some_and(Entry::is_known)
    }

    /// Whether there is a cluster of this name in the bootstrap.
    pub(crate) fn is_static(&self, name: &str) -> bool {
        self.catalog.get(name).is_some_and(|entry| entry.source == Source::Static)
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Brings what is published up to date, rebuilding what changed and nothing else.
    pub(crate) fn build(
        &mut self,
        assignments: &Assignments,
        stats: &Stats,
    ) -> &[Option<Arc<Cluster>>] {
        for name in std::mem::take(&mut self.dirty) {
            let slot = self.slots.of(&name);
            let active = self.catalog.get(&name).and_then(|entry| entry.active.as_ref());
            let cluster = active.map(|version| {
                let eds = eds_name(&version.value).and_then(|name| assignments.get(name));
                let assignment = match &version.value.discovery {
                    Discovery::Static(assignment) => Some(assignment),
                    Discovery::Eds { .. } => eds.map(|version| &version.value),
                };
                Arc::new(endpoints::build(Parts {
                    id: ClusterId(slot),
                    stats: stats.cluster(&name),
                    resource: &version.value,
                    resource_bytes: &version.bytes,
                    assignment,
                    assignment_bytes: eds.map_or(&[], |version| &version.bytes),
                    previous: self.published(slot),
                }))
            });
            slots::put(&mut self.built, slot, cluster);
        }
        &self.built
    }

    /// The cluster as published last.
    pub(crate) fn published_by_name(&self, name: &str) -> Option<Arc<Cluster>> {
        let slot = self.slots.get(name)?;
        self.built.get(slot as usize)?.clone()
    }

    fn published(&self, slot: u32) -> Option<&Cluster> {
        self.built.get(slot as usize)?.as_deref()
    }

    fn remove(&mut self, name: &Arc<str>, wanted: &mut WantedNames) {
        let Some(entry) = self.catalog.remove(name) else { return };
        if entry.active.is_some() {
            self.dirty.insert(Arc::clone(name));
        }
        self.relink(name, wanted);
    }

    /// Notes what a cluster refers to now.
    fn relink(&mut self, name: &Arc<str>, wanted: &mut WantedNames) {
        let references = self.catalog.get(name).map(references).unwrap_or_default();
        self.references.replace(name, references, wanted);
    }

    /// Forgets assignments that nobody refers to any more.
    fn forget_orphans(&mut self, assignments: &mut Assignments, wanted: &mut WantedNames) {
        for orphan in self.references.take_orphans(wanted) {
            assignments.catalog.remove(&orphan);
        }
    }
}

/// What both versions of a cluster refer to.
fn references(entry: &Entry<Resource>) -> Vec<Reference> {
    entry
        .versions()
        .filter_map(|version| match &version.value.discovery {
            Discovery::Static(_) => None,
            Discovery::Eds { name, origin, fetch_timeout } => Some(Reference {
                name: name.to_shared(),
                origin: origin.clone(),
                fetch_timeout: *fetch_timeout,
            }),
        })
        .collect()
}

/// Where the endpoints of a cluster come from, if they are discovered.
fn origin(cluster: &Resource) -> Option<&Origin> {
    match &cluster.discovery {
        Discovery::Static(_) => None,
        Discovery::Eds { origin, .. } => Some(origin),
    }
}

pub(crate) fn eds_name(cluster: &Resource) -> Option<&str> {
    match &cluster.discovery {
        Discovery::Static(_) => None,
        Discovery::Eds { name, .. } => Some(name.as_str()),
    }
}
