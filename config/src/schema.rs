//! The JSON Schema of the documents, for editors: completion and first mistakes while typing.
//!
//! What it cannot say (references, conflicts, most syntax of names) is left to the reader.

mod filters;
mod global_limit;
mod rate_limit;
mod request_match;
mod settings;
mod spread;
mod stickiness;

use filters::{call_filter, filter, header_filter};
use rate_limit::rate_limit_policy;
use serde_json::{Value, json};
use settings::settings;
use stickiness::told_apart_by;

use crate::document::{GATEWAY_API, GATEWAY_API_ALPHA, WEFT_API};

/// A schema (draft 2020-12) that every valid document satisfies.
pub fn json_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A document of the Weft mesh model",
        "oneOf": [
            document("Service", WEFT_API, "What callers dial, and where it runs.", &service()),
            document("Subset", WEFT_API, "Some endpoints of a Service, by label.", &subset()),
            document(
                "Gateway",
                GATEWAY_API,
                "Where requests and connections come in from outside of the mesh.",
                &gateway(),
            ),
            document("HTTPRoute", GATEWAY_API, "Where requests for a Service go.", &http_route()),
            document("GRPCRoute", GATEWAY_API, "Where gRPC calls to a Service go.", &grpc_route()),
            document(
                "TCPRoute",
                GATEWAY_API_ALPHA,
                "Where connections to a Service go.",
                &tcp_route(),
            ),
            document(
                "TLSRoute",
                GATEWAY_API,
                "Where TLS connections to a Service go, by server name.",
                &tls_route(),
            ),
            document(
                "TrafficPolicy",
                WEFT_API,
                "How requests to a Service are treated.",
                &traffic_policy(),
            ),
            document(
                "RateLimitPolicy",
                WEFT_API,
                "How often requests may come.",
                &rate_limit_policy(),
            ),
            document("MeshConfig", WEFT_API, "What holds for the whole mesh.", &mesh_config()),
            document("Workload", WEFT_API, "What `weft up` starts on this machine.", &workload()),
        ],
    })
}

fn document(kind: &str, api_version: &str, about: &str, spec: &Value) -> Value {
    let metadata = object(
        &["name"],
        &[
            ("name", text()),
            ("namespace", text()),
            ("labels", strings()),
            (
                "creationTimestamp",
                json!({"type": ["string", "null"], "description": "Of equal routes the oldest decides."}),
            ),
            ("annotations", strings()),
        ],
    );
    let fields = [
        ("apiVersion", json!({"const": api_version})),
        ("kind", json!({"const": kind})),
        ("metadata", metadata),
        ("spec", spec.clone()),
        ("status", json!({"type": "object", "description": "What others told; it is not read."})),
    ];
    about_it(object(&["apiVersion", "kind", "metadata", "spec"], &fields), about)
}

fn service() -> Value {
    let port = object(
        &["port"],
        &[
            ("port", about_it(port_number(), "The number callers dial.")),
            ("name", about_it(text(), "A name for sectionName.")),
            ("protocol", choice(&["http", "http2", "grpc", "tcp", "tls"])),
            ("listen", about_it(text(), "Where the callers' sidecars listen for it, IP:PORT.")),
        ],
    );
    let endpoint = object(
        &["address"],
        &[
            ("address", about_it(text(), "IP:PORT")),
            (
                "port",
                about_it(port_number(), "The Service port it serves; all of them without it."),
            ),
            ("labels", strings()),
            ("zone", text()),
            ("weight", integer(1, 10_000)),
        ],
    );
    let registered = about_it(object(&[], &[]), "Sidecars that were started for the Service.");
    let dns = object(
        &["host"],
        &[
            ("host", about_it(text(), "A name; every address it has is an endpoint.")),
            ("port", about_it(port_number(), "Their port; the one dialled without it.")),
        ],
    );
    let sources = [("registered", registered), ("static", list(&endpoint, 0)), ("dns", dns)];
    let mut source = object(&[], &sources);
    source["minProperties"] = json!(1);
    source["maxProperties"] = json!(1);
    let dependency = object(&["name"], &[("name", text()), ("namespace", text())]);
    let hostnames = about_it(list(&text(), 0), "Names it is dialled by besides its own.");
    object(
        &["ports"],
        &[
            ("ports", list(&port, 1)),
            ("hostnames", hostnames),
            ("endpoints", list(&source, 1)),
            ("dependencies", about_it(list(&dependency, 0), "What its sidecars can call.")),
        ],
    )
}

fn subset() -> Value {
    object(&["service", "labels"], &[("service", text()), ("labels", strings())])
}

fn gateway() -> Value {
    let address = object(
        &["value"],
        &[("type", choice(&["IPAddress"])), ("value", about_it(text(), "An IP."))],
    );
    let namespaces = object(&[], &[("from", choice(&["Same", "All"]))]);
    let routes = object(&[], &[("namespaces", namespaces)]);
    let fields = |protocol: &str| {
        vec![
            ("name", about_it(text(), "A name for sectionName.")),
            ("port", port_number()),
            ("protocol", json!({"const": protocol})),
            ("allowedRoutes", routes.clone()),
        ]
    };
    let hostname = ("hostname", about_it(text(), "Only for this name; every one without it."));
    let mut http = fields("HTTP");
    http.push(hostname.clone());
    let mut tls = fields("TLS");
    tls.push(hostname);
    tls.push(("tls", object(&["mode"], &[("mode", json!({"const": "Passthrough"}))])));
    let listener = json!({"oneOf": [
        object(&["name", "port", "protocol"], &http),
        object(&["name", "port", "protocol"], &fields("TCP")),
        object(&["name", "port", "protocol", "tls"], &tls),
    ]});
    object(
        &["gatewayClassName", "listeners"],
        &[
            ("gatewayClassName", choice(&["weft"])),
            ("addresses", about_it(list(&address, 0), "Where it listens; everywhere without any.")),
            ("listeners", list(&listener, 1)),
        ],
    )
}

fn parent() -> Value {
    let fields = |groups: &[&str], kind: &str| {
        [
            ("group", choice(groups)),
            ("kind", json!({"const": kind})),
            ("name", text()),
            ("namespace", text()),
            ("port", port_number()),
            ("sectionName", text()),
        ]
    };
    json!({"oneOf": [
        object(&["kind", "name"], &fields(&["", "weft.dev"], "Service")),
        object(&["name"], &fields(&["gateway.networking.k8s.io"], "Gateway")),
    ]})
}

fn backend() -> Value {
    object(
        &["name"],
        &[
            ("group", choice(&["", "weft.dev"])),
            ("kind", choice(&["Service", "Subset"])),
            ("name", text()),
            ("namespace", text()),
            ("port", port_number()),
            ("weight", integer(0, 1_000_000)),
            ("filters", about_it(list(&header_filter(), 0), "Changes for this backend alone.")),
        ],
    )
}

fn http_route() -> Value {
    let timeouts = object(
        &[],
        &[
            ("request", about_it(text(), "Such as 500ms or 2s; 0s is no limit.")),
            ("backendRequest", about_it(text(), "One try of several, at most all of request.")),
        ],
    );
    let retry = object(
        &[],
        &[
            ("codes", about_it(list(&integer(400, 599), 0), "Statuses that are tried again.")),
            ("attempts", about_it(integer(0, 100), "Tries after the first one; 1 without it.")),
            ("backoff", about_it(text(), "About how long to rest before the second try.")),
        ],
    );
    let rule = object(
        &[],
        &[
            ("name", text()),
            ("matches", list(&route_match(), 0)),
            ("filters", list(&filter(), 0)),
            ("backendRefs", list(&backend(), 0)),
            ("timeouts", timeouts),
            ("retry", about_it(retry, "Lost connections, and these statuses, are tried again.")),
            ("splitOn", about_it(told_apart_by(), "Equal requests go to the same backend.")),
        ],
    );
    object(
        &["parentRefs"],
        &[
            ("parentRefs", list(&parent(), 1)),
            ("hostnames", list(&text(), 0)),
            ("rules", list(&rule, 1)),
        ],
    )
}

fn grpc_route() -> Value {
    let method = object(
        &[],
        &[
            ("type", choice(&["Exact", "RegularExpression"])),
            ("service", about_it(text(), "The full name of the gRPC service.")),
            ("method", text()),
        ],
    );
    let matched = object(&[], &[("method", method), ("headers", list(&named_match(), 0))]);
    let rule = object(
        &[],
        &[
            ("name", text()),
            ("matches", list(&matched, 0)),
            ("filters", list(&call_filter(), 0)),
            ("backendRefs", list(&backend(), 0)),
            ("splitOn", about_it(told_apart_by(), "Equal calls go to the same backend.")),
        ],
    );
    object(
        &["parentRefs"],
        &[
            ("parentRefs", list(&parent(), 1)),
            ("hostnames", list(&text(), 0)),
            ("rules", list(&rule, 1)),
        ],
    )
}

fn stream_rules() -> Value {
    let rule = object(&["backendRefs"], &[("name", text()), ("backendRefs", list(&backend(), 1))]);
    list(&rule, 1)
}

fn tcp_route() -> Value {
    object(
        &["parentRefs", "rules"],
        &[("parentRefs", list(&parent(), 1)), ("rules", stream_rules())],
    )
}

fn tls_route() -> Value {
    object(
        &["parentRefs", "hostnames", "rules"],
        &[
            ("parentRefs", list(&parent(), 1)),
            ("hostnames", list(&text(), 1)),
            ("rules", stream_rules()),
        ],
    )
}

fn traffic_policy() -> Value {
    let target = object(
        &["kind", "name"],
        &[
            ("group", choice(&["", "weft.dev"])),
            ("kind", choice(&["Service", "Subset"])),
            ("name", text()),
        ],
    );
    let fields: Vec<_> = [("targetRef", target)].into_iter().chain(settings()).collect();
    object(&["targetRef"], &fields)
}

fn mesh_config() -> Value {
    let host = object(
        &["host"],
        &[
            ("host", text()),
            ("port", port_number()),
            ("protocol", choice(&["http", "http2", "grpc"])),
        ],
    );
    let deny = object(&["policy"], &[("policy", json!({"const": "Deny"}))]);
    let listed = object(
        &["policy", "hosts"],
        &[("policy", json!({"const": "AllowList"})), ("hosts", list(&host, 1))],
    );
    let allow =
        object(&["policy"], &[("policy", json!({"const": "Allow"})), ("hosts", list(&host, 0))]);
    object(
        &[],
        &[
            ("trustDomain", text()),
            ("defaults", object(&[], &settings())),
            ("egress", json!({"oneOf": [deny, listed, allow]})),
        ],
    )
}

fn named_match() -> Value {
    object(
        &["name", "value"],
        &[("name", text()), ("type", choice(&["Exact", "RegularExpression"])), ("value", text())],
    )
}

fn route_match() -> Value {
    let kinds = choice(&["Exact", "PathPrefix", "RegularExpression"]);
    let path = object(&[], &[("type", kinds), ("value", text())]);
    let named = named_match();
    let methods = choice(&["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"]);
    object(
        &[],
        &[
            ("path", path),
            ("headers", list(&named, 0)),
            ("queryParams", list(&named, 0)),
            ("method", methods),
        ],
    )
}

/// `{type: KIND, FIELD: …}`
fn of_type(kind: &str, field: &str, value: Value) -> Value {
    object(&["type", field], &[("type", json!({"const": kind})), (field, value)])
}

fn workload() -> Value {
    let run = object(
        &[],
        &[
            ("sample", choice(&["storefront", "catalog", "inventory"])),
            ("command", list(&text(), 1)),
            ("env", strings()),
            (
                "port",
                about_it(port_number(), "Where it listens on 127.0.0.1; told in PORT without it."),
            ),
        ],
    );
    object(
        &["service", "run"],
        &[("service", text()), ("labels", strings()), ("instances", integer(1, 100)), ("run", run)],
    )
}

fn object(required: &[&str], fields: &[(&str, Value)]) -> Value {
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn list(item: &Value, at_least: u32) -> Value {
    json!({"type": "array", "items": item, "minItems": at_least})
}

fn choice(words: &[&str]) -> Value {
    json!({"enum": words})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn strings() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

fn integer(least: u32, most: u32) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

fn port_number() -> Value {
    integer(1, u32::from(u16::MAX))
}

fn about_it(mut schema: Value, description: &str) -> Value {
    if let Value::Object(fields) = &mut schema {
        fields.insert("description".to_owned(), json!(description));
    }
    schema
}
