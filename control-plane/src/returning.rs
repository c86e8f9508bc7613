//! Workloads that come back after the control plane has restarted.
//!
//! A registry in memory is empty after a restart. To tell proxies so would take every endpoint
//! from them while all of them are well. So the control plane remembers who was registered, and
//! after a restart says nothing until they are back, or clearly will not be. Proxies go on with
//! what they have in the meantime.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weft_discovery::{Registered, WorkloadId};
use weft_store::{Store, StoreError};

/// Where the store keeps them: one id on a line.
const NAME: &str = "workloads";
/// The least time between two writings, for when everybody comes and goes at once. Whoever came
/// within it before a crash is not waited for.
const DISTANCE: Duration = Duration::from_millis(100);

type Ids = BTreeSet<WorkloadId>;

/// Waits until everybody who was registered is so again, but not longer than `patience`.
pub(crate) async fn wait(
    store: &dyn Store,
    registered: &mut watch::Receiver<Arc<Registered>>,
    patience: Duration,
) -> Result<(), StoreError> {
    let kept = store.kept(NAME).await?.unwrap_or_default();
    // A line that is no id was written by another version: nobody to wait for.
    let expected: Ids = kept.lines().filter_map(|line| line.parse().ok()).collect();
    if expected.is_empty() {
        return Ok(());
    }
    tracing::info!(workloads = expected.len(), ?patience, "waiting for those that were registered");
    let all_back = registered.wait_for(|registered| expected.is_subset(&ids(registered)));
    if tokio::time::timeout(patience, all_back).await.is_err() {
        let back = ids(&registered.borrow());
        let missing: Vec<_> = expected.difference(&back).map(ToString::to_string).collect();
        tracing::warn!(missing = missing.join(" "), "not back, taken for gone");
    }
    Ok(())
}

/// Writes down who is registered, whenever that has changed. Ends with the registry.
pub(crate) async fn remember(
    store: Arc<dyn Store>,
    mut registered: watch::Receiver<Arc<Registered>>,
) {
    let mut written = None;
    loop {
        let now = ids(&registered.borrow_and_update());
        if written.as_ref() != Some(&now) {
            let lines: Vec<_> = now.iter().map(ToString::to_string).collect();
            match store.keep(NAME, lines.join("\n")).await {
                Ok(()) => written = Some(now),
                Err(error) => tracing::error!(%error, "cannot remember who is registered"),
            }
            tokio::time::sleep(DISTANCE).await;
        }
        if registered.changed().await.is_err() {
            return;
        }
    }
}

fn ids(registered: &Registered) -> Ids {
    registered.workloads.iter().map(|workload| workload.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use weft_discovery::{Limits, Phase, Registry, Session, Workload};
    use weft_store::Sqlite;

    use super::*;

    fn register(registry: &Registry, instance: &str) -> Session {
        let mut session = registry.open();
        let id = WorkloadId {
            namespace: "default".into(),
            service: "cart".into(),
            instance: instance.into(),
        };
        session
            .update(Workload {
                id,
                address: ([127, 0, 0, 1], 1).into(),
                labels: [].into(),
                zone: String::new(),
                version: String::new(),
                phase: Phase::Serving,
            })
            .unwrap();
        session
    }

    /// A store in which `a` and `b` are remembered.
    async fn remembered() -> Sqlite {
        let store = Sqlite::in_memory().unwrap();
        store.keep(NAME, "default/cart/a\ndefault/cart/b\nnot an id".to_owned()).await.unwrap();
        store
    }

    #[tokio::test]
    async fn who_is_registered_is_remembered() {
        let store = Sqlite::in_memory().unwrap();
        let registry = Registry::new(Limits::default());
        let _session = register(&registry, "a");
        let written = async {
            loop {
                if let Some(text) = store.kept(NAME).await.unwrap() {
                    return text;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = remember(Arc::new(store.clone()), registry.watch()) => panic!("it ends with the registry only"),
            text = written => assert_eq!(text, "default/cart/a"),
        }
    }

    #[tokio::test]
    async fn nobody_is_waited_for_when_nobody_was_there() {
        let store = Sqlite::in_memory().unwrap();
        let registry = Registry::new(Limits::default());
        wait(&store, &mut registry.watch(), Duration::MAX).await.unwrap();
    }

    #[tokio::test]
    async fn the_wait_ends_when_all_are_back() {
        let store = remembered().await;
        let registry = Registry::new(Limits::default());
        let mut watch = registry.watch();
        let waiting =
            tokio::spawn(async move { wait(&store, &mut watch, Duration::from_secs(3600)).await });
        let _sessions =
            [register(&registry, "a"), register(&registry, "new"), register(&registry, "b")];
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_wait_for_one_who_is_gone_is_bounded() {
        let store = remembered().await;
        let registry = Registry::new(Limits::default());
        let _session = register(&registry, "a");
        let begun = Instant::now();
        wait(&store, &mut registry.watch(), Duration::from_millis(30)).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(30));
    }
}
