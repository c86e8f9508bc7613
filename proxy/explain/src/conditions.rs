//! What a rule asks of requests, in words.

use weft_route::{
    HeaderKey, HeaderMatch, HeaderValueMatch, PathMatch, QueryMatch, QueryValueMatch, RequestView,
    RouteMatch, StringMatch, StringRule,
};

/// Everything that a rule asks.
pub fn texts(rule: &RouteMatch) -> Vec<String> {
    let mut texts = vec![path(&rule.path)];
    texts.extend(rule.headers.iter().map(header));
    texts.extend(rule.query.iter().map(query));
    if rule.grpc {
        texts.push("it is a gRPC call (content-type application/grpc)".to_owned());
    }
    texts
}

/// What of it a request does not have.
pub(crate) fn failures(rule: &RouteMatch, request: &RequestView<'_>) -> Vec<String> {
    let has = |what: String, found: &str| format!("asks that {what}; the request has {found}");
    // Each condition is tried alone, by the code that decides.
    let only = |path: PathMatch| RouteMatch::path(path);
    let mut failures = Vec::new();
    if !only(rule.path.clone()).matches(request) {
        let found = request.path_and_query.split('?').next().unwrap_or_default();
        failures.push(has(path(&rule.path), found));
    }
    for each in rule.headers.iter().filter(|each| !each.matches(request)) {
        let found = match &each.name {
            HeaderKey::Method => request.method.to_owned(),
            HeaderKey::Authority => request.authority.to_owned(),
            HeaderKey::Path => request.path_and_query.to_owned(),
            HeaderKey::Scheme => request.scheme.to_owned(),
            HeaderKey::Field(name) => {
                let lines = request.headers.get_all(name).iter();
                let lines: Vec<_> =
                    lines.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
                if lines.is_empty() { "none".to_owned() } else { lines.join(", ") }
            }
        };
        failures.push(has(header(each), &found));
    }
    let given = request.path_and_query.split_once('?').map_or("", |(_, query)| query);
    for each in rule.query.iter().filter(|each| !each.matches(given)) {
        let found = weft_route::first_query_value(given, &each.name);
        failures.push(has(query(each), found.unwrap_or("none")));
    }
    if rule.grpc {
        let plain = RouteMatch { grpc: true, ..only(PathMatch::prefix("")) };
        if !plain.matches(request) {
            failures.push(has("it is a gRPC call".to_owned(), "another content-type"));
        }
    }
    failures
}

fn path(path: &PathMatch) -> String {
    match path {
        PathMatch::Prefix { value, .. } => format!("the path begins with {value}"),
        PathMatch::Exact { value, .. } => format!("the path is {value}"),
        PathMatch::Segments { value, .. } => format!("the path is {value} or below it"),
        PathMatch::Regex(pattern) => format!("the path matches {}", pattern.as_str()),
        PathMatch::Connect => "the method is CONNECT".to_owned(),
    }
}

fn header(header: &HeaderMatch) -> String {
    let not = if header.invert { "not: " } else { "" };
    let name = match &header.name {
        HeaderKey::Method => "the method".to_owned(),
        HeaderKey::Path => "the path with its query".to_owned(),
        HeaderKey::Authority => "the host".to_owned(),
        HeaderKey::Scheme => "the scheme".to_owned(),
        HeaderKey::Field(name) => format!("the header {name}"),
    };
    match &header.value {
        HeaderValueMatch::String(value) => format!("{not}{name} {}", string(value)),
        HeaderValueMatch::Range { start, end } => {
            format!("{not}{name} is a number from {start} and below {end}")
        }
        HeaderValueMatch::Present(true) => format!("{not}{name} is there"),
        HeaderValueMatch::Present(false) => format!("{not}{name} is not there"),
    }
}

fn query(query: &QueryMatch) -> String {
    let name = &query.name;
    match &query.value {
        QueryValueMatch::Present(true) => format!("the query parameter {name} is there"),
        QueryValueMatch::Present(false) => format!("the query parameter {name} is not there"),
        QueryValueMatch::String(value) => format!("the query parameter {name} {}", string(value)),
    }
}

fn string(value: &StringMatch) -> String {
    match &value.rule {
        StringRule::Exact(text) => format!("is {text}"),
        StringRule::Prefix(text) => format!("begins with {text}"),
        StringRule::Suffix(text) => format!("ends with {text}"),
        StringRule::Contains(text) => format!("contains {text}"),
        StringRule::Regex(pattern) => format!("matches {}", pattern.as_str()),
    }
}
