//! What is decided about a request: where it goes, or what it is answered.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::LOCATION, request::Parts};
use weft_compile::{
    Action, Cluster, Forward, Hashed, Priority, RouteEntry, RouteFilters, RouteNames, Tables,
    request_hash,
};
use weft_format::{Format, Upstream, View};
use weft_route::{HeaderKey, Outcome};

use super::{Decision, Head, Memory, head};
use crate::{
    body::Body,
    downstream::Connection,
    facts,
    fault::Fault,
    filters::Place,
    forward::Choice,
    head_rules::Origin,
    headers,
    local_reply::{self, Answer},
    mirror,
    mutation::{self, Side},
    record::Record,
    redirect, reply_form, rewrite,
    tunnel::Wanted,
};

/// A request about which something is decided.
pub(super) struct Asking<'c, 'p> {
    pub(super) connection: &'c Connection,
    pub(super) parts: &'p Parts,
    pub(super) origin: Origin,
    pub(super) random: u64,
    pub(super) began: Instant,
    /// What chooses among the weights of its route, where that was decided before.
    pub(super) number: Option<u64>,
    /// Whether faults are told the gRPC way.
    pub(super) is_grpc: bool,
}

impl<'c, 'p> Asking<'c, 'p> {
    pub(super) fn about(
        connection: &'c Connection,
        parts: &'p Parts,
        origin: Origin,
        random: u64,
        began: Instant,
    ) -> Self {
        let is_grpc = local_reply::is_grpc(&parts.headers);
        Self { connection, parts, origin, random, began, number: None, is_grpc }
    }

    /// Where the request goes that belongs there, or what is answered.
    pub(super) fn plan<'t>(
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
        let (number, cookie) = self.number_among(to, &head);
        let number = self.number.unwrap_or(number);
        let (id, weighted) = to.target.choose(tables, &self.parts.headers, number);
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
        let mirrors =
            mirror::chosen(to, tables, &self.parts.headers, || self.connection.worker.random_u64());
        let (is_grpc, trail, keeps_facts, wish) = (self.is_grpc, None, false, None);
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
            mirrors,
            wish,
            cookie,
        })
    }

    /// What chooses among the weights of the route that a request belongs to.
    pub(super) fn number(&self, place: &Place) -> u64 {
        match (place.found(), Head::read(self.parts)) {
            (Found::Route(entry), Ok(head)) => match &entry.action {
                Action::Forward(to) => self.number_among(to, &head).0,
                _ => self.random,
            },
            _ => self.random,
        }
    }

    /// The same: chance, or the hash of the request where the route says so. Then its client may be
    /// given a cookie, so that its next request has the same hash.
    fn number_among(&self, to: &Forward, head: &Head<'_>) -> (u64, Option<HeaderValue>) {
        if !to.target.is_by_hash() {
            return (self.random, None);
        }
        let request = Hashed {
            method: self.parts.method.as_str(),
            scheme: self.origin.scheme,
            authority: head.authority.as_bytes(),
            path: head.path_and_query,
            fields: &self.parts.headers,
            remote: self.origin.remote.ip(),
            local: self.connection.local,
        };
        let (hash, cookie) = request_hash(&to.hash_policy, request);
        (hash.unwrap_or(self.random), cookie)
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
    pub(super) fn of_route(
        &self,
        entry: &RouteEntry,
        head: &Head<'_>,
        mut answer: Answer,
    ) -> Box<Answer> {
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
        let request = head.request(self.parts, self.origin.scheme);
        let version = self.parts.version;
        facts::view(self.connection, &self.origin, names, self.began, version, request)
    }

    /// Answers in the form that is configured.
    pub(super) fn answer(
        &self,
        mut answer: Answer,
        record: &Record,
        passage: &mut Memory,
    ) -> Decision {
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
    pub(super) fn pass_back(
        &self,
        response: &mut Response<Body>,
        (details, flags): (&str, &str),
        passage: &mut Memory,
    ) {
        let Some(passage) = passage else { return };
        let head = Head::read(self.parts).unwrap_or(Head { authority: "", path_and_query: "" });
        let status = Some(response.status().as_u16());
        let view = View { status, details: Some(details), flags, ..self.view(None, &head) };
        passage.back(&self.connection.chain, response, &view);
    }

    /// What the route says to filters, and the cluster of its weights that will be chosen.
    pub(super) fn said_to_filters(&self, tables: &Tables, place: &Place) -> RouteFilters {
        let Found::Route(entry) = place.found() else { return RouteFilters::default() };
        let weighted = match &entry.action {
            Action::Forward(to) => {
                let number = self.number.unwrap_or(self.random);
                to.target.choose(tables, &self.parts.headers, number).1
            }
            _ => None,
        };
        weighted.map_or(&entry.filters, |weighted| &weighted.filters).clone()
    }

    /// Where the request belongs.
    pub(super) fn place(&self, tables: &'c Tables) -> Place {
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
    pub(super) fn find(&self, tables: &'c Tables) -> Result<Found<'c>, Box<Answer>> {
        let head = Head::read(self.parts).map_err(fault)?;
        let said = |name: &HeaderKey| head::said(self.parts, name);
        let Some(routes) = tables.routes_of(&self.connection.chain, said) else {
            return Ok(Found::Nothing);
        };
        let view = head.matched(self.parts, &self.origin, self.random);
        Ok(match routes.table.find(&view) {
            Outcome::Matched { route, .. } => Found::Route(&route.action),
            Outcome::NeedsTls(_) => Found::NeedsTls,
            Outcome::NoHost | Outcome::NoRoute(_) => Found::Nothing,
        })
    }
}

pub(super) fn fault(fault: Fault) -> Box<Answer> {
    Box::new(Answer::fault(fault))
}

pub(super) fn redirected(status: StatusCode, location: HeaderValue) -> Box<Answer> {
    let headers = HeaderMap::from_iter([(LOCATION, location)]);
    Box::new(Answer::direct(status, Bytes::new(), headers))
}

impl<'c> Asking<'c, '_> {
    /// How important its route says that it is.
    pub(super) fn priority(&self, tables: &'c Tables) -> Priority {
        match self.find(tables) {
            Ok(Found::Route(entry)) => entry.priority(),
            Ok(Found::NeedsTls | Found::Nothing) | Err(_) => Priority::Default,
        }
    }
}

/// What the routes say of a request.
#[derive(Clone, Copy)]
pub(super) enum Found<'t> {
    Route(&'t Arc<RouteEntry>),
    NeedsTls,
    Nothing,
}

impl Place {
    pub(super) fn found(&self) -> Found<'_> {
        match self {
            Self::Route(entry) => Found::Route(entry),
            Self::NeedsTls => Found::NeedsTls,
            Self::Nowhere => Found::Nothing,
        }
    }
}
