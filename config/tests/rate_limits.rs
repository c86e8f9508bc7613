//! A RateLimitPolicy fits what it is about, and what cannot be counted is refused by name.

mod documents;

use documents::{problems, route};
use weft_config::model::rate_limit::RateLimitTarget;
use weft_config::{Key, Mesh, Source};

/// The Service `a` with a route `r` that has the rule `first`, one that nobody registers for, one
/// of connections, and a Gateway without HTTP.
fn mesh() -> String {
    let others = "
---
apiVersion: weft.dev/v1
kind: Service
metadata: {name: far}
spec: {ports: [{port: 80}], endpoints: [{static: [{address: '127.0.0.1:1'}]}]}
---
apiVersion: weft.dev/v1
kind: Service
metadata: {name: bytes}
spec: {ports: [{port: 1, protocol: tcp}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: raw}
spec: {gatewayClassName: weft, listeners: [{name: l, port: 1, protocol: TCP}]}
";
    route("{name: first}") + others
}

fn policy(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: weft.dev/v1\nkind: RateLimitPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

fn parsed(text: &str) -> Mesh {
    Mesh::parse(&[Source::new("t", text)]).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn what_cannot_be_limited_is_said() {
    let about =
        |target: &str| format!("{{targetRef: {{{target}}}, limits: [{{requests: 1, per: 1s}}]}}");
    let limit =
        |limit: &str| format!("{{targetRef: {{kind: Service, name: a}}, limits: [{limit}]}}");
    let asks = |service: &str| {
        format!(
            "{{targetRef: {{kind: Service, name: a}}, global: {{{service}, domain: d, descriptors: [{{entries: [{{header: x}}]}}]}}}}"
        )
    };
    let cases = [
        (
            about("kind: Service, name: b"),
            "targetRef.name: no Service \"b\" (there are: a, bytes, far)",
        ),
        (about("kind: Gateway, name: g"), "targetRef.name: no Gateway \"g\" (there are: raw)"),
        (about("kind: HTTPRoute, name: s"), "targetRef.name: no HTTPRoute \"s\" (there are: r)"),
        (about("kind: GRPCRoute, name: r"), "targetRef.name: no GRPCRoute \"r\" (there are none)"),
        (
            about("kind: HTTPRoute, name: r, sectionName: last"),
            "targetRef.sectionName: no rule \"last\" (there are: first)",
        ),
        (
            about("kind: Service, name: bytes"),
            "targetRef: Service \"bytes\" has no http, http2 or grpc port",
        ),
        (
            about("kind: Service, name: far"),
            "targetRef: Service \"far\" has no registered endpoints, so no sidecars that could limit",
        ),
        (
            about("kind: Gateway, name: raw"),
            "targetRef: no such listener of Gateway \"raw\" takes a RateLimitPolicy",
        ),
        (
            about("kind: Service, name: a, sectionName: web"),
            "targetRef.sectionName: a part of a Service or a Gateway is not supported",
        ),
        (
            about("kind: HTTPRoute, group: weft.dev, name: r"),
            "targetRef.group: \"weft.dev\" is not one of gateway.networking.k8s.io",
        ),
        (
            limit("{requests: 1, per: 1s, by: []}"),
            "limits[0].by: \"[]\" is not a list of at least one item",
        ),
        (
            "{targetRef: {kind: Service, name: a}}".to_owned(),
            ": none of these is given: limits, global",
        ),
        (
            asks("service: {name: b}"),
            "global.service.name: no Service \"b\" (there are: a, bytes, far)",
        ),
        (
            asks("service: {name: a}"),
            "global.service: Service \"a\" has no such port that speaks http2 or grpc",
        ),
        (
            asks("service: {name: a}, timeout: 0s"),
            "global.timeout: \"0s\" is not a duration above zero",
        ),
        (
            asks("service: {name: a}").replace("{header: x}", "{header: x}, {queryParameter: x}"),
            "global.descriptors[0].entries: the key \"x\" is given twice",
        ),
        (
            asks("service: {name: a}").replace("{header: x}", "{}"),
            "global.descriptors[0].entries[0]: exactly one of the fields header, queryParameter, remoteAddress, value must be given",
        ),
        (
            "{targetRef: {kind: Service, name: a}, limits: []}".to_owned(),
            "limits: \"[]\" is not a list of at least one item",
        ),
        (
            limit("{requests: 0, per: 1s}"),
            "limits[0].requests: \"0\" is not a whole number from 1 to 2147483647",
        ),
        (
            limit("{requests: 1, per: 49ms}"),
            "limits[0].per: \"49ms\" is not a duration of at least 50ms",
        ),
        (
            limit("{requests: 10, per: 1s, burst: 9}"),
            "limits[0].burst: \"9\" is not a whole number from 10 to 2147483647",
        ),
        (
            limit("{requests: 1, per: 1s, match: {}}"),
            "limits[0].match: none of these is given: method, path, headers",
        ),
        (
            limit("{requests: 1, per: 1s, match: {path: {type: RegularExpression, value: /a}}}"),
            "limits[0].match.path: a regular expression for the path of a policy's match is not supported",
        ),
        (
            limit("{name: x, requests: 1, per: 1s}, {name: x, requests: 2, per: 1s}"),
            "limits: the limit \"x\" is given twice",
        ),
        (
            limit("{requests: 1, per: 1s}").replace("limits:", "status: 200, limits:"),
            "status: \"200\" is not a whole number from 400 to 599",
        ),
    ];
    for (spec, expected) in cases {
        let found = problems(&[("t", &(mesh() + &policy("p", &spec)))]);
        let found: Vec<String> = found
            .iter()
            .map(|problem| {
                format!(
                    "{}: {}",
                    problem.field.trim_start_matches("spec").trim_start_matches('.'),
                    problem.reason
                )
            })
            .collect();
        assert_eq!(found, [expected], "{spec}");
    }
}

#[test]
fn a_target_has_one_policy() {
    let spec = "{targetRef: {kind: Service, name: a}, limits: [{requests: 1, per: 1s}]}";
    let found = problems(&[("t", &(mesh() + &policy("p", spec) + &policy("q", spec)))]).to_string();
    assert!(found.contains("Service/a already has a policy, RateLimitPolicy/p"), "{found}");
}

#[test]
fn the_limits_of_a_rule_go_before_those_of_its_route() {
    let about = |name: &str, section: &str| {
        let target = format!("{{kind: HTTPRoute, name: r{section}}}");
        policy(name, &format!("{{targetRef: {target}, limits: [{{requests: 1, per: 1s}}]}}"))
    };
    let both = mesh().replace("{name: first}", "{name: first}, {}");
    let text = both + &about("whole", "") + &about("part", ", sectionName: first");
    let mesh = parsed(&text);
    let [route] = mesh.bound_routes(&Key::new("default", "a"), 80) else { panic!("one route") };
    let limited: Vec<_> = route
        .rules
        .iter()
        .map(|rule| rule.rate_limit.as_ref().map(|policy| policy.metadata.name.as_str()))
        .collect();
    assert_eq!(limited, [Some("part"), Some("whole")]);
    let nobody = RateLimitTarget::Service("a".to_owned());
    assert!(mesh.rate_limit("default", &nobody).is_none());
}
