//! Routes at the listeners of a Gateway: which ones they fit, and for which host names.

use super::Place;
use super::binder::{Binder, Spot};
use crate::document::{DocumentId, Key, Kind};
use crate::link::names;
use crate::model::gateway::{Gateway, GatewayListener, RouteNamespaces};
use crate::model::route::ParentRef;
use crate::problem::{Conflict, Reason};

/// A listener that takes a route, and the host names both have.
type Fitting<'g> = (&'g GatewayListener, Vec<String>);

impl Binder<'_> {
    /// The listeners of the Gateway that `parent` names to which the route is attached.
    pub(super) fn listeners(&mut self, index: usize, parent: &ParentRef) -> Vec<Spot> {
        let field = format!("spec.parentRefs[{index}]");
        let namespace = parent.namespace.as_ref().unwrap_or(&self.key.namespace);
        let key = Key::new(namespace, &parent.name);
        let Some(gateway) = self.mesh.gateways.get(&key) else {
            if !self.origins.is_unread(Kind::Gateway, &key) {
                let reason = self.no_gateway(&key);
                self.refuse(format!("{field}.name"), reason);
            }
            return Vec::new();
        };
        match self.fitting(gateway, parent) {
            Ok(listeners) => listeners
                .into_iter()
                .map(|(listener, hostnames)| Spot {
                    place: Place::Listener(key.clone(), listener.name.clone()),
                    parent: DocumentId::new(Kind::Gateway, key.clone()),
                    port: listener.port,
                    parent_ref: index,
                    hostnames,
                })
                .collect(),
            Err((name, reason)) => {
                self.refuse(format!("{field}{name}"), reason);
                Vec::new()
            }
        }
    }

    fn no_gateway(&self, key: &Key) -> Reason {
        if self.mesh.services.contains_key(key) {
            return Conflict::ParentIsService { service: key.name.clone() }.into();
        }
        let existing = names(self.mesh.gateways.keys(), &key.namespace);
        Reason::Dangling { kind: "Gateway", name: key.name.clone(), existing }
    }

    /// Each listener that takes the route with the host names both have, or the first reason why
    /// there is none, and the field it is about.
    fn fitting<'g>(
        &self,
        gateway: &'g Gateway,
        parent: &ParentRef,
    ) -> Result<Vec<Fitting<'g>>, (&'static str, Reason)> {
        let name = || gateway.metadata.name.clone();
        let mut listeners: Vec<&GatewayListener> = gateway.listeners.iter().collect();
        if let Some(number) = parent.port {
            listeners.retain(|listener| listener.port == number);
            if listeners.is_empty() {
                let existing =
                    gateway.listeners.iter().map(|listener| listener.port.to_string()).collect();
                let reason = Reason::Dangling { kind: "port", name: number.to_string(), existing };
                return Err((".port", reason));
            }
        }
        if let Some(section) = &parent.section_name {
            listeners.retain(|listener| listener.name == *section);
            if listeners.is_empty() {
                let existing =
                    gateway.listeners.iter().map(|listener| listener.name.clone()).collect();
                let reason = Reason::Dangling { kind: "listener", name: section.clone(), existing };
                return Err((".sectionName", reason));
            }
        }
        listeners.retain(|listener| listener.protocol.route_kinds().contains(&self.kind));
        if listeners.is_empty() {
            let conflict = Conflict::NoListenerForKind { gateway: name(), kind: self.kind };
            return Err(("", conflict.into()));
        }
        let is_own = gateway.metadata.namespace == self.key.namespace;
        listeners.retain(|listener| is_own || listener.routes_from == RouteNamespaces::All);
        if listeners.is_empty() {
            let namespace = self.key.namespace.clone();
            let conflict = Conflict::RouteNotAllowed { gateway: name(), namespace };
            return Err(("", conflict.into()));
        }
        let common = |listener: &'g GatewayListener| {
            let hostnames = common(listener.hostname.as_deref(), self.hostnames)?;
            Some((listener, hostnames))
        };
        let fitting: Vec<_> = listeners.into_iter().filter_map(common).collect();
        if fitting.is_empty() {
            let conflict = Conflict::NoListenerHostname { gateway: name() };
            return Err(("", conflict.into()));
        }
        Ok(fitting)
    }
}

/// The host names that a listener and a route both have; empty when neither names any, `None` when
/// they have nothing in common.
fn common(listener: Option<&str>, route: &[String]) -> Option<Vec<String>> {
    let Some(listener) = listener else { return Some(route.to_vec()) };
    if route.is_empty() {
        return Some(vec![listener.to_owned()]);
    }
    let mut names: Vec<String> = Vec::new();
    for name in route.iter().filter_map(|name| narrower(listener, name)) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    (!names.is_empty()).then_some(names)
}

/// Whether any name belongs to both lists; an empty one stands for all names.
pub(super) fn have_common(one: &[String], other: &[String]) -> bool {
    one.is_empty()
        || other.is_empty()
        || one.iter().any(|one| other.iter().any(|other| narrower(one, other).is_some()))
}

/// The narrower of two host names, if what it stands for belongs to both.
fn narrower<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    let within = |wide: &str, narrow: &str| {
        wide.strip_prefix('*').is_some_and(|suffix| narrow.ends_with(suffix))
    };
    if one == other || within(one, other) { Some(other) } else { within(other, one).then_some(one) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_common() {
        let common = |listener: Option<&str>, route: &[&str]| {
            let route: Vec<String> = route.iter().map(ToString::to_string).collect();
            common(listener, &route)
        };
        let names = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect());
        assert_eq!(common(None, &[]), names(&[]));
        assert_eq!(common(Some("a.x"), &[]), names(&["a.x"]));
        assert_eq!(common(None, &["a.x", "*.y"]), names(&["a.x", "*.y"]));
        assert_eq!(common(Some("*.x"), &["a.x", "b.a.x", "x", "a.y"]), names(&["a.x", "b.a.x"]));
        assert_eq!(common(Some("a.x"), &["*.x", "a.x"]), names(&["a.x"]));
        assert_eq!(common(Some("*.x"), &["*.a.x"]), names(&["*.a.x"]));
        assert_eq!(common(Some("*.a.x"), &["*.x"]), names(&["*.a.x"]));
        assert_eq!(common(Some("a.x"), &["b.x"]), None);
        assert_eq!(common(Some("*.x"), &["ax"]), None);
    }
}
