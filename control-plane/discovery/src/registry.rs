//! The registry's memory: who is registered, by which stream, and who wants to know.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::{Refusal, Workload, WorkloadId};

/// How much a registry takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most workloads.
    pub workloads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { workloads: 100_000 }
    }
}

/// Everything that is registered at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Counts the changes.
    pub revision: u64,
    /// Ordered by namespace, service and instance.
    pub workloads: Vec<Arc<Workload>>,
}

/// Workloads that register themselves. Cheap to clone; clones are the same registry.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    entries: Mutex<Entries>,
    registered: watch::Sender<Arc<Registered>>,
}

/// The owner of workloads that nobody has registered since the restart. Sessions count from 1.
const PRESUMED: u64 = 0;

#[derive(Default)]
struct Entries {
    revision: u64,
    sessions: u64,
    /// Each workload with the session that registered it last.
    workloads: BTreeMap<WorkloadId, (u64, Arc<Workload>)>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let (registered, _) = watch::channel(Arc::default());
        Self { shared: Arc::new(Shared { limits, entries: Mutex::default(), registered }) }
    }

    /// What is registered, now and whenever it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Registered>> {
        self.shared.registered.subscribe()
    }

    /// Takes workloads to be there that were so before a restart. Who registers again takes its
    /// place over, and nobody notices; who does not is gone with [`Registry::dismiss`].
    pub fn presume(&self, workloads: Vec<Workload>) {
        let mut entries = self.shared.entries();
        let room = self.shared.limits.workloads.saturating_sub(entries.workloads.len());
        for workload in workloads.into_iter().take(room) {
            let id = workload.id.clone();
            entries.workloads.entry(id).or_insert((PRESUMED, Arc::new(workload)));
        }
        self.shared.publish(&mut entries);
    }

    /// Removes the presumed workloads that have not registered again.
    pub fn dismiss(&self) {
        let mut entries = self.shared.entries();
        let before = entries.workloads.len();
        entries.workloads.retain(|id, (owner, _)| {
            if *owner == PRESUMED {
                tracing::warn!(workload = %id, "not back after the restart, taken for gone");
            }
            *owner != PRESUMED
        });
        if entries.workloads.len() < before {
            self.shared.publish(&mut entries);
        }
    }

    /// Opens a session, which speaks for one workload for as long as it lives.
    #[must_use]
    pub fn open(&self) -> Session {
        let mut entries = self.shared.entries();
        entries.sessions += 1;
        Session { shared: Arc::clone(&self.shared), number: entries.sessions, registered: None }
    }
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Nothing panics while it is held; if it did, each entry is whole on its own.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the watchers. Takes the lock's guard, so that revisions are seen in their order.
    fn publish(&self, entries: &mut Entries) {
        entries.revision += 1;
        let workloads =
            entries.workloads.values().map(|(_, workload)| Arc::clone(workload)).collect();
        self.registered
            .send_replace(Arc::new(Registered { revision: entries.revision, workloads }));
    }
}

/// One stream's hold on its workload. Dropping it removes the workload at once.
pub struct Session {
    shared: Arc<Shared>,
    number: u64,
    registered: Option<WorkloadId>,
}

impl Session {
    /// Registers the session's workload, or replaces what is known of it. Answers the revision of
    /// the registry that contains it. What is known already changes nothing.
    ///
    /// A workload that an older session has registered is taken over: its sidecar has connected
    /// again before the end of its old connection was noticed.
    ///
    /// # Errors
    /// When the registry is full, the session speaks for another workload, or a newer session has
    /// taken its workload over.
    pub fn update(&mut self, workload: Workload) -> Result<u64, Refusal> {
        let mut entries = self.shared.entries();
        if let Some(registered) = &self.registered {
            if *registered != workload.id {
                return Err(Refusal::OtherWorkload {
                    registered: Box::new(registered.clone()),
                    other: Box::new(workload.id),
                });
            }
            if entries.owner(registered) != Some(self.number) {
                return Err(Refusal::Replaced { id: workload.id });
            }
        } else if entries.owner(&workload.id).is_none()
            && entries.workloads.len() >= self.shared.limits.workloads
        {
            return Err(Refusal::Full { limit: self.shared.limits.workloads });
        }
        self.registered = Some(workload.id.clone());
        let known =
            entries.workloads.get(&workload.id).is_some_and(|(_, known)| **known == workload);
        let id = workload.id.clone();
        if known {
            if let Some((owner, _)) = entries.workloads.get_mut(&id) {
                *owner = self.number;
            }
        } else {
            tracing::info!(workload = %id, address = %workload.address, phase = workload.phase.as_str(), "registered");
            entries.workloads.insert(id, (self.number, Arc::new(workload)));
            self.shared.publish(&mut entries);
        }
        Ok(entries.revision)
    }
}

impl Entries {
    fn owner(&self, id: &WorkloadId) -> Option<u64> {
        self.workloads.get(id).map(|(owner, _)| *owner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(id) = self.registered.take() else { return };
        let mut entries = self.shared.entries();
        // A newer session may have taken it over.
        if entries.owner(&id) == Some(self.number) {
            tracing::info!(workload = %id, "gone");
            entries.workloads.remove(&id);
            self.shared.publish(&mut entries);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phase;

    fn workload(instance: &str, phase: Phase) -> Workload {
        Workload {
            id: WorkloadId {
                namespace: "default".into(),
                service: "catalog".into(),
                instance: instance.into(),
            },
            address: ([127, 0, 0, 1], 15006).into(),
            labels: BTreeMap::new(),
            zone: String::new(),
            version: String::new(),
            phase,
        }
    }

    fn instances(registry: &Registry) -> Vec<(String, Phase)> {
        let registered = registry.watch().borrow().clone();
        registered.workloads.iter().map(|one| (one.id.instance.clone(), one.phase)).collect()
    }

    #[test]
    fn a_workload_serves_drains_and_goes_with_its_session() {
        let registry = Registry::new(Limits::default());
        let mut session = registry.open();
        assert_eq!(session.update(workload("a", Phase::Serving)), Ok(1));
        assert_eq!(
            session.update(workload("a", Phase::Serving)),
            Ok(1),
            "a repetition changes nothing"
        );
        assert_eq!(session.update(workload("a", Phase::Draining)), Ok(2));
        assert_eq!(instances(&registry), [("a".to_owned(), Phase::Draining)]);
        drop(session);
        assert_eq!(instances(&registry), []);
        assert_eq!(registry.watch().borrow().revision, 3);
    }

    #[test]
    fn a_session_speaks_for_one_workload() {
        let registry = Registry::new(Limits::default());
        let mut session = registry.open();
        session.update(workload("a", Phase::Serving)).unwrap();
        let refused = session.update(workload("b", Phase::Serving)).unwrap_err();
        assert!(matches!(refused, Refusal::OtherWorkload { .. }), "{refused}");
        assert_eq!(instances(&registry).len(), 1);
    }

    #[test]
    fn who_connects_again_takes_over_from_its_old_session() {
        let registry = Registry::new(Limits::default());
        let mut old = registry.open();
        old.update(workload("a", Phase::Serving)).unwrap();
        let mut new = registry.open();
        assert_eq!(
            new.update(workload("a", Phase::Serving)),
            Ok(1),
            "the same workload is no news"
        );
        let refused = old.update(workload("a", Phase::Draining)).unwrap_err();
        assert!(matches!(refused, Refusal::Replaced { .. }), "{refused}");
        drop(old);
        assert_eq!(instances(&registry), [("a".to_owned(), Phase::Serving)]);
        drop(new);
        assert_eq!(instances(&registry), []);
    }

    #[test]
    fn who_was_there_before_a_restart_stays_and_who_does_not_come_back_goes() {
        let registry = Registry::new(Limits::default());
        registry.presume(vec![workload("a", Phase::Serving), workload("b", Phase::Serving)]);
        let serving = |name: &str| (name.to_owned(), Phase::Serving);
        assert_eq!(instances(&registry), [serving("a"), serving("b")]);
        let before = registry.watch().borrow().revision;
        let mut session = registry.open();
        assert_eq!(session.update(workload("a", Phase::Serving)), Ok(before), "it is no news");
        registry.dismiss();
        assert_eq!(instances(&registry), [serving("a")]);
        drop(session);
        assert_eq!(instances(&registry), []);
    }

    #[test]
    fn a_full_registry_keeps_what_it_has() {
        let registry = Registry::new(Limits { workloads: 1 });
        let mut first = registry.open();
        first.update(workload("a", Phase::Serving)).unwrap();
        let mut second = registry.open();
        assert_eq!(second.update(workload("b", Phase::Serving)), Err(Refusal::Full { limit: 1 }));
        first.update(workload("a", Phase::Draining)).unwrap();
        drop(first);
        second.update(workload("b", Phase::Serving)).unwrap();
    }
}
