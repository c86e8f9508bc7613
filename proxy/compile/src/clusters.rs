//! Clusters (CDS), each with its endpoints once they are there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_balance::{Alarm, Condition, Locality};
use weft_resources::{Cluster as Resource, ClusterName, Discovery, Dns, Origin};
use weft_telemetry::Stats;

use crate::{
    assignments::Assignments,
    catalog::Catalog,
    endpoints::{self, Parts},
    entry::Entry,
    intake,
    names::{Answer, Names, Question},
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
    /// Names of clusters that are found by name.
    pub(crate) names: Names,
    /// Names of clusters that consist of others.
    aggregates: BTreeSet<Arc<str>>,
    /// Rings when a decision about endpoints is due.
    pub(crate) alarm: Arc<Alarm>,
    /// Rings when a request names a host that is to be looked up.
    pub(crate) named: Arc<Alarm>,
    /// Where this proxy is, and the cluster that it belongs to with its peers.
    pub(crate) place: Option<(Arc<Locality>, Arc<str>)>,
}

impl Clusters {
    /// What is known of the health of a cluster's endpoints has changed.
    pub(crate) fn health_news(&mut self, name: &Arc<str>) {
        if self.published_by_name(name).is_some() {
            self.dirty.insert(Arc::clone(name));
        }
    }

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
            let settled = match &version.value.discovery {
                Discovery::Eds { name, .. } => {
                    assignments.catalog.is_settled(name.as_str(), entry.active.is_some())
                }
                Discovery::Dns(dns) => self.names.are_settled(name, dns),
                _ => true,
            };
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

    /// A name of a cluster was looked up: whoever waited for it is warm now, and whoever uses it
    /// may have other endpoints.
    pub(crate) fn resolved(
        &mut self,
        cluster: &Arc<str>,
        question: &Question,
        answer: Answer,
        wanted: &mut WantedNames,
    ) {
        let changed = self.names.answer(cluster, question, answer);
        let Some(entry) = self.catalog.get_mut(cluster) else { return };
        let waited = entry.warming.as_ref().and_then(|version| dns(&version.value));
        let promoted =
            waited.is_some_and(|dns| self.names.are_settled(cluster, dns)) && entry.promote();
        let uses = entry.active.as_ref().is_some_and(|version| dns(&version.value).is_some());
        if promoted || (uses && changed) {
            self.dirty.insert(Arc::clone(cluster));
        }
        if promoted {
            self.relink(cluster, wanted);
        }
    }

    /// How many wait until their endpoints were checked.
    pub(crate) fn unchecked(&self) -> usize {
        let waits = |(name, entry): &(&Arc<str>, &Entry<Resource>)| {
            let active = entry.active.as_ref();
            active.is_some_and(|version| version.value.health_check.is_some())
                && self.published_by_name(name).is_none_or(|cluster| !cluster.is_ready)
        };
        self.catalog.iter().filter(waits).count()
    }

    /// All that were built last, ready or not.
    pub(crate) fn built(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.built.iter().flatten()
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
        self.build_peers(assignments, stats);
        let mut dirty = std::mem::take(&mut self.dirty);
        // Those that consist of others come after them, and follow when one of them changes.
        let mut aggregates: Vec<Arc<str>> = self
            .aggregates
            .iter()
            .filter(|name| !dirty.is_empty() || dirty.contains(*name))
            .cloned()
            .collect();
        aggregates.retain(|name| {
            let is_dirty = dirty.remove(name);
            let before = self.published_by_name(name);
            let mut before = before.iter().flat_map(|cluster| &cluster.members);
            is_dirty
                || before.any(|member| dirty.contains(&member.name))
                || self.leaves(name).iter().any(|leaf| dirty.contains(leaf))
        });
        for name in dirty.into_iter().chain(aggregates) {
            let slot = self.slots.of(&name);
            let cluster = self.build_one(&name, slot, assignments, stats).map(Arc::new);
            slots::put(&mut self.built, slot, cluster);
        }
        &self.built
    }

    /// The cluster of this proxy's peers comes first: where those are decides where requests go.
    fn build_peers(&mut self, assignments: &Assignments, stats: &Stats) {
        let Some((_, peers)) = self.place.clone() else { return };
        if !self.dirty.remove(&peers) {
            return;
        }
        let slot = self.slots.of(&peers);
        let cluster = self.build_one(&peers, slot, assignments, stats).map(Arc::new);
        slots::put(&mut self.built, slot, cluster);
        let asks = |entry: &Entry<Resource>| {
            entry.active.as_ref().is_some_and(|it| it.value.balancing.zone_aware.is_some())
        };
        let asking = self.catalog.iter().filter(|(name, entry)| **name != peers && asks(entry));
        self.dirty.extend(asking.map(|(name, _)| Arc::clone(name)));
    }

    /// Where this proxy is, and how many of its healthy peers are where.
    fn surroundings(&self) -> Option<(Arc<Locality>, BTreeMap<Locality, u64>)> {
        let (own, peers) = self.place.as_ref()?;
        let mut counts = BTreeMap::new();
        for host in self.published_by_name(peers)?.balancer.hosts() {
            if host.condition() == Condition::Healthy {
                let locality = host.locality.as_deref().cloned().unwrap_or_default();
                *counts.entry(locality).or_default() += 1;
            }
        }
        Some((Arc::clone(own), counts))
    }

    fn build_one(
        &self,
        name: &Arc<str>,
        slot: u32,
        assignments: &Assignments,
        stats: &Stats,
    ) -> Option<Cluster> {
        let version = self.catalog.get(name)?.active.as_ref()?;
        let eds = eds_name(&version.value).and_then(|name| assignments.get(name));
        let assignment = match &version.value.discovery {
            Discovery::Static(assignment) => Some(assignment),
            Discovery::Dns(dns) => Some(&dns.assignment),
            Discovery::Eds { .. } => eds.map(|version| &version.value),
            Discovery::OriginalDestination(_) | Discovery::Dynamic(_) | Discovery::Aggregate(_) => {
                None
            }
        };
        let leaves = self.leaves(name);
        Some(endpoints::build(Parts {
            id: ClusterId(slot),
            stats: stats.cluster(name),
            resource: &version.value,
            resource_bytes: &version.bytes,
            assignment,
            assignment_bytes: eds.map_or(&[], |version| &version.bytes),
            names: &self.names,
            previous: self.published(slot),
            members: leaves.iter().filter_map(|leaf| self.published_by_name(leaf)).collect(),
            alarm: Arc::clone(&self.alarm),
            named: &self.named,
            own: self.place.as_ref().map(|(own, _)| &**own),
            place: version.value.balancing.zone_aware.and_then(|_| self.surroundings()),
        }))
    }

    /// The clusters with endpoints that an aggregate consists of, each once and in order; none for
    /// any other cluster.
    fn leaves(&self, aggregate: &str) -> Vec<Arc<str>> {
        let mut leaves = Vec::new();
        let mut seen = BTreeSet::new();
        let mut ahead = vec![aggregate];
        while let Some(name) = ahead.pop() {
            let version = self.catalog.get(name).and_then(|entry| entry.active.as_ref());
            let Some(version) = version.filter(|_| seen.insert(name)) else { continue };
            match &version.value.discovery {
                Discovery::Aggregate(members) => {
                    ahead.extend(members.iter().rev().map(ClusterName::as_str));
                }
                _ if name != aggregate => leaves.push(version.value.name.to_shared()),
                _ => {}
            }
        }
        leaves
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
        let entry = self.catalog.get(name);
        let found = entry.into_iter().flat_map(Entry::versions);
        self.names.replace(name, found.filter_map(|version| dns(&version.value)));
        let active = entry.and_then(|entry| entry.active.as_ref());
        match active.map(|version| &version.value.discovery) {
            Some(Discovery::Aggregate(_)) => self.aggregates.insert(Arc::clone(name)),
            _ => self.aggregates.remove(name),
        };
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
            Discovery::Eds { name, origin, fetch_timeout } => Some(Reference {
                name: name.to_shared(),
                origin: origin.clone(),
                fetch_timeout: *fetch_timeout,
            }),
            _ => None,
        })
        .collect()
}

/// Where the endpoints of a cluster come from, if they are discovered.
fn origin(cluster: &Resource) -> Option<&Origin> {
    match &cluster.discovery {
        Discovery::Eds { origin, .. } => Some(origin),
        _ => None,
    }
}

pub(crate) fn eds_name(cluster: &Resource) -> Option<&str> {
    match &cluster.discovery {
        Discovery::Eds { name, .. } => Some(name.as_str()),
        _ => None,
    }
}

fn dns(cluster: &Resource) -> Option<&Dns> {
    match &cluster.discovery {
        Discovery::Dns(dns) => Some(dns),
        _ => None,
    }
}
