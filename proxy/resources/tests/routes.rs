//! Route configurations.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use http::StatusCode;
use prost::{Message, Name};
use weft_proto::pb::{
    envoy::{
        config::{
            core::v3::{
                DataSource, HeaderValue, HeaderValueOption, RuntimeFractionalPercent, data_source,
                header_value_option::HeaderAppendAction,
            },
            route::v3::{
                DirectResponseAction, FilterConfig, HeaderMatcher, QueryParameterMatcher,
                RedirectAction, Route, RouteAction as WireAction, RouteConfiguration as Wire,
                RouteMatch, VirtualHost, WeightedCluster,
                header_matcher::HeaderMatchSpecifier as Specifier,
                query_parameter_matcher::QueryParameterMatchSpecifier,
                redirect_action, route,
                route_action::{self, HostRewriteSpecifier},
                route_match::{GrpcRouteMatchOptions, PathSpecifier},
                weighted_cluster::ClusterWeight,
            },
        },
        r#type::{
            matcher::v3::{RegexMatcher, StringMatcher, string_matcher::MatchPattern},
            v3::{FractionalPercent, Int64Range},
        },
    },
    google::protobuf::{self, BoolValue, UInt32Value},
};
use weft_resources::{
    AppendAction, Forward, HeaderProgram, HeaderText, HostRewrite, PathRewrite, Redirect,
    RedirectPath, RouteAction, RouteConfiguration, RouteRule, RouteTarget, decode,
};
use weft_route::{
    Denominator, Fraction, HeaderKey, HeaderMatch, HeaderValueMatch, PathMatch, Pattern,
    QueryValueMatch, RouteSpec, StringMatch, StringRule,
};

fn matching(path: PathSpecifier) -> RouteMatch {
    RouteMatch { path_specifier: Some(path), ..RouteMatch::default() }
}

fn prefix(prefix: &str) -> RouteMatch {
    matching(PathSpecifier::Prefix(prefix.to_owned()))
}

fn to_cluster(name: &str) -> WireAction {
    WireAction {
        cluster_specifier: Some(route_action::ClusterSpecifier::Cluster(name.to_owned())),
        ..WireAction::default()
    }
}

fn forwarding(action: WireAction) -> Route {
    let action = Some(route::Action::Route(action));
    Route { r#match: Some(prefix("/")), action, ..Route::default() }
}

fn config(routes: Vec<Route>) -> Wire {
    let (name, domains) = ("all".to_owned(), vec!["*".to_owned()]);
    let host = VirtualHost { name, domains, routes, ..VirtualHost::default() };
    Wire { name: "r".to_owned(), virtual_hosts: vec![host], ..Wire::default() }
}

fn read(message: &Wire) -> RouteConfiguration {
    decode::<RouteConfiguration>(&message.encode_to_vec()).unwrap().resource
}

fn refusals(message: &Wire) -> Vec<String> {
    let reasons = decode::<RouteConfiguration>(&message.encode_to_vec()).unwrap_err();
    reasons.iter().map(ToString::to_string).collect()
}

fn only(route: Route) -> RouteSpec<RouteRule> {
    read(&config(vec![route])).virtual_hosts.remove(0).routes.remove(0)
}

fn forward(action: WireAction) -> Forward {
    match only(forwarding(action)).action.action {
        RouteAction::Forward(forward) => *forward,
        other => panic!("not forwarding: {other:?}"),
    }
}

fn redirect(message: RedirectAction) -> Redirect {
    let action = Some(route::Action::Redirect(message));
    let route = Route { r#match: Some(prefix("/old")), action, ..Route::default() };
    match only(route).action.action {
        RouteAction::Redirect(redirect) => redirect,
        other => panic!("not a redirect: {other:?}"),
    }
}

fn add(key: &str, value: &str) -> HeaderValueOption {
    let header =
        HeaderValue { key: key.to_owned(), value: value.to_owned(), ..HeaderValue::default() };
    HeaderValueOption { header: Some(header), ..HeaderValueOption::default() }
}

fn seconds(seconds: i64) -> Option<protobuf::Duration> {
    Some(protobuf::Duration { seconds, nanos: 0 })
}

#[test]
fn defaults_are_those_of_envoy() {
    let plain = forward(to_cluster("a"));
    assert_eq!(plain.timeout, Some(Duration::from_secs(15)));
    assert_eq!(plain.idle_timeout, None);
    assert_eq!(plain.cluster_not_found, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((plain.host, plain.path), (HostRewrite::Keep, PathRewrite::Keep));
    let RouteTarget::Cluster(name) = plain.target else { panic!("not one") };
    assert_eq!(name.as_str(), "a");
    let off = WireAction { timeout: seconds(0), idle_timeout: seconds(0), ..to_cluster("a") };
    let off = forward(off);
    assert_eq!((off.timeout, off.idle_timeout), (None, Some(None)));
    for (code, status) in [(1, 404), (2, 500)] {
        let action = WireAction { cluster_not_found_response_code: code, ..to_cluster("a") };
        assert_eq!(forward(action).cluster_not_found.as_u16(), status);
    }
    let host = HostRewriteSpecifier::HostRewriteLiteral("inner".to_owned());
    let rewritten = WireAction { host_rewrite_specifier: Some(host), ..to_cluster("a") };
    let inner = http::HeaderValue::from_static("inner");
    assert_eq!(forward(rewritten).host, HostRewrite::Literal(inner));
}

#[test]
fn prefix_rewrites_know_what_they_replace() {
    let rewritten = |matcher: RouteMatch| {
        let action = WireAction { prefix_rewrite: "/v2".to_owned(), ..to_cluster("a") };
        let action = Some(route::Action::Route(action));
        config(vec![Route { r#match: Some(matcher), action, ..Route::default() }])
    };
    let regex = RegexMatcher { regex: "/.*".to_owned(), ..RegexMatcher::default() };
    for (path, matched) in [
        (PathSpecifier::Prefix("/api".to_owned()), Some(4)),
        (PathSpecifier::Path("/api".to_owned()), Some(4)),
        (PathSpecifier::PathSeparatedPrefix("/api".to_owned()), Some(4)),
        (PathSpecifier::SafeRegex(regex), None),
    ] {
        let spec = read(&rewritten(matching(path))).virtual_hosts.remove(0).routes.remove(0);
        let RouteAction::Forward(forward) = spec.action.action else { panic!("not forwarding") };
        let PathRewrite::Prefix(rewrite) = forward.path else { panic!("no prefix rewrite") };
        assert_eq!((rewrite.matched, &*rewrite.replacement), (matched, "/v2"));
    }
}

#[test]
fn paths_keep_their_case_setting() {
    let matcher = RouteMatch { case_sensitive: Some(BoolValue { value: false }), ..prefix("/Api") };
    let route = Route { r#match: Some(matcher), ..forwarding(to_cluster("a")) };
    let wanted = PathMatch::Prefix { value: "/Api".into(), case_sensitive: false };
    assert_eq!(only(route).matcher.path, wanted);
    let exact = matching(PathSpecifier::Path("/Api".to_owned()));
    let route = Route { r#match: Some(exact), ..forwarding(to_cluster("a")) };
    assert_eq!(only(route).matcher.path, PathMatch::exact("/Api"));
}

#[test]
fn weights_are_needed_and_must_add_up() {
    let weighted = |weights: &[Option<u32>]| {
        let cluster = |(nth, weight): (usize, &Option<u32>)| ClusterWeight {
            name: format!("c{nth}"),
            weight: weight.map(|value| UInt32Value { value }),
            ..ClusterWeight::default()
        };
        let clusters = weights.iter().enumerate().map(cluster).collect();
        let clusters = WeightedCluster { clusters, ..WeightedCluster::default() };
        WireAction {
            cluster_specifier: Some(route_action::ClusterSpecifier::WeightedClusters(clusters)),
            ..WireAction::default()
        }
    };
    let split = forward(weighted(&[Some(90), Some(10)]));
    let RouteTarget::Weighted(split) = split.target else { panic!("not weighted") };
    let weights: Vec<u32> = split.clusters.iter().map(|cluster| cluster.weight).collect();
    assert_eq!(weights, [90, 10]);
    for wrong in [&[Some(0), Some(0)][..], &[None], &[Some(u32::MAX), Some(1)], &[]] {
        let text = refusals(&config(vec![forwarding(weighted(wrong))])).join("\n");
        assert!(text.contains("route.weighted_clusters.clusters"), "{text}");
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name_and_all_at_once() {
    let none = Some(route::Action::FilterAction(Default::default()));
    let extension = matching(PathSpecifier::PathMatchPolicy(Default::default()));
    let routes = vec![
        Route { r#match: Some(prefix("/")), action: none, ..Route::default() },
        Route { r#match: Some(extension), ..forwarding(to_cluster("a")) },
        Route { r#match: None, ..forwarding(to_cluster("")) },
    ];
    let text = refusals(&config(routes)).join("\n");
    for path in [
        "virtual_hosts[0].routes[0].filter_action",
        "virtual_hosts[0].routes[1].match.path_match_policy",
        "virtual_hosts[0].routes[2].match",
        "virtual_hosts[0].routes[2].route.cluster",
    ] {
        assert!(text.contains(path), "{path} is not in {text}");
    }
}

#[test]
#[expect(deprecated, reason = "that the older forms are still read is what is tested")]
fn header_matches_are_read_in_every_form() {
    let text = || "v".to_owned();
    let regex = RegexMatcher { regex: text(), ..RegexMatcher::default() };
    let string =
        StringMatcher { match_pattern: Some(MatchPattern::Suffix(text())), ignore_case: true };
    let literal = |rule| HeaderValueMatch::String(StringMatch::new(rule));
    for (wire, read) in [
        (None, HeaderValueMatch::Present(true)),
        (Some(Specifier::PresentMatch(false)), HeaderValueMatch::Present(false)),
        (
            Some(Specifier::RangeMatch(Int64Range { start: 1, end: 5 })),
            HeaderValueMatch::Range { start: 1, end: 5 },
        ),
        (
            Some(Specifier::StringMatch(string)),
            HeaderValueMatch::String(StringMatch {
                rule: StringRule::Suffix("v".into()),
                ignore_case: true,
            }),
        ),
        (Some(Specifier::ExactMatch(text())), literal(StringRule::Exact("v".into()))),
        (Some(Specifier::PrefixMatch(text())), literal(StringRule::Prefix("v".into()))),
        (Some(Specifier::SuffixMatch(text())), literal(StringRule::Suffix("v".into()))),
        (Some(Specifier::ContainsMatch(text())), literal(StringRule::Contains("v".into()))),
        (
            Some(Specifier::SafeRegexMatch(regex)),
            literal(StringRule::Regex(Pattern::new("v").unwrap())),
        ),
    ] {
        let header = HeaderMatcher {
            name: ":method".to_owned(),
            header_match_specifier: wire,
            invert_match: true,
            treat_missing_header_as_empty: true,
        };
        let matcher = RouteMatch { headers: vec![header], ..prefix("/") };
        let spec = only(Route { r#match: Some(matcher), ..forwarding(to_cluster("a")) });
        let wanted = HeaderMatch {
            name: HeaderKey::Method,
            value: read,
            invert: true,
            treat_missing_as_empty: true,
        };
        assert_eq!(spec.matcher.headers, [wanted]);
    }
}

#[test]
fn header_matches_that_match_nothing_are_refused() {
    let wrong = RouteMatch {
        headers: vec![HeaderMatcher {
            name: "bad name".to_owned(),
            header_match_specifier: Some(Specifier::RangeMatch(Int64Range { start: 5, end: 5 })),
            ..HeaderMatcher::default()
        }],
        ..prefix("/")
    };
    let route = Route { r#match: Some(wrong), ..forwarding(to_cluster("a")) };
    let text = refusals(&config(vec![route])).join("\n");
    assert!(text.contains("match.headers[0].name"), "{text}");
    assert!(text.contains("match.headers[0].range_match"), "{text}");
}

#[test]
fn other_conditions_are_read_too() {
    let matcher = RouteMatch {
        query_parameters: vec![QueryParameterMatcher {
            name: "debug".to_owned(),
            query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::PresentMatch(true)),
        }],
        grpc: Some(GrpcRouteMatchOptions {}),
        runtime_fraction: Some(RuntimeFractionalPercent {
            default_value: Some(FractionalPercent { numerator: 5, denominator: 1 }),
            ..RuntimeFractionalPercent::default()
        }),
        ..prefix("/")
    };
    let read = only(Route { r#match: Some(matcher), ..forwarding(to_cluster("a")) }).matcher;
    assert_eq!(read.query[0].value, QueryValueMatch::Present(true));
    assert!(read.grpc);
    let fraction = Fraction { numerator: 5, denominator: Denominator::TenThousand };
    assert_eq!(read.runtime_fraction, Some(fraction));
}

/// The values that the levels set for one header, in the order of application.
fn order(program: &HeaderProgram) -> Vec<String> {
    let sets = program.levels().iter().flat_map(|level| &level.set);
    sets.map(|set| format!("{:?}", set.value)).collect()
}

fn literal(text: &'static str) -> String {
    format!("{:?}", HeaderText::Literal(http::HeaderValue::from_static(text)))
}

#[test]
fn the_widest_level_comes_last_unless_told_otherwise() {
    let mut message = config(vec![Route {
        request_headers_to_add: vec![add("x-level", "route")],
        ..forwarding(to_cluster("a"))
    }]);
    message.request_headers_to_add = vec![add("x-level", "config")];
    message.virtual_hosts[0].request_headers_to_add = vec![add("x-level", "host")];
    let levels = |message: &Wire| {
        let spec = read(message).virtual_hosts.remove(0).routes.remove(0);
        order(&spec.action.request_headers)
    };
    assert_eq!(levels(&message), ["route", "host", "config"].map(literal));
    message.most_specific_header_mutations_wins = true;
    assert_eq!(levels(&message), ["config", "host", "route"].map(literal));
}

#[test]
fn levels_without_changes_are_left_out() {
    let mut message = config(vec![forwarding(to_cluster("a"))]);
    let program = |message: &Wire| {
        let spec = read(message).virtual_hosts.remove(0).routes.remove(0);
        spec.action.response_headers
    };
    assert!(program(&message).is_empty());
    message.response_headers_to_remove = vec!["x-a".to_owned()];
    let program = program(&message);
    let [level] = program.levels() else { panic!("{program:?}") };
    assert_eq!((&*level.remove, level.set.len()), (&["x-a".parse().unwrap()][..], 0));
}

#[test]
fn header_values_are_text_or_formats() {
    let with = |option: HeaderValueOption| {
        config(vec![Route { request_headers_to_add: vec![option], ..forwarding(to_cluster("a")) }])
    };
    let set = |option: HeaderValueOption| {
        let spec = read(&with(option)).virtual_hosts.remove(0).routes.remove(0);
        spec.action.request_headers.levels().first().map(|level| level.set[0].clone())
    };
    let value = |option| format!("{:?}", set(option).unwrap().value);
    assert_eq!(value(add("x-share", "100%%")), literal("100%"));
    assert!(set(add("x-empty", "")).is_none());
    let kept = HeaderValueOption { keep_empty_value: true, ..add("x-empty", "") };
    assert_eq!(value(kept), literal(""));
    let format = "%REQ(:path)%".parse().unwrap();
    assert_eq!(set(add("x", "%REQ(:path)%")).unwrap().value, HeaderText::Format(format));
    let overwrite = HeaderAppendAction::OverwriteIfExistsOrAdd.into();
    let overwrite = HeaderValueOption { append_action: overwrite, ..add("x", "1") };
    assert_eq!(set(overwrite).unwrap().append, AppendAction::OverwriteIfExistsOrAdd);
    for (key, value, part) in [
        ("x", "%NO_SUCH(a)%", "the operator \"NO_SUCH\" is not supported"),
        ("x", "50%", "at byte 2"),
        ("x", "a\nb", "request_headers_to_add[0].header.value"),
        ("Host", "a", "must not be modified"),
        (":path", "/", "must not be modified"),
        ("", "a", "request_headers_to_add[0].header.key"),
    ] {
        let text = refusals(&with(add(key, value))).join("\n");
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn redirects() {
    let plain = redirect(RedirectAction::default());
    assert_eq!(plain.status, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(plain.path, RedirectPath::Keep);
    let full = redirect(RedirectAction {
        response_code: 4,
        host_redirect: "example.com".to_owned(),
        port_redirect: 8443,
        strip_query: true,
        scheme_rewrite_specifier: Some(redirect_action::SchemeRewriteSpecifier::HttpsRedirect(
            true,
        )),
        path_rewrite_specifier: Some(redirect_action::PathRewriteSpecifier::PrefixRewrite(
            "/new".to_owned(),
        )),
    });
    assert_eq!(full.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(
        (full.scheme.as_deref(), full.host.as_deref()),
        (Some("https"), Some("example.com"))
    );
    assert_eq!((full.port, full.strip_query), (Some(8443), true));
    let RedirectPath::Prefix(prefix) = full.path else { panic!("not a prefix") };
    assert_eq!((prefix.matched, &*prefix.replacement), (Some(4), "/new"));
}

#[test]
fn direct_responses_are_limited() {
    let with = |status: u32, length: usize| {
        let body = data_source::Specifier::InlineString("x".repeat(length));
        let body = Some(DataSource { specifier: Some(body), ..DataSource::default() });
        let action = DirectResponseAction { status, body, ..DirectResponseAction::default() };
        let action = Some(route::Action::DirectResponse(action));
        config(vec![Route { r#match: Some(prefix("/")), action, ..Route::default() }])
    };
    let spec = read(&with(418, 4096)).virtual_hosts.remove(0).routes.remove(0);
    let RouteAction::Direct(direct) = spec.action.action else { panic!("not direct") };
    assert_eq!((direct.status.as_u16(), direct.limit), (418, 4096));
    assert_eq!(direct.body, weft_resources::DataSource::Inline("x".repeat(4096).into()));
    assert!(refusals(&with(200, 4097)).join("\n").contains("at most 4096"));
    assert!(refusals(&with(199, 0)).join("\n").contains("direct_response.status"));
    let mut larger = with(200, 5000);
    larger.max_direct_response_body_size_bytes = Some(UInt32Value { value: 5000 });
    assert_eq!(read(&larger).virtual_hosts.len(), 1);
}

#[test]
fn filter_settings_may_be_ignored_only_where_they_are_optional() {
    let with = |is_optional: bool| {
        let unknown = protobuf::Any { type_url: "a/nobody.Knows".to_owned(), value: vec![1] };
        let wrapper =
            FilterConfig { is_optional, config: Some(unknown), ..FilterConfig::default() };
        let any =
            protobuf::Any { type_url: FilterConfig::type_url(), value: wrapper.encode_to_vec() };
        let mut message = config(vec![forwarding(to_cluster("a"))]);
        message.typed_per_filter_config.insert("some.filter".to_owned(), any);
        message.encode_to_vec()
    };
    let reasons = decode::<RouteConfiguration>(&with(false)).unwrap_err();
    assert!(reasons[0].path.starts_with("typed_per_filter_config"), "{reasons:?}");
    let decoded = decode::<RouteConfiguration>(&with(true)).unwrap();
    assert!(!decoded.warnings.is_empty());
}
