//! A small source of requests, so that there is something to see.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::wire::{self, Client, ToAddress};

/// A service that does not answer must not pile up requests without end.
const IN_FLIGHT: usize = 256;
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the requests go: a sidecar's outbound address, and the service that is meant.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) outbound: SocketAddr,
    pub(crate) service: String,
    pub(crate) path: String,
}

/// What the source has seen since it was last asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Times of successful answers.
    pub(crate) times: Vec<Duration>,
    pub(crate) failures: u64,
    /// The last failure, in words.
    pub(crate) last_failure: Option<String>,
}

impl Seen {
    pub(crate) fn requests(&self) -> u64 {
        self.times.len() as u64 + self.failures
    }

    /// The `percent`th percentile of the times, in milliseconds. Sorts.
    pub(crate) fn quantile(&mut self, percent: usize) -> Option<f64> {
        self.times.sort_unstable();
        let last = self.times.len().checked_sub(1)?;
        self.times.get(last * percent / 100).map(|time| time.as_secs_f64() * 1e3)
    }
}

/// A running source. Stops when dropped.
pub(crate) struct Traffic {
    seen: Arc<Mutex<Seen>>,
    source: JoinHandle<()>,
}

impl Traffic {
    /// Sends `rate` requests a second, at even distances, whether earlier ones were answered or not.
    pub(crate) fn start(target: Target, rate: f64) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let source = tokio::spawn(send_forever(
            target,
            Duration::from_secs_f64(1.0 / rate),
            Arc::clone(&seen),
        ));
        Self { seen, source }
    }

    /// What was seen since the last call.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.source.abort();
    }
}

async fn send_forever(target: Target, distance: Duration, seen: Arc<Mutex<Seen>>) {
    let client = wire::client(ToAddress(target.outbound));
    let free = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut beat = tokio::time::interval(distance);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let Ok(slot) = Arc::clone(&free).acquire_owned().await else { return };
        let (client, target, seen) = (client.clone(), target.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let start = Instant::now();
            let outcome = send(&client, &target).await;
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(_) => seen.times.push(start.elapsed()),
                Err(failure) => {
                    seen.failures += 1;
                    seen.last_failure = Some(failure);
                }
            }
            drop(slot);
        });
    }
}

/// One request; the body of a successful answer, or what went wrong.
pub(crate) async fn send(
    client: &Client<ToAddress>,
    target: &Target,
) -> Result<bytes::Bytes, String> {
    let exchange = async {
        let request = http::Request::get(format!("http://{}{}", target.service, target.path))
            .body(wire::empty())
            .map_err(|error| error.to_string())?;
        let answer = client.request(request).await.map_err(|error| chain(&error))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| chain(&error))?.to_bytes();
        if status.is_success() {
            Ok(body)
        } else {
            let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
            Err(format!("{status}: {}", text.trim()))
        }
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_seen() {
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let mut seen = Seen { times, failures: 1, last_failure: None };
        assert_eq!(seen.requests(), 101);
        assert_eq!(seen.quantile(50), Some(50.0));
        assert_eq!(seen.quantile(99), Some(99.0));
        assert_eq!(Seen::default().quantile(50), None);
    }
}
