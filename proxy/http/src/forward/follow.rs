//! Redirects of the upstream that are followed here (`internal_redirect_policy`).
//!
//! A request is sent again as it was sent: with what its first route made of its head. Its body must
//! have come as a whole and be no longer than what is kept of it; a 303 (See Other) asks for a GET
//! without one.

use std::sync::Arc;

use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, TRAILER},
    request::Parts,
};
use weft_compile::{Forward, InternalRedirect, RouteEntry, RouteNames};
use weft_telemetry::Counter;

use super::{Arrival, Journey};
use crate::{
    downstream::{Caller, RequestBody},
    head_rules::Origin,
    record::Record,
};

const X_ENVOY_ORIGINAL_URL: HeaderName = HeaderName::from_static("x-envoy-original-url");

/// What is remembered of a request that may be redirected.
#[derive(Debug)]
pub(crate) struct Trail {
    policy: Arc<InternalRedirect>,
    origin: Origin,
    route: Arc<RouteNames>,
    has_body: bool,
    followed: u32,
    /// Which route has led to which.
    steps: Vec<(Arc<RouteNames>, Arc<RouteNames>)>,
}

impl Trail {
    /// Begins one, or goes on with it, where the route follows redirects.
    pub(super) fn of(
        to: &Forward,
        route: &Arc<RouteNames>,
        origin: Origin,
        is_bodiless: bool,
        before: Option<Box<Self>>,
    ) -> Option<Box<Self>> {
        let policy = Arc::clone(to.internal_redirect.as_ref()?);
        let (followed, steps) = before.map_or((0, Vec::new()), |it| (it.followed, it.steps));
        let route = Arc::clone(route);
        Some(Box::new(Self { policy, origin, route, has_body: !is_bodiless, followed, steps }))
    }

    /// Whether its predicates let a redirect lead to this route.
    fn allows(&self, route: &RouteNames, to: &Origin) -> bool {
        let name = |names: &RouteNames| names.route.clone().unwrap_or_default();
        let target = name(route);
        let policy = &self.policy;
        let was_taken = || {
            let step = (name(&self.route), &target);
            self.steps.iter().any(|(from, to)| name(from) == step.0 && name(to) == *step.1)
        };
        let is_unsafe = self.origin.scheme == "http" && to.scheme == "https";
        let is_forbidden =
            (policy.no_route_twice && was_taken()) || (policy.only_safe_scheme && is_unsafe);
        !is_forbidden && policy.only_routes.as_ref().is_none_or(|routes| routes.contains(&target))
    }
}

impl Journey {
    /// Counts a redirect that is not followed.
    pub(crate) fn stays(&self, why: &Counter) {
        why.inc();
        self.leaf().stats.upstream_internal_redirect_failed_total.inc();
    }

    /// Ends here because its response leads elsewhere: what the next request needs of it.
    pub(crate) fn turned(
        self,
        arrival: Arrival,
        route: &Arc<RouteNames>,
    ) -> (RequestBody, Caller, Record, Option<Box<Trail>>) {
        self.leaf().stats.upstream_internal_redirect_succeeded_total.inc();
        let mut body = RequestBody::None;
        if let Ok((head, exchange)) = arrival {
            self.record.upstream_responded(head.status());
            let has_body = self.trail.as_ref().is_some_and(|trail| trail.has_body);
            if has_body && !becomes_get(&head, &self.outgoing.method) {
                let again = exchange.recover_upload().map(Box::new);
                body = again.map_or(RequestBody::None, RequestBody::Again);
            }
        }
        let trail = self.trail.map(|mut trail| {
            trail.followed += 1;
            let step = (Arc::clone(&trail.route), Arc::clone(route));
            trail.steps.push(step);
            trail
        });
        let caller = Caller { interim: self.interim, spelling: self.outgoing.spelling };
        (body, caller, self.record, trail)
    }
}

/// Whether the policy lets a redirect lead to this route.
pub(crate) fn may_lead_to(journey: &Journey, entry: &RouteEntry, origin: &Origin) -> bool {
    journey.trail.as_ref().is_some_and(|trail| trail.allows(&entry.names, origin))
}

/// The request that a response leads to, and where it comes from; `None` where the response is
/// passed on.
pub(crate) fn next(journey: &Journey, arrival: &Arrival) -> Option<(Parts, Origin)> {
    let trail = journey.trail.as_deref()?;
    let Ok((head, exchange)) = arrival else { return None };
    if !trail.policy.statuses.contains(&head.status()) || exchange.is_tunnel() {
        return None;
    }
    let stats = journey.record.chain_stats();
    let is_whole = !exchange.takes_more();
    let can_go = !trail.has_body
        || is_whole && (exchange.can_start_again() || becomes_get(head, &journey.outgoing.method));
    let Some(location) = head.headers().get(LOCATION).filter(|_| can_go) else {
        journey.leaf().stats.upstream_internal_redirect_failed_total.inc();
        return None;
    };
    let Some((uri, scheme)) = target(location) else {
        journey.stays(&stats.passthrough_internal_redirect_bad_location);
        return None;
    };
    if scheme != trail.origin.scheme && !trail.policy.may_cross_scheme {
        journey.stays(&stats.passthrough_internal_redirect_unsafe_scheme);
        return None;
    }
    if trail.followed >= trail.policy.at_most {
        journey.stays(&stats.passthrough_internal_redirect_too_many_redirects);
        return None;
    }
    let parts = again(journey, trail, head, uri)?;
    Some((parts, Origin { scheme, ..trail.origin }))
}

/// Whether what was asked for by another method is to be asked for by GET.
fn becomes_get(head: &Response<()>, method: &Method) -> bool {
    head.status() == StatusCode::SEE_OTHER && !matches!(*method, Method::GET | Method::HEAD)
}

/// Where a `location` leads, if that is a URL of HTTP.
fn target(location: &HeaderValue) -> Option<(Uri, &'static str)> {
    let uri = Uri::try_from(location.as_bytes()).ok()?;
    uri.authority()?;
    match uri.scheme_str()? {
        "http" => Some((uri, "http")),
        "https" => Some((uri, "https")),
        _ => None,
    }
}

fn again(journey: &Journey, trail: &Trail, head: &Response<()>, uri: Uri) -> Option<Parts> {
    let sent = &journey.outgoing;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = sent.method.clone();
    parts.version = sent.downstream;
    parts.uri = uri;
    parts.headers = sent.headers.clone();
    let fields = &mut parts.headers;
    fields.remove(HOST);
    if becomes_get(head, &sent.method) {
        parts.method = Method::GET;
        for name in [CONTENT_LENGTH, CONTENT_TYPE, TRAILER] {
            fields.remove(name);
        }
    }
    for name in &trail.policy.copied {
        fields.remove(name);
        for value in head.headers().get_all(name) {
            fields.append(name, value.clone());
        }
    }
    let authority = sent.authority.to_value()?;
    let scheme = trail.origin.scheme.as_bytes();
    let url = [scheme, b"://", authority.as_bytes(), sent.path.as_str().as_bytes()].concat();
    fields.insert(X_ENVOY_ORIGINAL_URL, HeaderValue::from_bytes(&url).ok()?);
    Some(parts)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use weft_net::PeerAddress;

    use super::*;

    fn origin(scheme: &'static str) -> Origin {
        let remote = PeerAddress::Ip(SocketAddr::from(([127, 0, 0, 1], 1)));
        Origin { scheme, remote, is_internal: false }
    }

    fn names(route: &str) -> Arc<RouteNames> {
        Arc::new(RouteNames { route: Some(route.into()), virtual_host: "v".into() })
    }

    fn trail(policy: InternalRedirect) -> Trail {
        let (policy, route) = (Arc::new(policy), names("first"));
        let steps = vec![(names("first"), names("second"))];
        Trail { policy, origin: origin("http"), route, has_body: false, followed: 1, steps }
    }

    fn policy() -> InternalRedirect {
        InternalRedirect {
            statuses: Box::new([StatusCode::FOUND]),
            at_most: 3,
            may_cross_scheme: true,
            only_safe_scheme: false,
            no_route_twice: false,
            only_routes: None,
            copied: Box::default(),
        }
    }

    #[test]
    fn predicates_say_where_a_redirect_may_lead() {
        let leads =
            |policy, route: &str, scheme| trail(policy).allows(&names(route), &origin(scheme));
        assert!(leads(policy(), "second", "https"));
        let once = || InternalRedirect { no_route_twice: true, ..policy() };
        assert!(!leads(once(), "second", "http"), "this step was taken before");
        assert!(leads(once(), "third", "http"));
        let listed =
            || InternalRedirect { only_routes: Some(Box::new(["third".into()])), ..policy() };
        assert!(leads(listed(), "third", "http") && !leads(listed(), "second", "http"));
        let safe = || InternalRedirect { only_safe_scheme: true, ..policy() };
        assert!(leads(safe(), "second", "http") && !leads(safe(), "second", "https"));
    }

    #[test]
    fn locations_are_absolute_urls_of_http() {
        let leads = |text: &'static str| target(&HeaderValue::from_static(text)).is_some();
        assert!(leads("http://a/b?c") && leads("https://a:1"));
        for bad in ["/relative", "ftp://a/b", "http:///b", "", "//a/b", "http://a b/"] {
            assert!(!leads(bad), "{bad:?}");
        }
    }
}
