//! Sessions that keep to their endpoints, by a filter of the proxies of callers.

use weft_config::model::stickiness::{SessionKeeper, Stickiness};
use weft_proto::pb::envoy::config::core::v3::TypedExtensionConfig;
use weft_proto::pb::envoy::extensions::filters::http::stateful_session::v3 as session;
use weft_proto::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use weft_proto::pb::envoy::extensions::http::stateful_session::cookie::v3::CookieBasedSessionState;
use weft_proto::pb::envoy::extensions::http::stateful_session::header::v3::HeaderBasedSessionState;
use weft_proto::pb::envoy::r#type::http::v3::Cookie;
use weft_proto::pb::google::protobuf::Any;

use crate::wire::{any, duration};

/// The name by which connection managers have the filter, and routes say what it does.
const NAME: &str = "envoy.filters.http.stateful_session";

/// Puts the filter before the router of a connection manager. It does nothing for routes that say
/// nothing of it.
pub(crate) fn with_sessions(manager: &mut hcm::HttpConnectionManager) {
    let filter = hcm::HttpFilter {
        name: NAME.to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(any(
            &session::StatefulSession::default(),
        ))),
        ..Default::default()
    };
    manager.http_filters.insert(manager.http_filters.len().saturating_sub(1), filter);
}

/// What a route says of the filter, by its name.
pub(crate) fn of_route(said: &Stickiness) -> (String, Any) {
    let state = match &said.by {
        SessionKeeper::Cookie(cookie) => TypedExtensionConfig {
            name: "envoy.http.stateful_session.cookie".to_owned(),
            typed_config: Some(any(&CookieBasedSessionState {
                cookie: Some(Cookie {
                    name: cookie.name.clone(),
                    ttl: cookie.ttl.map(duration),
                    // Without a path browsers would keep it for the folder of the request alone.
                    path: cookie.path.clone().unwrap_or_else(|| "/".to_owned()),
                    ..Default::default()
                }),
            })),
        },
        SessionKeeper::Header(name) => TypedExtensionConfig {
            name: "envoy.http.stateful_session.header".to_owned(),
            typed_config: Some(any(&HeaderBasedSessionState { name: name.clone() })),
        },
    };
    let rules = session::StatefulSession {
        session_state: Some(state),
        strict: said.strict,
        ..Default::default()
    };
    let rules = session::stateful_session_per_route::Override::StatefulSession(rules);
    (NAME.to_owned(), any(&session::StatefulSessionPerRoute { r#override: Some(rules) }))
}
