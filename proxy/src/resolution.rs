//! Looks up the names that clusters are found by, on the control thread. What comes of it reaches
//! the compiler as endpoints from a management server do.

use std::{collections::HashMap, sync::Arc, time::Instant};

use tokio::task::{Id, JoinSet};
use weft_compile::{Answer, Question};
use weft_resolve::{Ended, Found, LookupError, Schedule, lookup};

use crate::proxy::Proxy;

/// Looks up names for as long as the process runs.
pub(crate) async fn follow(proxy: Arc<Proxy>) {
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

/// The names, and the lookups under way.
struct Following {
    proxy: Arc<Proxy>,
    schedule: Schedule,
    /// Which change of the names the schedule has seen.
    changes: Option<u64>,
    running: JoinSet<Result<Found, LookupError>>,
    asked: HashMap<Id, (Arc<str>, Question)>,
}

impl Following {
    /// Starts what is due.
    fn look(&mut self) {
        let now = Instant::now();
        {
            let plane = self.proxy.plane();
            let names = plane.compiler().names();
            if self.changes != Some(names.changes()) {
                self.schedule.follow(names.iter(), now);
                self.changes = Some(names.changes());
            }
        }
        for (cluster, question) in self.schedule.take_due(now) {
            let turn = self.proxy.random_u32().into();
            let asking = question.clone();
            let task = self.running.spawn(async move { lookup(&asking, turn).await });
            self.asked.insert(task.id(), (cluster, question));
        }
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
            self.proxy.resolved(&cluster, &question, answer);
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
