//! Reads `GRPCRoute`.

use super::filters::call_filters;
use super::matches::{header_list, regex};
use super::refs::{backends, hostnames, parents};
use super::stickiness::{NO_AFFINITY, split_on};
use super::{non_empty, unique};
use crate::model::grpc_route::{GrpcMatch, GrpcMethod, GrpcRule};
use crate::model::{GrpcRoute, Metadata};
use crate::problem::Reason;
use crate::reader::{Choices, Reader};
use crate::syntax::{
    GRPC_METHOD, GRPC_SERVICE, SUBDOMAIN, is_grpc_method, is_grpc_service, is_subdomain,
};
use crate::tree::Node;

pub(super) fn grpc_route(
    reader: &mut Reader,
    node: &Node,
    metadata: Metadata,
) -> Option<GrpcRoute> {
    reader.object(node, |reader, object| {
        let parents = parents(reader, object, &metadata.namespace);
        let hostnames = hostnames(reader, object);
        let rules = object.optional(reader, "rules", |reader, node| {
            let rules = reader.list(node, rule);
            let rules = non_empty(reader, node, rules);
            unique(reader, node, rules, |rule| {
                rule.name.clone().map(|name| (name.clone(), format!("the rule name {name:?}")))
            })
        });
        Some(GrpcRoute {
            metadata,
            parent_refs: parents?,
            hostnames: hostnames?,
            rules: rules?.unwrap_or_else(|| vec![GrpcRule::default()]),
        })
    })
}

fn rule(reader: &mut Reader, node: &Node) -> Option<GrpcRule> {
    reader.object(node, |reader, object| {
        let name = object
            .optional(reader, "name", |reader, node| reader.text(node, SUBDOMAIN, is_subdomain));
        let matches = object.list(reader, "matches", call_match);
        let filters =
            object.optional(reader, "filters", call_filters).map(Option::unwrap_or_default);
        let backend_refs = backends(reader, object);
        let no_affinity = object.unsupported(reader, "sessionPersistence", NO_AFFINITY);
        let split_on = split_on(reader, object, backend_refs.as_deref());
        no_affinity?;
        Some(GrpcRule {
            name: name?,
            matches: matches?,
            filters: filters?,
            backend_refs: backend_refs?,
            split_on: split_on?,
        })
    })
}

fn call_match(reader: &mut Reader, node: &Node) -> Option<GrpcMatch> {
    reader.object(node, |reader, object| {
        let method = object.optional(reader, "method", method);
        let headers = object.optional(reader, "headers", header_list);
        Some(GrpcMatch { method: method?, headers: headers?.unwrap_or_default() })
    })
}

const METHOD_KINDS: Choices<bool> =
    Choices { names: &["Exact", "RegularExpression"], values: &[false, true] };

fn method(reader: &mut Reader, node: &Node) -> Option<GrpcMethod> {
    reader.object(node, |reader, object| {
        let is_regex = object
            .optional(reader, "type", |reader, node| reader.choice(node, &METHOD_KINDS))
            .map(Option::unwrap_or_default);
        let service = object.optional(reader, "service", |reader, node| match is_regex {
            Some(true) => regex(reader, node),
            _ => reader.text(node, GRPC_SERVICE, is_grpc_service),
        });
        let method = object.optional(reader, "method", |reader, node| match is_regex {
            Some(true) => regex(reader, node),
            _ => reader.text(node, GRPC_METHOD, is_grpc_method),
        });
        let (service, method) = (service?, method?);
        if service.is_none() && method.is_none() {
            let fields = &["service", "method"];
            return reader.refuse(object.node(), Reason::AtLeastOne { fields });
        }
        Some(GrpcMethod { is_regex: is_regex?, service, method })
    })
}
