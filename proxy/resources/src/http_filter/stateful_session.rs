//! `stateful_session`: requests of one session go to one endpoint.

use std::sync::Arc;

use http::{HeaderName, StatusCode};
use prost::Name;
use weft_proto::pb::envoy::extensions::{
    filters::http::stateful_session::v3 as wire,
    http::stateful_session::{
        cookie::v3::CookieBasedSessionState, header::v3::HeaderBasedSessionState,
    },
};

use crate::{
    cookie::{self, Cookie},
    extension, headers,
    path::At,
    problem::{Notes, Problem},
};

/// How a session is known, and what happens when its endpoint is not to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// Who keeps the endpoint.
    pub state: SessionState,
    /// `strict`: the request goes to that endpoint or nowhere.
    pub strict: bool,
    /// `status_on_strict_destination_not_found` (503 by default): what is answered then, where
    /// there is no such endpoint.
    pub when_missing: StatusCode,
}

/// `session_state`: where the endpoint of a session is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// In a cookie.
    Cookie(Cookie),
    /// In this header of responses and requests.
    Header(HeaderName),
}

/// Reads the settings; `None` where they were refused, `Some(None)` where there are no sessions.
#[expect(clippy::option_option, reason = "refused, or without sessions, or with some")]
pub(super) fn read(
    message: &wire::StatefulSession,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Option<Arc<SessionRules>>> {
    let Some(extension) = &message.session_state else { return Some(None) };
    let at_state = at.field("session_state");
    let at_state = at_state.field("typed_config");
    let Some(any) = &extension.typed_config else {
        return notes.refuse(&at_state, Problem::Missing);
    };
    let state = match extension::type_name(any) {
        name if name == CookieBasedSessionState::full_name() => {
            let message = extension::unpack::<CookieBasedSessionState>(any, &at_state, notes)?;
            let at = at_state.field("cookie");
            cookie::read(message.cookie.as_ref(), &at, notes).map(SessionState::Cookie)
        }
        name if name == HeaderBasedSessionState::full_name() => {
            let message = extension::unpack::<HeaderBasedSessionState>(any, &at_state, notes)?;
            headers::header_name(&message.name, &at_state.field("name"), notes)
                .map(SessionState::Header)
        }
        other => notes.refuse(&at_state, Problem::UnknownType(other.to_owned())),
    };
    let when_missing = match message.status_on_strict_destination_not_found {
        0 => StatusCode::SERVICE_UNAVAILABLE,
        code => status(code, &at.field("status_on_strict_destination_not_found"), notes)?,
    };
    Some(Some(Arc::new(SessionRules { state: state?, strict: message.strict, when_missing })))
}

/// Reads what a route says; `None` where it was refused.
#[expect(clippy::option_option, reason = "refused, or without sessions, or with some")]
pub(super) fn of_route(
    message: &wire::StatefulSessionPerRoute,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Option<Arc<SessionRules>>> {
    use wire::stateful_session_per_route::Override;
    match &message.r#override {
        Some(Override::Disabled(_)) => Some(None),
        Some(Override::StatefulSession(rules)) => read(rules, &at.field("stateful_session"), notes),
        None => notes.refuse(&at.field("override"), Problem::Missing),
    }
}

/// A status that a refusal can have.
fn status(code: u32, at: &At<'_>, notes: &mut Notes) -> Option<StatusCode> {
    let known = u16::try_from(code).ok().filter(|code| (200..600).contains(code));
    match known.and_then(|code| StatusCode::from_u16(code).ok()) {
        Some(status) => Some(status),
        None => notes.refuse(at, Problem::Status(code)),
    }
}
