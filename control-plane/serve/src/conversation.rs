//! One stream: feeds the protocol machine and carries out what it says.
//!
//! A conversation is no task and has no queue. It is driven by the answer that it makes, whenever
//! the transport has room for more; so a client that does not read is not listened to either, and
//! what it missed meanwhile is one thing: the newest offer.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep_until, timeout},
};
use tonic::Status;
use weft_xds::{
    Response,
    server::{Event, Scope},
};

use crate::{
    leash::Leash,
    ledger::{Ledger, Page},
    method::Dialect,
    requests::Requests,
    serve::Limits,
    source::{Offer, Source},
};

/// What a conversation needs from the server around it.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) ledger: Ledger,
    pub(crate) limits: Limits,
    /// Who may be told everything at the same time.
    pub(crate) joining: Arc<Semaphore>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// A stream on which nothing has been said.
pub(crate) struct Opening<D: Dialect> {
    pub(crate) setting: Setting,
    pub(crate) scope: Scope,
    pub(crate) requests: Requests<D::Request>,
    pub(crate) leash: Leash,
    /// Held as long as the stream is open.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// One stream with a client that has said who it is.
struct Conversation<D: Dialect> {
    setting: Setting,
    requests: Requests<D::Request>,
    page: Page,
    offers: watch::Receiver<Option<Arc<Offer>>>,
    turn: Turn,
    outbox: VecDeque<Response>,
    deadline: Option<Instant>,
    close_at: Option<Instant>,
    _permit: OwnedSemaphorePermit,
}

type Acquiring = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// A newcomer is told everything. That not all are told at once when all come at once, they take
/// turns: the first are done early, rather than all of them late.
enum Turn {
    Waiting(Acquiring),
    Taken { _permit: OwnedSemaphorePermit, until: Instant },
    Over,
}

/// Why a stream ends. Whatever it is, the client comes back when it likes.
enum End {
    /// The client is gone.
    Client,
    /// The client is told why.
    Told(Status),
}

enum Stage<D: Dialect> {
    Opening(Box<Opening<D>>),
    Open(Box<Conversation<D>>),
    Over,
}

/// Talks to one client until either side ends it.
pub(crate) fn converse<D: Dialect>(
    opening: Opening<D>,
) -> impl Stream<Item = Result<Response, Status>> + Send {
    stream::unfold(Stage::Opening(Box::new(opening)), |stage| async {
        let mut conversation = match stage {
            Stage::Open(conversation) => conversation,
            Stage::Opening(opening) => match opening.begin().await {
                Ok(conversation) => Box::new(conversation),
                Err(End::Told(status)) => return Some((Err(status), Stage::Over)),
                Err(End::Client) => return None,
            },
            Stage::Over => return None,
        };
        match conversation.next().await {
            Ok(response) => Some((Ok(response), Stage::Open(conversation))),
            Err(End::Told(status)) => Some((Err(status), Stage::Over)),
            Err(End::Client) => None,
        }
    })
}

impl<D: Dialect> Opening<D> {
    /// Waits for the client to say who it is, and what it wants.
    async fn begin(self) -> Result<Conversation<D>, End> {
        let Self { setting, scope, mut requests, leash, permit } = self;
        let first = match timeout(setting.limits.introduction, requests.next()).await {
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
        let machine = weft_xds::server::Stream::new(D::MODE, scope, setting.limits.timing);
        let page = setting.ledger.open(node, machine, leash);
        let turn = Turn::Waiting(Box::pin(Arc::clone(&setting.joining).acquire_owned()));
        let mut conversation = Conversation {
            setting,
            requests,
            page,
            offers,
            turn,
            outbox: VecDeque::new(),
            deadline: None,
            close_at: None,
            _permit: permit,
        };
        conversation.step(Event::Request(first))?;
        Ok(conversation)
    }
}

impl<D: Dialect> Conversation<D> {
    /// The next response.
    async fn next(&mut self) -> Result<Response, End> {
        loop {
            if let Some(response) = self.outbox.pop_front() {
                return Ok(response);
            }
            tokio::select! {
                changed = self.offers.changed(), if !self.turn.is_waiting() => match changed {
                    Ok(()) => self.offer()?,
                    Err(_) => {
                        return Err(End::Told(Status::unavailable("this node is no longer served")));
                    }
                },
                request = self.requests.next() => match request {
                    Ok(Some(request)) => self.step(Event::Request(D::request(request)))?,
                    Ok(None) => return Err(End::Client),
                    Err(status) => return Err(End::Told(status)),
                },
                () = self.turn.next(self.setting.limits.turn) => {
                    if !self.turn.is_over() {
                        self.offer()?;
                    }
                }
                () = until(self.deadline) => self.step(Event::Tick)?,
                () = until(self.close_at) => {
                    return Err(End::Told(Status::unavailable("the control plane is stopping")));
                }
                () = stopping(&mut self.setting.stop), if self.close_at.is_none() => {
                    let part = self.setting.limits.farewell.mul_f64(fastrand::f64());
                    self.close_at = Some(Instant::now() + part);
                }
            }
        }
    }

    /// Takes the newest offer; those between it and the last one never were.
    fn offer(&mut self) -> Result<(), End> {
        let offer = self.offers.borrow_and_update().clone();
        let Some(offer) = offer else { return Ok(()) };
        let snapshot = Arc::clone(offer.snapshot());
        self.page.offered(offer);
        self.step(Event::Offer(snapshot))
    }

    fn step(&mut self, event: Event) -> Result<(), End> {
        let step = self.page.step(event, Instant::now().into_std());
        self.outbox.extend(step.send);
        self.deadline = step.deadline.map(Instant::from_std);
        if step.settled && matches!(self.turn, Turn::Taken { .. }) {
            self.turn = Turn::Over;
        }
        let limit = self.setting.limits.names;
        if step.subscriptions > limit {
            let text = format!("a stream may subscribe to {limit} names, not more");
            return Err(End::Told(Status::resource_exhausted(text)));
        }
        Ok(())
    }
}

impl Turn {
    fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// Waits for the turn to come, or for its end.
    async fn next(&mut self, at_most: Duration) {
        match self {
            Self::Waiting(acquiring) => {
                let permit = acquiring.await;
                *self = match permit {
                    Ok(_permit) => Self::Taken { _permit, until: Instant::now() + at_most },
                    Err(_) => Self::Over,
                };
            }
            Self::Taken { until, .. } => {
                sleep_until(*until).await;
                *self = Self::Over;
            }
            Self::Over => std::future::pending().await,
        }
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
