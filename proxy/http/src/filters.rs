//! The filters of a chain (`http_filters`): what a request passes on its way to its route's action,
//! in their order, and what its answer passes on the way back, in the reverse order.
//!
//! A chain that has the router alone pays one comparison for all of this.

mod buffer;
mod concurrency;
mod cors;
mod descriptors;
mod global_rate;
mod grpc_web;
mod inject;
mod limit_headers;
mod naming;
mod query;
mod rate;
mod session;
mod throttle;

use std::{sync::Arc, time::Instant};

use http::{Response, request::Parts};
use smallvec::SmallVec;
use tokio::time::sleep_until;
use weft_balance::EndpointState;
use weft_compile::{
    Action, FaultRules, FilterSettings, HttpChain, HttpFilter, HttpFilterKind, MessageMutations,
    Priority, RouteEntry, RouteFilter, RouteFilters,
};
use weft_format::View;
use weft_route::RequestView;

use self::{
    buffer::Buffering,
    cors::Cors,
    global_rate::{Asking, ForClient, Told},
    grpc_web::GrpcWeb,
    inject::Active,
    naming::{Looked, Naming},
    rate::Limited,
    session::Session,
};
pub(crate) use self::{
    concurrency::Admission,
    grpc_web::{Decoding, Encoding, read_as_message},
    rate::OwnBuckets,
    throttle::Throttle,
};
use crate::{
    body::Body,
    downstream::{Caller, Connection, RequestBody},
    facts,
    fault::Fault,
    forward::follow::Trail,
    head_rules::Origin,
    local_reply::Answer as Refusal,
    mutation::{self, Side},
    record::Record,
    request::Head,
    tunnel::Wanted,
    wish::Wish,
};

/// A request whose route was found, until it is sent there.
pub(crate) struct Coming {
    pub(crate) parts: Parts,
    pub(crate) body: RequestBody,
    pub(crate) caller: Caller,
    pub(crate) record: Record,
    pub(crate) wanted: Wanted,
    pub(crate) origin: Origin,
    pub(crate) random: u64,
    /// What chooses among the weights of its route.
    pub(crate) number: u64,
    /// The endpoint that its session asks for.
    pub(crate) wish: Option<Box<Wish>>,
    pub(crate) trail: Option<Box<Trail>>,
    /// Whether faults are told the gRPC way: by what the request was when it came.
    pub(crate) is_grpc: bool,
    pub(crate) place: Place,
    /// What a service has said of it, until its filter goes by that.
    pub(crate) told: Option<Box<Told>>,
}

impl Coming {
    /// What matchers look at; `None` when the head does not say whom the request is for.
    fn request_view(&self) -> Option<RequestView<'_>> {
        let head = Head::read(&self.parts).ok()?;
        Some(head.matched(&self.parts, &self.origin, self.random))
    }
}

/// Where a request belongs.
pub(crate) enum Place {
    Route(Arc<RouteEntry>),
    NeedsTls,
    Nowhere,
}

impl Place {
    fn entry(&self) -> Option<&RouteEntry> {
        match self {
            Self::Route(entry) => Some(entry),
            Self::NeedsTls | Self::Nowhere => None,
        }
    }

    /// How important the route says that its requests are.
    fn priority(&self) -> Priority {
        self.entry().map_or(Priority::Default, RouteEntry::priority)
    }

    /// Whether the route sends its requests on.
    fn forwards(&self) -> bool {
        self.entry().is_some_and(|entry| matches!(entry.action, Action::Forward(_)))
    }
}

/// What a filter says of a request.
pub(crate) enum Verdict {
    /// All have let it pass.
    Passed,
    /// It goes no further: this is what happened.
    Failed(Fault),
    /// It goes no further, and is told this.
    Refused(Box<Refusal>),
    /// It is answered with this.
    Answered(Response<()>),
    /// It goes on when this is over.
    Waits(Wait),
}

/// What a request waits for.
pub(crate) enum Wait {
    /// Its whole body.
    Body(Buffering),
    /// This moment.
    Until(Instant),
    /// The host that it names.
    Host(Naming),
    /// What a service says of it.
    Verdict(Asking),
}

/// A request that a filter holds back.
pub(crate) struct Held {
    pub(crate) coming: Coming,
    until: Wait,
}

impl Held {
    pub(crate) fn new(coming: Coming, until: Wait) -> Box<Self> {
        Box::new(Self { coming, until })
    }

    /// The request, with what was heard of it.
    pub(crate) fn passes(self) -> Coming {
        let Self { coming, until } = self;
        match until {
            Wait::Verdict(asking) => Coming { told: asking.told(), ..coming },
            Wait::Body(_) | Wait::Until(_) | Wait::Host(_) => coming,
        }
    }

    /// Waits for what the filter waits for.
    pub(crate) async fn released(&mut self, connection: &Connection) -> Result<(), Fault> {
        match &mut self.until {
            Wait::Body(buffering) => buffering.collect(&mut self.coming, connection).await,
            Wait::Until(moment) => {
                sleep_until((*moment).into()).await;
                Ok(())
            }
            Wait::Host(naming) => naming.known().await,
            Wait::Verdict(asking) => {
                asking.answered().await;
                Ok(())
            }
        }
    }
}

/// What the filters of a chain remember of one request until its answer has passed them.
#[derive(Debug)]
pub(crate) struct Passage {
    /// What the route says to filters.
    said: RouteFilters,
    memories: SmallVec<[Memory; 2]>,
    /// The filter that the request comes to next.
    next: usize,
    /// Whether limits say what is left of them in standard fields.
    tells_limits: bool,
}

/// What one filter remembers.
#[derive(Debug)]
enum Memory {
    /// It is left out.
    Disabled,
    Nothing,
    Cors(Box<Cors>),
    GrpcWeb(GrpcWeb),
    /// It was delayed, and is counted as long as it goes on; its answer is slowed down.
    Delayed(Active, Option<Box<Throttle>>),
    /// It is counted as long as it goes on, and its answer is slowed down.
    Injected(Option<Active>, Option<Box<Throttle>>),
    /// It was asked for a token.
    Limited(Limited),
    /// It belongs to a session.
    Session(Session),
    /// A service has let it go on, and its answer gets these.
    Told(ForClient),
}

impl Passage {
    /// Begins one, for a route that says this.
    pub(crate) fn new(chain: &HttpChain, said: RouteFilters) -> Box<Self> {
        let mut tells_limits = false;
        let memory = |filter: &HttpFilter| {
            let disabled = said.of(&filter.name).map_or(filter.disabled, |it| it.disabled);
            tells_limits |= !disabled && matches!(filter.kind, HttpFilterKind::RateLimitHeaders);
            if disabled { Memory::Disabled } else { Memory::Nothing }
        };
        let memories = chain.filters.iter().map(memory).collect();
        Box::new(Self { said, memories, next: 0, tells_limits })
    }

    /// Whether formats of filters are made of what is known of the request when its answer comes.
    pub(crate) fn asks_for_facts(&self, chain: &HttpChain) -> bool {
        chain.filters.iter().any(|filter| {
            let HttpFilterKind::HeaderMutation { always, .. } = &filter.kind else { return false };
            always.response_has_formats()
                || mutations_of(self.said.of(&filter.name)).any(|it| it.response_has_formats())
        })
    }

    /// Lets the request pass on, from the filter where it was held.
    pub(crate) fn onward(&mut self, connection: &Connection, coming: &mut Coming) -> Verdict {
        let chain = &connection.chain;
        while let Some((filter, memory)) =
            chain.filters.get(self.next).zip(self.memories.get_mut(self.next))
        {
            self.next += 1;
            if matches!(memory, Memory::Disabled) {
                continue;
            }
            let own = self.said.of(&filter.name);
            match &filter.kind {
                HttpFilterKind::HeaderMutation { always, most_specific_wins } => {
                    in_order(always, own, *most_specific_wins, |mutations| {
                        change_request(mutations, connection, coming);
                    });
                }
                HttpFilterKind::Cors => {
                    if !coming.place.forwards() {
                        continue;
                    }
                    let stats = &chain.stats;
                    match cors::ask(&cors::policies(&self.said, own), coming, stats) {
                        cors::Asked::Nothing => {}
                        cors::Asked::Page(cors) => *memory = Memory::Cors(Box::new(cors)),
                        cors::Asked::Preflight(cors, head) => {
                            *memory = Memory::Cors(Box::new(cors));
                            return Verdict::Answered(head);
                        }
                    }
                }
                HttpFilterKind::Buffer { max_bytes } => {
                    match buffer::hold(*max_bytes, own, coming) {
                        Ok(None) => {}
                        Ok(Some(buffering)) => return Verdict::Waits(Wait::Body(buffering)),
                        Err(fault) => return Verdict::Failed(fault),
                    }
                }
                HttpFilterKind::GrpcWeb => {
                    if let Some(web) = GrpcWeb::begin(coming) {
                        *memory = Memory::GrpcWeb(web);
                    }
                }
                HttpFilterKind::Fault(always) => {
                    let rules = inject::rules(always, own);
                    match inject(rules, memory, connection, coming) {
                        Verdict::Passed => {}
                        waits @ Verdict::Waits(_) => {
                            // What comes after the delay is still to be asked.
                            self.next -= 1;
                            return waits;
                        }
                        verdict => return verdict,
                    }
                }
                HttpFilterKind::DynamicForwardProxy => {
                    let tables = connection.worker.tables();
                    match naming::look(&tables, coming, Instant::now()) {
                        Looked::Known => {}
                        Looked::Waits(naming) => return Verdict::Waits(Wait::Host(naming)),
                        Looked::Fails(fault) => return Verdict::Failed(fault),
                    }
                }
                HttpFilterKind::StatefulSession(always) => {
                    let session = session::rules(always, own);
                    let session = session.and_then(|rules| Session::begin(rules, coming));
                    *memory = session.map_or(Memory::Nothing, Memory::Session);
                }
                // What limits tell was looked at before any of them is asked.
                HttpFilterKind::RateLimitHeaders => {}
                HttpFilterKind::GlobalRateLimit(limit) => {
                    if let Some(told) = coming.told.take() {
                        match global_rate::heed(limit, *told, self.tells_limits, connection, coming)
                        {
                            Ok(for_client) => *memory = Memory::Told(for_client),
                            Err(refusal) => return Verdict::Refused(refusal),
                        }
                    } else if let Some(asking) =
                        global_rate::ask(limit, own, &self.said, connection, coming)
                    {
                        // What is said of it is still to be heeded.
                        self.next -= 1;
                        return Verdict::Waits(Wait::Verdict(asking));
                    }
                }
                HttpFilterKind::AdaptiveConcurrency(settings) => {
                    if let Err(refusal) = concurrency::admit(settings, connection, coming) {
                        return Verdict::Refused(refusal);
                    }
                }
                HttpFilterKind::LocalRateLimit(always) => {
                    let limit = rate::settings(always, own);
                    let (limited, refusal) =
                        rate::limit(limit, &self.said, self.tells_limits, connection, coming);
                    *memory = limited.map_or(Memory::Nothing, Memory::Limited);
                    if let Some(refusal) = refusal {
                        return Verdict::Refused(Box::new(refusal));
                    }
                }
            }
        }
        Verdict::Passed
    }

    /// Notes which endpoint has answered.
    pub(crate) fn reached(&mut self, endpoint: &Arc<EndpointState>) {
        for memory in &mut self.memories {
            if let Memory::Session(session) = memory {
                session.reached(endpoint);
            }
        }
    }

    /// Lets the answer pass back.
    pub(crate) fn back(
        &mut self,
        chain: &HttpChain,
        response: &mut Response<Body>,
        view: &View<'_>,
    ) {
        for (filter, memory) in chain.filters.iter().zip(&mut self.memories).rev() {
            match (&filter.kind, memory) {
                (_, Memory::Disabled) => {}
                (HttpFilterKind::HeaderMutation { always, most_specific_wins }, _) => {
                    let own = self.said.of(&filter.name);
                    in_order(always, own, *most_specific_wins, |mutations| {
                        let headers = response.headers_mut();
                        mutation::apply_each(&mutations.response, headers, Side::Response, view);
                    });
                    in_order(always, own, *most_specific_wins, |mutations| {
                        response.body_mut().change_trailers(&mutations.response_trailers);
                    });
                }
                (HttpFilterKind::Cors, Memory::Cors(cors)) => cors.mark(response.headers_mut()),
                (HttpFilterKind::GrpcWeb, Memory::GrpcWeb(web)) => web.back(response),
                (_, Memory::Session(session)) => {
                    session.back(response.headers_mut(), &chain.stats);
                }
                (_, Memory::Injected(active, throttle)) => {
                    if let (Some(active), Some(throttle)) = (active.take(), throttle.take()) {
                        response.body_mut().slow_down(throttle.counted(active));
                    }
                }
                (_, Memory::Told(for_client)) => {
                    global_rate::add(std::mem::take(for_client), response.headers_mut());
                }
                (_, Memory::Limited(limited)) => {
                    limited.say_what_is_left(response.headers_mut());
                }
                (
                    HttpFilterKind::Cors
                    | HttpFilterKind::GrpcWeb
                    | HttpFilterKind::Buffer { .. }
                    | HttpFilterKind::Fault(_)
                    | HttpFilterKind::LocalRateLimit(_)
                    | HttpFilterKind::AdaptiveConcurrency(_)
                    | HttpFilterKind::StatefulSession(_)
                    | HttpFilterKind::GlobalRateLimit(_)
                    | HttpFilterKind::RateLimitHeaders
                    | HttpFilterKind::DynamicForwardProxy,
                    _,
                ) => {}
            }
        }
    }

    /// Whether an answer has to be read as a whole before its head is known.
    pub(crate) fn must_read(&self) -> bool {
        let reads = |memory: &Memory| matches!(memory, Memory::GrpcWeb(web) if web.must_read());
        self.memories.iter().any(reads)
    }
}

/// Does to a request what the rules say: it waits first, and fails then, or its answer is slowed down.
fn inject(
    rules: &FaultRules,
    memory: &mut Memory,
    connection: &Connection,
    coming: &Coming,
) -> Verdict {
    let (worker, chain) = (&connection.worker, &connection.chain);
    let headers = &coming.parts.headers;
    let (active, throttle) = match std::mem::replace(memory, Memory::Nothing) {
        Memory::Delayed(active, throttle) => (active, throttle),
        _ => {
            let asks =
                rules.delay.is_some() || rules.abort.is_some() || rules.response_limit.is_some();
            if !asks || !inject::hold(rules, &worker.tables(), coming) {
                return Verdict::Passed;
            }
            let Some(active) = inject::begin(rules, chain) else { return Verdict::Passed };
            let kib = inject::response_limit(rules, headers, worker.random_u64());
            let throttle = kib.map(|kib| {
                chain.stats.fault_response_limits.inc();
                Box::new(Throttle::new(kib, worker.timer()))
            });
            if let Some(delay) = inject::delay(rules, headers, worker.random_u64()) {
                chain.stats.fault_delays.inc();
                *memory = Memory::Delayed(active, throttle);
                return Verdict::Waits(Wait::Until(Instant::now() + delay));
            }
            (active, throttle)
        }
    };
    let answer = inject::abort(rules, headers, worker.random_u64());
    if answer.is_some() || throttle.is_some() {
        *memory = Memory::Injected(Some(active), throttle);
    }
    let Some(answer) = answer else { return Verdict::Passed };
    chain.stats.fault_aborts.inc();
    Verdict::Refused(Box::new(answer))
}

/// What is known of a request on its way through the filters.
fn view<'a>(connection: &'a Connection, coming: &'a Coming) -> View<'a> {
    match Head::read(&coming.parts) {
        Ok(head) => view_of(connection, coming, head),
        Err(_) => facts::of_connection(connection),
    }
}

/// The same, where its head was read before.
fn view_of<'a>(connection: &'a Connection, coming: &'a Coming, head: Head<'a>) -> View<'a> {
    let request = head.request(&coming.parts, coming.origin.scheme);
    let names = coming.place.entry().map(|entry| &*entry.names);
    let (began, version) = (coming.record.began(), coming.parts.version);
    facts::view(connection, &coming.origin, names, began, version, request)
}

/// The changes of the levels of a route, from the least specific one.
fn mutations_of(own: Option<&RouteFilter>) -> impl DoubleEndedIterator<Item = &MessageMutations> {
    levels(own).filter_map(|settings| match settings {
        FilterSettings::HeaderMutation(mutations) => Some(mutations),
        _ => None,
    })
}

/// What the levels of a route say to a filter, from the least specific one.
fn levels(own: Option<&RouteFilter>) -> impl DoubleEndedIterator<Item = &FilterSettings> {
    own.into_iter().flat_map(|own| own.levels.iter().map(|level| &**level))
}

/// The settings of the most specific level that has any of a kind.
fn most_specific<'a, T>(
    own: Option<&'a RouteFilter>,
    pick: impl Fn(&'a FilterSettings) -> Option<T>,
) -> Option<T> {
    levels(own).rev().find_map(pick)
}

/// The filter's own changes, then those of the levels of the route in the order that is asked for.
fn in_order(
    always: &MessageMutations,
    own: Option<&RouteFilter>,
    most_specific_wins: bool,
    mut apply: impl FnMut(&MessageMutations),
) {
    apply(always);
    if most_specific_wins {
        mutations_of(own).for_each(apply);
    } else {
        mutations_of(own).rev().for_each(apply);
    }
}

/// Changes a request. Each change sees what those before it did.
fn change_request(mutations: &MessageMutations, connection: &Connection, coming: &mut Coming) {
    if !mutations.request_trailers.is_empty() && !coming.body.is_end_stream() {
        let body = std::mem::replace(&mut coming.body, RequestBody::None);
        coming.body = body.with_trailers(&mutations.request_trailers);
    }
    let said = mutations.request_has_formats().then(|| {
        let head = Head::read(&coming.parts).ok();
        head.map(|it| (Box::<str>::from(it.authority), Box::<str>::from(it.path_and_query)))
    });
    let mut headers = std::mem::take(&mut coming.parts.headers);
    let view = match said.as_ref().and_then(Option::as_ref) {
        None => View::default(),
        // Of the headers those of the moment are looked at.
        Some((authority, path_and_query)) => {
            view_of(connection, coming, Head { authority, path_and_query })
        }
    };
    mutation::apply_each(&mutations.request, &mut headers, Side::Request, &view);
    let uri = query::changed(&coming.parts.uri, &mutations.query, &headers, &view);
    coming.parts.headers = headers;
    if let Some(uri) = uri {
        coming.parts.uri = uri;
    }
}
