//! Rate limits, faults and drops by chance.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NAMES, PORTS, pick};

/// One of a Service, a Gateway, or a route that is likely to be there.
fn target() -> impl Strategy<Value = Value> {
    prop_oneof![
        pick(&NAMES).prop_map(|name| json!({"kind": "Service", "name": name})),
        Just(json!({"kind": "Gateway", "name": "g"})),
        (pick(&NAMES), 0..2_u8).prop_map(
            |(name, index)| json!({"kind": "HTTPRoute", "name": format!("{name}-{index}")})
        ),
        Just(json!({"kind": "GRPCRoute", "name": "o-0"})),
    ]
}

fn limit() -> impl Strategy<Value = Value> {
    let per = pick(&["50ms", "1s", "1m"]);
    (1..9_u32, per, prop::option::of(10..20_u32), 0..5_u8).prop_map(
        |(requests, per, burst, like)| {
            let mut limit = json!({"requests": requests, "per": per});
            if let Some(burst) = burst {
                limit["burst"] = json!(burst);
            }
            match like {
                0 => limit["match"] = json!({"method": "POST"}),
                1 => limit["match"] = json!({"path": {"value": "/a.b"}}),
                3 => limit["by"] = json!([{"header": "x-user"}, {"remoteAddress": {}}]),
                2 => limit["match"] = json!({"headers": [{"name": "x-a", "value": "1"}]}),
                _ => {}
            }
            limit
        },
    )
}

pub(super) fn rate_limit_policy() -> impl Strategy<Value = Value> {
    let limits = prop::collection::vec(limit(), 1..4);
    let counter = prop::option::of((pick(&NAMES), pick(&PORTS)));
    let all = (target(), limits, counter, any::<bool>(), any::<bool>());
    all.prop_map(|(target, limits, counter, observe, tell)| {
        let mut spec = json!({"targetRef": target, "limits": limits});
        if let Some((name, port)) = counter {
            spec["global"] = json!({
                "service": {"name": name, "port": port},
                "domain": "d",
                "descriptors": [{"entries": [{"header": "x-user"}, {"remoteAddress": {}}]}],
            });
        }
        if observe {
            spec["mode"] = json!("Observe");
        }
        if tell {
            spec["headers"] = json!("XRateLimit");
        }
        spec
    })
}

/// Faults made on purpose, and the limits that go along with a policy of a Service.
pub(super) fn fault() -> impl Strategy<Value = Value> {
    pick(&[
        r#"{"delay": {"time": "1ms", "percent": 50}}"#,
        r#"{"abort": {"status": 503, "fraction": {"numerator": 1, "denominator": 3}}}"#,
        r#"{"abort": {"grpcStatus": "ABORTED"}, "match": {"path": {"value": "/a.b"}}, "maxActive": 3}"#,
    ])
    .prop_map(|text| serde_json::from_str(text).unwrap_or_default())
}
