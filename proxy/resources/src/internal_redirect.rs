//! `InternalRedirectPolicy`: redirects of the upstream that are followed here.

use http::{HeaderName, StatusCode};
use weft_proto::pb::envoy::{
    config::{core::v3::TypedExtensionConfig, route::v3 as wire},
    extensions::internal_redirect::{
        allow_listed_routes::v3::AllowListedRoutesConfig,
        previous_routes::v3::PreviousRoutesConfig, safe_cross_scheme::v3::SafeCrossSchemeConfig,
    },
};

use crate::{
    cluster::optional,
    extension, headers,
    path::At,
    problem::{Notes, Problem},
};

/// Statuses that can be followed.
const FOLLOWED: [u16; 5] = [301, 302, 303, 307, 308];

/// When a redirect of the upstream is followed instead of being passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalRedirect {
    /// `redirect_response_codes` (302 unless set).
    pub statuses: Box<[StatusCode]>,
    /// `max_internal_redirects` for one request (1 unless set).
    pub at_most: u32,
    /// `allow_cross_scheme_redirect`: from http to https and back.
    pub may_cross_scheme: bool,
    /// Predicate `safe_cross_scheme`: never from http to https.
    pub only_safe_scheme: bool,
    /// Predicate `previous_routes`: never to a route that this request took before.
    pub no_route_twice: bool,
    /// Predicate `allow_listed_routes`: only to routes of these names.
    pub only_routes: Option<Box<[Box<str>]>>,
    /// `response_headers_to_copy` to the next request.
    pub copied: Box<[HeaderName]>,
}

/// Reads what a route does about redirects, in the current form or the deprecated one.
#[expect(deprecated, reason = "older management servers send these, and Envoy honours them")]
pub(crate) fn of_route(
    message: &wire::RouteAction,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<InternalRedirect> {
    use wire::route_action::InternalRedirectAction as Action;
    if let Some(policy) = &message.internal_redirect_policy {
        return Some(read(policy, &at.field("internal_redirect_policy"), notes));
    }
    match Action::try_from(message.internal_redirect_action) {
        Ok(Action::HandleInternalRedirect) => {
            let max_internal_redirects = message.max_internal_redirects;
            let policy =
                wire::InternalRedirectPolicy { max_internal_redirects, ..Default::default() };
            Some(read(&policy, at, notes))
        }
        Ok(Action::PassThroughInternalRedirect) => None,
        Err(_) => {
            let unknown = Problem::UnknownEnum(message.internal_redirect_action);
            notes.refuse(&at.field("internal_redirect_action"), unknown)
        }
    }
}

/// Reads the policy.
fn read(
    message: &wire::InternalRedirectPolicy,
    at: &At<'_>,
    notes: &mut Notes,
) -> InternalRedirect {
    let wanted = |code: &u32| u16::try_from(*code).ok().filter(|code| FOLLOWED.contains(code));
    let mut statuses: Vec<StatusCode> = message
        .redirect_response_codes
        .iter()
        .filter_map(wanted)
        .filter_map(|code| StatusCode::from_u16(code).ok())
        .collect();
    if message.redirect_response_codes.is_empty() {
        statuses.push(StatusCode::FOUND);
    }
    let mut policy = InternalRedirect {
        statuses: statuses.into(),
        at_most: optional(message.max_internal_redirects.as_ref()).unwrap_or(1),
        may_cross_scheme: message.allow_cross_scheme_redirect,
        only_safe_scheme: false,
        no_route_twice: false,
        only_routes: None,
        copied: Box::default(),
    };
    for (index, predicate) in message.predicates.iter().enumerate() {
        read_predicate(predicate, &mut policy, &at.item("predicates", index), notes);
    }
    let names = &message.response_headers_to_copy;
    policy.copied = at.each("response_headers_to_copy", names, notes, |name, at, notes| {
        headers::modifiable(name, at, notes)
    });
    policy
}

fn read_predicate(
    message: &TypedExtensionConfig,
    policy: &mut InternalRedirect,
    at: &At<'_>,
    notes: &mut Notes,
) {
    let at = at.field("typed_config");
    let Some(any) = &message.typed_config else {
        notes.refuse::<()>(&at, Problem::Missing);
        return;
    };
    if extension::holds::<PreviousRoutesConfig>(any) {
        policy.no_route_twice = true;
    } else if extension::holds::<SafeCrossSchemeConfig>(any) {
        policy.only_safe_scheme = true;
    } else if extension::holds::<AllowListedRoutesConfig>(any) {
        let Some(config) = extension::unpack::<AllowListedRoutesConfig>(any, &at, notes) else {
            return;
        };
        let names = config.allowed_route_names.iter();
        policy.only_routes = Some(names.map(|name| name.as_str().into()).collect());
    } else {
        notes.refuse::<()>(&at, Problem::UnknownType(extension::type_name(any).to_owned()));
    }
}
