//! Looks up the names that clusters are found by, on the control thread. What comes of it reaches
//! the compiler as endpoints from a management server do.

use std::{collections::HashMap, future::poll_fn, sync::Arc, time::Instant};

use tokio::task::{Id, JoinSet};
use weft_compile::{Answer, Cluster, HostCache, Question};
use weft_resolve::{Ended, Found, LookupError, Schedule, lookup};

use crate::proxy::Proxy;

/// Looks up names for as long as the process runs.
pub(crate) async fn follow(proxy: Arc<Proxy>) {
    let named = Arc::clone(proxy.plane().compiler().named());
    let mut following = Following {
        proxy,
        schedule: Schedule::default(),
        changes: None,
        running: JoinSet::new(),
        asked: HashMap::new(),
    };
    loop {
        following.look();
        let proxy = Arc::clone(&following.proxy);
        tokio::select! {
            () = proxy.names_changed().notified() => {}
            () = poll_fn(|cx| named.poll_heard(cx)) => {}
            () = until(following.schedule.next()) => {}
            Some(ended) = following.running.join_next_with_id() => match ended {
                Ok((id, outcome)) => following.ended(id, outcome),
                Err(error) => {
                    tracing::error!(%error, "a lookup ended by itself");
                    following.ended(error.id(), Err(LookupError::Overdue));
                }
            },
        }
    }
}

/// Counts of changes: of the names of clusters, and by cluster of those that requests name.
type Changes = (u64, Vec<(Arc<str>, u64)>);

/// The names, and the lookups under way.
struct Following {
    proxy: Arc<Proxy>,
    schedule: Schedule,
    /// What the schedule has seen.
    changes: Option<Changes>,
    running: JoinSet<Result<Found, LookupError>>,
    asked: HashMap<Id, (Arc<str>, Question)>,
}

impl Following {
    /// Starts what is due.
    fn look(&mut self) {
        let now = Instant::now();
        {
            let plane = self.proxy.plane();
            let compiler = plane.compiler();
            let names = compiler.names();
            let caches: Vec<_> = compiler.clusters().filter_map(dynamic).collect();
            caches.iter().for_each(|(_, cache)| cache.sweep(now));
            let of_requests = caches.iter().map(|(name, it)| (Arc::clone(name), it.changes()));
            let changes = (names.changes(), of_requests.collect());
            if self.changes.as_ref() != Some(&changes) {
                let named = caches.iter().flat_map(|(cluster, cache)| {
                    let questions = cache.questions().into_iter();
                    questions.map(|question| (*cluster, question, cache.settings().refresh))
                });
                let named: Vec<_> = named.collect();
                let of_requests =
                    named.iter().map(|(cluster, it, refresh)| (*cluster, it, *refresh));
                self.schedule.follow(names.iter().chain(of_requests), now);
                self.changes = Some(changes);
            }
        }
        for (cluster, question) in self.schedule.take_due(now) {
            let turn = self.proxy.random_u32().into();
            let asking = question.clone();
            let task = self.running.spawn(async move { lookup(&asking, turn).await });
            self.asked.insert(task.id(), (cluster, question));
        }
    }

    fn cache_of(&self, cluster: &Arc<str>) -> Option<Arc<HostCache>> {
        let plane = self.proxy.plane();
        let mut caches = plane.compiler().clusters().filter_map(dynamic);
        caches.find(|(name, _)| *name == cluster).map(|(_, cache)| Arc::clone(cache))
    }

    /// Passes the outcome of a lookup on to whom it may concern.
    fn ended(&mut self, id: Id, outcome: Result<Found, LookupError>) {
        let Some((cluster, question)) = self.asked.remove(&id) else { return };
        let ended = match &outcome {
            Ok(found) => Ended::Found { ttl: found.ttl },
            Err(error) => {
                tracing::warn!(%cluster, host = %question.host, %error, "name not found out; what was known stays");
                Ended::Failed
            }
        };
        let random =
            (u64::from(self.proxy.random_u32()) << 32) | u64::from(self.proxy.random_u32());
        if self.schedule.ended(&cluster, &question, ended, Instant::now(), random) {
            let answer = outcome.map_or(Answer::Failed, |found| Answer::Leads(found.leads));
            match self.cache_of(&cluster) {
                Some(cache) => cache.answer(&question.host, answer),
                None => self.proxy.resolved(&cluster, &question, answer),
            }
        }
    }
}

/// The hosts that requests to a cluster name, if they do.
fn dynamic(cluster: &Arc<Cluster>) -> Option<(&Arc<str>, &Arc<HostCache>)> {
    Some((&cluster.name, cluster.dynamic_hosts.as_ref()?))
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
