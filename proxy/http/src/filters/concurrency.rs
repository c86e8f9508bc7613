//! `adaptive_concurrency`: requests are refused while as many as may be are under way.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::HeaderMap;
use weft_compile::{AdaptiveConcurrency, Priority};
use weft_limit::{Reading, Ticket};
use weft_telemetry::ConcurrencyStats;

use super::Coming;
use crate::{downstream::Connection, local_reply::Answer};

/// A request that was let go on. It is under way until it was answered as a whole or this is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    settings: Arc<AdaptiveConcurrency>,
    /// Taken when it is over.
    ticket: Option<Ticket>,
}

impl Admission {
    /// It was answered as a whole.
    pub(crate) fn complete(mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.settings.controller.complete(ticket, Instant::now());
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.settings.controller.give_up(ticket);
        }
    }
}

/// Lets a request go on if there may be one more. Those of high priority find some room above what the
/// others may take.
pub(super) fn admit(
    settings: &Arc<AdaptiveConcurrency>,
    connection: &Connection,
    coming: &mut Coming,
) -> Result<(), Box<Answer>> {
    if !settings.enabled {
        return Ok(());
    }
    let stats = &connection.chain.stats.concurrency;
    let now = Instant::now();
    if let Some(reading) = settings.controller.turn(now, connection.worker.random_u64()) {
        tell(&reading, stats);
    }
    let admitted = match coming.place.priority() {
        Priority::Default => settings.controller.admit(now),
        Priority::High => settings.controller.admit_first(now),
    };
    match admitted {
        Some(ticket) => {
            let settings = Arc::clone(settings);
            coming.record.admitted(Admission { settings, ticket: Some(ticket) });
            Ok(())
        }
        None => {
            stats.rq_blocked.inc();
            let body = Bytes::from_static(b"reached concurrency limit");
            let details = "reached_concurrency_limit";
            let answer = Answer::direct(settings.status, body, HeaderMap::new());
            Err(Box::new(Answer { details, ..answer }))
        }
    }
}

fn tell(reading: &Reading, stats: &ConcurrencyStats) {
    stats.concurrency_limit.set(reading.limit.into());
    stats.burst_queue_size.set(reading.room.into());
    stats.gradient.set(reading.gradient);
    stats.min_rtt_calc_active.set(reading.is_measuring.into());
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis());
    stats.min_rtt_msecs.set(millis(reading.idle).unwrap_or(u64::MAX));
    stats.sample_rtt_msecs.set(millis(reading.sample).unwrap_or(u64::MAX));
}
