//! The compiled table against the plainest reading of the rules: every domain and every route
//! tried in turn.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use http::{HeaderMap, HeaderValue};
use proptest::{prelude::*, sample::select};
use weft_route::{
    Denominator, Fraction, HeaderMatch, HeaderValueMatch, MatchOptions, Outcome, PathMatch,
    Pattern, QueryMatch, QueryValueMatch, RequestView, RouteMatch, RouteSpec, RouteTable,
    StringMatch, TlsRequirement, VirtualHostSpec,
};

type Vhosts = Vec<VirtualHostSpec<usize>>;

/// Which virtual host, and which of its routes or that it is for https only.
type Answer = Option<(String, Result<Option<usize>, HttpsOnly>)>;

#[derive(Debug, PartialEq)]
struct HttpsOnly;

fn oracle(vhosts: &Vhosts, options: &MatchOptions, request: &RequestView<'_>) -> Answer {
    let mut authority = request.authority.to_lowercase();
    if options.ignore_port_in_host_matching
        && let Some((host, port)) = authority.rsplit_once(':')
        && !port.is_empty()
    {
        authority = host.to_owned();
    }
    // The larger the rank, the better the match.
    let rank = |domain: &str| -> Option<(u8, usize)> {
        let domain = domain.to_lowercase();
        if domain == authority {
            Some((3, 0)).filter(|_| !domain.contains('*'))
        } else if domain == "*" {
            Some((0, 0))
        } else if let Some(suffix) = domain.strip_prefix('*') {
            (authority.ends_with(suffix) && authority.len() > suffix.len())
                .then_some((2, suffix.len()))
        } else {
            let prefix = domain.strip_suffix('*')?;
            (authority.starts_with(prefix) && authority.len() > prefix.len())
                .then_some((1, prefix.len()))
        }
    };
    let (_, vhost) = vhosts
        .iter()
        .flat_map(|vhost| vhost.domains.iter().map(move |domain| (domain, vhost)))
        .filter_map(|(domain, vhost)| Some((rank(domain)?, vhost)))
        .max_by_key(|(rank, _)| *rank)?;
    let https_only = match vhost.require_tls {
        TlsRequirement::None => false,
        TlsRequirement::ExternalOnly => request.scheme == "http" && !request.is_internal,
        TlsRequirement::All => request.scheme == "http",
    };
    if https_only {
        return Some((vhost.name.clone(), Err(HttpsOnly)));
    }
    let route = vhost.routes.iter().find(|route| route.matcher.matches(request));
    Some((vhost.name.clone(), Ok(route.map(|route| route.action))))
}

fn compiled(table: &RouteTable<usize>, request: &RequestView<'_>) -> Answer {
    match table.find(request) {
        Outcome::NoHost => None,
        Outcome::NeedsTls(vhost) => Some((vhost.to_owned(), Err(HttpsOnly))),
        Outcome::NoRoute(vhost) => Some((vhost.to_owned(), Ok(None))),
        Outcome::Matched { vhost, route } => Some((vhost.to_owned(), Ok(Some(route.action)))),
    }
}

const PATTERNS: [&str; 6] = ["/a.*", "/[ab]+", "(?i)/a/?b*", ".*/b", "/a|/a/b", "/\\w+/.*"];

/// Few letters, so that keys share beginnings and requests hit them.
fn path_text() -> impl Strategy<Value = String> {
    "(/[abA]{0,2}){1,3}"
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    let patterns: Vec<Pattern> =
        PATTERNS.iter().map(|pattern| Pattern::new(pattern).unwrap()).collect();
    prop_oneof![
        (path_text(), any::<bool>()).prop_map(|(value, case_sensitive)| PathMatch::Prefix {
            value: value.into(),
            case_sensitive
        }),
        (path_text(), any::<bool>()).prop_map(|(value, case_sensitive)| PathMatch::Exact {
            value: value.into(),
            case_sensitive
        }),
        ("(/[abA]{1,2}){1,3}", any::<bool>()).prop_map(|(value, case_sensitive)| {
            PathMatch::Segments { value: value.into(), case_sensitive }
        }),
        select(patterns).prop_map(PathMatch::Regex),
        Just(PathMatch::Connect),
    ]
}

fn conditions() -> impl Strategy<Value = (Vec<HeaderMatch>, Vec<QueryMatch>, Option<Fraction>)> {
    let value = prop_oneof![
        any::<bool>().prop_map(HeaderValueMatch::Present),
        Just(HeaderValueMatch::Range { start: 0, end: 5 }),
        select(&["1", "a", "a,1"][..])
            .prop_map(|text| HeaderValueMatch::String(StringMatch::exact(text))),
    ];
    let header = (select(&["x-a", "x-b", ":method"][..]), value, any::<bool>(), any::<bool>())
        .prop_map(|(name, value, invert, treat_missing_as_empty)| HeaderMatch {
            name: name.parse().unwrap(),
            value,
            invert,
            treat_missing_as_empty,
        });
    let query = any::<bool>().prop_map(|present| QueryMatch {
        name: "q".into(),
        value: QueryValueMatch::Present(present),
    });
    let fraction = (0u32..=100)
        .prop_map(|numerator| Fraction { numerator, denominator: Denominator::Hundred });
    (
        prop::collection::vec(header, 0..2),
        prop::collection::vec(query, 0..2),
        prop::option::weighted(0.2, fraction),
    )
}

fn routes() -> impl Strategy<Value = Vec<RouteSpec<usize>>> {
    // Both sides of the size at which an index is built, and nesting beyond what it takes.
    prop::collection::vec((path_match(), prop::option::weighted(0.4, conditions())), 0..40)
        .prop_map(|routes| {
            let route = |(action, (path, conditions)): (usize, (PathMatch, Option<_>))| {
                let mut matcher = RouteMatch::path(path);
                if let Some((headers, query, runtime_fraction)) = conditions {
                    matcher = RouteMatch { headers, query, runtime_fraction, ..matcher };
                }
                RouteSpec { name: None, matcher, action }
            };
            routes.into_iter().enumerate().map(route).collect()
        })
}

fn vhosts() -> impl Strategy<Value = Vhosts> {
    let domain =
        prop_oneof!["[abA]{1,2}(\\.[ab]{1,2}){0,2}(:80)?", "\\*[-.ab]{0,3}", "[abA]{1,2}\\.?\\*",];
    let tls = select(vec![TlsRequirement::None, TlsRequirement::ExternalOnly, TlsRequirement::All]);
    let tls = prop_oneof![4 => Just(TlsRequirement::None), 1 => tls];
    let host = (prop::collection::vec(domain, 1..4), routes(), tls);
    prop::collection::vec(host, 1..6).prop_map(|hosts| {
        let mut taken = std::collections::HashSet::new();
        hosts
            .into_iter()
            .enumerate()
            .map(|(n, (mut domains, routes, require_tls))| {
                domains.retain(|domain| taken.insert(domain.to_lowercase()));
                VirtualHostSpec { name: n.to_string(), domains, require_tls, routes }
            })
            .filter(|vhost| !vhost.domains.is_empty())
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn agrees_with_trying_everything(
        vhosts in vhosts(),
        ignore_port_in_host_matching: bool,
        requests in prop::collection::vec(
            ("[abAB]{0,2}(\\.[ab]{1,2}){0,2}(:80)?", path_text(), select(&["", "?q", "?q=1#f", "#f"][..]),
             prop::collection::vec((select(&["x-a", "x-b"][..]), select(&["1", "a"][..])), 0..3), any::<u64>(), any::<(bool, bool)>(), prop::bool::weighted(0.1)),
            20..40,
        ),
    ) {
        let options = MatchOptions { ignore_port_in_host_matching, ..MatchOptions::default() };
        let table = RouteTable::compile(vhosts.clone(), options.clone()).unwrap();
        for (authority, path, query, fields, random, (https, is_internal), is_connect) in requests {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, HeaderValue::from_static(value));
            }
            let request = RequestView {
                authority: &authority,
                path_and_query: &if is_connect { String::new() } else { format!("{path}{query}") },
                method: if is_connect { "CONNECT" } else { "GET" },
                scheme: if https { "https" } else { "http" },
                is_internal,
                headers: &headers,
                random,
            };
            prop_assert_eq!(
                compiled(&table, &request), oracle(&vhosts, &options, &request), "{:?}", request
            );
        }
    }

    /// Any text is matched without a panic, also where the index is at work.
    #[test]
    fn any_request_has_an_answer(authority: String, path_and_query: String, method: String) {
        let routes = (0..20).map(|action| RouteSpec {
            name: None,
            matcher: RouteMatch::path(PathMatch::prefix(&"/é".repeat(action))),
            action,
        });
        let vhost = VirtualHostSpec {
            name: "a".to_owned(), domains: vec!["*é".to_owned(), "ß*".to_owned(), "*".to_owned()],
            require_tls: TlsRequirement::None, routes: routes.collect(),
        };
        let options = MatchOptions { ignore_port_in_host_matching: true, ..MatchOptions::default() };
        let table = RouteTable::compile(vec![vhost], options).unwrap();
        let headers = HeaderMap::new();
        let request = RequestView {
            authority: &authority, path_and_query: &path_and_query, method: &method,
            scheme: "http", is_internal: false, headers: &headers, random: 0,
        };
        prop_assert_eq!(compiled(&table, &request), Some(("a".to_owned(), Ok(Some(0).filter(|_| method != "CONNECT")))));
    }
}
