//! Meshes by chance: mostly valid documents of every kind, over few names so that they meet.

mod limits;

use proptest::prelude::*;
use serde_json::{Value, json};
use weft_config::model::policy::Condition;
use weft_config::model::route::Method;
use weft_config::{Key, Mesh, Source, StringMap};
use weft_translate::{Dialect, Instance, Node, Workloads};

const NAMES: [&str; 3] = ["a", "b", "c"];
const NAMESPACES: [&str; 2] = ["default", "other"];
const PORTS: [u16; 3] = [80, 81, 9000];

fn pick<T: Clone + std::fmt::Debug + 'static>(
    from: &'static [T],
) -> impl Strategy<Value = T> + Clone {
    prop::sample::select(from)
}

fn document(kind: &str, namespace: &str, name: &str, spec: &Value) -> Value {
    let api =
        kind.parse::<weft_config::Kind>().map_or(weft_config::WEFT_API, |kind| kind.api_version());
    json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn service() -> impl Strategy<Value = Value> {
    let protocols = prop::collection::vec(pick(&["http", "http2", "grpc"]), 3);
    let endpoint =
        (1..5_u8, any::<bool>(), prop::option::of(1..9_u32), prop::option::of(pick(&["z1", "z2"])));
    let endpoints = prop::collection::vec(endpoint, 0..3);
    let calls = prop::option::of(any::<bool>());
    let all = (protocols, 1..4_usize, endpoints, any::<bool>(), calls);
    all.prop_map(|(protocols, ports, endpoints, tcp, calls)| {
        let ports: Vec<Value> = PORTS
            .iter()
            .zip(protocols)
            .take(ports)
            .map(|(port, protocol)| json!({"port": port, "protocol": if tcp { "tcp" } else { protocol }}))
            .collect();
        let mut written = std::collections::BTreeMap::new();
        for (host, v2, weight, zone) in endpoints {
            let mut endpoint = json!({"address": format!("127.0.0.{host}:7000")});
            endpoint["labels"] = json!({"version": if v2 { "v2" } else { "v1" }});
            if let Some(weight) = weight {
                endpoint["weight"] = json!(weight);
            }
            if let Some(zone) = zone {
                endpoint["zone"] = json!(zone);
            }
            written.insert(host, endpoint);
        }
        let written: Vec<Value> = written.into_values().collect();
        let mut spec = json!({"ports": ports, "endpoints": [{"registered": {}}, {"static": written}]});
        // The Service that calls itself is always there.
        if let Some(itself) = calls {
            spec["dependencies"] = if itself { json!(["itself"]) } else { json!([]) };
        }
        spec
    })
}

fn path() -> impl Strategy<Value = Value> {
    prop_oneof![
        pick(&["/", "/x", "/x/", "/x/y"])
            .prop_map(|path| json!({"type": "PathPrefix", "value": path})),
        pick(&["/", "/x", "/s.S/M"]).prop_map(|path| json!({"type": "Exact", "value": path})),
        pick(&["/x.*", "/(a|b)+"])
            .prop_map(|path| json!({"type": "RegularExpression", "value": path})),
    ]
}

fn route_match() -> impl Strategy<Value = Value> {
    let named = prop::option::of((pick(&["x-a", "x-b"]), pick(&["Exact", "RegularExpression"])));
    let method = prop::option::of(pick(&["GET", "POST"]));
    (prop::option::of(path()), named.clone(), named, method).prop_map(
        |(path, header, query, method)| {
            let mut matched = json!({});
            if let Some(path) = path {
                matched["path"] = path;
            }
            if let Some((name, kind)) = header {
                matched["headers"] = json!([{"name": name, "type": kind, "value": "1.2"}]);
            }
            if let Some((name, kind)) = query {
                matched["queryParams"] = json!([{"name": name, "type": kind, "value": "a"}]);
            }
            if let Some(method) = method {
                matched["method"] = json!(method);
            }
            matched
        },
    )
}

fn filters() -> impl Strategy<Value = Vec<Value>> {
    let path = prop_oneof![
        Just(json!({"type": "ReplaceFullPath", "replaceFullPath": "/full"})),
        pick(&["", "/", "/to", "/to/"])
            .prop_map(|to| json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": to})),
    ];
    let change = (any::<bool>(), path, pick(&[301, 302, 303, 307, 308])).prop_map(|(redirect, path, status)| {
        if redirect {
            json!({"type": "RequestRedirect", "requestRedirect": {
                "path": path, "statusCode": status, "scheme": "https", "port": 8443, "hostname": "x.y"}})
        } else {
            json!({"type": "URLRewrite", "urlRewrite": {"path": path, "hostname": "x.y"}})
        }
    });
    let headers = json!({"set": [{"name": "x-s", "value": "100%"}], "add": [{"name": "x-d", "value": "%REQ(x)%"}],
                         "remove": ["x-r"]});
    let modifiers = prop::sample::subsequence(
        vec![
            json!({"type": "RequestHeaderModifier", "requestHeaderModifier": headers}),
            json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": headers}),
            json!({"type": "CORS", "cors": {"allowOrigins": ["https://*.a.example:8443", "http://b"],
                   "allowMethods": ["PUT"], "allowCredentials": true}}),
            json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "a", "port": 80}, "percent": 7}}),
            json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "b", "port": 80},
                   "fraction": {"numerator": 1, "denominator": 3}, "maxActive": 9,
                   "compare": {"headers": ["x-d"], "showHeaders": ["x-d"], "maxBodyBytes": 0}}}),
            json!({"type": "CORS", "cors": {"allowOrigins": ["*"], "allowHeaders": ["*"], "maxAge": 9}}),
        ],
        0..=4,
    );
    let modifiers = modifiers.prop_filter("one CORS", |modifiers| {
        modifiers.iter().filter(|filter| filter["type"] == "CORS").count() < 2
    });
    (modifiers, prop::option::of(change)).prop_map(|(mut modifiers, change)| {
        modifiers.extend(change);
        modifiers
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let changed = any::<bool>();
    let backend = (any::<bool>(), pick(&NAMES), pick(&PORTS), 0..3_u32, changed).prop_map(|(subset, name, port, weight, changed)| {
        let headers = json!({"set": [{"name": "x-b", "value": "1"}], "remove": ["x-r"]});
        let filter = json!({"type": "RequestHeaderModifier", "requestHeaderModifier": headers});
        let filters = if changed { json!([filter]) } else { json!([]) };
        if subset {
            json!({"group": "weft.dev", "kind": "Subset", "name": format!("s-{name}"), "port": port, "weight": weight, "filters": filters})
        } else {
            json!({"name": name, "port": port, "weight": weight, "filters": filters})
        }
    });
    let matches = prop::collection::vec(route_match(), 0..3);
    let timeout = prop::option::of(pick(&["0s", "1500ms", "1h"]));
    let codes = prop::sample::subsequence(vec![404, 500, 599], 0..=3);
    let retry = prop::option::of((codes, 0..4_u32, pick(&["1ms", "1h"])));
    (matches, filters(), prop::collection::vec(backend, 0..3), timeout, retry).prop_map(
        |(matches, filters, backends, timeout, retry)| {
            let mut rule = json!({"matches": matches, "filters": filters});
            if !filters.iter().any(|filter| filter["type"] == "RequestRedirect") {
                rule["backendRefs"] = json!(backends);
            }
            if let Some(timeout) = timeout {
                rule["timeouts"] = json!({"request": timeout, "backendRequest": "1s"});
            }
            if let Some((codes, attempts, backoff)) = retry {
                rule["retry"] = json!({"codes": codes, "attempts": attempts, "backoff": backoff});
            }
            rule
        },
    )
}

fn http_route() -> impl Strategy<Value = (usize, &'static str, Value)> {
    let rules = prop::collection::vec(rule(), 1..3);
    let hostnames =
        prop::sample::subsequence(vec!["h.example.com", "*.example.com", "a", "a.default"], 0..=2);
    (0..3_usize, pick(&NAMES), rules, hostnames, prop::option::of(pick(&PORTS))).prop_map(
        |(index, parent, rules, hostnames, port)| {
            let mut parent_ref = json!({"kind": "Service", "name": parent});
            if let Some(port) = port {
                parent_ref["port"] = json!(port);
            }
            let mut spec = json!({"parentRefs": [parent_ref], "rules": rules});
            if !hostnames.is_empty() {
                spec["hostnames"] = json!(hostnames);
            }
            (index, parent, spec)
        },
    )
}

fn grpc_route() -> impl Strategy<Value = Value> {
    let method = prop::option::of(pick(&[
        r#"{"service": "s.S", "method": "M"}"#,
        r#"{"service": "s.S"}"#,
        r#"{"method": "M"}"#,
        r#"{"type": "RegularExpression", "service": "s[.].*"}"#,
    ]));
    let rule = (method, any::<bool>(), pick(&NAMES), 0..3_u32).prop_map(|(method, modify, backend, weight)| {
        let method = method.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let matched = method.map_or_else(|| json!({}), |method| json!({"method": method}));
        let headers = json!({"set": [{"name": "x-s", "value": "100%"}]});
        let filter = json!({"type": "RequestHeaderModifier", "requestHeaderModifier": headers});
        let filters = if modify { json!([filter]) } else { json!([]) };
        json!({"matches": [matched], "filters": filters, "backendRefs": [{"name": backend, "port": 80, "weight": weight}]})
    });
    (pick(&NAMES), prop::collection::vec(rule, 1..3)).prop_map(|(parent, rules)| {
        json!({"parentRefs": [{"kind": "Service", "name": parent}], "rules": rules})
    })
}

fn tcp_route() -> impl Strategy<Value = Value> {
    let backends = prop::collection::vec((pick(&NAMES), 0..3_u32), 1..3);
    (pick(&NAMES), backends).prop_map(|(parent, backends)| {
        let backends: Vec<Value> = backends
            .into_iter()
            .map(|(name, weight)| json!({"name": name, "port": 80, "weight": weight}))
            .collect();
        json!({"parentRefs": [{"kind": "Service", "name": parent}], "rules": [{"backendRefs": backends}]})
    })
}

fn gateway() -> impl Strategy<Value = Value> {
    let all = [
        json!({"name": "one", "port": 80, "protocol": "HTTP"}),
        json!({"name": "two", "port": 80, "protocol": "HTTP", "hostname": "*.example.com"}),
        json!({"name": "three", "port": 80, "protocol": "HTTP", "hostname": "h.example.com"}),
        json!({"name": "four", "port": 81, "protocol": "TCP"}),
        json!({"name": "five", "port": 82, "protocol": "TLS", "tls": {"mode": "Passthrough"}}),
        json!({"name": "six", "port": 82, "protocol": "TLS", "hostname": "*.example.com",
               "tls": {"mode": "Passthrough"}}),
    ];
    let addresses = prop::sample::subsequence(vec!["127.0.0.1", "::1", "127.0.0.2"], 0..=2);
    (prop::sample::subsequence(all.to_vec(), 1..=6), addresses).prop_map(
        |(listeners, addresses)| {
            let addresses: Vec<_> = addresses.iter().map(|ip| json!({"value": ip})).collect();
            json!({"gatewayClassName": "weft", "addresses": addresses, "listeners": listeners})
        },
    )
}

/// What is attached to the Gateway: it may have listeners for it, or not.
fn attached() -> impl Strategy<Value = (&'static str, Value)> {
    let hostnames =
        prop::sample::subsequence(vec!["h.example.com", "*.example.com", "b.org", "*.org"], 0..=2);
    let requests =
        (hostnames.clone(), prop::collection::vec(rule(), 1..3)).prop_map(|(hostnames, rules)| {
            (
                "HTTPRoute",
                json!({"parentRefs": [{"name": "g"}], "hostnames": hostnames, "rules": rules}),
            )
        });
    let calls = (hostnames.clone(), pick(&NAMES)).prop_map(|(hostnames, name)| {
        let rules = json!([{"backendRefs": [{"name": name, "port": 80}]}]);
        (
            "GRPCRoute",
            json!({"parentRefs": [{"name": "g"}], "hostnames": hostnames, "rules": rules}),
        )
    });
    let connections = pick(&NAMES).prop_map(|name| {
        let rules = json!([{"backendRefs": [{"name": name, "port": 80}]}]);
        ("TCPRoute", json!({"parentRefs": [{"name": "g"}], "rules": rules}))
    });
    let by_name = (hostnames, pick(&NAMES)).prop_map(|(hostnames, name)| {
        let rules = json!([{"backendRefs": [{"name": name, "port": 80}]}]);
        ("TLSRoute", json!({"parentRefs": [{"name": "g"}], "hostnames": hostnames, "rules": rules}))
    });
    prop_oneof![4 => requests, 1 => calls, 2 => connections, 2 => by_name]
}

fn retries() -> impl Strategy<Value = Value> {
    let on = prop::sample::subsequence(Condition::NAMES.to_vec(), 1..=11);
    let codes = prop::sample::subsequence(vec![429, 500, 503], 0..=3);
    let time = prop::option::of(pick(&["1ms", "1h"]));
    let budget = prop::option::of((0..=100_u32, 0..9_u32));
    let methods = prop::option::of(prop::sample::subsequence(Method::NAMES.to_vec(), 1..=8));
    (0..4_u32, prop::option::of(on), codes, methods, time, budget).prop_map(
        |(attempts, on, codes, methods, time, budget)| {
            let mut retries = json!({"attempts": attempts, "codes": codes});
            if let Some(on) = on {
                retries["on"] = json!(on);
            }
            if let Some(methods) = methods {
                retries["methods"] = json!(methods);
            }
            if let Some(time) = time {
                retries["perTryTimeout"] = json!(time);
                retries["backoff"] = json!(time);
                retries["maxBackoff"] = json!("1h");
                retries["perTryIdleTimeout"] = json!(time);
                retries["maxRetryAfter"] = json!(time);
                retries["headers"] = json!([{"name": "X-Again", "value": "yes"}]);
            }
            if let Some((percent, least)) = budget {
                retries["budget"] = json!({"percent": percent, "minConcurrent": least});
            }
            retries
        },
    )
}

fn load_balancer() -> impl Strategy<Value = Value> {
    let on = [
        json!({"header": "X-User"}),
        json!({"cookie": {"name": "user"}}),
        json!({"cookie": {"name": "user", "ttl": "0s", "path": "/x"}}),
        json!({"queryParameter": "user"}),
        json!({"sourceAddress": {}}),
    ];
    let on = prop::sample::subsequence(on.to_vec(), 1..=5);
    prop_oneof![
        pick(&["RoundRobin", "LeastRequest", "PeakEWMA", "Random"])
            .prop_map(|policy| json!({"policy": policy, "zones": "Any"})),
        Just(json!({"policy": "PeakEWMA", "decayTime": "3s", "slowStart": {"window": "1s"}})),
        Just(json!({"policy": "LeastRequest", "zoneWeights": [{"zone": "z", "weight": 7}]})),
        pick(&["RoundRobin", "LeastRequest"]).prop_map(|policy| {
            let slow_start = json!({"window": "1s", "minWeightPercent": 50});
            json!({"policy": policy, "slowStart": slow_start, "panicThreshold": 0})
        }),
        (pick(&["RingHash", "Maglev"]), on)
            .prop_map(|(policy, on)| json!({"policy": policy, "hashOn": on})),
    ]
}

fn outlier_detection() -> impl Strategy<Value = Value> {
    let count = prop::option::of(1..9_u32);
    let share = prop::option::of(1..=100_u32);
    let time = prop::option::of(pick(&["1ms", "10s", "1h"]));
    (count.clone(), count, share, time, prop::option::of(0..=100_u32)).prop_map(
        |(errors, gateway, share, time, most)| {
            let mut outliers = json!({});
            if let Some(errors) = errors {
                outliers["consecutiveErrors"] = json!(errors);
            }
            if let Some(errors) = gateway {
                outliers["consecutiveGatewayErrors"] = json!(errors);
            }
            if let Some(threshold) = share {
                outliers["failurePercentage"] = json!({"threshold": threshold, "minimumHosts": 1});
            }
            if let Some(time) = time {
                outliers["interval"] = json!(time);
                outliers["baseEjectionTime"] = json!(time);
            }
            if let Some(most) = most {
                outliers["maxEjectionPercent"] = json!(most);
            }
            outliers
        },
    )
}

fn health_check() -> impl Strategy<Value = Value> {
    pick(&[
        r#"{"http": {"path": "/up?all", "statuses": [200, 503]}, "interval": "1ms"}"#,
        r#"{"http": {"path": "/", "host": "h.example.com"}, "healthyThreshold": 1}"#,
        r#"{"grpc": {"service": "s.S"}, "timeout": "1h", "unhealthyThreshold": 9}"#,
        r#"{"grpc": {}}"#,
        r#"{"tcp": {}}"#,
    ])
    .prop_map(|text| serde_json::from_str(text).unwrap_or_default())
}

fn settings() -> impl Strategy<Value = Value> {
    let times = prop::option::of(pick(&["0s", "1500ms", "1h"]));
    let limit = prop::option::of(1..2000_u32);
    let new = (
        prop::option::of(retries()),
        prop::option::of(load_balancer()),
        prop::option::of(outlier_detection()),
        prop::option::of(health_check()),
        prop::option::of((limits::fault(), 0..101_u32)),
    );
    (times.clone(), times, limit.clone(), limit, new).prop_map(
        |(request, idle, requests, per_connection, (retries, balancer, outliers, check, fault))| {
            let mut settings = json!({});
            if let Some(request) = request {
                settings["timeouts"] = json!({"request": request, "connect": "700ms", "streamIdle": request, "maxStream": "2h"});
            }
            if let Some(most) = requests {
                settings["circuitBreaker"] = json!({"maxRequests": most, "maxPending": 0, "maxConnectionsPerEndpoint": most});
            }
            if per_connection.is_some() {
                let vip = json!({"name": "x-vip", "value": "1"});
                settings["highPriority"] = json!([{"path": {"value": "/pay"}}, {"headers": [vip]}]);
            }
            if let (Some(idle), Some(most)) = (idle, per_connection) {
                settings["connectionPool"] =
                    json!({"idleTimeout": idle, "maxRequestsPerConnection": most, "maxConnectionDuration": "1h"});
            }
            let places = [
                ("retries", retries),
                ("loadBalancer", balancer),
                ("outlierDetection", outliers),
                ("healthCheck", check),
            ];
            if let Some((fault, percent)) = fault {
                settings["fault"] = fault;
                settings["drop"] = json!({"percent": percent});
            }
            for (place, value) in places {
                if let Some(value) = value {
                    settings[place] = value;
                }
            }
            settings
        },
    )
}

fn policy() -> impl Strategy<Value = Value> {
    (any::<bool>(), pick(&NAMES), settings()).prop_map(|(subset, name, mut settings)| {
        let (kind, name) =
            if subset { ("Subset", format!("s-{name}")) } else { ("Service", name.to_owned()) };
        settings["targetRef"] = json!({"kind": kind, "name": name});
        settings
    })
}

fn mesh_config() -> impl Strategy<Value = Value> {
    (settings(), 0..4).prop_map(|(defaults, policy)| {
        let hosts = json!([{"host": "out.example.com"}, {"host": "out.example.com", "port": 81, "protocol": "grpc"}]);
        let egress = match policy {
            0 => json!({"policy": "AllowList", "hosts": hosts}),
            1 => json!({"policy": "Allow", "hosts": hosts}),
            2 => json!({"policy": "Allow"}),
            _ => json!({"policy": "Deny"}),
        };
        json!({"defaults": defaults, "egress": egress})
    })
}

/// Documents of the other kinds, which may or may not fit a mesh.
fn others() -> impl Strategy<Value = Vec<Value>> {
    let one = prop_oneof![
        grpc_route().prop_map(|spec| ("GRPCRoute", spec)),
        tcp_route().prop_map(|spec| ("TCPRoute", spec)),
        attached(),
        attached(),
        policy().prop_map(|spec| ("TrafficPolicy", spec)),
        limits::rate_limit_policy().prop_map(|spec| ("RateLimitPolicy", spec)),
        mesh_config().prop_map(|spec| ("MeshConfig", spec)),
        Just((
            "Service",
            json!({"ports": [{"port": 80}], "hostnames": ["found.example.com"],
                                "endpoints": [{"dns": {"host": "localhost"}}]})
        )),
    ];
    prop::collection::vec((pick(&NAMESPACES), 0..2_u8, one), 0..6).prop_map(|all| {
        let named = all.into_iter().map(|(namespace, index, (kind, spec))| match kind {
            "MeshConfig" => document(kind, "default", "default", &spec),
            _ => document(kind, namespace, &format!("o-{index}"), &spec),
        });
        named.collect()
    })
}

/// A valid mesh. Routes and policies that do not fit the rest are left out one by one.
pub(crate) fn mesh() -> impl Strategy<Value = Mesh> {
    let services = prop::collection::btree_map((pick(&NAMESPACES), pick(&NAMES)), service(), 1..5);
    let gateways = prop::option::of(gateway());
    let routes = prop::collection::vec((pick(&NAMESPACES), http_route()), 0..4);
    (services, gateways, routes, others()).prop_map(|(services, gateway, routes, others)| {
        let mut documents = Vec::new();
        documents.extend(gateway.map(|spec| document("Gateway", "default", "g", &spec)));
        for (index, ((namespace, name), mut spec)) in services.into_iter().enumerate() {
            if spec["dependencies"][0] == "itself" {
                spec["dependencies"] = json!([{"name": name}]);
            }
            let protocol = spec["ports"][0]["protocol"].clone();
            if index % 2 == 0 && protocol != "tcp" {
                spec["ports"][0]["listen"] = json!(format!("127.0.0.1:{}", 7100 + index));
            }
            documents.push(document("Service", namespace, name, &spec));
            let subset = json!({"service": name, "labels": {"version": "v1"}});
            documents.push(document("Subset", namespace, &format!("s-{name}"), &subset));
        }
        let apply = |mesh: &Mesh, documents: Value| {
            mesh.apply(&[Source::new("t", documents.to_string())]).map(|applied| applied.mesh)
        };
        let mut mesh = match apply(&Mesh::default(), json!(documents)) {
            Ok(mesh) => mesh,
            Err(problems) => panic!("{problems}"),
        };
        for (namespace, (index, parent, spec)) in routes {
            let route = document("HTTPRoute", namespace, &format!("{parent}-{index}"), &spec);
            if let Ok(with) = apply(&mesh, json!([route])) {
                mesh = with;
            }
        }
        for other in others {
            if let Ok(with) = apply(&mesh, json!([other])) {
                mesh = with;
            }
        }
        mesh
    })
}

/// Instances of one Service.
pub(crate) fn instances() -> impl Strategy<Value = (Key, Vec<Instance>)> {
    let instance = (0..4_u8, 0..4_u8, any::<bool>(), pick(&["", "z1", "z2"])).prop_map(
        |(name, host, v2, zone)| {
            let version = if v2 { "v2" } else { "v1" };
            Instance {
                healthy: true,
                zone: zone.to_owned(),
                name: format!("i-{name}"),
                address: ([127, 0, 0, host + 1], 15006).into(),
                labels: StringMap::from([("version".to_owned(), version.to_owned())]),
            }
        },
    );
    (pick(&NAMESPACES), pick(&NAMES), prop::collection::vec(instance, 0..4))
        .prop_map(|(namespace, name, instances)| (Key::new(namespace, name), instances))
}

/// Everything that runs.
pub(crate) fn workloads() -> impl Strategy<Value = Workloads> {
    prop::collection::vec(instances(), 0..4).prop_map(|all| {
        let mut workloads = Workloads::new();
        for (service, instances) in all {
            workloads.set(service, instances);
        }
        workloads
    })
}

/// A node of each kind.
pub(crate) fn nodes() -> Vec<Node> {
    let at = |port: u16| ([127, 0, 0, 1], port).into();
    let bare = Node {
        dialect: Dialect::Envoy,
        namespace: "default".to_owned(),
        service: None,
        inbound: None,
        gateway: None,
        outbound: Some(at(15001)),
    };
    let inbound = weft_translate::Inbound { listen: at(15006), app: at(8080) };
    vec![
        bare.clone(),
        Node { service: Some("a".to_owned()), inbound: Some(inbound), ..bare.clone() },
        Node {
            service: Some("b".to_owned()),
            inbound: Some(inbound),
            gateway: None,
            outbound: None,
            ..bare.clone()
        },
        Node { namespace: "other".to_owned(), ..bare.clone() },
        Node { namespace: "elsewhere".to_owned(), ..bare.clone() },
        Node { gateway: Some("g".to_owned()), outbound: None, ..bare.clone() },
        Node { dialect: Dialect::Grpc, outbound: None, ..bare.clone() },
        Node { dialect: Dialect::Grpc, namespace: "other".to_owned(), outbound: None, ..bare },
    ]
}
