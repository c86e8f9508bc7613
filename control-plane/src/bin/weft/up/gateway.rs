//! The Gateways of a mesh: one proxy for each, and whether requests come in by them.

use std::net::{Ipv4Addr, SocketAddr};

use weft_config::model::gateway::{Gateway as Document, ListenerProtocol};
use weft_config::model::route::{Match, PathMatch};
use weft_config::{BoundRoute, Key, Kind, Mesh};

use super::plan::Instance;
use super::ports::{self, Reserved};
use super::traffic::{self, Target};
use crate::wire::{self, ToAddress};

/// A Gateway to be run.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) key: Key,
    /// Where it will listen, as this machine reaches it.
    pub(crate) listens: Vec<SocketAddr>,
    /// For operators.
    pub(crate) admin: Reserved,
}

impl Gateway {
    /// What its process is called.
    pub(crate) fn name(&self) -> String {
        format!("gateway {}", self.key)
    }
}

/// Every Gateway of a mesh.
pub(crate) fn gateways(mesh: &Mesh) -> anyhow::Result<Vec<Gateway>> {
    let all = mesh.gateways().iter();
    all.map(|(key, gateway)| {
        let mut listens: Vec<SocketAddr> = Vec::new();
        for listener in &gateway.listeners {
            let routes = mesh.bound_listener(key, &listener.name);
            // Nothing listens for connections that nobody wants.
            let wanted = listener.protocol == ListenerProtocol::Http
                || routes.connections.is_some()
                || !routes.server_names.is_empty();
            let at = wanted.then(|| reached(gateway, listener.port)).flatten();
            listens.extend(at.filter(|at| !listens.contains(at)));
        }
        Ok(Gateway { key: key.clone(), listens, admin: ports::reserve()? })
    })
    .collect()
}

/// Where a port of a Gateway is reached from this machine.
fn reached(gateway: &Document, port: u16) -> Option<SocketAddr> {
    let at = gateway.sockets(port).next()?;
    Some(if at.ip().is_unspecified() { (Ipv4Addr::LOCALHOST, port).into() } else { at })
}

/// Requests that should be answered: for each host name of an HTTP listener one that a rule
/// without further conditions sends to a Service that runs here.
pub(crate) fn targets(mesh: &Mesh, instances: &[Instance]) -> Vec<(Key, Target)> {
    let mut targets = Vec::new();
    for (key, gateway) in mesh.gateways() {
        for listener in &gateway.listeners {
            let Some(outbound) = reached(gateway, listener.port) else { continue };
            for route in mesh.bound_listener(key, &listener.name).requests {
                let Some(path) = plain_path(&route, instances) else { continue };
                let host = route.hostnames.first().map_or("localhost", String::as_str);
                let service = host.replace('*', "any");
                targets.push((key.clone(), Target { outbound, service, path }));
            }
        }
    }
    targets
}

fn plain_path(route: &BoundRoute, instances: &[Instance]) -> Option<String> {
    // Calls are no plain requests: what takes those may well refuse these.
    if route.kind != Kind::HttpRoute {
        return None;
    }
    let runs = |service: &Key| {
        let is_of =
            |one: &Instance| one.service == service.name && one.namespace == service.namespace;
        instances.iter().any(is_of)
    };
    let rule = route.rules.iter().find(|rule| rule.backends.iter().any(|it| runs(&it.service)))?;
    let is_plain = |matched: &&Match| {
        matched.headers.is_empty() && matched.query_params.is_empty() && matched.method.is_none()
    };
    match &rule.matches.iter().find(is_plain)?.path {
        None => Some("/".to_owned()),
        Some(PathMatch::Exact(path) | PathMatch::PathPrefix(path)) => Some(path.clone()),
        Some(PathMatch::RegularExpression(_)) => None,
    }
}

/// Sends `requests` requests; how many were answered, and why one was not.
pub(crate) async fn knock(target: &Target, requests: u32) -> (u32, Option<String>) {
    let client = wire::client(ToAddress(target.outbound));
    let (mut answered, mut failure) = (0, None);
    for _ in 0..requests {
        match traffic::send(&client, target).await {
            Ok(_) => answered += 1,
            Err(why) => failure = Some(why),
        }
    }
    (answered, failure)
}
