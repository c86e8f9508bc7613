//! `envoy.config.route.v3.RouteMatch` and its parts.

use weft_proto::pb::envoy::{config::route::v3 as wire, r#type::matcher::v3 as matcher};
use weft_route::{
    CookieMatch, HeaderKey, HeaderMatch, HeaderValueMatch, PathMatch, QueryMatch, QueryValueMatch,
    RouteMatch, StringMatch, StringRule,
};

use crate::{
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// Reads a route's conditions.
pub(crate) fn route_match(
    message: &wire::RouteMatch,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<RouteMatch> {
    refuse_unmatched(message, at, notes);
    let path = path(message, at, notes);
    let headers = at.each("headers", &message.headers, notes, header);
    let query = at.each("query_parameters", &message.query_parameters, notes, query_parameter);
    let runtime_fraction = message
        .runtime_fraction
        .as_ref()
        .and_then(|share| scalar::fraction(share, &at.field("runtime_fraction"), notes));
    let cookies = at.each("cookies", &message.cookies, notes, cookie);
    let grpc = message.grpc.is_some();
    Some(RouteMatch { path: path?, headers, query, cookies, grpc, runtime_fraction })
}

/// A condition that is not looked at would make the route match too much.
fn refuse_unmatched(message: &wire::RouteMatch, at: &At<'_>, notes: &mut Notes) {
    const SUPPORTED: &str =
        "paths, headers, query_parameters, cookies, grpc and runtime_fraction are";
    for (set, field) in [
        (message.tls_context.is_some(), "tls_context"),
        (!message.dynamic_metadata.is_empty(), "dynamic_metadata"),
        (!message.filter_state.is_empty(), "filter_state"),
    ] {
        if set {
            notes.unsupported::<()>(&at.field(field), format!("matching {field}"), SUPPORTED);
        }
    }
}

fn path(message: &wire::RouteMatch, at: &At<'_>, notes: &mut Notes) -> Option<PathMatch> {
    use wire::route_match::PathSpecifier as Kind;
    const SUPPORTED: &str =
        "prefix, path, path_separated_prefix, safe_regex and connect_matcher are";
    let case_sensitive = scalar::bool_or(message.case_sensitive.as_ref(), true);
    match &message.path_specifier {
        None => notes.refuse(&at.field("path_specifier"), Problem::Missing),
        Some(Kind::Prefix(value)) => {
            Some(PathMatch::Prefix { value: value.as_str().into(), case_sensitive })
        }
        Some(Kind::Path(value)) => {
            Some(PathMatch::Exact { value: value.as_str().into(), case_sensitive })
        }
        Some(Kind::PathSeparatedPrefix(value)) => {
            segments(value, case_sensitive, &at.field("path_separated_prefix"), notes)
        }
        Some(Kind::SafeRegex(regex)) => {
            scalar::pattern(regex, &at.field("safe_regex"), notes).map(PathMatch::Regex)
        }
        Some(Kind::ConnectMatcher(_)) => Some(PathMatch::Connect),
        Some(Kind::PathMatchPolicy(_)) => {
            notes.unsupported(&at.field("path_match_policy"), "an extension", SUPPORTED)
        }
    }
}

fn segments(
    value: &str,
    case_sensitive: bool,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<PathMatch> {
    if value.is_empty() || value.ends_with('/') || value.contains(['?', '#']) {
        return notes.unsupported(
            at,
            format!("the prefix {value:?}"),
            "segments without a query and without a slash at the end are",
        );
    }
    Some(PathMatch::Segments { value: value.into(), case_sensitive })
}

/// Reads the header matches of a field.
pub(crate) fn headers(
    message: &[wire::HeaderMatcher],
    field: &'static str,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Box<[HeaderMatch]>> {
    let read = message.iter().enumerate();
    read.map(|(index, matcher)| header(matcher, &at.item(field, index), notes)).collect()
}

/// Reads a header match, in the current form or one of the deprecated ones.
#[expect(deprecated, reason = "older management servers send these, and Envoy honours them")]
pub(crate) fn header(
    message: &wire::HeaderMatcher,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HeaderMatch> {
    use wire::header_matcher::HeaderMatchSpecifier as Kind;
    let name = match message.name.parse::<HeaderKey>() {
        Ok(name) => Some(name),
        Err(error) => notes.refuse(&at.field("name"), Problem::HeaderKey(error)),
    };
    let literal = |rule| Some(HeaderValueMatch::String(StringMatch::new(rule)));
    let value = match &message.header_match_specifier {
        // Without any the header must be there, whatever its value.
        None => Some(HeaderValueMatch::Present(true)),
        Some(Kind::PresentMatch(present)) => Some(HeaderValueMatch::Present(*present)),
        Some(Kind::StringMatch(message)) => {
            string(message, &at.field("string_match"), notes).map(HeaderValueMatch::String)
        }
        Some(Kind::RangeMatch(range)) if range.start < range.end => {
            Some(HeaderValueMatch::Range { start: range.start, end: range.end })
        }
        Some(Kind::RangeMatch(range)) => {
            let (start, end) = (range.start, range.end);
            notes.refuse(&at.field("range_match"), Problem::EmptyRange { start, end })
        }
        Some(Kind::SafeRegexMatch(regex)) => {
            scalar::pattern(regex, &at.field("safe_regex_match"), notes)
                .and_then(|pattern| literal(StringRule::Regex(pattern)))
        }
        Some(Kind::ExactMatch(text)) => literal(StringRule::Exact(text.as_str().into())),
        Some(Kind::PrefixMatch(text)) => literal(StringRule::Prefix(text.as_str().into())),
        Some(Kind::SuffixMatch(text)) => literal(StringRule::Suffix(text.as_str().into())),
        Some(Kind::ContainsMatch(text)) => literal(StringRule::Contains(text.as_str().into())),
    };
    Some(HeaderMatch {
        name: name?,
        value: value?,
        invert: message.invert_match,
        treat_missing_as_empty: message.treat_missing_header_as_empty,
    })
}

pub(crate) fn query_parameter(
    message: &wire::QueryParameterMatcher,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<QueryMatch> {
    use wire::query_parameter_matcher::QueryParameterMatchSpecifier as Kind;
    if message.name.is_empty() {
        notes.refuse::<()>(&at.field("name"), Problem::Missing);
    }
    let value = match &message.query_parameter_match_specifier {
        None => Some(QueryValueMatch::Present(true)),
        Some(Kind::PresentMatch(present)) => Some(QueryValueMatch::Present(*present)),
        Some(Kind::StringMatch(message)) => {
            string(message, &at.field("string_match"), notes).map(QueryValueMatch::String)
        }
    };
    Some(QueryMatch { name: message.name.as_str().into(), value: value? })
}

fn cookie(message: &wire::CookieMatcher, at: &At<'_>, notes: &mut Notes) -> Option<CookieMatch> {
    if message.name.is_empty() {
        notes.refuse::<()>(&at.field("name"), Problem::Missing);
    }
    let value = match &message.string_match {
        None => notes.refuse(&at.field("string_match"), Problem::Missing),
        Some(message) => string(message, &at.field("string_match"), notes),
    };
    let name = message.name.as_str().into();
    Some(CookieMatch { name, value: value?, invert: message.invert_match })
}

/// Reads a `StringMatcher`.
pub(crate) fn string(
    message: &matcher::StringMatcher,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<StringMatch> {
    use matcher::string_matcher::MatchPattern as Kind;
    let rule = match &message.match_pattern {
        None => notes.refuse(&at.field("match_pattern"), Problem::Missing),
        Some(Kind::Exact(text)) => Some(StringRule::Exact(text.as_str().into())),
        Some(Kind::Prefix(text)) => Some(StringRule::Prefix(text.as_str().into())),
        Some(Kind::Suffix(text)) => Some(StringRule::Suffix(text.as_str().into())),
        Some(Kind::Contains(text)) => Some(StringRule::Contains(text.as_str().into())),
        Some(Kind::SafeRegex(regex)) => {
            scalar::pattern(regex, &at.field("safe_regex"), notes).map(StringRule::Regex)
        }
        Some(Kind::Custom(_)) => notes.unsupported(
            &at.field("custom"),
            "an extension",
            "exact, prefix, suffix, contains and safe_regex are",
        ),
    };
    Some(StringMatch { rule: rule?, ignore_case: message.ignore_case })
}
