//! What runs, as the control plane remembers it over its own end.
//!
//! A registry in memory is empty after a restart. To tell proxies so would take every endpoint
//! from them while all of them are well. So workloads are written down before proxies hear of
//! them, and after a restart, however abrupt the end was, they are taken to be there still until
//! they have had the time to come back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weft_discovery::{Phase, Registered, Workload, WorkloadId};
use weft_store::{Store, StoreError};

/// Where the store keeps them: each one on a line, in the part that its id falls to, so that a
/// change does not write all of them.
const PARTS: [&str; 16] = [
    "workloads-0",
    "workloads-1",
    "workloads-2",
    "workloads-3",
    "workloads-4",
    "workloads-5",
    "workloads-6",
    "workloads-7",
    "workloads-8",
    "workloads-9",
    "workloads-a",
    "workloads-b",
    "workloads-c",
    "workloads-d",
    "workloads-e",
    "workloads-f",
];
/// A store that takes longer holds up nobody.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is written down of the workloads.
pub(crate) struct Memory {
    store: Arc<dyn Store>,
    written: Arc<Registered>,
    /// Parts that could not be written.
    stale: [bool; PARTS.len()],
}

/// What has changed since it was written down last.
pub(crate) struct News {
    parts: [bool; PARTS.len()],
    /// A workload that proxies must not hear of before it is written down.
    pub(crate) arrivals: bool,
}

impl Memory {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, written: Arc::default(), stale: [false; PARTS.len()] }
    }

    /// Who was there when it was written last.
    pub(crate) async fn recall(&self) -> Result<Vec<Workload>, StoreError> {
        let mut found = Vec::new();
        for part in PARTS {
            let text = self.store.kept(part).await?.unwrap_or_default();
            // A line that cannot be read was written by another version: nobody to wait for.
            let records = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            found.extend(records.filter_map(|record: Record| record.into_workload()));
        }
        Ok(found)
    }

    /// What is not written down of these.
    pub(crate) fn news(&self, now: &Registered) -> News {
        let mut news = News { parts: self.stale, arrivals: false };
        differences(&self.written, now, |was, is| {
            let (Some(one), is) = (is.or(was), is) else { return };
            if let Some(part) = news.parts.get_mut(part_of(&one.id)) {
                *part = true;
            }
            news.arrivals |= is.is_some_and(|is| is.phase != Phase::Draining);
        });
        news
    }

    /// Writes it down.
    pub(crate) async fn write(&mut self, now: &Arc<Registered>, news: &News) {
        self.written = Arc::clone(now);
        for (number, part) in PARTS.into_iter().enumerate() {
            if !news.parts.get(number).copied().unwrap_or_default() {
                continue;
            }
            let kept = self.store.keep(part, lines(now, number));
            let kept = tokio::time::timeout(PATIENCE, kept).await;
            match &kept {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "cannot remember who is registered"),
                Err(_) => tracing::error!(?PATIENCE, "the store is too slow to remember workloads"),
            }
            if let Some(stale) = self.stale.get_mut(number) {
                *stale = !matches!(kept, Ok(Ok(())));
            }
        }
    }
}

/// Calls `differs` for every workload that is another one in both, or in one alone.
pub(crate) fn differences<'a>(
    before: &'a Registered,
    now: &'a Registered,
    mut differs: impl FnMut(Option<&'a Workload>, Option<&'a Workload>),
) {
    let mut before = before.workloads.iter().peekable();
    let mut now = now.workloads.iter().peekable();
    loop {
        match (before.peek(), now.peek()) {
            (None, None) => return,
            (Some(was), is) if is.is_none_or(|is| was.id < is.id) => {
                differs(before.next().map(AsRef::as_ref), None);
            }
            (was, Some(is)) if was.is_none_or(|was| is.id < was.id) => {
                differs(None, now.next().map(AsRef::as_ref));
            }
            _ => {
                let (was, is) = (before.next(), now.next());
                if let (Some(was), Some(is)) = (was, is)
                    && !Arc::ptr_eq(was, is)
                    && was != is
                {
                    differs(Some(was), Some(is));
                }
            }
        }
    }
}

/// FNV-1a: the same in every version, on every machine.
fn part_of(id: &WorkloadId) -> usize {
    let parts = [&id.namespace, &id.service, &id.instance];
    let hash = parts
        .into_iter()
        .flat_map(|part| part.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    usize::try_from(hash % PARTS.len() as u64).unwrap_or_default()
}

fn lines(registered: &Registered, part: usize) -> String {
    // Who drains is on its way out: after a restart it would only be taken for well.
    let staying = registered.workloads.iter().filter(|one| one.phase != Phase::Draining);
    let records = staying.filter(|one| part_of(&one.id) == part).map(|one| Record::of(one));
    let lines = records.filter_map(|record| serde_json::to_string(&record).ok());
    lines.collect::<Vec<_>>().join("\n")
}

/// A workload as it is written down.
#[derive(Serialize, Deserialize)]
struct Record {
    namespace: String,
    service: String,
    instance: String,
    address: std::net::SocketAddr,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    zone: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    version: String,
    healthy: bool,
}

impl Record {
    fn of(workload: &Workload) -> Self {
        let WorkloadId { namespace, service, instance } = workload.id.clone();
        Self {
            namespace,
            service,
            instance,
            address: workload.address,
            labels: workload.labels.clone(),
            zone: workload.zone.clone(),
            version: workload.version.clone(),
            healthy: workload.phase == Phase::Serving,
        }
    }

    fn into_workload(self) -> Option<Workload> {
        let Self { namespace, service, instance, .. } = self;
        let is_whole = ![&namespace, &service, &instance].into_iter().any(String::is_empty);
        is_whole.then_some(Workload {
            id: WorkloadId { namespace, service, instance },
            address: self.address,
            labels: self.labels,
            zone: self.zone,
            version: self.version,
            phase: if self.healthy { Phase::Serving } else { Phase::Unhealthy },
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use weft_discovery::{Limits, Registry};
    use weft_store::Sqlite;

    use super::*;

    pub(crate) fn workload(instance: &str, phase: Phase) -> Workload {
        Workload {
            id: WorkloadId {
                namespace: "default".into(),
                service: "cart".into(),
                instance: instance.into(),
            },
            address: ([127, 0, 0, 1], 1).into(),
            labels: [("version".to_owned(), "v1".to_owned())].into(),
            zone: "z".into(),
            version: "1".into(),
            phase,
        }
    }

    #[tokio::test]
    async fn whoever_takes_requests_is_remembered_with_all_it_said() {
        let store: Arc<dyn Store> = Arc::new(Sqlite::in_memory().unwrap());
        let registry = Registry::new(Limits::default());
        let mut sessions: Vec<_> = (0..40).map(|_| registry.open()).collect();
        for (number, session) in sessions.iter_mut().enumerate() {
            let phase = if number == 1 { Phase::Unhealthy } else { Phase::Serving };
            session.update(workload(&number.to_string(), phase)).unwrap();
        }
        sessions[0].update(workload("0", Phase::Draining)).unwrap();
        let mut memory = Memory::new(Arc::clone(&store));
        let all = registry.watch().borrow().clone();
        let news = memory.news(&all);
        assert!(news.arrivals);
        memory.write(&all, &news).await;
        let mut recalled = Memory::new(Arc::clone(&store)).recall().await.unwrap();
        recalled.sort_by(|a, b| a.id.cmp(&b.id));
        let staying = all.workloads.iter().filter(|one| one.phase != Phase::Draining);
        assert!(recalled.iter().eq(staying.map(AsRef::as_ref)));

        drop(sessions.pop());
        let fewer = registry.watch().borrow().clone();
        let news = memory.news(&fewer);
        assert!(!news.arrivals, "proxies may hear at once of one who left");
        assert_eq!(news.parts.iter().filter(|part| **part).count(), 1, "one part is written");
        memory.write(&fewer, &news).await;
        assert_eq!(memory.recall().await.unwrap().len(), 38);
        assert!(!memory.news(&fewer).parts.contains(&true), "all of it is written down");
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_nobody() {
        let store = Sqlite::in_memory().unwrap();
        let text = "not a record\n{}\n{\"namespace\":\"\",\"service\":\"s\",\"instance\":\"i\",\
                    \"address\":\"127.0.0.1:1\",\"healthy\":true}";
        store.keep(PARTS[3], text.to_owned()).await.unwrap();
        assert_eq!(Memory::new(Arc::new(store)).recall().await.unwrap(), []);
    }
}
