//! The virtual hosts of Services, encoded, and encoded again only when something of them changed.
//!
//! Most of what a sidecar is sent about requests is one resource with the hosts of all Services, and
//! a change is nearly always about one of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_config::model::policy::TrafficSettings;
use weft_config::model::service::{Protocol, Service};
use weft_config::model::{MeshConfig, TrafficPolicy};
use weft_config::{BoundRoute, Key, Mesh};

use crate::listener::virtual_host;
use crate::stable::append;
use crate::virtual_host::hosts;

/// The hosts of every Service as dialled from every namespace that has asked.
#[derive(Debug, Default)]
pub(crate) struct EncodedHosts {
    services: BTreeMap<Key, BTreeMap<String, HostsOfService>>,
    policies: Vec<Arc<TrafficPolicy>>,
    config: Option<MeshConfig>,
    /// Counts changes of the two.
    rules: u64,
}

#[derive(Debug)]
struct HostsOfService {
    service: Arc<Service>,
    routes: Vec<Arc<BoundRoute>>,
    /// What holds for the Service and for whatever its routes lead to,
    settings: Vec<TrafficSettings>,
    /// as it was at this count of changes.
    rules: u64,
    fields: Vec<u8>,
}

impl EncodedHosts {
    /// Forgets Services that left, and notes whether any policy is another than before.
    pub(crate) fn follow(&mut self, mesh: &Mesh) {
        self.services.retain(|key, _| mesh.services().contains_key(key));
        let policies = mesh.policies();
        let same = policies.len() == self.policies.len()
            && policies.values().zip(&self.policies).all(|(now, then)| Arc::ptr_eq(now, then))
            && mesh.config() == self.config.as_ref();
        if !same {
            self.rules += 1;
            self.policies = policies.values().cloned().collect();
            self.config = mesh.config().cloned();
        }
    }

    /// Appends the hosts of a Service to an encoded `RouteConfiguration`.
    pub(crate) fn append(
        &mut self,
        mesh: &Mesh,
        (key, service): (&Key, &Arc<Service>),
        namespace: &str,
        to: &mut Vec<u8>,
    ) {
        let ports = service.ports.iter();
        let routes = || ports.clone().flat_map(|port| mesh.bound_routes(key, port.port));
        let rules = self.rules;
        let namespaces = self.services.entry(key.clone()).or_default();
        let known = namespaces.get_mut(namespace).filter(|known| {
            Arc::ptr_eq(&known.service, service)
                && known.routes.iter().eq(routes())
                && (known.rules == rules || known.settings == settings(mesh, key, routes()))
        });
        if let Some(known) = known {
            known.rules = rules;
            return to.extend_from_slice(&known.fields);
        }
        let mut fields = Vec::new();
        for host in hosts(mesh, service, key, namespace, Protocol::is_http) {
            append(virtual_host(mesh, &host), &mut fields);
        }
        to.extend_from_slice(&fields);
        let made = HostsOfService {
            service: service.clone(),
            routes: routes().cloned().collect(),
            settings: settings(mesh, key, routes()),
            rules,
            fields,
        };
        namespaces.insert(namespace.to_owned(), made);
    }
}

/// All settings that the hosts of a Service are made with.
fn settings<'a>(
    mesh: &Mesh,
    key: &Key,
    routes: impl Iterator<Item = &'a Arc<BoundRoute>>,
) -> Vec<TrafficSettings> {
    let backends = routes.flat_map(|route| &route.rules).flat_map(|rule| &rule.backends);
    let led_to = backends.map(|backend| mesh.settings(&backend.service, backend.subset.as_deref()));
    std::iter::once(mesh.settings(key, None)).chain(led_to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh() -> Mesh {
        let service = |name: &str| {
            format!(
                "{{apiVersion: weft.dev/v1, kind: Service, metadata: {{name: {name}}}, spec: {{ports: [{{port: 80}}]}}}}\n---\n"
            )
        };
        let text = format!(
            "{}{}{}\
             apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\n\
             spec: {{parentRefs: [{{kind: Service, name: a}}], rules: [{{backendRefs: [{{name: b}}]}}]}}\n---\n\
             apiVersion: weft.dev/v1\nkind: TrafficPolicy\nmetadata: {{name: p}}\n\
             spec: {{targetRef: {{kind: Service, name: c}}, timeouts: {{request: 1s}}}}\n",
            service("a"),
            service("b"),
            service("c"),
        );
        match Mesh::parse(&[weft_config::Source::new("m", text)]) {
            Ok(mesh) => mesh,
            Err(problems) => panic!("{problems}"),
        }
    }

    fn changed(mesh: &Mesh, text: &str) -> Mesh {
        match mesh.apply(&[weft_config::Source::new("change", text)]) {
            Ok(applied) => applied.mesh,
            Err(problems) => panic!("{problems}"),
        }
    }

    /// Where the hosts of each Service are kept; what is not encoded again stays where it is.
    fn places(hosts: &mut EncodedHosts, mesh: &Mesh) -> Vec<(String, *const u8)> {
        hosts.follow(mesh);
        for service in mesh.services() {
            hosts.append(mesh, service, "default", &mut Vec::new());
        }
        let made = hosts.services.iter();
        made.map(|(key, made)| (key.name.clone(), made["default"].fields.as_ptr())).collect()
    }

    #[test]
    fn a_change_is_encoded_where_it_is_and_nowhere_else() {
        let (mesh, mut hosts) = (mesh(), EncodedHosts::default());
        let before = places(&mut hosts, &mesh);
        let route = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, \
             spec: {parentRefs: [{kind: Service, name: a}], rules: [{backendRefs: [{name: c}]}]}}";
        let after = places(&mut hosts, &changed(&mesh, route));
        let others = after.into_iter().zip(before).filter(|(now, then)| now != then);
        assert_eq!(others.map(|((name, _), _)| name).collect::<Vec<_>>(), ["a"]);
        let policy = |target: &str| {
            format!(
                "{{apiVersion: weft.dev/v1, kind: TrafficPolicy, metadata: {{name: p}}, \
                 spec: {{targetRef: {{kind: Service, name: {target}}}, timeouts: {{request: 2s}}}}}}"
            )
        };
        let before = places(&mut hosts, &mesh);
        let moved =
            |before: &[(String, *const u8)], after: &[(String, *const u8)]| -> Vec<String> {
                let others = after.iter().zip(before).filter(|(now, then)| now != then);
                others.map(|((name, _), _)| name.clone()).collect()
            };
        let after = places(&mut hosts, &changed(&mesh, &policy("c")));
        assert_eq!(moved(&before, &after), ["c"]);
        let again = places(&mut hosts, &changed(&mesh, &policy("b")));
        assert_eq!(
            moved(&after, &again),
            ["a", "b", "c"],
            "a leads to b, and c has no policy any more"
        );
    }
}
