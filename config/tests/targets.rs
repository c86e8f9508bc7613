//! Routes and policies fit what they are about, and say in one line what does not.

use weft_config::{Mesh, Source};

/// What is said against documents that must be refused, in order.
fn messages(text: &str) -> Vec<String> {
    match Mesh::parse(&[Source::new("t", text)]) {
        Ok(_) => panic!("must be refused: {text}"),
        Err(problems) => problems.iter().map(|problem| problem.reason.to_string()).collect(),
    }
}

/// A Service of each kind of port: `http`, `calls` (grpc) and `bytes` (tcp).
fn with_services(text: &str) -> String {
    let named = |name: &str, protocol: &str| {
        document("Service", "a", &format!("{{ports: [{{port: 80, protocol: {protocol}}}]}}"))
            .replace("name: a", &format!("name: {name}"))
    };
    let services = [named("plain", "http"), named("calls", "grpc"), named("bytes", "tcp")];
    format!("{}---\n{text}", services.join("---\n"))
}

fn document(kind: &str, name: &str, spec: &str) -> String {
    let kind: weft_config::Kind = kind.parse().unwrap_or_else(|unknown| panic!("{unknown}"));
    let version = kind.api_version();
    format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

#[test]
fn routes_fit_their_ports() {
    let cases = [
        (
            "GRPCRoute",
            "plain",
            "{}",
            "Service \"plain\" has no such port that speaks http2 or grpc",
        ),
        (
            "TCPRoute",
            "calls",
            "{backendRefs: [{name: bytes}]}",
            "Service \"calls\" has no such tcp port",
        ),
        (
            "TCPRoute",
            "bytes",
            "{backendRefs: [{name: calls}]}",
            "port 80 of Service \"calls\" does not take plain connections",
        ),
        (
            "GRPCRoute",
            "calls",
            "{backendRefs: [{name: bytes}]}",
            "port 80 of Service \"bytes\" is a tcp port",
        ),
        (
            "TCPRoute",
            "bytes",
            "{backendRefs: [{name: bytes, weight: 0}]}",
            "every backend has the weight 0",
        ),
        ("TCPRoute", "bytes", "{}", "the field \"backendRefs\" is missing"),
        (
            "GRPCRoute",
            "calls",
            "{matches: [{method: {}}]}",
            "none of these is given: service, method",
        ),
        (
            "GRPCRoute",
            "calls",
            "{filters: [{type: URLRewrite, urlRewrite: {hostname: x.y}}]}",
            "a RequestRedirect, URLRewrite or CORS in a GRPCRoute is not supported",
        ),
    ];
    for (kind, parent, rule, expected) in cases {
        let spec = format!("{{parentRefs: [{{kind: Service, name: {parent}}}], rules: [{rule}]}}");
        let found = messages(&with_services(&document(kind, "r", &spec)));
        assert_eq!(found, [expected], "{kind} {parent} {rule}");
    }
}

#[test]
fn policies_fit_their_targets() {
    let policy = |name: &str, spec: &str| document("TrafficPolicy", name, spec);
    let target = "targetRef: {kind: Service, name: plain}";
    let cases = [
        (
            policy("p", "{targetRef: {kind: Service, name: nope}}"),
            "no Service \"nope\" (there are: bytes, calls, plain)",
        ),
        (
            policy("p", "{targetRef: {kind: Subset, name: nope}}"),
            "no Subset \"nope\" (there are none)",
        ),
        (
            policy("p", &format!("{{{target}, timeouts: {{connect: 0s}}}}")),
            "\"0s\" is not a duration above zero",
        ),
        (
            policy("p", &format!("{{{target}, circuitBreaker: {{maxRequests: 0}}}}")),
            "\"0\" is not a whole number from 1 to 2147483647",
        ),
        (policy("p", &format!("{{{target}, rateLimit: {{}}}}")), "rateLimit is not supported"),
        (
            policy("p", &format!("{{{target}, retries: {{on: [5x]}}}}")),
            "\"5x\" is not one of 5xx, gateway-error, reset, connect-failure, refused-stream, retriable-4xx, cancelled, deadline-exceeded, internal, resource-exhausted, unavailable, did you mean \"5xx\"?",
        ),
        (
            policy("p", &format!("{{{target}, retries: {{on: []}}}}")),
            "\"[]\" is not a list of at least one item",
        ),
        (
            policy("p", &format!("{{{target}, retries: {{methods: []}}}}")),
            "\"[]\" is not a list of at least one item",
        ),
        (
            policy("p", &format!("{{{target}, retries: {{methods: [POST, POST]}}}}")),
            "the method POST is given twice",
        ),
        (
            policy("p", &format!("{{{target}, retries: {{perTryTimeout: 0s}}}}")),
            "\"0s\" is not a duration above zero",
        ),
        (
            policy("p", &format!("{{{target}, retries: {{budget: {{percent: 101}}}}}}")),
            "\"101\" is not a whole number from 0 to 100",
        ),
        (
            policy("p", &format!("{{{target}, timeouts: {{perTry: 1s}}}}")),
            "perTry is not supported",
        ),
        (
            policy("p", &format!("{{{target}, loadBalancer: {{policy: Maglev}}}}")),
            "the field \"hashOn\" is missing",
        ),
        (
            policy("p", &format!("{{{target}, loadBalancer: {{hashOn: [{{header: x}}]}}}}")),
            "hashOn is used by the policies RingHash and Maglev only",
        ),
        (
            policy("p", &format!("{{{target}, loadBalancer: {{policy: Random, decayTime: 1s}}}}")),
            "decayTime is used by the policy PeakEWMA only",
        ),
        (
            policy(
                "p",
                &format!(
                    "{{{target}, loadBalancer: {{zones: Any, zoneWeights: [{{zone: a, weight: 1}}]}}}}"
                ),
            ),
            "loadBalancer.zones and zoneWeights cannot be given both",
        ),
        (
            policy(
                "p",
                &format!("{{{target}, loadBalancer: {{zoneWeights: [{{zone: a, weight: 0}}]}}}}"),
            ),
            "\"0\" is not a whole number from 1 to 1000000",
        ),
        (
            policy("p", &format!("{{{target}, adaptiveConcurrency: {{maxConcurrent: 2}}}}")),
            "minConcurrent (3) is above maxConcurrent (2)",
        ),
        (
            policy("p", &format!("{{{target}, adaptiveConcurrency: {{minConcurrent: 0}}}}")),
            "\"0\" is not a whole number from 1 to 2147483647",
        ),
        (
            policy("p", &format!("{{{target}, hedging: {{extra: 1}}}}")),
            "exactly one of the fields percentile, after must be given",
        ),
        (
            policy("p", &format!("{{{target}, hedging: {{percentile: 90, after: 1s}}}}")),
            "exactly one of the fields percentile, after must be given",
        ),
        (
            policy("p", &format!("{{{target}, hedging: {{percentile: 100}}}}")),
            "\"100\" is not a whole number from 1 to 99",
        ),
        (
            policy("p", &format!("{{{target}, hedging: {{after: 0s}}}}")),
            "\"0s\" is not a duration above zero",
        ),
        (
            policy("p", &format!("{{{target}, hedging: {{after: 1s, extra: 0}}}}")),
            "\"0\" is not a whole number from 1 to 5",
        ),
        (
            policy("p", &format!("{{{target}, hedging: {{after: 1s, methods: []}}}}")),
            "\"[]\" is not a list of at least one item",
        ),
        (
            policy("p", &format!("{{{target}, stickiness: {{strict: true}}}}")),
            "exactly one of the fields cookie, header must be given",
        ),
        (
            policy("p", &format!("{{{target}, sessionAffinity: {{}}}}")),
            "sessionAffinity is not supported",
        ),
        (
            policy(
                "p",
                &format!(
                    "{{{target}, loadBalancer: {{policy: RingHash, hashOn: [{{header: x, queryParameter: y}}]}}}}"
                ),
            ),
            "exactly one of the fields header, cookie, queryParameter, sourceAddress must be given",
        ),
        (
            policy("p", &format!("{{{target}, healthCheck: {{tcp: {{}}, grpc: {{}}}}}}")),
            "exactly one of the fields http, grpc, tcp must be given",
        ),
        (
            policy("p", &format!("{{{target}, healthCheck: {{grpc: {{}}}}}}")),
            "healthCheck.grpc is for ports with grpc or http2, and Service \"plain\" has none",
        ),
        (
            policy("p", &format!("{{{target}, outlierDetection: {{failurePercentage: {{}}}}}}")),
            "the field \"threshold\" is missing",
        ),
        (
            format!(
                "{}---\n{}",
                policy("p", &format!("{{{target}}}")),
                policy("q", &format!("{{{target}}}"))
            ),
            "Service/plain already has a policy, TrafficPolicy/p",
        ),
        (
            policy("p", &format!("{{{target}, drop: {{}}}}")),
            "exactly one of the fields percent, fraction must be given",
        ),
        (
            policy(
                "p",
                &format!(
                    "{{{target}, loadBalancer: {{policy: Random, slowStart: {{window: 1s}}}}}}"
                ),
            ),
            "slowStart is for the policies RoundRobin, LeastRequest and PeakEWMA",
        ),
        (
            policy("p", &format!("{{{target}, loadBalancer: {{panicThreshold: 101}}}}")),
            "\"101\" is not a whole number from 0 to 100",
        ),
        (
            policy("p", &format!("{{{target}, retries: {{backoff: 1s, maxBackoff: 900ms}}}}")),
            "maxBackoff is 900ms, and the first rest is 1s already",
        ),
        (
            policy("p", &format!("{{{target}, retries: {{maxBackoff: 24ms}}}}")),
            "maxBackoff is 24ms, and the first rest is 25ms already",
        ),
        (
            policy("p", &format!("{{{target}, retries: {{headers: []}}}}")),
            "\"[]\" is not a list of at least one item",
        ),
        (
            policy("p", &format!("{{{target}, fault: {{maxActive: 1}}}}")),
            "none of these is given: delay, abort",
        ),
        (
            policy("p", &format!("{{{target}, fault: {{abort: {{percent: 1}}}}}}")),
            "exactly one of the fields status, grpcStatus must be given",
        ),
        (
            policy("p", &format!("{{{target}, fault: {{abort: {{grpcStatus: OK}}}}}}")),
            "\"OK\" is not one of CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED",
        ),
        (
            policy(
                "p",
                &format!(
                    "{{{target}, fault: {{delay: {{time: 1s, percent: 1, fraction: {{numerator: 1}}}}}}}}"
                ),
            ),
            "percent and fraction cannot be given both",
        ),
        (
            policy("p", &format!("{{{target}, timeouts: {{maxStream: 0s}}}}")),
            "\"0s\" is not a duration above zero",
        ),
        (
            policy(
                "p",
                &format!(
                    "{{{target}, circuitBreaker: {{maxRetries: 1}}, retries: {{budget: {{percent: 1}}}}}}"
                ),
            ),
            "circuitBreaker.maxRetries and retries.budget cannot be given both",
        ),
        (
            format!(
                "{}---\n{}",
                document("Subset", "s", "{service: plain, labels: {v: '1'}}"),
                policy("p", "{targetRef: {kind: Subset, name: s}, fault: {delay: {time: 1s}}}")
            ),
            "fault is about a Service as a whole, not about a Subset of it",
        ),
        (
            document("MeshConfig", "other", "{}"),
            "a MeshConfig is named default, in the namespace default",
        ),
        (
            document("MeshConfig", "default", "{egress: {policy: Allowed}}"),
            "\"Allowed\" is not one of Deny, AllowList, Allow, did you mean \"Allow\"?",
        ),
        (
            document(
                "MeshConfig",
                "default",
                "{egress: {policy: AllowList, hosts: [{host: plain.default}]}}",
            ),
            "the host name \"plain.default\" already belongs to Service/plain",
        ),
        (
            document("Service", "a", "{ports: [{port: 80}], hostnames: [calls.default]}"),
            "the host name \"calls.default\" already belongs to Service/calls",
        ),
        (
            document("Service", "a", "{ports: [{port: 80}], hostnames: [single]}"),
            "\"single\" is not a host name with a dot",
        ),
        (
            document(
                "Service",
                "a",
                "{ports: [{port: 80}], endpoints: [{dns: {host: x.y}}, {registered: {}}]}",
            ),
            "endpoints by dns cannot be merged with other sources",
        ),
        (
            format!(
                "{}---\n{}",
                document("Service", "a", "{ports: [{port: 80}], endpoints: [{dns: {host: x.y}}]}"),
                document("Subset", "s", "{service: a, labels: {v: '1'}}")
            ),
            "Service \"a\" has its endpoints from DNS, where they have no labels",
        ),
    ];
    for (text, expected) in cases {
        let found = messages(&with_services(&text));
        assert_eq!(found, [expected], "{text}");
    }
}
