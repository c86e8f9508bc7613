//! Reads `HTTPRoute`.

use super::filters::filters;
use super::matches::route_match;
use super::{non_empty, unique};
use crate::model::filter::PathModifier;
use crate::model::route::{BackendKind, BackendRef, Match, ParentRef, PathMatch, Rule, Timeouts};
use crate::model::{HttpRoute, Metadata};
use crate::problem::{Conflict, Reason};
use crate::reader::{Choices, Object, Reader};
use crate::syntax::{
    DURATION, HOSTNAME, LABEL, SUBDOMAIN, is_hostname, is_label, is_subdomain, parse_duration,
};
use crate::tree::Node;

/// The largest weight Gateway API allows.
const MAX_WEIGHT: u32 = 1_000_000;

/// The most backends Gateway API allows; so all weights of a rule add up within 32 bits.
const MAX_BACKENDS: usize = 16;

pub(super) fn http_route(
    reader: &mut Reader,
    node: &Node,
    metadata: Metadata,
) -> Option<HttpRoute> {
    reader.object(node, |reader, object| {
        let namespace = metadata.namespace.clone();
        let parents = object.required(reader, "parentRefs", |reader, node| {
            let parents = reader.list(node, |reader, node| parent(reader, node, &namespace));
            let parents = non_empty(reader, node, parents);
            unique(reader, node, parents, |parent| {
                let what = format!("the parent {:?}", parent.name);
                Some(((parent.name.clone(), parent.port, parent.section_name.clone()), what))
            })
        });
        let hostnames = object
            .optional(reader, "hostnames", |reader, node| {
                let names =
                    reader.list(node, |reader, node| reader.text(node, HOSTNAME, is_hostname));
                unique(reader, node, names, |name| {
                    Some((name.clone(), format!("the host name {name:?}")))
                })
            })
            .map(Option::unwrap_or_default);
        let rules = object.optional(reader, "rules", |reader, node| {
            let rules = reader.list(node, rule);
            let rules = non_empty(reader, node, rules);
            unique(reader, node, rules, |rule| {
                rule.name.clone().map(|name| (name.clone(), format!("the rule name {name:?}")))
            })
        });
        Some(HttpRoute {
            metadata,
            parent_refs: parents?,
            hostnames: hostnames?,
            rules: rules?.unwrap_or_else(|| vec![catch_all()]),
        })
    })
}

/// The rule of a route that has none: everything to the parent.
fn catch_all() -> Rule {
    Rule {
        name: None,
        matches: Vec::new(),
        filters: Default::default(),
        backend_refs: Vec::new(),
        timeouts: Timeouts::default(),
    }
}

const PARENT_KINDS: Choices<()> = Choices { names: &["Service"], values: &[()] };
const SERVICE_GROUPS: Choices<()> = Choices { names: &["", "weft.dev"], values: &[(), ()] };
const SUBSET_GROUP: Choices<()> = Choices { names: &["weft.dev"], values: &[()] };
const BACKEND_KINDS: Choices<BackendKind> =
    Choices { names: &["Service", "Subset"], values: &[BackendKind::Service, BackendKind::Subset] };

fn parent(reader: &mut Reader, node: &Node, namespace: &str) -> Option<ParentRef> {
    reader.object(node, |reader, object| {
        // Required, though Gateway API defaults it: its default is a Gateway.
        let kind =
            object.required(reader, "kind", |reader, node| reader.choice(node, &PARENT_KINDS));
        let group =
            object.optional(reader, "group", |reader, node| reader.choice(node, &SERVICE_GROUPS));
        let name =
            object.required(reader, "name", |reader, node| reader.text(node, LABEL, is_label));
        let same = object.optional(reader, "namespace", |reader, node| {
            let text = reader.string(node)?;
            if text == namespace {
                return Some(());
            }
            let what = "a parent in another namespace".to_owned();
            let instead = "put the route into the namespace of its Service";
            reader.refuse(node, Reason::Unsupported { what, instead })
        });
        let port = object.optional(reader, "port", Reader::port);
        let section_name = object
            .optional(reader, "sectionName", |reader, node| reader.text(node, LABEL, is_label));
        kind?;
        group?;
        same?;
        Some(ParentRef { name: name?, port: port?, section_name: section_name? })
    })
}

fn rule(reader: &mut Reader, node: &Node) -> Option<Rule> {
    reader.object(node, |reader, object| {
        let name = object
            .optional(reader, "name", |reader, node| reader.text(node, SUBDOMAIN, is_subdomain));
        let matches = object.list(reader, "matches", route_match);
        let filters = object.optional(reader, "filters", filters).map(Option::unwrap_or_default);
        let backend_refs = object
            .optional(reader, "backendRefs", |reader, node| match reader.list(node, backend) {
                Some(list) if list.len() > MAX_BACKENDS => {
                    let found = format!("{} items", list.len());
                    reader.invalid(node, &found, format!("a list of at most {MAX_BACKENDS} items"))
                }
                list => list,
            })
            .map(Option::unwrap_or_default);
        let timeouts = object.optional(reader, "timeouts", timeouts).map(Option::unwrap_or_default);
        let no_affinity = object.unsupported(reader, "sessionPersistence", "remove it");
        let no_retry = object.unsupported(reader, "retry", "remove it");
        let rule = Rule {
            name: name?,
            matches: matches?,
            filters: filters?,
            backend_refs: backend_refs?,
            timeouts: timeouts?,
        };
        no_affinity.and(no_retry)?;
        check(reader, object, &rule).map(|()| rule)
    })
}

/// What the fields of a rule must agree on.
fn check(reader: &mut Reader, object: &Object<'_>, rule: &Rule) -> Option<()> {
    if rule.filters.redirect.is_some() && !rule.backend_refs.is_empty() {
        return reader.refuse(object.node(), Conflict::RedirectWithBackends.into());
    }
    let replaces_prefix = matches!(rule.filters.path(), Some(PathModifier::ReplacePrefixMatch(_)));
    let is_prefix = |path: &PathMatch| matches!(path, PathMatch::PathPrefix(_));
    if replaces_prefix && !rule.matches.iter().filter_map(|m| m.path.as_ref()).all(is_prefix) {
        return reader.refuse(object.node(), Conflict::PrefixWithoutPrefix.into());
    }
    let rewrite = rule.filters.rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref());
    let rewrites_all = matches!(rewrite, Some(PathModifier::ReplaceFullPath(_)));
    let is_exact = |m: &Match| matches!(m.path, Some(PathMatch::Exact(_)));
    if rewrites_all && (rule.matches.is_empty() || !rule.matches.iter().all(is_exact)) {
        return reader.refuse(object.node(), Conflict::FullPathWithoutExact.into());
    }
    Some(())
}

fn backend(reader: &mut Reader, node: &Node) -> Option<BackendRef> {
    reader.object(node, |reader, object| {
        let kind = object
            .optional(reader, "kind", |reader, node| reader.choice(node, &BACKEND_KINDS))
            .map(|kind| kind.unwrap_or(BackendKind::Service));
        let group = match kind {
            // A Subset without its group would mean another kind to other implementations.
            Some(BackendKind::Subset) => {
                object.required(reader, "group", |reader, node| reader.choice(node, &SUBSET_GROUP))
            }
            _ => object
                .optional(reader, "group", |reader, node| reader.choice(node, &SERVICE_GROUPS))
                .map(|_| ()),
        };
        let name = object.required(reader, "name", |reader, node| match kind {
            Some(BackendKind::Subset) => reader.text(node, SUBDOMAIN, is_subdomain),
            _ => reader.text(node, LABEL, is_label),
        });
        let namespace =
            object.optional(reader, "namespace", |reader, node| reader.text(node, LABEL, is_label));
        let port = object.optional(reader, "port", Reader::port);
        let weight =
            object.optional(reader, "weight", |reader, node| reader.integer(node, 0, MAX_WEIGHT));
        let no_filters = object.unsupported(reader, "filters", "put the filters on the rule");
        group?;
        no_filters?;
        Some(BackendRef {
            kind: kind?,
            name: name?,
            namespace: namespace?,
            port: port?,
            weight: weight?.unwrap_or(BackendRef::DEFAULT_WEIGHT),
        })
    })
}

fn timeouts(reader: &mut Reader, node: &Node) -> Option<Timeouts> {
    reader.object(node, |reader, object| {
        let request = object.optional(reader, "request", |reader, node| {
            reader.parsed(node, DURATION, parse_duration)
        });
        let instead = "use request: without retries there is one try, and it has all the time";
        object.unsupported(reader, "backendRequest", instead)?;
        Some(Timeouts { request: request? })
    })
}
