//! One request, from its head to the head of its response.
//!
//! What can be decided at once is decided before anything is awaited, so that the future of a
//! request holds only what it still needs while it waits: futures are moved, and with h2 once for
//! each request.

mod asking;
mod head;
mod through;

use std::{rc::Rc, sync::Arc, time::Instant};

use http::{HeaderValue, Method, Request, Response, Version, request::Parts};
use weft_compile::{Priority, RouteConfig};

pub(crate) use self::head::{Head, names_a_host};
use self::{
    asking::{Asking, Found, fault, redirected},
    through::{go_on, pass},
};
use crate::{
    body::Body,
    downstream::{Caller, Connection, RequestBody},
    fault::Fault,
    filters::{self, Coming, Held, Passage, Place},
    forward::{Arrival, Choice, Journey, follow},
    head_rules::{self, Origin, Turned},
    headers,
    local_reply::Answer,
    overload,
    phase::Phase,
    record::Record,
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
    (request_id, passage): (&mut Option<Box<HeaderValue>>, &mut Memory),
) -> Decision {
    let record = Record::begin(&connection.chain, &connection.worker);
    let (mut parts, body) = request.into_parts();
    // Read while it is there: what asks for an upgrade concerns this hop alone.
    let wanted = Wanted::take(&mut parts);
    // Everything about this request is decided by these tables, whatever is published meanwhile.
    let tables = connection.worker.tables();
    let routes = tables.routes_of(&connection.chain, |name| head::said(&parts, name));
    let routes = routes.map(|routes| &**routes);
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
    if connection.worker.sheds_requests()
        && (connection.worker.sheds_all_requests() || asking.priority(&tables) == Priority::Default)
    {
        connection.chain.stats.downstream_rq_overload_close.inc();
        return asking.answer(overload::refusal(parts.version), &record, passage);
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

/// Applies the chain's rules to a head that makes sense.
fn enter(
    connection: &Connection,
    routes: Option<&RouteConfig>,
    parts: &mut Parts,
    request_id: &mut Option<Box<HeaderValue>>,
) -> Result<Origin, Box<Answer>> {
    Head::read(parts).map_err(fault)?;
    let entered = head_rules::enter(connection, routes, parts);
    *request_id = head_rules::returned_id(&connection.chain.heads, &parts.headers).map(Box::new);
    entered.map_err(|turned| match turned {
        Turned::Away(Fault::Underscore) => {
            let mut refusal = Answer::fault(Fault::Underscore);
            headers::close_after(&mut refusal.headers, parts.version);
            Box::new(refusal)
        }
        Turned::Away(why) => fault(why),
        Turned::To(status, location) => redirected(status, location),
    })
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
        let (body, caller, record, trail) = journey.turned(arrival, &entry.names);
        let message = (parts, body, caller, record);
        let coming = Coming::new(message, (Wanted::Answer, origin, random), is_grpc, place);
        return pass(connection, Coming { trail, ..coming }, passage);
    }
    let plan = asking.plan(&tables, Found::Route(entry), Wanted::Answer);
    let (body, caller, record, trail) = journey.turned(arrival, &entry.names);
    match plan {
        Ok(plan) => {
            let plan = Choice { trail, ..plan };
            let sent = (body, caller);
            Decision::Forward(Journey::begin(connection, plan, parts, sent, record))
        }
        Err(answer) => asking.answer(*answer, &record, passage),
    }
}

/// What every response of ours carries.
fn finish(
    connection: &Connection,
    response: &mut Response<Body>,
    version: Version,
    request_id: Option<Box<HeaderValue>>,
) {
    let headers = response.headers_mut();
    head_rules::leave(connection, headers, request_id.map(|id| *id));
    if connection.life.phase() != Phase::Serving {
        headers::close_after(headers, version);
    }
}
