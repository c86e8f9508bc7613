//! All resources of one type, by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_resources::Reason;

use crate::{
    entry::{Entry, Refusal},
    report::{Rejected, Report},
    update::{Moment, Source, Update, Upsert},
};

/// Entries by name.
#[derive(Debug)]
pub(crate) struct Catalog<T> {
    entries: BTreeMap<Arc<str>, Entry<T>>,
}

impl<T> Default for Catalog<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<T> Catalog<T> {
    pub(crate) fn get(&self, name: &str) -> Option<&Entry<T>> {
        self.entries.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Entry<T>> {
        self.entries.get_mut(name)
    }

    /// The entry of a name, made if there is none.
    pub(crate) fn entry(&mut self, name: &Arc<str>, source: Source) -> &mut Entry<T> {
        self.entries.entry(Arc::clone(name)).or_insert_with(|| Entry::new(source))
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Entry<T>> {
        self.entries.remove(name)
    }

    /// In the order of names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Entry<T>)> {
        self.entries.iter()
    }

    /// How many wait for what they refer to.
    pub(crate) fn warming(&self) -> usize {
        self.entries.values().filter(|entry| entry.warming.is_some()).count()
    }

    /// Whether there is nothing to wait for: a good version, or the news that there is none. Where
    /// something serves already, a version that was refused is worth waiting for a better one.
    pub(crate) fn is_settled(&self, name: &str, something_serves: bool) -> bool {
        self.get(name).is_some_and(|entry| {
            entry.active.is_some()
                || entry.missing.is_some()
                || (entry.refused.is_some() && !something_serves)
        })
    }

    /// Takes note that the server has no resource of this name. A good version is kept. Returns
    /// whether that is news.
    pub(crate) fn note_missing(&mut self, name: &Arc<str>, now: Moment) -> bool {
        let entry = self.entry(name, Source::Dynamic);
        let news = entry.active.is_none() && entry.missing.is_none();
        if news {
            entry.missing = Some(now);
        }
        news
    }

    /// The names that an update says are gone: named ones, and in a full state the absent ones.
    /// What the bootstrap brought stays.
    pub(crate) fn gone(&self, update: &Update) -> Vec<Arc<str>> {
        let dynamic =
            |name: &str| self.get(name).is_some_and(|entry| entry.source == Source::Dynamic);
        let named = update.removals.iter().filter(|name| dynamic(name));
        let mut gone: Vec<Arc<str>> = named.map(Arc::clone).collect();
        if update.full_state {
            let present: BTreeSet<&str> =
                update.upserts.iter().map(|upsert| &*upsert.name).collect();
            let absent = self.entries.iter().filter(|(name, entry)| {
                entry.source == Source::Dynamic && !present.contains(&***name)
            });
            gone.extend(absent.map(|(name, _)| Arc::clone(name)));
        }
        gone.sort_unstable();
        gone.dedup();
        gone
    }

    /// Refuses a resource: its last good version stays, and the reasons are kept for dumps.
    pub(crate) fn refuse(
        &mut self,
        (upsert, index): (&Upsert, usize),
        reasons: Vec<Reason>,
        (source, now): (Source, Moment),
        report: &mut Report,
    ) {
        let entry = self.entry(&upsert.name, source);
        entry.refused = Some(Box::new(Refusal {
            version: Arc::clone(&upsert.version),
            bytes: upsert.value.clone(),
            at: now,
            reasons: reasons.clone(),
        }));
        report.rejected.push(Rejected { index, name: Arc::clone(&upsert.name), reasons });
    }
}
