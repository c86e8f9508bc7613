//! Every RateLimitPolicy has a target that can be limited, and every target one policy.

use std::collections::BTreeMap;

use super::{Origins, missing_service, names};
use crate::document::{DocumentId, Key, Kind};
use crate::mesh::Mesh;
use crate::model::RateLimitPolicy;
use crate::model::gateway::ListenerProtocol;
use crate::model::rate_limit::RateLimitTarget;
use crate::problem::{Conflict, Problem, Reason};

pub(super) fn link(mesh: &Mesh, origins: &Origins, problems: &mut Vec<Problem>) {
    let mut owners: BTreeMap<(&str, &RateLimitTarget), DocumentId> = BTreeMap::new();
    for (key, policy) in &mesh.rate_limits {
        let id = DocumentId::new(Kind::RateLimitPolicy, key.clone());
        if let Err((field, reason)) = counting(mesh, origins, policy) {
            problems.push(origins.problem(
                id.clone(),
                format!("spec.global.service{field}"),
                reason,
            ));
        }
        let (kind, name) = policy.target_ref.parts();
        let target = Key::new(&key.namespace, name);
        let owner = (key.namespace.as_str(), &policy.target_ref);
        let found = match &policy.target_ref {
            RateLimitTarget::Service(_) => service(mesh, origins, &target),
            RateLimitTarget::Gateway(_) => gateway(mesh, origins, &target),
            RateLimitTarget::HttpRoute(route) | RateLimitTarget::GrpcRoute(route) => {
                rule(mesh, origins, (kind, &target), route.rule.as_deref())
            }
        };
        if let Err((field, reason)) = found {
            problems.push(origins.problem(id, format!("spec.targetRef{field}"), reason));
        } else if let Some(owner) = owners.get(&owner) {
            let target = DocumentId::new(kind, target).to_string();
            let conflict = Conflict::SecondPolicy { target, owner: owner.to_string() };
            problems.push(origins.problem(id, "spec.targetRef".to_owned(), conflict.into()));
        } else {
            owners.insert(owner, id);
        }
    }
}

/// The field below `targetRef`, and what is wrong with it.
type Refusal = (&'static str, Reason);

/// A service that counts is there, and there is one port to ask it at.
fn counting(mesh: &Mesh, origins: &Origins, policy: &RateLimitPolicy) -> Result<(), Refusal> {
    let Some(global) = &policy.global else { return Ok(()) };
    let key = global.service.key(&policy.metadata.namespace);
    if let Some(missing) = missing_service(mesh, origins, &key) {
        return Err((".name", missing));
    }
    let Some(service) = mesh.services.get(&key) else { return Ok(()) };
    if mesh.limit_service(policy).is_some() {
        return Ok(());
    }
    let ports: Vec<String> = service
        .ports
        .iter()
        .filter(|port| port.protocol.is_http2())
        .map(|port| port.port.to_string())
        .collect();
    let service = key.name;
    Err(match global.service.port {
        _ if ports.is_empty() => ("", Conflict::NoGrpcPort { service }.into()),
        None => ("", Conflict::AmbiguousPort { service, ports }.into()),
        Some(port) => {
            let (kind, name) = ("port with http2 or grpc", port.to_string());
            (".port", Reason::Dangling { kind, name, existing: ports })
        }
    })
}

/// The sidecars of a Service count what comes to it.
fn service(mesh: &Mesh, origins: &Origins, key: &Key) -> Result<(), Refusal> {
    if let Some(missing) = missing_service(mesh, origins, key) {
        return Err((".name", missing));
    }
    let Some(service) = mesh.services.get(key) else { return Ok(()) };
    let name = key.name.clone();
    if !service.ports.iter().any(|port| port.protocol.is_http()) {
        return Err(("", Conflict::NoHttpPort { service: name }.into()));
    }
    if !service.takes_registrations() {
        return Err(("", Conflict::LimitWithoutSidecars { service: name }.into()));
    }
    Ok(())
}

fn gateway(mesh: &Mesh, origins: &Origins, key: &Key) -> Result<(), Refusal> {
    let Some(gateway) = mesh.gateways.get(key) else {
        return there_is_none(origins, Kind::Gateway, key, mesh.gateways.keys());
    };
    if gateway.listeners.iter().all(|listener| listener.protocol != ListenerProtocol::Http) {
        let (gateway, kind) = (key.name.clone(), Kind::RateLimitPolicy);
        return Err(("", Conflict::NoListenerForKind { gateway, kind }.into()));
    }
    Ok(())
}

fn rule(
    mesh: &Mesh,
    origins: &Origins,
    (kind, key): (Kind, &Key),
    rule: Option<&str>,
) -> Result<(), Refusal> {
    let rules: Option<Vec<Option<&str>>> = match kind {
        Kind::GrpcRoute => {
            let route = mesh.grpc_routes.get(key);
            route.map(|route| route.rules.iter().map(|rule| rule.name.as_deref()).collect())
        }
        _ => {
            let route = mesh.routes.get(key);
            route.map(|route| route.rules.iter().map(|rule| rule.name.as_deref()).collect())
        }
    };
    match (rules, rule) {
        (None, _) if kind == Kind::GrpcRoute => {
            there_is_none(origins, kind, key, mesh.grpc_routes.keys())
        }
        (None, _) => there_is_none(origins, kind, key, mesh.routes.keys()),
        (Some(rules), Some(rule)) if !rules.contains(&Some(rule)) => {
            let existing = rules.into_iter().flatten().map(str::to_owned).collect();
            Err((
                ".sectionName",
                Reason::Dangling { kind: "rule", name: rule.to_owned(), existing },
            ))
        }
        (Some(_), _) => Ok(()),
    }
}

fn there_is_none<'a>(
    origins: &Origins,
    kind: Kind,
    key: &Key,
    existing: impl Iterator<Item = &'a Key>,
) -> Result<(), Refusal> {
    if origins.is_unread(kind, key) {
        return Ok(());
    }
    let existing = names(existing, &key.namespace);
    let missing = Reason::Dangling { kind: kind.as_str(), name: key.name.clone(), existing };
    Err((".name", missing))
}
