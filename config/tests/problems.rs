//! Everything wrong is found in one go and said in one way: place, field, reason, hint.

mod documents;

use documents::{problems, route, service};
use weft_config::{Conflict, Mesh, Reason, Source};

/// Pairs of field and message, in order.
fn messages(text: &str) -> Vec<(String, String)> {
    let problems = problems(&[("t", text)]);
    problems.iter().map(|problem| (problem.field.clone(), problem.reason.to_string())).collect()
}

#[test]
fn the_look_of_a_message() {
    let inventory = "\
apiVersion: weft.dev/v1
kind: Subset
metadata: {name: inventory-v1}
spec: {service: inventory, labels: {version: v1}}
---
apiVersion: weft.dev/v1
kind: Service
metadata: {name: inventory}
spec: {ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: inventory}
spec:
  parentRefs: [{kind: Service, name: inventory}]
  rules:
    - backendRefs:
        - {group: weft.dev, kind: Subset, name: inventory-v1, weight: 90}
        - {group: weft.dev, kind: Subset, name: inventory-v2, weight: 10}
";
    assert_eq!(
        problems(&[("inventory.yaml", inventory)]).to_string(),
        "inventory.yaml:19:49: HTTPRoute/inventory spec.rules[0].backendRefs[1].name: \
         no Subset \"inventory-v2\" (there are: inventory-v1)\n  \
         hint: add a Subset of that name, or fix the reference"
    );
}

#[test]
fn all_problems_of_all_sources_are_reported_in_order() {
    let first = "\
apiVersion: weft.dev/v1
kind: Service
metadata: {name: Catalog}
spec:
  port: [{port: 80}]
  endpoints:
    - registred: {}
    - static: [{address: localhost:80, weight: heavy}]
---
kind: Pod
";
    let second = "\
apiVersion: weft.dev/v2
kind: Subset
metadata: {name: v1, namespace: shop}
spec: {service: none, labels: {version: 2}}
";
    let text = problems(&[("first.yaml", first), ("second.yaml", second)]).to_string();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("  hint")).collect();
    assert_eq!(
        lines,
        [
            "first.yaml:3:18: Service/Catalog metadata.name: \"Catalog\" is not a name of at most 63 \
             lower-case letters, digits and dashes (RFC 1123 label)",
            "first.yaml:5:3: Service/Catalog spec: the field \"ports\" is missing",
            "first.yaml:5:3: Service/Catalog spec.port: unknown field, did you mean \"ports\"?",
            "first.yaml:7:7: Service/Catalog spec.endpoints[0]: exactly one of the fields registered, \
             static, dns must be given",
            "first.yaml:7:7: Service/Catalog spec.endpoints[0].registred: unknown field, did you mean \
             \"registered\"?",
            "first.yaml:8:26: Service/Catalog spec.endpoints[1].static[0].address: \"localhost:80\" is \
             not an address such as 127.0.0.1:9000 or [::1]:9000",
            "first.yaml:8:48: Service/Catalog spec.endpoints[1].static[0].weight: expected a number, \
             found the string \"heavy\"",
            "first.yaml:10:1: the field \"apiVersion\" is missing",
            "first.yaml:10:1: the field \"metadata\" is missing",
            "first.yaml:10:1: the field \"spec\" is missing",
            "first.yaml:10:7: kind: \"Pod\" is not one of Service, Subset, Gateway, HTTPRoute, GRPCRoute, TCPRoute, TLSRoute, TrafficPolicy, RateLimitPolicy, MeshConfig, Workload",
            "second.yaml:1:13: Subset/shop/v1 apiVersion: \"weft.dev/v2\" is not the apiVersion of \
             Subset: weft.dev/v1",
            "second.yaml:4:41: Subset/shop/v1 spec.labels.version: expected a string, found the number 2",
        ]
    );
}

#[test]
fn every_problem_has_a_hint() {
    for problem in &problems(&[("t", &service("{ports: [{port: 80, protocl: http}]}"))]) {
        assert!(!problem.reason.hint().is_empty());
        assert!(problem.to_string().ends_with(&format!("\n  hint: {}", problem.reason.hint())));
    }
    assert_eq!(messages("a: 1\nb: [\n").len(), 1, "a syntax error ends its source");
}

#[test]
fn syntax_errors_do_not_hide_the_documents_before_them() {
    let text = format!("{}---\nkind: [\n", service("{ports: []}"));
    let found = problems(&[("t", &text)]);
    assert_eq!(found.len(), 2);
    assert!(found.iter().any(|problem| matches!(problem.reason, Reason::Syntax(_))));
}

#[test]
fn services_are_checked() {
    let cases = [
        ("{ports: []}", "spec.ports", "\"[]\" is not a list of at least one item"),
        (
            "{ports: [{port: 0}]}",
            "spec.ports[0].port",
            "\"0\" is not a whole number from 1 to 65535",
        ),
        (
            "{ports: [{port: 1e2}]}",
            "spec.ports[0].port",
            "\"1e2\" is not a whole number from 1 to 65535",
        ),
        (
            "{ports: [{port: '80'}]}",
            "spec.ports[0].port",
            "expected a number, found the string \"80\"",
        ),
        ("{ports: [{port: 80}, {port: 80}]}", "spec.ports", "the port 80 is given twice"),
        (
            "{ports: [{port: 80, name: a}, {port: 81, name: a}]}",
            "spec.ports",
            "the port name \"a\" is given twice",
        ),
        (
            "{ports: [{port: 80, port: 81}]}",
            "spec.ports[0].port",
            "the key is given twice, first at 4:17",
        ),
        (
            "{ports: [{port: 80}], dependencies: [{name: a}, {name: a, namespace: default}]}",
            "spec.dependencies",
            "the Service \"a\" is given twice",
        ),
        (
            "{ports: [{port: 80}], dependencies: [{name: b}]}",
            "spec.dependencies[0].name",
            "no Service \"b\" (there are: a)",
        ),
        (
            "{ports: [{port: 80}, {port: 81, protocol: tcp}]}",
            "spec",
            "a Service with registered endpoints cannot have both tcp and HTTP ports",
        ),
        (
            "{ports: [{port: 80}], endpoints: [{static: [{address: '127.0.0.1:1', port: 81}]}]}",
            "spec",
            "no port \"81\" (there are: 80)",
        ),
        (
            "{ports: [{port: 80}], endpoints: [{static: [{address: '[::1]:1'}, {address: '[::1]:1'}]}]}",
            "spec",
            "the endpoint [::1]:1 is given twice",
        ),
        ("[]", "spec", "expected an object, found a list"),
    ];
    for (spec, field, message) in cases {
        assert_eq!(messages(&service(spec)), [(field.to_owned(), message.to_owned())], "{spec}");
    }
}

#[test]
fn routes_are_checked() {
    let redirect = "{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}";
    let cases = [
        ("{backendRefs: [{name: b}]}", "backendRefs[0].name", "no Service \"b\" (there are: a)"),
        (
            "{backendRefs: [{name: a, port: 81}]}",
            "backendRefs[0].port",
            "no port \"81\" (there are: 80)",
        ),
        (
            "{backendRefs: [{kind: Subset, name: a}]}",
            "backendRefs[0]",
            "the field \"group\" is missing",
        ),
        (
            "{timeouts: {request: 2}}",
            "timeouts.request",
            "\"2\" is not a duration such as 2s, 500ms or 1m30s",
        ),
        (
            "{timeouts: {request: 1s, backendRequest: 2s}}",
            "timeouts",
            "backendRequest is longer than request",
        ),
        (
            "{retry: {codes: [200]}}",
            "retry.codes[0]",
            "\"200\" is not a whole number from 400 to 599",
        ),
        ("{retry: {codes: [500, 500]}}", "retry.codes", "the status 500 is given twice"),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: nope}}}]}",
            "filters.name",
            "no Service \"nope\" (there are: a)",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, percent: 1, fraction: {numerator: 1}}}]}",
            "filters[0].requestMirror",
            "percent and fraction cannot be given both",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, weight: 2}}}]}",
            "filters[0].requestMirror.backendRef",
            "a weight or filters for copies is not supported",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, fraction: {numerator: 3, denominator: 2}}}]}",
            "filters[0].requestMirror.fraction.numerator",
            "\"3\" is not a whole number from 0 to 2",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, maxActive: 0}}]}",
            "filters[0].requestMirror.maxActive",
            "\"0\" is not a whole number from 1 to 1000000",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, compare: {maxBodyBytes: 67108865}}}]}",
            "filters[0].requestMirror.compare.maxBodyBytes",
            "\"67108865\" is not a whole number from 0 to 67108864",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, compare: {logsPerMinute: 6001}}}]}",
            "filters[0].requestMirror.compare.logsPerMinute",
            "\"6001\" is not a whole number from 0 to 6000",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, compare: {headers: [\"a b\"]}}}]}",
            "filters[0].requestMirror.compare.headers[0]",
            "\"a b\" is not a header name (RFC 9110 token)",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, compare: {headers: [X-A, x-a]}}}]}",
            "filters[0].requestMirror.compare.headers[1]",
            "a header twice, or more than 32 of them is not supported",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, compare: {headers: [x-a], showHeaders: [x-b]}}}]}",
            "filters[0].requestMirror.compare.showHeaders[0]",
            "to show x-b, which is not compared is not supported",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, compare: {headers: [Set-Cookie], showHeaders: [set-cookie]}}}]}",
            "filters[0].requestMirror.compare.showHeaders[0]",
            "to log values of set-cookie is not supported",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, compare: {}}}, {type: RequestMirror, requestMirror: {backendRef: {name: a}}}]}",
            "filters",
            "copies go there twice, with maxActive or compare",
        ),
        (
            "{filters: [{type: CORS, cors: {allowOrigins: [shop.example.com]}}]}",
            "filters[0].cors.allowOrigins[0]",
            "\"shop.example.com\" is not an origin such as https://shop.example.com, https://*.example.com:8443, or *",
        ),
        (
            "{filters: [{type: CORS, cors: {allowOrigins: [\"*\"], allowCredentials: \"yes\"}}]}",
            "filters[0].cors.allowCredentials",
            "expected true or false, found the string \"yes\"",
        ),
        (
            "{filters: [{type: CORS, cors: {allowOrigins: [\"*\"], allowCredentials: true, allowHeaders: [\"*\"]}}]}",
            "filters[0].cors",
            "`*` for methods or headers along with allowCredentials is not supported",
        ),
        (
            "{filters: [{type: CORS, cors: {allowOrigins: [\"*\"], allowMethods: [\"*\", GET]}}]}",
            "filters[0].cors.allowMethods",
            "\"* among others\" is not `*` alone, or names without it",
        ),
        (
            "{backendRefs: [{name: a, filters: [{type: URLRewrite, urlRewrite: {hostname: b}}]}]}",
            "backendRefs[0].filters",
            "a filter that changes more than headers in a backendRef is not supported",
        ),
        (
            "{matches: [{method: CONNECT}]}",
            "matches[0].method",
            "matching the method CONNECT is not supported",
        ),
        (
            "{matches: [{method: get}]}",
            "matches[0].method",
            "\"get\" is not one of GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH, did you mean \"GET\"?",
        ),
        (
            "{matches: [{headers: [{name: X, value: a}, {name: x, value: b}]}]}",
            "matches[0].headers",
            "the header \"x\" is given twice",
        ),
        (
            "{filters: [{type: ExtensionRef, extensionRef: {}}]}",
            "filters[0].type",
            "the filter ExtensionRef is not supported",
        ),
        (
            "{filters: [{type: URLRewrite, requestRedirect: {}, urlRewrite: {}}]}",
            "filters[0].requestRedirect",
            "unknown field",
        ),
        (
            "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [Host]}}]}",
            "filters[0].requestHeaderModifier.remove[0]",
            "changing the header host is not supported",
        ),
        (
            "{filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [Server]}}]}",
            "filters[0].responseHeaderModifier.remove[0]",
            "changing the header server is not supported",
        ),
        (
            "{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /b}}}]}",
            "",
            "URLRewrite with ReplaceFullPath needs every match of the rule to have an Exact path",
        ),
        (
            &format!("{{filters: [{redirect}], backendRefs: [{{name: a}}]}}"),
            "",
            "a rule that redirects cannot have backendRefs",
        ),
        (
            &format!("{{matches: [{{path: {{type: Exact, value: /a}}}}], filters: [{redirect}]}}"),
            "",
            "ReplacePrefixMatch needs every match of the rule to be a PathPrefix",
        ),
        (
            &format!("{{filters: [{redirect}, {{type: URLRewrite, urlRewrite: {{}}}}]}}"),
            "filters",
            "a rule cannot have both RequestRedirect and URLRewrite",
        ),
    ];
    for (rule, field, message) in cases {
        let field = format!("spec.rules[0].{field}");
        let expected = (field.trim_end_matches('.').to_owned(), message.to_owned());
        assert_eq!(messages(&route(rule)), [expected], "{rule}");
    }
}

#[test]
fn regular_expressions_are_compiled() {
    let text = route("{matches: [{path: {type: RegularExpression, value: '/(a'}}]}");
    let found = messages(&text);
    assert_eq!(found.len(), 1);
    assert!(found[0].1.ends_with("unclosed group"), "{}", found[0].1);
}

#[test]
fn claims_must_not_collide() {
    let named = |name: &str, spec: &str| service(spec).replace("name: a", &format!("name: {name}"));
    let tcp = "{ports: [{port: 1, protocol: tcp, listen: '127.0.0.1:7'}]}";
    let text = format!("{}---\n{}", named("x", tcp), named("y", tcp));
    let found = problems(&[("t", &text)]);
    assert_eq!(found.len(), 1);
    let reason = &found.iter().next().expect("one").reason;
    assert!(
        matches!(reason, Reason::Conflict(Conflict::ListenAddress { owner, .. }) if owner == "default/x:1")
    );

    let duplicate = format!("{0}---\n{0}", service("{ports: [{port: 80}]}"));
    let text = problems(&[("t.yaml", &duplicate)]).to_string();
    assert!(text.starts_with(
        "t.yaml:6:1: Service/a: Service/a is defined twice; it is first defined at t.yaml:1:1\n"
    ));
}

#[test]
fn a_host_name_belongs_to_one_service() {
    let of = |parent: &str, hostname: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r-{parent}}}\n\
             spec: {{parentRefs: [{{kind: Service, name: {parent}}}], hostnames: ['{hostname}']}}\n"
        )
    };
    let services = format!(
        "{}---\n{}",
        service("{ports: [{port: 80}]}"),
        service("{ports: [{port: 80}]}").replace("name: a", "name: b")
    );
    let with = |routes: &[String]| format!("{services}---\n{}", routes.join("---\n"));

    let claimed_twice = with(&[of("a", "shop.example.com"), of("b", "shop.example.com")]);
    assert_eq!(
        messages(&claimed_twice),
        [(
            "spec.hostnames[0]".to_owned(),
            "the host name \"shop.example.com\" already belongs to Service/a".to_owned()
        )]
    );
    for (hostname, refused) in
        [("b", true), ("b.default", true), ("single", true), ("a", false), ("*.example.com", false)]
    {
        let outcome = Mesh::parse(&[Source::new("t", with(&[of("a", hostname)]))]);
        assert_eq!(outcome.is_err(), refused, "{hostname}: {outcome:?}");
    }
}

#[test]
fn references_to_documents_with_problems_do_not_dangle() {
    let text = route("{}").replace("port: 80", "port: eighty");
    assert_eq!(messages(&text).len(), 1);
}

#[test]
fn removing_what_is_referred_to_is_refused() {
    let mesh = Mesh::parse(&[Source::new("t", route("{}"))]).expect("valid");
    let id = |kind: weft_config::Kind, name: &str| {
        weft_config::DocumentId::new(kind, weft_config::Key::new("default", name))
    };
    let service = id(weft_config::Kind::Service, "a");
    let route = id(weft_config::Kind::HttpRoute, "r");
    assert_eq!(
        mesh.remove(std::slice::from_ref(&service)).expect_err("referred to").to_string(),
        "HTTPRoute/r spec.parentRefs[0].name: no Service \"a\" (there are none)\n  \
         hint: add a Service of that name, or fix the reference"
    );
    assert_eq!(mesh.remove(&[service, route]).expect("both").ids().count(), 0);
    let unknown = id(weft_config::Kind::Subset, "nope");
    assert!(mesh.remove(&[unknown]).is_err());
}
