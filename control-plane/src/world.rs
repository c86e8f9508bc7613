//! The world that proxies are configured for: the mesh in force and what runs, always together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use weft_config::{Key, Mesh};
use weft_control_admin::InForce;
use weft_discovery::{Phase, Registered, Workload};
use weft_store::Revision;
use weft_translate::{Instance, Workloads};

use crate::memory::{Memory, differences};

/// The least time between two worlds. Of a burst of changes (a rollout, a restart of everything)
/// the first is passed on at once and the rest together.
const DISTANCE: Duration = Duration::from_millis(20);

/// The instances of Services of which any has changed.
pub(crate) type Changed = BTreeMap<Key, Vec<Instance>>;

/// Calls `publish` with the world as it is and the revision of its mesh, and again whenever it has changed, then with the
/// Services that changed. Ends when either side does.
pub(crate) async fn follow(
    mut in_force: watch::Receiver<Arc<InForce>>,
    mut registered: watch::Receiver<Arc<Registered>>,
    mut memory: Memory,
    mut publish: impl AsyncFnMut(Revision, Arc<Mesh>, Changed),
) {
    let mut known = in_force.borrow().clone();
    let mut mesh = Arc::new(known.mesh.clone());
    let mut before = Arc::<Registered>::default();
    loop {
        let newest = in_force.borrow_and_update().clone();
        if !Arc::ptr_eq(&newest, &known) {
            mesh = Arc::new(newest.mesh.clone());
            known = newest;
        }
        let now = registered.borrow_and_update().clone();
        let changed = changed(&before, &now);
        let news = memory.news(&now);
        if news.arrivals {
            memory.write(&now, &news).await;
            publish(known.revision, Arc::clone(&mesh), changed).await;
        } else {
            publish(known.revision, Arc::clone(&mesh), changed).await;
            memory.write(&now, &news).await;
        }
        before = now;
        let next = Instant::now() + DISTANCE;
        let changed = tokio::select! {
            changed = in_force.changed() => changed,
            changed = registered.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        tokio::time::sleep_until(next).await;
    }
}

/// Those that take requests.
pub(crate) fn workloads(registered: &Registered) -> Workloads {
    let staying = registered.workloads.iter().filter(|one| one.phase != Phase::Draining);
    staying
        .map(|workload| {
            (Key::new(&workload.id.namespace, &workload.id.service), instance(workload))
        })
        .collect()
}

/// Those that take requests, of every Service in which anything is different.
fn changed(before: &Registered, now: &Registered) -> Changed {
    let mut services = BTreeSet::new();
    differences(before, now, |was, is| {
        if let Some(one) = is.or(was) {
            services.insert((one.id.namespace.as_str(), one.id.service.as_str()));
        }
    });
    let mut changed: Changed = services
        .iter()
        .map(|(namespace, service)| (Key::new(*namespace, *service), Vec::new()))
        .collect();
    for workload in now.workloads.iter().filter(|one| one.phase != Phase::Draining) {
        let service = (workload.id.namespace.as_str(), workload.id.service.as_str());
        if services.contains(&service) {
            let key = Key::new(service.0, service.1);
            changed.entry(key).or_default().push(instance(workload));
        }
    }
    changed
}

fn instance(workload: &Workload) -> Instance {
    Instance {
        name: workload.id.instance.clone(),
        address: workload.address,
        labels: workload.labels.clone(),
        zone: workload.zone.clone(),
        healthy: workload.phase == Phase::Serving,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use weft_config::Places;
    use weft_discovery::{Limits, Registry};
    use weft_store::{Revision, Sqlite};

    use super::*;
    use crate::memory::tests::workload;

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_changes_is_one_world_and_only_who_serves_is_in_it() {
        let registry = Registry::new(Limits::default());
        let in_force =
            InForce { revision: Revision(0), mesh: Mesh::default(), places: Places::default() };
        let (_files, in_force) = watch::channel(Arc::new(in_force));
        let memory = Memory::new(Arc::new(Sqlite::in_memory().unwrap()));
        let (worlds, mut seen) = mpsc::unbounded_channel();
        tokio::spawn(follow(
            in_force,
            registry.watch(),
            memory,
            async move |_, _, changed: Changed| {
                let cart = changed.get(&Key::new("default", "cart"));
                let healthy = |all: &Vec<Instance>| all.iter().filter(|one| one.healthy).count();
                worlds.send(cart.map(|all| (all.len(), healthy(all)))).unwrap();
            },
        ));
        assert_eq!(seen.recv().await, Some(None), "what is there is published at once");

        let mut sessions: Vec<_> = (0..50).map(|_| registry.open()).collect();
        for (number, session) in (0..).zip(&mut sessions) {
            session.update(workload(&format!("{number}"), Phase::Serving)).unwrap();
        }
        assert_eq!(seen.recv().await, Some(Some((50, 50))), "the burst is one world");

        sessions[0].update(workload("0", Phase::Draining)).unwrap();
        sessions[1].update(workload("1", Phase::Unhealthy)).unwrap();
        sessions.pop();
        assert_eq!(seen.recv().await, Some(Some((48, 47))));
        assert!(seen.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_workload_is_written_down_before_anybody_hears_of_it() {
        let registry = Registry::new(Limits::default());
        let in_force =
            InForce { revision: Revision(0), mesh: Mesh::default(), places: Places::default() };
        let (_files, in_force) = watch::channel(Arc::new(in_force));
        let store = Sqlite::in_memory().unwrap();
        let memory = Memory::new(Arc::new(store.clone()));
        let recalled = Arc::new(Memory::new(Arc::new(store)));
        let (worlds, mut seen) = mpsc::unbounded_channel();
        let mut session = registry.open();
        session.update(workload("a", Phase::Serving)).unwrap();
        tokio::spawn(follow(in_force, registry.watch(), memory, async move |_, _, _| {
            worlds.send(recalled.recall().await.unwrap().len()).unwrap();
        }));
        assert_eq!(seen.recv().await, Some(1));
        drop(session);
        assert_eq!(seen.recv().await, Some(1), "who leaves is struck out afterwards");
    }
}
