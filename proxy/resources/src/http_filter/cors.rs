//! `CorsPolicy`: which pages may use the answers of a route (Fetch standard, CORS protocol).

use http::HeaderValue;
use weft_proto::pb::{
    envoy::{
        config::{core::v3 as core, route::v3 as route},
        extensions::filters::http::cors::v3 as filter,
        r#type::matcher::v3::StringMatcher,
    },
    google::protobuf::BoolValue,
};
use weft_route::{Fraction, StringMatch};

use crate::{headers, matching, path::At, problem::Notes, scalar};

/// Which pages may use the answers of a route. What is not set is looked for at the next level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsPolicy {
    /// `allow_origin_string_match`: the origins of these pages. One that matches `*` lets all in.
    pub allow_origins: Box<[StringMatch]>,
    /// `allow_methods`; `*` stands for the method that is asked for.
    pub allow_methods: Option<HeaderValue>,
    /// `allow_headers`; `*` stands for the headers that are asked for.
    pub allow_headers: Option<HeaderValue>,
    /// `expose_headers`.
    pub expose_headers: Option<HeaderValue>,
    /// `max_age`, in seconds as text.
    pub max_age: Option<HeaderValue>,
    /// `allow_credentials`.
    pub allow_credentials: Option<bool>,
    /// `allow_private_network_access`.
    pub allow_private_network: Option<bool>,
    /// `forward_not_matching_preflights` (true by default).
    pub forward_not_matching_preflights: Option<bool>,
    /// `filter_enabled`: the share of requests it holds for (all by default).
    pub enabled: Option<Fraction>,
    /// `shadow_enabled`: the share of other requests whose origin is looked at and counted.
    pub shadow_enabled: Option<Fraction>,
}

/// The fields that both messages have.
struct Fields<'m> {
    origins: &'m [StringMatcher],
    methods: &'m str,
    headers: &'m str,
    expose: &'m str,
    max_age: &'m str,
    credentials: Option<&'m BoolValue>,
    private_network: Option<&'m BoolValue>,
    forward: Option<&'m BoolValue>,
    enabled: Option<&'m core::RuntimeFractionalPercent>,
    shadow: Option<&'m core::RuntimeFractionalPercent>,
}

/// The fields of either message, which differ in how they say when the policy holds.
macro_rules! fields {
    ($message:ident, $enabled:expr) => {
        Fields {
            origins: &$message.allow_origin_string_match,
            methods: &$message.allow_methods,
            headers: &$message.allow_headers,
            expose: &$message.expose_headers,
            max_age: &$message.max_age,
            credentials: $message.allow_credentials.as_ref(),
            private_network: $message.allow_private_network_access.as_ref(),
            forward: $message.forward_not_matching_preflights.as_ref(),
            enabled: $enabled,
            shadow: $message.shadow_enabled.as_ref(),
        }
    };
}

/// Reads the settings of the filter.
pub(super) fn of_filter(
    message: &filter::CorsPolicy,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<CorsPolicy> {
    read(&fields!(message, message.filter_enabled.as_ref()), at, notes)
}

/// Reads the older form, which is a field of routes and virtual hosts.
pub(super) fn of_route(
    message: &route::CorsPolicy,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<CorsPolicy> {
    use route::cors_policy::EnabledSpecifier::FilterEnabled;
    let enabled = message.enabled_specifier.as_ref().map(|FilterEnabled(share)| share);
    read(&fields!(message, enabled), at, notes)
}

fn read(fields: &Fields<'_>, at: &At<'_>, notes: &mut Notes) -> Option<CorsPolicy> {
    let origins = fields.origins.iter().enumerate().map(|(index, matcher)| {
        matching::string(matcher, &at.item("allow_origin_string_match", index), notes)
    });
    let allow_origins: Vec<_> = origins.collect();
    let allow_origins: Option<Box<[_]>> = allow_origins.into_iter().collect();
    let share = |share: Option<&core::RuntimeFractionalPercent>, field, notes: &mut Notes| {
        share.and_then(|share| scalar::fraction(share, &at.field(field), notes))
    };
    let is = |value: Option<&BoolValue>| value.map(|value| value.value);
    Some(CorsPolicy {
        allow_methods: text(fields.methods, &at.field("allow_methods"), notes),
        allow_headers: text(fields.headers, &at.field("allow_headers"), notes),
        expose_headers: text(fields.expose, &at.field("expose_headers"), notes),
        max_age: text(fields.max_age, &at.field("max_age"), notes),
        allow_credentials: is(fields.credentials),
        allow_private_network: is(fields.private_network),
        forward_not_matching_preflights: is(fields.forward),
        enabled: share(fields.enabled, "filter_enabled", notes),
        shadow_enabled: share(fields.shadow, "shadow_enabled", notes),
        allow_origins: allow_origins?,
    })
}

/// Reads a value; an empty one is none.
fn text(value: &str, at: &At<'_>, notes: &mut Notes) -> Option<HeaderValue> {
    if value.is_empty() { None } else { headers::header_value(value.as_bytes(), at, notes) }
}
