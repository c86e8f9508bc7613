//! The filter `CORS` of a rule: what proxies answer to pages of other origins.

use weft_config::model::route::{AllowedOrigin, Cors, Listed};
use weft_proto::pb::envoy::extensions::filters::http::cors::v3 as cors;
use weft_proto::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use weft_proto::pb::envoy::r#type::matcher::v3 as matcher;
use weft_proto::pb::google::protobuf::Any;

use crate::path::regex;
use crate::wire::{any, bool_value};

/// The name by which connection managers have the filter, and routes say what it does.
const NAME: &str = "envoy.filters.http.cors";

/// How long an answer may be remembered when the rule does not say (GEP-1767).
const MAX_AGE: u32 = 5;

/// The connection manager, with the filter before all others. It does nothing for routes that say
/// nothing of it.
pub(crate) fn with_cors(mut manager: hcm::HttpConnectionManager) -> hcm::HttpConnectionManager {
    let filter = hcm::HttpFilter {
        name: NAME.to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(any(&cors::Cors::default()))),
        ..Default::default()
    };
    manager.http_filters.insert(0, filter);
    manager
}

/// What a route says of the filter, by its name.
pub(crate) fn of_route(said: &Cors) -> (String, Any) {
    let policy = cors::CorsPolicy {
        allow_origin_string_match: said.allow_origins.iter().map(origin).collect(),
        allow_methods: list(&said.allow_methods),
        allow_headers: list(&said.allow_headers),
        expose_headers: list(&said.expose_headers),
        max_age: said.max_age.unwrap_or(MAX_AGE).to_string(),
        allow_credentials: said.allow_credentials.then(|| bool_value(true)),
        ..Default::default()
    };
    (NAME.to_owned(), any(&policy))
}

fn list(names: &Listed) -> String {
    match names {
        Listed::All => "*".to_owned(),
        Listed::Only(names) => names.join(", "),
    }
}

fn origin(origin: &AllowedOrigin) -> matcher::StringMatcher {
    use matcher::string_matcher::MatchPattern;
    let pattern = match origin {
        AllowedOrigin::Any => MatchPattern::SafeRegex(regex(".*")),
        AllowedOrigin::Exact(origin) => MatchPattern::Exact(origin.clone()),
        // Of what a host name and a port are made of, only dots mean something else here.
        AllowedOrigin::Below { scheme, suffix } => {
            MatchPattern::SafeRegex(regex(&format!("{scheme}[^/]+{}", suffix.replace('.', "\\."))))
        }
    };
    matcher::StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}
