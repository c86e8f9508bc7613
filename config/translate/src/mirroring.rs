//! Copies of requests: where they go, and what Weft's proxies do with them beyond what Envoy can.

use weft_config::model::mirror::Comparison;
use weft_config::model::route::Share;
use weft_config::{BoundMirror, BoundRule};
use weft_proto::mirroring as wire;
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::envoy::config::route::v3::route_action::RequestMirrorPolicy;
use weft_proto::pb::google::protobuf::Any;

use crate::route::backend_cluster;
use crate::wire::{any, fraction, uint32};

/// The name by which routes say it. There is no filter of that name.
const NAME: &str = "mirroring";

/// Where the copies of a rule's requests go.
pub(crate) fn policies(rule: &BoundRule) -> Vec<RequestMirrorPolicy> {
    rule.mirrors.iter().map(policy).collect()
}

fn policy(mirror: &BoundMirror) -> RequestMirrorPolicy {
    let fraction = |share: Share| core::RuntimeFractionalPercent {
        default_value: Some(fraction(share)),
        ..Default::default()
    };
    RequestMirrorPolicy {
        cluster: backend_cluster(&mirror.to),
        runtime_fraction: mirror.share.map(fraction),
        ..Default::default()
    }
}

/// What the route of a rule says of them besides. Envoy does not know it, and copies all the same.
pub(crate) fn of_route(rule: &BoundRule) -> Option<(String, Any)> {
    let said = rule.mirrors.iter().filter(|mirror| mirror.is_beyond_others());
    let copies: Vec<_> = said.map(copies).collect();
    if copies.is_empty() {
        return None;
    }
    let said = route::FilterConfig {
        config: Some(any(&wire::Mirroring { copies })),
        is_optional: true,
        ..Default::default()
    };
    Some((NAME.to_owned(), any(&said)))
}

fn copies(mirror: &BoundMirror) -> wire::Copies {
    wire::Copies {
        cluster: backend_cluster(&mirror.to),
        max_active: mirror.max_active.map(uint32),
        compare: mirror.compare.as_ref().map(comparison),
    }
}

fn comparison(said: &Comparison) -> wire::Comparison {
    wire::Comparison {
        headers: said.headers.clone(),
        shown_headers: said.show_headers.clone(),
        max_body_bytes: said.max_body_bytes.map(uint32),
        max_logs_per_minute: said.logs_per_minute.map(uint32),
    }
}
