//! One request, from its head to the head of its response.
//!
//! What can be decided at once is decided before anything is awaited, so that the future of a
//! request holds only what it still needs while it waits: futures are moved, and with h2 once for
//! each request.

use std::{rc::Rc, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{HOST, LOCATION},
    request::Parts,
};
use weft_compile::{
    Action, Cluster, Forward, RouteConfig, RouteEntry, RouteFilters, RouteNames, Tables,
};
use weft_format::{Format, Upstream, View};
use weft_route::{Outcome, RequestView};

use crate::{
    body::Body,
    downstream::{Caller, Connection, RequestBody},
    facts,
    fault::Fault,
    filters::{self, Coming, Held, Passage, Place, Verdict},
    forward::{Arrival, Choice, Journey, follow},
    head_rules::{self, Origin, Turned},
    headers,
    local_reply::{self, Answer},
    mutation::{self, Side},
    phase::Phase,
    record::Record,
    redirect, reply_form, rewrite,
    tunnel::Wanted,
};

/// Answers one request. Never fails: a fault is an answer too.
pub(crate) fn handle(
    connection: Rc<Connection>,
    request: Request<RequestBody>,
    caller: Caller,
) -> impl Future<Output = Response<Body>> {
    let version = request.version();
    // An HTTP/1 connection leaves out by itself what no body may follow.
    let is_h2_head = version >= Version::HTTP_2 && request.method() == Method::HEAD;
    let mut request_id = None;
    let mut passage = None;
    let mut decided = decide(&connection, request, caller, (&mut request_id, &mut passage));
    async move {
        let mut response = loop {
            decided = match &mut decided {
                Decision::Forward(journey) => {
                    let arrival = journey.travel(&connection).await;
                    arrived(&connection, decided, arrival, &mut passage)
                }
                Decision::Hold(held) => {
                    let released = held.released(&connection).await;
                    go_on(&connection, decided, released, &mut passage)
                }
                Decision::Answer(response) => {
                    break std::mem::replace(response, Response::new(Body::empty()));
                }
            };
        };
        if passage.is_some_and(|passage| passage.must_read()) {
            Box::pin(filters::read_as_message(&mut response)).await;
        }
        finish(&connection, &mut response, version, request_id);
        if is_h2_head {
            response.body_mut().leave_out();
        }
        response
    }
}

/// What is to be done about a request.
#[expect(
    clippy::large_enum_variant,
    reason = "forwarding is the rule; boxing it would cost each request"
)]
enum Decision {
    Answer(Response<Body>),
    Forward(Journey),
    /// Wait for what a filter waits for, and go on.
    Hold(Box<Held>),
}

/// What filters remember of a request; only where its chain has any.
type Memory = Option<Box<Passage>>;

/// Match, then act.
fn decide(
    connection: &Rc<Connection>,
    request: Request<RequestBody>,
    caller: Caller,
    (request_id, passage): (&mut Option<HeaderValue>, &mut Memory),
) -> Decision {
    let record = Record::begin(&connection.chain, &connection.worker);
    let (mut parts, body) = request.into_parts();
    // Read while it is there: what asks for an upgrade concerns this hop alone.
    let wanted = Wanted::take(&mut parts);
    // Everything about this request is decided by these tables, whatever is published meanwhile.
    let tables = connection.worker.tables();
    let routes = tables.routes_of(&connection.chain).map(|routes| &**routes);
    let entered = enter(connection, routes, &mut parts, request_id);
    let origin = match &entered {
        Ok(origin) => *origin,
        Err(_) => Origin { scheme: "http", remote: connection.peer, is_internal: false },
    };
    let random = connection.worker.random_u64();
    let asking = Asking::about(connection, &parts, origin, random, record.began());
    if let Err(answer) = entered {
        return asking.answer(*answer, &record, passage);
    }
    if !connection.chain.filters.is_empty() {
        let (is_grpc, place) = (asking.is_grpc, asking.place(&tables));
        let message = (parts, body, caller, record);
        let coming = (wanted, origin, random);
        return pass(connection, Coming::new(message, coming, is_grpc, place), passage);
    }
    match asking.find(&tables).and_then(|found| asking.plan(&tables, found, wanted)) {
        Ok(plan) => {
            Decision::Forward(Journey::begin(connection, plan, parts, (body, caller), record))
        }
        Err(answer) => asking.answer(*answer, &record, passage),
    }
}

/// Lets a request pass the filters of its chain.
fn pass(connection: &Rc<Connection>, coming: Coming, passage: &mut Memory) -> Decision {
    let tables = connection.worker.tables();
    let asking = coming.asking(connection);
    let said = asking.said_to_filters(&tables, &coming.place);
    *passage = Some(Passage::new(&connection.chain, said));
    go_through(connection, coming, passage)
}

/// Goes on where a filter has held a request.
fn go_on(
    connection: &Rc<Connection>,
    decided: Decision,
    released: Result<(), Fault>,
    passage: &mut Memory,
) -> Decision {
    let Decision::Hold(held) = decided else { return decided };
    match released {
        Ok(()) => go_through(connection, held.coming, passage),
        Err(fault) => {
            match fault {
                Fault::RequestIdle => held.coming.record.stream_idle(),
                Fault::RequestNotWhole => held.coming.record.not_whole(),
                _ => {}
            }
            turn_back(connection, &held.coming, fault, passage)
        }
    }
}

fn go_through(connection: &Rc<Connection>, mut coming: Coming, passage: &mut Memory) -> Decision {
    let verdict = match passage {
        Some(passage) => passage.onward(connection, &mut coming),
        None => Verdict::Passed,
    };
    match verdict {
        Verdict::Passed => {}
        Verdict::Waits(until) => return Decision::Hold(Held::new(coming, until)),
        Verdict::Failed(fault) => return turn_back(connection, &coming, fault, passage),
        Verdict::Answered(head) => {
            let mut response = head.map(|()| Body::empty());
            coming.record.responded(response.status());
            coming.asking(connection).pass_back(&mut response, ("cors_response", ""), passage);
            return Decision::Answer(response);
        }
    }
    let tables = connection.worker.tables();
    let asking = coming.asking(connection);
    let found = coming.place.found();
    let keeps_facts = passage.as_ref().is_some_and(|passage| passage.asks_for_facts());
    match asking.plan(&tables, found, coming.wanted.clone()) {
        Ok(plan) => {
            let Coming { parts, body, caller, record, trail, .. } = coming;
            let plan = Choice { trail, keeps_facts, ..plan };
            Decision::Forward(Journey::begin(connection, plan, parts, (body, caller), record))
        }
        Err(answer) => asking.answer(*answer, &coming.record, passage),
    }
}

/// Answers a request that a filter does not let pass.
fn turn_back(
    connection: &Rc<Connection>,
    coming: &Coming,
    fault: Fault,
    passage: &mut Memory,
) -> Decision {
    let asking = coming.asking(connection);
    let answer = Answer::fault(fault);
    let answer = match (coming.place.found(), Head::read(&coming.parts)) {
        (Found::Route(entry), Ok(head)) if matches!(entry.action, Action::Forward(_)) => {
            *asking.of_route(entry, &head, answer)
        }
        _ => answer,
    };
    asking.answer(answer, &coming.record, passage)
}

/// Applies the chain's rules to a head that makes sense.
fn enter(
    connection: &Connection,
    routes: Option<&RouteConfig>,
    parts: &mut Parts,
    request_id: &mut Option<HeaderValue>,
) -> Result<Origin, Box<Answer>> {
    Head::read(parts).map_err(fault)?;
    let entered = head_rules::enter(connection, routes, parts);
    let origin = entered.map_err(|turned| match turned {
        Turned::Away(Fault::Underscore) => {
            let mut refusal = Answer::fault(Fault::Underscore);
            headers::close_after(&mut refusal.headers, parts.version);
            Box::new(refusal)
        }
        Turned::Away(why) => fault(why),
        Turned::To(status, location) => redirected(status, location),
    })?;
    *request_id = head_rules::returned_id(&connection.chain.heads, &parts.headers);
    Ok(origin)
}

fn fault(fault: Fault) -> Box<Answer> {
    Box::new(Answer::fault(fault))
}

fn redirected(status: StatusCode, location: HeaderValue) -> Box<Answer> {
    let headers = HeaderMap::from_iter([(LOCATION, location)]);
    Box::new(Answer::direct(status, Bytes::new(), headers))
}

/// A response has come, or will not. One that leads elsewhere may be followed.
fn arrived(
    connection: &Rc<Connection>,
    decided: Decision,
    arrival: Arrival,
    passage: &mut Memory,
) -> Decision {
    let Decision::Forward(journey) = decided else { return decided };
    let Some((parts, origin)) = follow::next(&journey, &arrival) else {
        return Decision::Answer(journey.end(connection, arrival, passage.as_deref_mut()));
    };
    let tables = connection.worker.tables();
    let random = connection.worker.random_u64();
    let asking = Asking::about(connection, &parts, origin, random, Instant::now());
    let Ok(Found::Route(entry)) = asking.find(&tables) else {
        journey.stays(&connection.chain.stats.passthrough_internal_redirect_no_route);
        return Decision::Answer(journey.end(connection, arrival, passage.as_deref_mut()));
    };
    if !follow::may_lead_to(&journey, entry, &origin) {
        journey.stays(&connection.chain.stats.passthrough_internal_redirect_predicate);
        return Decision::Answer(journey.end(connection, arrival, passage.as_deref_mut()));
    }
    if !connection.chain.filters.is_empty() {
        let (is_grpc, place) = (asking.is_grpc, Place::Route(Arc::clone(entry)));
        let (caller, record, trail) = journey.turned(&arrival, &entry.names);
        drop(arrival);
        let message = (parts, RequestBody::None, caller, record);
        let coming = Coming::new(message, (Wanted::Answer, origin, random), is_grpc, place);
        return pass(connection, Coming { trail, ..coming }, passage);
    }
    let plan = asking.plan(&tables, Found::Route(entry), Wanted::Answer);
    let (caller, record, trail) = journey.turned(&arrival, &entry.names);
    drop(arrival);
    match plan {
        Ok(plan) => {
            let plan = Choice { trail, ..plan };
            let sent = (RequestBody::None, caller);
            Decision::Forward(Journey::begin(connection, plan, parts, sent, record))
        }
        Err(answer) => asking.answer(*answer, &record, passage),
    }
}

/// A request about which something is decided.
struct Asking<'c, 'p> {
    connection: &'c Connection,
    parts: &'p Parts,
    origin: Origin,
    random: u64,
    began: Instant,
    /// Whether faults are told the gRPC way.
    is_grpc: bool,
}

impl Coming {
    fn new(
        (parts, body, caller, record): (Parts, RequestBody, Caller, Record),
        (wanted, origin, random): (Wanted, Origin, u64),
        is_grpc: bool,
        place: Place,
    ) -> Self {
        let trail = None;
        Self { parts, body, caller, record, wanted, origin, random, trail, is_grpc, place }
    }

    fn asking<'c>(&self, connection: &'c Connection) -> Asking<'c, '_> {
        let began = self.record.began();
        let asking = Asking::about(connection, &self.parts, self.origin, self.random, began);
        // A filter may have made gRPC of what is none.
        Asking { is_grpc: self.is_grpc, ..asking }
    }
}

impl<'c, 'p> Asking<'c, 'p> {
    fn about(
        connection: &'c Connection,
        parts: &'p Parts,
        origin: Origin,
        random: u64,
        began: Instant,
    ) -> Self {
        let is_grpc = local_reply::is_grpc(&parts.headers);
        Self { connection, parts, origin, random, began, is_grpc }
    }

    /// Where the request goes that belongs there, or what is answered.
    fn plan<'t>(
        &self,
        tables: &'t Tables,
        found: Found<'t>,
        wanted: Wanted,
    ) -> Result<Choice<'t>, Box<Answer>> {
        let chain = &self.connection.chain;
        let head = Head::read(self.parts).map_err(fault)?;
        let entry = match found {
            Found::Route(entry) => entry,
            Found::Nothing => {
                chain.stats.no_route.inc();
                return Err(fault(Fault::NoRoute));
            }
            Found::NeedsTls => {
                chain.stats.rq_redirect.inc();
                let location = redirect::to_https(head.authority, head.path_and_query);
                return Err(match location {
                    Some(location) => redirected(StatusCode::MOVED_PERMANENTLY, location),
                    None => fault(Fault::BadRequest("host is not a header value")),
                });
            }
        };
        let Ok(tunnel) = wanted.allowed(chain, entry, &self.parts.method) else {
            // The client may take what it sends next for another protocol.
            let mut refusal = Answer::fault(Fault::UpgradeRefused);
            headers::close_after(&mut refusal.headers, self.parts.version);
            return Err(Box::new(refusal));
        };
        let to = self.forward(entry, &head)?;
        let (id, weighted) = to.target.choose(tables, &self.parts.headers, self.random);
        let Some(cluster) = id.and_then(|id| tables.cluster(id)) else {
            chain.stats.no_cluster.inc();
            let missing = Answer::fault(Fault::NoCluster(to.cluster_not_found));
            return Err(self.of_route(entry, &head, missing));
        };
        let changes = weighted.map_or(&entry.request_headers, |it| &it.request_headers);
        let asked = rewrite::asked(self.parts).ok_or_else(|| fault(Fault::BadRequest("")))?;
        let written = |format: &Format| {
            let known = self.known(entry, cluster, &head);
            let mut headers = self.parts.headers.clone();
            mutation::apply(changes, &mut headers, Side::Request, &known);
            let host = rewrite::host(
                &asked,
                (to, weighted),
                head.path_and_query,
                &mut headers,
                &known,
                false,
            );
            let request = known.request.map(|request| weft_format::Request {
                authority: host.as_ref().unwrap_or(&asked).as_bytes(),
                headers: &headers,
                ..request
            });
            rewrite::written(format, &View { request, ..known })
        };
        let path = rewrite::path(&to.path, head.path_and_query, written).map_err(fault)?;
        let (random, origin) = (self.random, self.origin);
        let (is_grpc, trail, keeps_facts) = (self.is_grpc, None, false);
        Ok(Choice {
            entry,
            to,
            cluster,
            weighted,
            asked,
            path,
            tunnel,
            random,
            origin,
            is_grpc,
            trail,
            keeps_facts,
        })
    }

    /// What is known of a request when it is known where it goes.
    fn known<'v>(&'v self, entry: &'v RouteEntry, to: &'v Cluster, head: &Head<'v>) -> View<'v> {
        let upstream = Upstream { cluster: Some(&to.name), ..Upstream::default() };
        View { upstream, ..self.view(Some(&entry.names), head) }
    }

    /// How a route sends a request on, or what it answers.
    fn forward<'t>(
        &self,
        entry: &'t RouteEntry,
        head: &Head<'_>,
    ) -> Result<&'t Forward, Box<Answer>> {
        let stats = &self.connection.chain.stats;
        let (status, location) = match &entry.action {
            Action::Forward(to) => return Ok(to),
            Action::Direct(direct) => {
                stats.rq_direct_response.inc();
                let answer = Answer::direct(direct.status, direct.body.clone(), HeaderMap::new());
                let Some(format) = &direct.format else {
                    return Err(self.of_route(entry, head, answer));
                };
                let body = reply_form::body(format, &answer, &self.view(Some(&entry.names), head));
                let mut answer = self.of_route(entry, head, Answer { body, ..answer });
                reply_form::set_type(format, &mut answer);
                return Err(answer);
            }
            Action::Redirect(to) => {
                stats.rq_redirect.inc();
                let scheme = self.origin.scheme;
                let written = |format: &Format| {
                    rewrite::written(format, &self.view(Some(&entry.names), head))
                };
                let (authority, path) = (head.authority, head.path_and_query);
                let location = redirect::location(to, scheme, authority, path, written);
                let Some(location) = location else {
                    let why = "redirect target is not a header value";
                    return Err(fault(Fault::BadRequest(why)));
                };
                (to.status, location)
            }
            Action::Nowhere => {
                stats.no_cluster.inc();
                return Err(fault(Fault::NoCluster(StatusCode::SERVICE_UNAVAILABLE)));
            }
        };
        Err(self.of_route(entry, head, *redirected(status, location)))
    }

    /// An answer with the changes of its route.
    fn of_route(&self, entry: &RouteEntry, head: &Head<'_>, mut answer: Answer) -> Box<Answer> {
        let view = self.view(Some(&entry.names), head);
        let view = View {
            status: Some(answer.status.as_u16()),
            details: Some(answer.details),
            flags: answer.flags,
            ..view
        };
        mutation::apply(&entry.response_headers, &mut answer.headers, Side::Response, &view);
        answer.names = Some(Arc::clone(&entry.names));
        Box::new(answer)
    }

    /// What formats are told where the request goes nowhere.
    fn view<'v>(&'v self, names: Option<&'v RouteNames>, head: &Head<'v>) -> View<'v> {
        let request = weft_format::Request {
            method: self.parts.method.as_str(),
            path: head.path_and_query,
            authority: head.authority.as_bytes(),
            scheme: self.origin.scheme,
            headers: &self.parts.headers,
        };
        let version = self.parts.version;
        facts::view(self.connection, &self.origin, names, self.began, version, request)
    }

    /// Answers in the form that is configured.
    fn answer(&self, mut answer: Answer, record: &Record, passage: &mut Memory) -> Decision {
        let is_grpc = self.is_grpc;
        if let Some(replies) = &self.connection.chain.local_replies {
            let head = Head::read(self.parts).unwrap_or(Head { authority: "", path_and_query: "" });
            let names = answer.names.clone();
            let view = self.view(names.as_deref(), &head);
            reply_form::shape(&mut answer, replies, &view, is_grpc);
        }
        let said = (answer.details, answer.flags);
        let mut response = answer.into_response(is_grpc);
        record.responded(response.status());
        self.pass_back(&mut response, said, passage);
        Decision::Answer(response)
    }

    /// Lets an answer pass the filters that the request has come to.
    fn pass_back(
        &self,
        response: &mut Response<Body>,
        (details, flags): (&str, &str),
        passage: &mut Memory,
    ) {
        let Some(passage) = passage else { return };
        let head = Head::read(self.parts).unwrap_or(Head { authority: "", path_and_query: "" });
        let status = Some(response.status().as_u16());
        let view = View { status, details: Some(details), flags, ..self.view(None, &head) };
        passage.back(response, &view);
    }

    /// What the route says to filters, and the cluster of its weights that will be chosen.
    fn said_to_filters(&self, tables: &Tables, place: &Place) -> RouteFilters {
        let Found::Route(entry) = place.found() else { return RouteFilters::default() };
        let weighted = match &entry.action {
            Action::Forward(to) => to.target.choose(tables, &self.parts.headers, self.random).1,
            _ => None,
        };
        weighted.map_or(&entry.filters, |weighted| &weighted.filters).clone()
    }

    /// Where the request belongs.
    fn place(&self, tables: &'c Tables) -> Place {
        match self.find(tables) {
            Ok(Found::Route(entry)) => Place::Route(Arc::clone(entry)),
            Ok(Found::NeedsTls) => Place::NeedsTls,
            // What is wrong with its head is told when the filters have seen it.
            Ok(Found::Nothing) | Err(_) => Place::Nowhere,
        }
    }

    /// Where the request belongs.
    ///
    /// # Errors
    /// When its head does not say whom it is for.
    fn find(&self, tables: &'c Tables) -> Result<Found<'c>, Box<Answer>> {
        let head = Head::read(self.parts).map_err(fault)?;
        let Some(routes) = tables.routes_of(&self.connection.chain) else {
            return Ok(Found::Nothing);
        };
        let view = RequestView {
            authority: head.authority,
            path_and_query: head.path_and_query,
            method: self.parts.method.as_str(),
            scheme: self.origin.scheme,
            is_internal: self.origin.is_internal,
            headers: &self.parts.headers,
            random: self.random,
        };
        Ok(match routes.table.find(&view) {
            Outcome::Matched { route, .. } => Found::Route(&route.action),
            Outcome::NeedsTls(_) => Found::NeedsTls,
            Outcome::NoHost | Outcome::NoRoute(_) => Found::Nothing,
        })
    }
}

/// What every response of ours carries.
fn finish(
    connection: &Connection,
    response: &mut Response<Body>,
    version: Version,
    request_id: Option<HeaderValue>,
) {
    let headers = response.headers_mut();
    head_rules::leave(connection, headers, request_id);
    if connection.life.phase() != Phase::Serving {
        headers::close_after(headers, version);
    }
}

/// The parts of a request that name what is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) authority: &'a str,
    pub(crate) path_and_query: &'a str,
}

impl<'a> Head<'a> {
    pub(crate) fn read(parts: &'a Parts) -> Result<Self, Fault> {
        if parts.method == Method::CONNECT {
            let authority = parts.uri.authority().ok_or(Fault::BadRequest(""))?.as_str();
            return Ok(Self { authority, path_and_query: "" });
        }
        let mut hosts = parts.headers.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            // Two hops that each take another one for the host see different requests.
            return Err(Fault::BadRequest("more than one host"));
        }
        // An absolute-form target wins over `host` (RFC 9112 §3.2.2); h2 has `:authority`.
        let authority = match parts.uri.authority() {
            // What has an authority and no scheme is the target of a CONNECT.
            Some(_) if parts.uri.scheme().is_none() => {
                return Err(Fault::BadRequest("the target is no path"));
            }
            Some(authority) => authority.as_str(),
            None => host
                .ok_or(Fault::BadRequest(""))?
                .to_str()
                .map_err(|_| Fault::BadRequest("host is not ASCII"))?,
        };
        let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { authority, path_and_query })
    }
}

/// What the routes say of a request.
enum Found<'t> {
    Route(&'t Arc<RouteEntry>),
    NeedsTls,
    Nothing,
}

impl Place {
    fn found(&self) -> Found<'_> {
        match self {
            Self::Route(entry) => Found::Route(entry),
            Self::NeedsTls => Found::NeedsTls,
            Self::Nowhere => Found::Nothing,
        }
    }
}
