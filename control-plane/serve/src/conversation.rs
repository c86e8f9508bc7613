//! One stream: a task that feeds the protocol machine and carries out what it says.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{Instant, sleep_until},
};
use tonic::{Status, Streaming};
use weft_xds::server::{Event, Scope, Stream};

use crate::{
    ledger::{Ledger, Page},
    method::Dialect,
    serve::Limits,
    source::{Offer, Source},
};

/// At most one response of each type is on its way, so this many always fit.
pub(crate) const RESPONSES: usize = 16;

/// What a conversation needs from the server around it.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) ledger: Ledger,
    pub(crate) limits: Limits,
    pub(crate) stop: watch::Receiver<bool>,
}

/// One stream with a client that has said who it is.
struct Conversation<D: Dialect> {
    machine: Stream,
    page: Page,
    offers: watch::Receiver<Option<Arc<Offer>>>,
    responses: mpsc::Sender<Result<D::Response, Status>>,
}

/// Why a stream ends. Whatever it is, the client comes back when it likes.
enum End {
    /// The client is gone.
    Client,
    /// The client is told why.
    Told(Status),
}

/// Talks to one client until either side ends it.
pub(crate) async fn converse<D: Dialect>(
    setting: Setting,
    scope: Scope,
    mut requests: Streaming<D::Request>,
    responses: mpsc::Sender<Result<D::Response, Status>>,
    _permit: OwnedSemaphorePermit,
) {
    let last_words = responses.clone();
    let end = match begin::<D>(&setting, scope, &mut requests, responses).await {
        Ok(conversation) => conversation.run(requests, setting).await,
        Err(end) => end,
    };
    if let End::Told(status) = end {
        // Full or closed: the client does not listen.
        let _ = last_words.try_send(Err(status));
    }
}

/// Waits for the client to say who it is, and what it wants.
async fn begin<D: Dialect>(
    setting: &Setting,
    scope: Scope,
    requests: &mut Streaming<D::Request>,
    responses: mpsc::Sender<Result<D::Response, Status>>,
) -> Result<Conversation<D>, End> {
    let first = match tokio::time::timeout(setting.limits.introduction, requests.message()).await {
        Ok(first) => D::request(first.map_err(End::Told)?.ok_or(End::Client)?),
        Err(_) => return Err(End::Told(Status::deadline_exceeded("no request came"))),
    };
    let Some(node) = first.node() else {
        let text = "the first request of a stream has to say which node it comes from";
        return Err(End::Told(Status::invalid_argument(text)));
    };
    let offers = match setting.source.open(node) {
        Ok(offers) => offers,
        Err(refused) => return Err(End::Told(Status::invalid_argument(refused.to_string()))),
    };
    let mut conversation = Conversation {
        machine: Stream::new(D::MODE, scope, setting.limits.timing),
        page: setting.ledger.open(node),
        offers,
        responses,
    };
    conversation.offer().await?;
    conversation.step(Event::Request(first)).await?;
    Ok(conversation)
}

impl<D: Dialect> Conversation<D> {
    async fn run(mut self, mut requests: Streaming<D::Request>, mut setting: Setting) -> End {
        let mut close_at = None;
        loop {
            let deadline = self.machine.deadline().map(Instant::from_std);
            let event = tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => Some(Event::Request(D::request(request))),
                    Ok(None) | Err(_) => return End::Client,
                },
                changed = self.offers.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return End::Told(Status::unavailable("this node is no longer served")),
                },
                () = until(deadline) => Some(Event::Tick),
                () = until(close_at) => {
                    return End::Told(Status::unavailable("the control plane is stopping"));
                }
                () = stopping(&mut setting.stop), if close_at.is_none() => {
                    close_at = Some(Instant::now() + part_of(setting.limits.farewell));
                    continue;
                }
            };
            let stepped = match event {
                Some(event) => self.step(event).await,
                None => self.offer().await,
            };
            if let Err(end) = stepped {
                return end;
            }
        }
    }

    /// Takes the newest offer; those between it and the last one never were.
    async fn offer(&mut self) -> Result<(), End> {
        let offer = self.offers.borrow_and_update().clone();
        let Some(offer) = offer else { return Ok(()) };
        self.page.offered(&offer);
        self.step(Event::Offer(Arc::clone(offer.snapshot()))).await
    }

    async fn step(&mut self, event: Event) -> Result<(), End> {
        let actions = self.machine.step(event, Instant::now().into_std());
        self.page.write(actions.notes, |of| self.machine.is_converged(of));
        for response in actions.send {
            let Some(message) = D::response(response) else { continue };
            // Waits only for a client that acknowledges what it has not read.
            self.responses.send(Ok(message)).await.map_err(|_| End::Client)?;
        }
        Ok(())
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn stopping(stop: &mut watch::Receiver<bool>) {
    // A dropped sender means the same as true.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn part_of(whole: Duration) -> Duration {
    whole.mul_f64(fastrand::f64())
}
