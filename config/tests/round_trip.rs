//! What is written back reads the same; hostile text is refused without a panic.

use proptest::prelude::*;
use weft_config::{Mesh, Source};

const EVERYTHING: &str = r"
apiVersion: weft.dev/v1
kind: Service
metadata: {name: shop, namespace: prod, labels: {team: '1'}, annotations: {note: 'a: b'}}
spec:
  ports:
    - {port: 80, name: web}
    - {port: 81, protocol: grpc}
    - {port: 82, protocol: http2}
    - {port: 83, protocol: tcp, listen: '127.0.0.1:1083'}
    - {port: 84, protocol: tls, listen: '127.0.0.1:1084'}
  endpoints:
    - static:
        - {address: '127.0.0.1:9000', port: 80, labels: {version: v1}, weight: 3, zone: a}
        - {address: '[::1]:9000'}
---
apiVersion: weft.dev/v1
kind: Service
metadata: {name: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: weft.dev/v1
kind: Subset
metadata: {name: shop.v1, namespace: prod}
spec: {service: shop, labels: {version: v1}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: prod}
spec:
  parentRefs: [{kind: Service, name: shop, port: 80, sectionName: web}]
  hostnames: [shop.example.com, '*.shop.example.com']
  rules:
    - name: first
      matches:
        - path: {type: Exact, value: /a}
          method: GET
          headers: [{name: X-A, value: '1'}, {name: x-b, type: RegularExpression, value: 'b+'}]
          queryParams: [{name: q, value: '%'}]
        - path: {type: RegularExpression, value: '/[a-z]+'}
      filters:
        - type: ResponseHeaderModifier
          responseHeaderModifier: {set: [{name: x-s, value: '80'}], remove: [x-powered-by]}
        - type: RequestHeaderModifier
          requestHeaderModifier: {add: [{name: x-a, value: '100%'}]}
        - type: URLRewrite
          urlRewrite: {hostname: other}
      timeouts: {request: 90s}
      backendRefs:
        - {group: weft.dev, kind: Subset, name: shop.v1, port: 80, weight: 90}
        - {name: shop, namespace: default, weight: 10}
    - matches: [{path: {type: Exact, value: /y}}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /z}}}]
    - matches: [{path: {value: /old}}]
      filters:
        - type: RequestRedirect
          requestRedirect: {scheme: https, hostname: e.com, port: 8443, statusCode: 301,
                            path: {type: ReplacePrefixMatch, replacePrefixMatch: ''}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: shop, namespace: prod}
spec:
  parentRefs: [{kind: Service, name: shop, port: 81}]
  hostnames: [calls.example.com]
  rules:
    - name: first
      matches:
        - {method: {service: a.B, method: C}, headers: [{name: x-a, value: '1'}]}
        - {method: {type: RegularExpression, service: 'a[.].*'}}
      filters:
        - {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [x-powered-by]}}
      backendRefs: [{group: weft.dev, kind: Subset, name: shop.v1, port: 81, weight: 0}]
    - {}
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: {name: shop, namespace: prod}
spec:
  parentRefs: [{kind: Service, name: shop}]
  rules: [{name: only, backendRefs: [{name: shop, port: 83}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: shop, namespace: prod}
spec:
  parentRefs: [{kind: Service, name: shop, port: 84}]
  hostnames: [shop.example.com]
  rules: [{backendRefs: [{name: shop, port: 84, weight: 7}]}]
---
apiVersion: weft.dev/v1
kind: TrafficPolicy
metadata: {name: shop, namespace: prod}
spec:
  targetRef: {kind: Subset, name: shop.v1}
  timeouts: {request: 0s, connect: 90s}
  loadBalancer: {policy: LeastRequest, slowStart: {window: 1s, minWeightPercent: 1}, panicThreshold: 0}
  drop: {fraction: {numerator: 1, denominator: 7}}
  circuitBreaker: {maxPending: 0}
  connectionPool: {idleTimeout: 0s, maxRequestsPerConnection: 1}
---
apiVersion: weft.dev/v1
kind: RateLimitPolicy
metadata: {name: shop, namespace: prod}
spec:
  targetRef: {kind: HTTPRoute, name: shop, sectionName: first}
  limits:
    - {requests: 2147483647, per: 50ms, by: [{header: X-B}, {queryParameter: q}, {remoteAddress: {}}]}
    - {name: some, requests: 1, per: 24h, burst: 9, match: {method: PUT, path: {type: Exact, value: /a}, headers: [{name: X-A, value: '1'}]}}
  mode: Observe
  status: 503
  headers: Standard
---
apiVersion: weft.dev/v1
kind: RateLimitPolicy
metadata: {name: shop}
spec:
  targetRef: {kind: Service, name: shop}
  global:
    service: {name: shop, namespace: prod, port: 81}
    domain: d
    descriptors:
      - entries: [{header: X-A}, {queryParameter: q}, {remoteAddress: {}}, {value: {key: k, value: v}}]
    timeout: 1ms
    failureMode: Closed
---
apiVersion: weft.dev/v1
kind: MeshConfig
metadata: {name: default}
spec:
  trustDomain: prod.example
  defaults:
    timeouts: {request: 1s, streamIdle: 0s, maxStream: 1h, requestHeaders: 1s}
    circuitBreaker: {maxRetries: 0, maxConnectionsPerEndpoint: 1}
    connectionPool: {maxConnectionDuration: 1h}
    fault:
      delay: {time: 1s, percent: 0}
      abort: {status: 503, fraction: {numerator: 1, denominator: 1000}}
      match: {method: GET}
      maxActive: 1
  egress: {policy: AllowList, hosts: [{host: api.example.com}, {host: rpc.example.com, port: 81, protocol: grpc}]}
---
apiVersion: weft.dev/v1
kind: Service
metadata: {name: zfound}
spec: {ports: [{port: 80}], hostnames: [found.example.com], endpoints: [{dns: {host: localhost, port: 9}}]}
---
apiVersion: weft.dev/v1
kind: Workload
metadata: {name: shop, namespace: prod}
spec: {service: shop, labels: {version: v1}, instances: 2, run: {sample: storefront, env: {A: 'yes'}}}
---
apiVersion: weft.dev/v1
kind: Workload
metadata: {name: other, namespace: prod}
spec: {service: shop, run: {command: [python3, -m, http.server], port: 9000}}
";

fn everything() -> Mesh {
    Mesh::parse(&[Source::new("t", EVERYTHING)]).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn through_documents() {
    let mesh = everything();
    assert_eq!(Mesh::from_documents(&mesh.documents()), Ok(mesh));
}

#[test]
fn through_json_text() {
    let mesh = everything();
    let list: Vec<_> = mesh.documents().into_iter().map(|document| document.json).collect();
    let text = serde_json::to_string(&list).expect("JSON");
    assert_eq!(Mesh::parse(&[Source::new("body", text)]), Ok(mesh));
}

#[test]
fn through_yaml_text() {
    let mesh = everything();
    let texts: Vec<String> = mesh.documents().iter().map(weft_config::Document::to_yaml).collect();
    assert_eq!(Mesh::parse(&[Source::new("t", texts.join("---\n"))]), Ok(mesh));
}

#[test]
fn unchanged_documents_keep_their_allocation() {
    let mesh = everything();
    let again = mesh.apply(&[Source::new("t", EVERYTHING)]).expect("valid");
    assert_eq!(again.documents.len(), 14);
    for (key, service) in mesh.services() {
        assert!(std::sync::Arc::ptr_eq(service, &again.mesh.services()[key]));
    }
}

#[test]
fn canonical_documents_leave_defaults_out() {
    let mesh = everything();
    let yaml: Vec<String> = mesh.documents().iter().map(weft_config::Document::to_yaml).collect();
    assert_eq!(
        yaml[0],
        "apiVersion: weft.dev/v1\nkind: Service\nmetadata:\n  name: shop\n  namespace: default\n\
         spec:\n  ports:\n  - port: 80\n    protocol: http\n  endpoints:\n  - registered: {}\n"
    );
}

/// Text that is nearly a document: the sample with pieces cut out, doubled and replaced.
fn damaged() -> impl Strategy<Value = String> {
    let edit = (0..EVERYTHING.len(), 0..40_usize, prop::option::of(".{0,6}"));
    prop::collection::vec(edit, 1..6).prop_map(|edits| {
        let mut text: Vec<char> = EVERYTHING.chars().collect();
        for (at, length, insert) in edits {
            let start = at.min(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, insert.unwrap_or_default().chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_text_is_refused_or_consistent(text in damaged()) {
        match Mesh::parse(&[Source::new("t", text)]) {
            Ok(mesh) => prop_assert_eq!(Mesh::from_documents(&mesh.documents()), Ok(mesh)),
            Err(problems) => prop_assert!(!problems.to_string().is_empty()),
        }
    }

    #[test]
    fn noise_is_refused(text in r#"[\-\[\]{}:,&*!|>'"%@`#?a0 \n\t\\~<.é]{0,80}"#) {
        if let Ok(mesh) = Mesh::parse(&[Source::new("t", text)]) {
            prop_assert_eq!(mesh.ids().count(), 0);
        }
    }
}
