//! `cors`: tells browsers which pages may use an answer, and answers what they ask beforehand (Fetch
//! standard §3.3, CORS protocol).

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
        ORIGIN,
    },
};
use smallvec::SmallVec;
use weft_compile::{CorsPolicy, FilterSettings, RouteFilter, RouteFilters};
use weft_telemetry::HttpStats;

use super::{Coming, levels};

const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const ANY: &[u8] = b"*";

/// The policies of a route, the most specific one first.
pub(super) type Policies<'a> = SmallVec<[&'a CorsPolicy; 4]>;

/// The policies that the filter is told; without any, those that are fields of the route.
pub(super) fn policies<'a>(said: &'a RouteFilters, own: Option<&'a RouteFilter>) -> Policies<'a> {
    let told = levels(own).rev().filter_map(|settings| match settings {
        FilterSettings::Cors(policy) => Some(policy),
        _ => None,
    });
    let told: Policies<'a> = told.collect();
    if told.is_empty() { said.cors().iter().map(|policy| &**policy).collect() } else { told }
}

/// What is remembered of a page's request that may be answered to it.
#[derive(Debug)]
pub(super) struct Cors {
    /// `None` where its origin is not allowed.
    allowed: Option<Allowed>,
}

#[derive(Debug)]
struct Allowed {
    origin: HeaderValue,
    credentials: bool,
    expose: Option<HeaderValue>,
}

/// What a request asks as far as the policies go.
pub(super) enum Asked {
    /// It comes from no page, or they do not hold for it.
    Nothing,
    /// It comes from a page.
    Page(Cors),
    /// A browser asks whether it may send another one; the answer.
    Preflight(Cors, Response<()>),
}

/// Looks at a request.
pub(super) fn ask(policies: &[&CorsPolicy], coming: &Coming, stats: &HttpStats) -> Asked {
    let Some(first) = policies.first() else { return Asked::Nothing };
    let enabled = first.enabled.is_none_or(|share| share.includes(coming.random));
    let looks = enabled || first.shadow_enabled.is_some_and(|it| it.includes(coming.random));
    let headers = &coming.parts.headers;
    let origin = headers.get(ORIGIN).filter(|origin| looks && !origin.is_empty());
    let Some(origin) = origin else { return Asked::Nothing };
    let is_allowed = is_allowed(policies, origin);
    if is_allowed { &stats.cors_origin_valid } else { &stats.cors_origin_invalid }.inc();
    if !enabled {
        return Asked::Nothing;
    }
    let credentials = first_set(policies, |policy| policy.allow_credentials.as_ref());
    let credentials = credentials.copied().unwrap_or(false);
    let cors = Cors {
        allowed: is_allowed.then(|| Allowed {
            origin: origin.clone(),
            credentials,
            expose: first_set(policies, |policy| policy.expose_headers.as_ref()).cloned(),
        }),
    };
    let method = headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|method| !method.is_empty());
    let method = method.filter(|_| coming.parts.method == Method::OPTIONS);
    let forwards = first_set(policies, |it| it.forward_not_matching_preflights.as_ref());
    match method {
        Some(method) if is_allowed || forwards == Some(&false) => {
            let mut head = Response::new(());
            answer(policies, (method, credentials), headers, is_allowed, head.headers_mut());
            Asked::Preflight(cors, head)
        }
        _ => Asked::Page(cors),
    }
}

/// Whether pages of this origin are let in, by the most specific policy that names any.
fn is_allowed(policies: &[&CorsPolicy], origin: &HeaderValue) -> bool {
    let named = policies.iter().find(|policy| !policy.allow_origins.is_empty());
    named.is_some_and(|policy| {
        let mut origins = policy.allow_origins.iter();
        origins.any(|allowed| allowed.matches(ANY) || allowed.matches(origin.as_bytes()))
    })
}

/// The first of these settings that is there.
fn first_set<'a, T>(
    policies: &[&'a CorsPolicy],
    setting: impl Fn(&'a CorsPolicy) -> Option<&'a T>,
) -> Option<&'a T> {
    policies.iter().find_map(|policy| setting(policy))
}

/// What a browser is told that asks beforehand.
fn answer(
    policies: &[&CorsPolicy],
    (method, credentials): (&HeaderValue, bool),
    asked: &HeaderMap,
    is_allowed: bool,
    told: &mut HeaderMap,
) {
    if let Some(origin) = asked.get(ORIGIN).filter(|_| is_allowed) {
        told.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    if credentials {
        told.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
    }
    // A star stands for what is asked for.
    let or_asked = |value: &HeaderValue, wish: Option<&HeaderValue>| match value.as_bytes() {
        ANY => wish.cloned().unwrap_or_else(|| HeaderValue::from_static("")),
        _ => value.clone(),
    };
    if let Some(methods) = first_set(policies, |it| it.allow_methods.as_ref()) {
        told.insert(ACCESS_CONTROL_ALLOW_METHODS, or_asked(methods, Some(method)));
    }
    if let Some(headers) = first_set(policies, |it| it.allow_headers.as_ref()) {
        let wish = asked.get(ACCESS_CONTROL_REQUEST_HEADERS);
        told.insert(ACCESS_CONTROL_ALLOW_HEADERS, or_asked(headers, wish));
    }
    if let Some(age) = first_set(policies, |it| it.max_age.as_ref()) {
        told.insert(ACCESS_CONTROL_MAX_AGE, age.clone());
    }
    let private = first_set(policies, |it| it.allow_private_network.as_ref()) == Some(&true);
    if private && asked.get(REQUEST_PRIVATE_NETWORK).is_some_and(|it| it.as_bytes() == b"true") {
        told.insert(ALLOW_PRIVATE_NETWORK, TRUE);
    }
}

impl Cors {
    /// Tells the browser that the page may use this answer.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        let Some(allowed) = &self.allowed else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed.origin.clone());
        if allowed.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        if let Some(expose) = &allowed.expose {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }
}
