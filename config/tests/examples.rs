//! The examples are valid, and the reference page shows nothing that is not.

use std::fs;
use std::path::Path;

use weft_config::{Kind, Mesh, Source};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parse(name: &str, text: String) -> Mesh {
    Mesh::parse(&[Source::new(name, text)]).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_example_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut seen = 0;
    for entry in fs::read_dir(folder).expect("examples") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        let mesh = parse(&name, read(&format!("examples/{name}")));
        assert!(!mesh.services().is_empty(), "{name} has no Service");
        seen += 1;
    }
    assert!(seen >= 4, "{seen} examples");
}

#[test]
fn the_shop_splits_its_inventory_ninety_to_ten() {
    let mesh = parse("shop.yaml", read("examples/shop.yaml"));
    let inventory = weft_config::Key::new("default", "inventory");
    let [route] = mesh.bound_routes(&inventory, 80) else { panic!("one route") };
    let split: Vec<_> =
        route.rules[0].backends.iter().map(|b| (b.subset.as_deref(), b.weight)).collect();
    assert_eq!(split, [(Some("inventory-v1"), 90), (Some("inventory-v2"), 10)]);
    assert_eq!(mesh.workloads().len(), 4);
}

#[test]
fn the_reference_shows_valid_documents_of_every_kind() {
    let page = read("README.md");
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let mesh = parse("README.md", blocks.join("---\n"));
    for kind in Kind::ALL {
        assert!(mesh.ids().any(|id| id.kind == kind), "the reference shows no {kind}");
    }
}

/// A field that the page does not name is a field that nobody finds.
#[test]
fn the_reference_names_every_field() {
    let page = read("README.md");
    let text = "\
apiVersion: weft.dev/v1
kind: KIND
metadata: {name: a}
spec: SPEC
";
    let fields_of = |kind: &str, api: &str, spec: &str| -> Vec<String> {
        let text = text.replace("KIND", kind).replace("SPEC", spec).replace("weft.dev/v1", api);
        let problems = Mesh::parse(&[Source::new("t", text)]).expect_err("an unknown field");
        problems
            .iter()
            .filter_map(|problem| match &problem.reason {
                weft_config::Reason::UnknownField { known, .. } => Some(known.clone()),
                _ => None,
            })
            .flatten()
            .map(str::to_owned)
            .collect()
    };
    let gateway = weft_config::GATEWAY_API;
    let weft = weft_config::WEFT_API;
    let mut fields = Vec::new();
    for spec in [
        "{x: 1}",
        "{ports: [{x: 1, protocol: tcp}]}",
        "{endpoints: [{x: 1}]}",
        "{endpoints: [{static: [{x: 1}]}]}",
    ] {
        fields.extend(fields_of("Service", weft, spec));
    }
    fields.extend(fields_of("Subset", weft, "{x: 1}"));
    for spec in ["{x: 1}", "{run: {x: 1}}"] {
        fields.extend(fields_of("Workload", weft, spec));
    }
    for spec in [
        "{x: 1}",
        "{parentRefs: [{x: 1}]}",
        "{rules: [{x: 1}]}",
        "{rules: [{matches: [{x: 1}]}]}",
        "{rules: [{backendRefs: [{x: 1}]}]}",
        "{rules: [{timeouts: {x: 1}}]}",
        "{rules: [{retry: {x: 1}}]}",
        "{rules: [{filters: [{type: CORS, cors: {x: 1}}]}]}",
        "{rules: [{filters: [{type: RequestMirror, requestMirror: {x: 1}}]}]}",
        "{rules: [{filters: [{type: RequestMirror, requestMirror: {fraction: {x: 1}}}]}]}",
        "{rules: [{filters: [{type: RequestRedirect, requestRedirect: {x: 1}}]}]}",
        "{rules: [{filters: [{type: URLRewrite, urlRewrite: {x: 1}}]}]}",
        "{rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {x: 1}}]}]}",
    ] {
        fields.extend(fields_of("HTTPRoute", gateway, spec));
    }
    for spec in [
        "{timeouts: {x: 1}}",
        "{retries: {x: 1}}",
        "{retries: {budget: {x: 1}}}",
        "{retries: {headers: [{x: 1}]}}",
        "{loadBalancer: {x: 1}}",
        "{loadBalancer: {slowStart: {x: 1}}}",
        "{drop: {x: 1}}",
        "{loadBalancer: {hashOn: [{x: 1}]}}",
        "{loadBalancer: {zoneWeights: [{x: 1}]}}",
        "{hedging: {x: 1}}",
        "{adaptiveConcurrency: {x: 1}}",
        "{hedging: {budget: {x: 1}}}",
        "{stickiness: {x: 1}}",
        "{stickiness: {cookie: {x: 1}}}",
        "{loadBalancer: {hashOn: [{cookie: {x: 1}}]}}",
        "{healthCheck: {x: 1}}",
        "{healthCheck: {http: {x: 1}}}",
        "{healthCheck: {grpc: {x: 1}}}",
        "{outlierDetection: {x: 1}}",
        "{outlierDetection: {failurePercentage: {x: 1}}}",
        "{circuitBreaker: {x: 1}}",
        "{timeouts: {x: 1}}",
        "{fault: {x: 1}}",
        "{fault: {delay: {x: 1}}}",
        "{fault: {abort: {x: 1}}}",
        "{connectionPool: {x: 1}}",
    ] {
        fields.extend(fields_of("TrafficPolicy", weft, spec));
    }
    for spec in [
        "{x: 1}",
        "{targetRef: {kind: HTTPRoute, x: 1}}",
        "{limits: [{x: 1}]}",
        "{limits: [{match: {x: 1}}]}",
        "{limits: [{by: [{x: 1}]}]}",
        "{global: {x: 1}}",
        "{global: {service: {x: 1}}}",
        "{global: {descriptors: [{x: 1}]}}",
        "{global: {descriptors: [{entries: [{x: 1}]}]}}",
    ] {
        fields.extend(fields_of("RateLimitPolicy", weft, spec));
    }
    assert!(fields.len() > 40, "{fields:?}");
    for field in fields {
        let named = |code: &str| code.rsplit('.').next() == Some(field.as_str());
        assert!(page.split('`').any(named), "config/README.md does not name `{field}`");
    }
}
