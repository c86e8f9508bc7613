//! A source behind a management server, or behind one of several.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tonic::Status;
use weft_compile::{ApiSource, RateLimit};
use weft_xds::{
    Request, Response,
    client::{Backoff, Event, Preference, Retry},
};

use super::{
    link::{Link, Method, Said},
    sources::{SharedClient, locked},
    subscriber::Subscriber,
};
use crate::{proxy::Proxy, server::Service};

/// How long a preferred server may take to answer before the next one is tried.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// Talks to the servers for as long as anything is wanted of them.
pub(crate) async fn converse(
    subscriber: Subscriber,
    api: Arc<ApiSource>,
    services: Vec<Arc<Service>>,
) {
    let method = Method::of(subscriber.id(), api.incremental);
    let servers = Servers { services, method, limit: api.rate_limit };
    let preference = Preference::among(servers.services.len());
    let mut conversation = Conversation { subscriber, servers, preference, spoken_to: None };
    let mut next = Next::At(Instant::now());
    loop {
        next = match next {
            Next::At(time) => match conversation.rest_until(time).await {
                Some(()) => conversation.attempt().await,
                None => return,
            },
            Next::With(better) => conversation.switch(better).await,
            Next::Done => return,
        };
    }
}

/// What to do after a stream.
enum Next {
    /// Connect to the preferred server at this time.
    At(Instant),
    /// Go on with a server that is preferred to the one talked to, and answers again.
    With(Box<Better>),
    /// Nothing is wanted any more.
    Done,
}

/// A preferred server that answered.
struct Better {
    server: usize,
    link: Link,
    /// What it was told.
    told: Vec<Request>,
    /// What it said to that.
    first: Response,
}

/// How a stream ended, if not for another one.
struct Ended {
    answered: bool,
    why: Status,
}

/// The way to each server.
#[derive(Clone)]
struct Servers {
    services: Vec<Arc<Service>>,
    method: Method,
    limit: Option<RateLimit>,
}

impl Servers {
    async fn open(&self, server: usize) -> Result<Link, Status> {
        let service = self.services.get(server);
        let service = service.ok_or_else(|| Status::internal("there is no such server"))?;
        Link::open(service, self.method, self.limit).await
    }

    fn name(&self, server: usize) -> &str {
        self.services.get(server).map_or("", |service| service.name())
    }
}

struct Conversation {
    subscriber: Subscriber,
    servers: Servers,
    preference: Preference,
    /// The server of the last stream.
    spoken_to: Option<usize>,
}

impl Conversation {
    /// Waits; what is wanted meanwhile is noted. `None` when nothing is any more.
    async fn rest_until(&mut self, time: Instant) -> Option<()> {
        let mut rest = std::pin::pin!(tokio::time::sleep_until(time.into()));
        loop {
            tokio::select! {
                () = &mut rest => return Some(()),
                events = self.subscriber.next() => {
                    for event in events? {
                        self.subscriber.step(event, &mut |_| {});
                    }
                }
            }
        }
    }

    /// Opens a stream to the server whose turn it is.
    async fn attempt(&mut self) -> Next {
        let server = self.preference.current();
        match self.servers.open(server).await {
            Ok(link) => {
                self.turn_to(server);
                self.subscriber.step(Event::Connected, &mut |request| link.send(request));
                self.talk(server, link, false).await
            }
            Err(why) => self.ended(server, &Ended { answered: false, why }),
        }
    }

    /// Leaves the server talked to for a better one, without a gap.
    async fn switch(&mut self, better: Box<Better>) -> Next {
        let Better { server, link, told, first } = *better;
        self.disconnect();
        self.turn_to(server);
        self.preference.answered(server);
        self.subscriber.step(Event::Connected, &mut |request| {
            if !told.contains(&request) {
                link.send(request);
            }
        });
        self.subscriber.proxy().connected(1);
        self.subscriber.step(Event::Response(first), &mut |request| link.send(request));
        tracing::info!(server = self.servers.name(server), "back at the preferred server");
        self.talk(server, link, true).await
    }

    fn turn_to(&mut self, server: usize) {
        if self.spoken_to.replace(server).is_some_and(|before| before != server) {
            self.subscriber.step(Event::OtherServer, &mut |_| {});
        }
        self.subscriber.proxy().stats().control_plane.stream_opened.inc();
    }

    /// A stream until its end.
    async fn talk(&mut self, server: usize, mut link: Link, opened: bool) -> Next {
        let (mut answered, mut open) = (opened, opened);
        let client = Arc::clone(self.subscriber.client());
        let proxy = Arc::clone(self.subscriber.proxy());
        let preferred = self.preference.preferred();
        let mut better =
            std::pin::pin!(look_for_better(self.servers.clone(), preferred, client, proxy));
        let next = loop {
            let events = tokio::select! {
                said = link.next() => match said {
                    Ok(Said::Opened) => {
                        if !std::mem::replace(&mut open, true) {
                            self.subscriber.proxy().connected(1);
                            tracing::info!(
                                server = self.servers.name(server),
                                source = %self.subscriber.id(),
                                "connected to the control plane"
                            );
                        }
                        continue;
                    }
                    Ok(Said::Response(response)) => {
                        if !std::mem::replace(&mut answered, true) {
                            self.preference.answered(server);
                        }
                        vec![Event::Response(response)]
                    }
                    Err(why) => break self.ended(server, &Ended { answered, why }),
                },
                events = self.subscriber.next() => match events {
                    Some(events) => events,
                    None => break Next::Done,
                },
                better = &mut better => break Next::With(Box::new(better)),
            };
            for event in events {
                self.subscriber.step(event, &mut |request| link.send(request));
            }
        };
        if open {
            self.subscriber.proxy().connected(-1);
        }
        next
    }

    fn disconnect(&self) -> Option<Instant> {
        let random = self.subscriber.proxy().random_u32();
        self.subscriber.step(Event::Disconnected { random }, &mut |_| {})
    }

    fn ended(&mut self, server: usize, ended: &Ended) -> Next {
        let proxy = self.subscriber.proxy();
        proxy.stats().control_plane.stream_failed.inc();
        let lacking = locked(self.subscriber.client()).is_lacking();
        tracing::warn!(
            server = self.servers.name(server),
            source = %self.subscriber.id(),
            error = ended.why.message(),
            "no stream to the control plane; configuration stays as it is"
        );
        let backoff = self.disconnect();
        match self.preference.failed(ended.answered, lacking) {
            Retry::AtOnce => Next::At(Instant::now()),
            Retry::AfterBackoff => Next::At(backoff.unwrap_or_else(Instant::now)),
        }
    }
}

/// Tries the servers that are preferred to the one talked to, until one of them answers.
async fn look_for_better(
    servers: Servers,
    preferred: std::ops::Range<usize>,
    client: SharedClient,
    proxy: Arc<Proxy>,
) -> Better {
    if preferred.is_empty() {
        std::future::pending::<()>().await;
    }
    let backoff = Backoff::default();
    for failures in 0.. {
        tokio::time::sleep(backoff.wait(failures, proxy.random_u32())).await;
        for server in preferred.clone() {
            let asked = tokio::time::timeout(ANSWER_LIMIT, ask(&servers, server, &client)).await;
            match asked.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))) {
                Ok(better) => return better,
                Err(why) => {
                    tracing::debug!(server = servers.name(server), error = why.message(), "away");
                }
            }
        }
    }
    std::future::pending().await
}

/// Begins a stream like the one there is, and waits for its first answer.
async fn ask(servers: &Servers, server: usize, client: &SharedClient) -> Result<Better, Status> {
    let mut link = servers.open(server).await?;
    let told = locked(client).opening();
    for request in &told {
        link.send(request.clone());
    }
    loop {
        if let Said::Response(first) = link.next().await? {
            return Ok(Better { server, link, told, first });
        }
    }
}
