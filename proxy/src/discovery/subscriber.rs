//! What all sources have in common: a protocol machine, and the plane its actions act upon.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use tokio::sync::watch;
use weft_compile::{Source, Update, Upsert, name_of_key};
use weft_xds::{
    Request,
    client::{Action, Delivery, Event, Verdict},
};

use super::{
    SourceId, Want,
    sources::{SharedClient, kind_of, locked},
};
use crate::proxy::Proxy;

/// One source's side of the proxy.
pub(crate) struct Subscriber {
    proxy: Arc<Proxy>,
    id: SourceId,
    client: SharedClient,
    /// What is wanted now, not one after the other what was: a verdict may have told the machine of
    /// something newer already.
    wants: watch::Receiver<Vec<Want>>,
}

impl Subscriber {
    pub(crate) fn new(
        proxy: Arc<Proxy>,
        id: SourceId,
        client: SharedClient,
        wants: watch::Receiver<Vec<Want>>,
    ) -> Self {
        Self { proxy, id, client, wants }
    }

    pub(crate) fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    pub(crate) fn id(&self) -> &SourceId {
        &self.id
    }

    pub(crate) fn client(&self) -> &SharedClient {
        &self.client
    }

    /// What happens on this side: something else is wanted, or it has been waited for long enough.
    /// `None` when nothing is wanted any more, and the source is done.
    pub(crate) async fn next(&mut self) -> Option<Vec<Event>> {
        let deadline = locked(&self.client).deadline();
        let due = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.wants.changed() => {
                changed.ok()?;
                let wants = self.wants.borrow_and_update().clone();
                Some(wants.into_iter().map(|(of, wanted)| Event::Want(of, wanted)).collect())
            }
            () = due => Some(vec![Event::Tick]),
        }
    }

    /// Carries out what follows from an event, and what follows from that. Returns when to connect
    /// again, if it says.
    pub(crate) fn step(&self, event: Event, send: &mut dyn FnMut(Request)) -> Option<Instant> {
        let mut connect_at = None;
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let actions = locked(&self.client).step(event, Instant::now());
            for action in actions {
                match action {
                    Action::Send(request) => send(request),
                    Action::ConnectAt(at) => connect_at = Some(at),
                    Action::Deliver(delivery) => {
                        events.extend(self.deliver(delivery).map(Event::Verdict));
                    }
                    Action::Missing { of, name: Some(name), timed_out } => {
                        let Some(kind) = kind_of(of) else { continue };
                        let key = self.id.key(of, &name);
                        let wants = self.proxy.missing(&self.id, kind, &key, timed_out);
                        events
                            .extend(wants.into_iter().map(|(of, wanted)| Event::Want(of, wanted)));
                    }
                    Action::Missing { of, name: None, .. } => self.proxy.answered(of),
                }
            }
        }
        self.proxy.publish();
        connect_at
    }

    fn deliver(&self, delivery: Delivery) -> Option<Verdict> {
        let of = delivery.of;
        let kind = kind_of(of)?;
        let update = Update {
            resource_type: kind,
            version: Arc::from(delivery.version),
            upserts: delivery
                .upserts
                .into_iter()
                .map(|upsert| Upsert {
                    name: self.id.key(of, &upsert.name),
                    version: Arc::from(upsert.version),
                    value: upsert.body,
                })
                .collect(),
            removals: delivery.removals.iter().map(|name| self.id.key(of, name)).collect(),
            full_state: false,
            source: Source::Dynamic,
        };
        let (report, wanted) = self.proxy.apply(&self.id, &update, SystemTime::now());
        self.proxy.answered(of);
        let refused = report
            .rejected
            .iter()
            .map(|rejected| {
                let reasons: Vec<_> = rejected.reasons.iter().map(ToString::to_string).collect();
                (Arc::from(name_of_key(&rejected.name)), reasons.join("; "))
            })
            .collect();
        Some(Verdict { delivery: delivery.id, of, refused, wanted })
    }
}
