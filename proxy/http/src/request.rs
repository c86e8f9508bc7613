//! One request, from its head to the head of its response.
//!
//! What can be decided at once is decided before anything is awaited, so that the future of a
//! request holds only what it still needs while it waits: futures are moved, and with h2 once for
//! each request.

use std::rc::Rc;

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{HOST, LOCATION},
    request::Parts,
};
use weft_compile::{Action, RouteEntry, Tables};
use weft_format::View;
use weft_route::{Outcome, RequestView};

use crate::{
    body::Body,
    downstream::{Caller, Connection, RequestBody},
    facts,
    fault::Fault,
    forward::{Choice, Journey},
    head_rules::{self, Origin, Turned},
    headers, local_reply,
    mutation::{self, Side},
    phase::Phase,
    record::Record,
    redirect, rewrite,
    tunnel::Wanted,
};

/// What formats say of an answer that the route itself gives, as Envoy says it.
const DIRECT: &str = "direct_response";

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
    let mut decided = decide(&connection, request, caller, &mut request_id);
    async move {
        let outcome = match &mut decided {
            Decision::Forward(journey) => Some(journey.travel(&connection).await),
            Decision::Answer(_) => None,
        };
        let mut response = match (decided, outcome) {
            (Decision::Forward(journey), Some(outcome)) => journey.end(&connection, outcome),
            (Decision::Answer(response), _) => response,
            (Decision::Forward(_), None) => local_reply::fault(Fault::NoRoute, false),
        };
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
}

/// Match, then act.
fn decide(
    connection: &Rc<Connection>,
    request: Request<RequestBody>,
    caller: Caller,
    request_id: &mut Option<HeaderValue>,
) -> Decision {
    let record = Record::begin(&connection.chain, &connection.worker);
    let is_grpc = local_reply::is_grpc(request.headers());
    let answer = |response: Response<Body>| {
        record.responded(response.status());
        Decision::Answer(response)
    };
    let fault = |fault| answer(local_reply::fault(fault, is_grpc));
    let (mut parts, body) = request.into_parts();
    if let Err(why) = Head::read(&parts) {
        return fault(why);
    }
    // Read while it is there: what asks for an upgrade concerns this hop alone.
    let wanted = Wanted::of(&parts);
    let origin = match head_rules::enter(connection, &mut parts) {
        Ok(origin) => origin,
        Err(Turned::Away(why)) => return fault(why),
        Err(Turned::To(status, location)) => {
            let headers = HeaderMap::from_iter([(LOCATION, location)]);
            return answer(local_reply::redirect(status, is_grpc, headers));
        }
    };
    *request_id = head_rules::returned_id(&connection.chain.heads, &parts.headers);
    let head = match Head::read(&parts) {
        Ok(head) => head,
        Err(why) => return fault(why),
    };
    let scheme = origin.scheme;
    let random = connection.worker.random_u64();
    // Everything about this request is decided by these tables, whatever is published meanwhile.
    let tables = connection.worker.tables();
    let entry = match find_route(connection, &tables, &head, &parts, (&origin, random)) {
        Found::Route(entry) => entry,
        Found::Nothing => {
            connection.chain.stats.no_route.inc();
            return fault(Fault::NoRoute);
        }
        Found::NeedsTls => {
            connection.chain.stats.rq_redirect.inc();
            return match redirect::to_https(head.authority, head.path_and_query) {
                Some(location) => {
                    let headers = HeaderMap::from_iter([(LOCATION, location)]);
                    answer(local_reply::redirect(StatusCode::MOVED_PERMANENTLY, is_grpc, headers))
                }
                None => fault(Fault::BadRequest("host is not a header value")),
            };
        }
    };
    let Ok(tunnel) = wanted.allowed(&connection.chain, entry) else {
        // The client may take what it sends next for another protocol.
        let mut refusal = local_reply::fault(Fault::UpgradeRefused, is_grpc);
        headers::close_after(refusal.headers_mut(), parts.version);
        return answer(refusal);
    };
    let with_changes = |status: StatusCode, said: (&str, &str), mut headers: HeaderMap| {
        let request = weft_format::Request {
            method: parts.method.as_str(),
            path: head.path_and_query,
            authority: head.authority.as_bytes(),
            scheme,
            headers: &parts.headers,
        };
        let began = record.began();
        let view = facts::view(connection, &origin, &entry.names, began, parts.version, request);
        let (details, flags) = said;
        let view = View { status: Some(status.as_u16()), details: Some(details), flags, ..view };
        mutation::apply(&entry.response_headers, &mut headers, Side::Response, &view);
        headers
    };
    match &entry.action {
        Action::Direct(direct) => {
            connection.chain.stats.rq_direct_response.inc();
            let headers = with_changes(direct.status, (DIRECT, ""), HeaderMap::new());
            answer(local_reply::direct(direct.status, direct.body.clone(), is_grpc, headers))
        }
        Action::Redirect(to) => {
            connection.chain.stats.rq_redirect.inc();
            let location = redirect::location(to, scheme, head.authority, head.path_and_query);
            let Some(location) = location else {
                return fault(Fault::BadRequest("redirect target is not a header value"));
            };
            let headers = HeaderMap::from_iter([(LOCATION, location)]);
            let headers = with_changes(to.status, (DIRECT, ""), headers);
            answer(local_reply::redirect(to.status, is_grpc, headers))
        }
        Action::Nowhere => {
            connection.chain.stats.no_cluster.inc();
            fault(Fault::NoCluster(StatusCode::SERVICE_UNAVAILABLE))
        }
        Action::Forward(to) => {
            let (id, weighted) = to.target.choose(&tables, &parts.headers, random);
            let Some(cluster) = id.and_then(|id| tables.cluster(id)) else {
                connection.chain.stats.no_cluster.inc();
                let fault = Fault::NoCluster(to.cluster_not_found);
                let said = (fault.details(), fault.flags());
                let headers = with_changes(fault.status(), said, HeaderMap::new());
                return answer(local_reply::fault_with(fault, is_grpc, headers));
            };
            let path = match rewrite::path(&to.path, head.path_and_query) {
                Ok(path) => path,
                Err(why) => return fault(why),
            };
            let Some(asked) = rewrite::asked(&parts) else { return fault(Fault::BadRequest("")) };
            let choice = Choice { entry, to, cluster, weighted, tunnel, random, origin, is_grpc };
            let target = (asked, path);
            Decision::Forward(Journey::begin(
                connection,
                choice,
                target,
                parts,
                (body, caller),
                record,
            ))
        }
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
    fn read(parts: &'a Parts) -> Result<Self, Fault> {
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
    Route(&'t RouteEntry),
    NeedsTls,
    Nothing,
}

fn find_route<'t>(
    connection: &'t Connection,
    tables: &'t Tables,
    head: &Head<'_>,
    parts: &Parts,
    (origin, random): (&Origin, u64),
) -> Found<'t> {
    let Some(routes) = tables.routes_of(&connection.chain) else { return Found::Nothing };
    let view = RequestView {
        authority: head.authority,
        path_and_query: head.path_and_query,
        method: parts.method.as_str(),
        scheme: origin.scheme,
        is_internal: origin.is_internal,
        headers: &parts.headers,
        random,
    };
    match routes.table.find(&view) {
        Outcome::Matched { route, .. } => Found::Route(&route.action),
        Outcome::NeedsTls(_) => Found::NeedsTls,
        Outcome::NoHost | Outcome::NoRoute(_) => Found::Nothing,
    }
}
