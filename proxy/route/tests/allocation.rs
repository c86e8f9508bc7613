//! Matching does not allocate.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use http::{HeaderMap, HeaderValue};
use weft_route::{
    HeaderMatch, HeaderValueMatch, MatchOptions, Outcome, PathMatch, Pattern, QueryMatch,
    QueryValueMatch, RequestView, RouteMatch, RouteSpec, RouteTable, StringMatch, StringRule,
    TlsRequirement, VirtualHostSpec,
};

fn route(path: PathMatch, action: u32) -> RouteSpec<u32> {
    RouteSpec { name: None, matcher: RouteMatch::path(path), action }
}

/// Every way of matching at once.
fn routes(count: u32) -> Vec<RouteSpec<u32>> {
    let regex = |pattern: &str| Pattern::new(pattern).unwrap();
    let string = |rule| HeaderValueMatch::String(StringMatch { rule, ignore_case: true });
    let mut routes: Vec<_> =
        (1..count).map(|n| route(PathMatch::prefix(&format!("/service{n}/")), n)).collect();
    routes.push(route(PathMatch::Regex(regex("/items/[^/]+/parts/.*")), 1));
    routes.push(route(PathMatch::segments("/api"), 2));
    routes.push(route(PathMatch::Exact { value: "/Login".into(), case_sensitive: false }, 3));
    let mut last = route(PathMatch::prefix("/"), 4);
    let headers = [
        ("x-user", string(StringRule::Contains("b".into()))),
        ("x-many", string(StringRule::Regex(regex("b+")))),
    ];
    last.matcher.headers.extend(headers.map(|(name, value)| HeaderMatch {
        name: name.parse().unwrap(),
        value,
        invert: false,
        treat_missing_as_empty: false,
    }));
    last.matcher
        .query
        .push(QueryMatch { name: "debug".into(), value: QueryValueMatch::Present(true) });
    routes.push(last);
    routes
}

fn table(hosts: u32, routes_each: u32) -> RouteTable<u32> {
    let vhosts = (0..hosts).map(|n| VirtualHostSpec {
        name: format!("host{n}"),
        domains: vec![format!("host{n}.example"), format!("*.host{n}.example"), format!("h{n}.*")],
        require_tls: TlsRequirement::None,
        routes: routes(routes_each),
    });
    RouteTable::compile(
        vhosts.collect(),
        MatchOptions { ignore_port_in_host_matching: true, ..MatchOptions::default() },
    )
    .unwrap()
}

#[test]
fn matches_do_not_allocate() {
    let mut headers = HeaderMap::new();
    headers.insert("x-user", HeaderValue::from_static("ABC"));
    headers.append("x-many", HeaderValue::from_static("a"));
    headers.append("x-many", HeaderValue::from_static("b"));
    for (hosts, routes_each) in [(1, 1), (100, 5), (10, 300)] {
        let table = table(hosts, routes_each);
        let find = |authority, path_and_query| {
            let request = RequestView {
                authority,
                path_and_query,
                method: "GET",
                scheme: "http",
                is_internal: false,
                headers: &headers,
                random: 7,
            };
            match table.find(&request) {
                Outcome::Matched { route, .. } => Some(route.action),
                Outcome::NoRoute(_) | Outcome::NeedsTls(_) | Outcome::NoHost => None,
            }
        };
        let allocations = allocation_counter::measure(|| {
            for authority in ["host0.example", "HOST0.example:80", "a.host0.example", "h0.x"] {
                assert_eq!(find(authority, "/items/7/parts/a?b"), Some(1));
                assert_eq!(find(authority, "/api/v1"), Some(2));
                assert_eq!(find(authority, "/LOGIN"), Some(3));
                assert_eq!(find(authority, "/other?debug"), Some(4));
                assert_eq!(find(authority, "/other"), None);
            }
            assert_eq!(find("elsewhere", "/"), None);
        });
        assert_eq!(allocations.count_total, 0);
    }
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 64])));
    assert_eq!(counted.count_total, 1, "allocations are counted");
}
