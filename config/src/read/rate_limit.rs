//! Reads `RateLimitPolicy`.

use std::time::Duration;

use super::global_limit::{caller, global_limit, key};
use super::request_match::request_match;
use super::settings::{error_code, span};
use super::{non_empty, unique};
use crate::model::rate_limit::{LimitHeaders, LimitMode, RateLimit, RateLimitTarget, RouteTarget};
use crate::model::{Metadata, RateLimitPolicy};
use crate::problem::Reason;
use crate::reader::{Choices, Reader};
use crate::syntax::{LABEL, SUBDOMAIN, is_label, is_subdomain};
use crate::tree::Node;

/// As many as anything can be.
const MOST: u32 = i32::MAX.unsigned_abs();

/// What Envoy's token buckets are filled in at the least.
const SHORTEST: Duration = Duration::from_millis(50);

pub(super) fn rate_limit_policy(
    reader: &mut Reader,
    node: &Node,
    metadata: Metadata,
) -> Option<RateLimitPolicy> {
    reader.object(node, |reader, object| {
        let target = object.required(reader, "targetRef", target);
        let limits = object.optional(reader, "limits", |reader, node| {
            let limits = reader.list(node, limit);
            let limits = non_empty(reader, node, limits);
            unique(reader, node, limits, |limit| {
                limit.name.clone().map(|name| (name.clone(), format!("the limit {name:?}")))
            })
        });
        let global = object.optional(reader, "global", global_limit);
        let mode = object.optional(reader, "mode", |reader, node| reader.choice(node, &MODES));
        let status = object.optional(reader, "status", error_code);
        let headers =
            object.optional(reader, "headers", |reader, node| reader.choice(node, &HEADERS));
        let (limits, global): (Option<Vec<RateLimit>>, _) = (limits?, global?);
        if limits.is_none() && global.is_none() {
            let fields = &["limits", "global"];
            return reader.refuse(object.node(), Reason::AtLeastOne { fields });
        }
        Some(RateLimitPolicy {
            metadata,
            target_ref: target?,
            limits: limits.unwrap_or_default(),
            global,
            mode: mode?.unwrap_or_default(),
            status: status?,
            headers: headers?,
        })
    })
}

const MODES: Choices<LimitMode> =
    Choices { names: &["Enforce", "Observe"], values: &[LimitMode::Enforce, LimitMode::Observe] };
const HEADERS: Choices<LimitHeaders> = Choices {
    names: &["Standard", "XRateLimit"],
    values: &[LimitHeaders::Standard, LimitHeaders::XRateLimit],
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum TargetKind {
    Service,
    Gateway,
    HttpRoute,
    GrpcRoute,
}

const TARGET_KINDS: Choices<TargetKind> = Choices {
    names: &["Service", "Gateway", "HTTPRoute", "GRPCRoute"],
    values: &[
        TargetKind::Service,
        TargetKind::Gateway,
        TargetKind::HttpRoute,
        TargetKind::GrpcRoute,
    ],
};
const OWN_GROUPS: Choices<()> = Choices { names: &["", "weft.dev"], values: &[(), ()] };
const GATEWAY_GROUP: Choices<()> = Choices { names: &["gateway.networking.k8s.io"], values: &[()] };

fn target(reader: &mut Reader, node: &Node) -> Option<RateLimitTarget> {
    reader.object(node, |reader, object| {
        let kind =
            object.required(reader, "kind", |reader, node| reader.choice(node, &TARGET_KINDS));
        let group = object.optional(reader, "group", |reader, node| match kind {
            Some(TargetKind::Service) => reader.choice(node, &OWN_GROUPS),
            Some(_) => reader.choice(node, &GATEWAY_GROUP),
            None => Some(()),
        });
        let name = object.required(reader, "name", |reader, node| match kind {
            Some(TargetKind::Service) => reader.text(node, LABEL, is_label),
            _ => reader.text(node, SUBDOMAIN, is_subdomain),
        });
        let rule = object.optional(reader, "sectionName", |reader, node| match kind {
            Some(TargetKind::Service | TargetKind::Gateway) => {
                let what = "a part of a Service or a Gateway".to_owned();
                let instead = "remove sectionName, or target a route, or one of its rules";
                reader.refuse(node, Reason::Unsupported { what, instead })
            }
            _ => reader.text(node, SUBDOMAIN, is_subdomain),
        });
        group?;
        let (kind, name, rule) = (kind?, name?, rule?);
        Some(match kind {
            TargetKind::Service => RateLimitTarget::Service(name),
            TargetKind::Gateway => RateLimitTarget::Gateway(name),
            TargetKind::HttpRoute => RateLimitTarget::HttpRoute(RouteTarget { name, rule }),
            TargetKind::GrpcRoute => RateLimitTarget::GrpcRoute(RouteTarget { name, rule }),
        })
    })
}

fn limit(reader: &mut Reader, node: &Node) -> Option<RateLimit> {
    reader.object(node, |reader, object| {
        let name = object
            .optional(reader, "name", |reader, node| reader.text(node, SUBDOMAIN, is_subdomain));
        let requests =
            object.required(reader, "requests", |reader, node| reader.integer(node, 1, MOST));
        let per = object.required(reader, "per", |reader, node| match span(reader, node) {
            Some(per) if per < SHORTEST => {
                let found = node.as_text().unwrap_or_default();
                reader.invalid(node, found, "a duration of at least 50ms")
            }
            per => per,
        });
        let burst = object.optional(reader, "burst", |reader, node| {
            // Fewer could never come as often as they may.
            reader.integer(node, requests.unwrap_or(1), MOST)
        });
        let matched = object.optional(reader, "match", request_match);
        let by = object.optional(reader, "by", |reader, node| {
            let by = reader.list(node, caller);
            let by = non_empty(reader, node, by);
            unique(reader, node, by, |entry| Some(key(entry)))
        });
        Some(RateLimit {
            name: name?,
            requests: requests?,
            per: per?,
            burst: burst?,
            matched: matched?,
            by: by?.unwrap_or_default(),
        })
    })
}
