//! The world that proxies are configured for: the mesh in force and what runs, always together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use weft_config::{Key, Mesh};
use weft_control_admin::InForce;
use weft_discovery::{Phase, Registered, Workload};
use weft_translate::{Instance, Workloads};

/// The least time between two worlds. Of a burst of changes (a rollout, a restart of everything)
/// the first is passed on at once and the rest together.
const DISTANCE: Duration = Duration::from_millis(20);

/// Calls `publish` with the world as it is, and again whenever it has changed. Ends when either
/// side does.
pub(crate) async fn follow(
    mut in_force: watch::Receiver<Arc<InForce>>,
    mut registered: watch::Receiver<Arc<Registered>>,
    mut publish: impl AsyncFnMut(Mesh, Workloads),
) {
    loop {
        let mesh = in_force.borrow_and_update().mesh.clone();
        let workloads = workloads(&registered.borrow_and_update());
        publish(mesh, workloads).await;
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
    let serving = registered.workloads.iter().filter(|workload| workload.phase == Phase::Serving);
    serving
        .map(|workload| {
            (Key::new(&workload.id.namespace, &workload.id.service), instance(workload))
        })
        .collect()
}

fn instance(workload: &Workload) -> Instance {
    Instance {
        name: workload.id.instance.clone(),
        address: workload.address,
        labels: workload.labels.clone(),
        zone: workload.zone.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::sync::mpsc;
    use weft_config::Places;
    use weft_discovery::{Limits, Registry, WorkloadId};
    use weft_store::Revision;

    use super::*;

    fn workload(instance: u16, phase: Phase) -> Workload {
        Workload {
            id: WorkloadId {
                namespace: "default".into(),
                service: "catalog".into(),
                instance: instance.to_string(),
            },
            address: ([127, 0, 0, 1], 1 + instance).into(),
            labels: BTreeMap::new(),
            zone: String::new(),
            version: String::new(),
            phase,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_changes_is_one_world_and_only_who_serves_is_in_it() {
        let registry = Registry::new(Limits::default());
        let (_files, in_force) = watch::channel(Arc::new(InForce {
            revision: Revision(0),
            mesh: Mesh::default(),
            places: Places::default(),
        }));
        let (worlds, mut seen) = mpsc::unbounded_channel();
        tokio::spawn(follow(in_force, registry.watch(), async move |_, workloads: Workloads| {
            worlds.send(workloads.of(&Key::new("default", "catalog")).len()).unwrap();
        }));
        assert_eq!(seen.recv().await, Some(0), "what is there is published at once");

        let mut sessions: Vec<_> = (0..50).map(|_| registry.open()).collect();
        for (number, session) in (0..).zip(&mut sessions) {
            session.update(workload(number, Phase::Serving)).unwrap();
        }
        assert_eq!(seen.recv().await, Some(50), "the burst is one world");

        sessions[0].update(workload(0, Phase::Draining)).unwrap();
        sessions.pop();
        assert_eq!(seen.recv().await, Some(48));
        assert!(seen.try_recv().is_err());
    }
}
