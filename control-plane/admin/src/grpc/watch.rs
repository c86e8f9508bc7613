//! What has changed since the last look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch as signal};
use tonic::Status;
use weft_config::{DocumentId, Mesh};
use weft_proto::admin as pb;

use super::convert;
use crate::Admin;
use crate::api::{ChangeKind, Health, Proxy, Workload};

/// Proxies acknowledge by the thousand: they are looked at now and then, and only while somebody
/// watches.
const LOOK: Duration = Duration::from_millis(250);

/// Tells `events` everything, and then what changes, until nobody listens.
pub(super) async fn tell(
    admin: Arc<Admin>,
    events: mpsc::Sender<Result<pb::Event, Status>>,
    mut stop: signal::Receiver<bool>,
) {
    let (mut in_force, mut registered) = (admin.documents.watch(), admin.registered.clone());
    let mut seen = Seen::default();
    let mut first = true;
    loop {
        in_force.mark_unchanged();
        registered.mark_unchanged();
        let event = seen.look(&admin);
        let news = std::mem::take(&mut first) || !is_empty(&event);
        if news && events.send(Ok(event)).await.is_err() {
            return;
        }
        tokio::select! {
            _ = in_force.changed() => {}
            _ = registered.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = events.closed() => return,
            _ = stop.wait_for(|stop| *stop) => {
                // Full or closed: nobody listens.
                let _ = events.try_send(Err(Status::unavailable("the control plane is stopping")));
                return;
            }
        }
    }
}

/// The state as it was told.
#[derive(Default)]
struct Seen {
    mesh: Mesh,
    proxies: BTreeMap<String, Proxy>,
    workloads: BTreeMap<(String, String, String), Workload>,
    health: Option<Health>,
}

impl Seen {
    /// The difference to now.
    fn look(&mut self, admin: &Admin) -> pb::Event {
        let in_force = admin.in_force();
        let resources = differences(&self.mesh, &in_force.mesh);
        self.mesh = in_force.mesh.clone();

        let named = |proxy: Proxy| (proxy.node.clone(), proxy);
        let proxies: BTreeMap<_, _> = (admin.proxies)().into_iter().map(named).collect();
        let (changed, gone) = news(&self.proxies, &proxies);
        let (changed, gone): (Vec<_>, Vec<_>) =
            (changed.map(Into::into).collect(), gone.map(|proxy| proxy.node).collect());
        self.proxies = proxies;

        let named = |workload: Workload| {
            let key =
                (workload.namespace.clone(), workload.service.clone(), workload.instance.clone());
            (key, workload)
        };
        let workloads: BTreeMap<_, _> = admin.workloads().into_iter().map(named).collect();
        let (came, left) = news(&self.workloads, &workloads);
        let (came, left): (Vec<_>, Vec<_>) =
            (came.map(Into::into).collect(), left.map(convert::gone).collect());
        self.workloads = workloads;

        let health = admin.health();
        let different = self.health.as_ref() != Some(&health);
        self.health = Some(health.clone());
        pb::Event {
            revision: in_force.revision.0,
            resources,
            proxies: changed,
            proxies_gone: gone,
            workloads: came,
            workloads_gone: left,
            health: different.then(|| health.into()),
        }
    }
}

fn is_empty(event: &pb::Event) -> bool {
    let nothing = pb::Event { revision: event.revision, ..pb::Event::default() };
    *event == nothing
}

/// What is new or different in `after`, and what of `before` is gone.
fn news<'a, K: Ord, V: Clone + PartialEq>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> (impl Iterator<Item = V> + 'a, impl Iterator<Item = V> + 'a) {
    let changed = after.iter().filter(|(key, value)| before.get(key) != Some(value));
    let gone = before.iter().filter(|(key, _)| !after.contains_key(key));
    (changed.map(|(_, value)| value.clone()), gone.map(|(_, value)| value.clone()))
}

fn differences(before: &Mesh, after: &Mesh) -> Vec<pb::Changed> {
    // Parts that did not change are the same allocation, so that this is cheap when nothing did.
    if before == after {
        return Vec::new();
    }
    let changed = |id: DocumentId, change| convert::changed(&id, change);
    let mut found = Vec::new();
    for id in after.ids() {
        match (before.document(&id), after.document(&id)) {
            (None, _) => found.push(changed(id, ChangeKind::Created)),
            (old, new) if old != new => found.push(changed(id, ChangeKind::Updated)),
            _ => {}
        }
    }
    let gone = before.ids().filter(|id| after.document(id).is_none());
    found.extend(gone.map(|id| changed(id, ChangeKind::Deleted)));
    found
}
