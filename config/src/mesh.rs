//! The mesh: all documents together, every reference resolved.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::binding::{
    Attachment, Bindings, BoundRoute, BoundTcpRoute, BoundTlsRoute, ListenerRoutes, bind,
};
use crate::document::{Document, DocumentId, Key, Kind};
use crate::link::{Origins, link};
use crate::model::policy::{PolicyTarget, TrafficSettings};
use crate::model::rate_limit::RateLimitTarget;
use crate::model::{
    Gateway, GrpcRoute, HttpRoute, MeshConfig, RateLimitPolicy, Resource, Service, Subset,
    TcpRoute, TlsRoute, TrafficPolicy, Workload,
};
use crate::problem::{Problem, Problems, Reason};
use crate::read::{AnyResource, claimed_id, document};
use crate::reader::Reader;
use crate::tree::Node;

/// A text to read documents from: YAML or JSON, one document or many.
#[derive(Clone, Debug)]
pub struct Source {
    /// What messages call it: a file name, or something like `request body`.
    pub name: Arc<str>,
    /// The text.
    pub text: String,
}

impl Source {
    /// A source from its parts.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// A valid mesh. There is no way to hold one in which a reference dangles or two statements
/// conflict; each change gives a new mesh or the problems, never half of it.
///
/// Cloning is cheap, and resources that a change did not touch stay the same allocation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mesh {
    pub(crate) services: BTreeMap<Key, Arc<Service>>,
    pub(crate) subsets: BTreeMap<Key, Arc<Subset>>,
    pub(crate) gateways: BTreeMap<Key, Arc<Gateway>>,
    pub(crate) routes: BTreeMap<Key, Arc<HttpRoute>>,
    pub(crate) grpc_routes: BTreeMap<Key, Arc<GrpcRoute>>,
    pub(crate) tcp_routes: BTreeMap<Key, Arc<TcpRoute>>,
    pub(crate) tls_routes: BTreeMap<Key, Arc<TlsRoute>>,
    pub(crate) policies: BTreeMap<Key, Arc<TrafficPolicy>>,
    pub(crate) rate_limits: BTreeMap<Key, Arc<RateLimitPolicy>>,
    pub(crate) configs: BTreeMap<Key, Arc<MeshConfig>>,
    pub(crate) workloads: BTreeMap<Key, Arc<Workload>>,
    /// The policies by namespace and target.
    targets: BTreeMap<String, BTreeMap<PolicyTarget, Arc<TrafficPolicy>>>,
    limited: BTreeMap<String, BTreeMap<RateLimitTarget, Arc<RateLimitPolicy>>>,
    bindings: Bindings,
    has_faults: bool,
    has_stickiness: bool,
}

/// A mesh with changes in it, and which documents they came from.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The new mesh.
    pub mesh: Mesh,
    /// What was created or replaced, in the order of the sources.
    pub documents: Vec<DocumentId>,
}

impl Mesh {
    /// Reads a whole mesh.
    ///
    /// # Errors
    /// Everything that is wrong in any of the sources.
    pub fn parse(sources: &[Source]) -> Result<Self, Problems> {
        Self::default().apply(sources).map(|applied| applied.mesh)
    }

    /// Reads a mesh back from its documents.
    ///
    /// # Errors
    /// Everything that is wrong in any of them, as it can be when another version wrote them.
    pub fn from_documents(documents: &[Document]) -> Result<Self, Problems> {
        let trees = documents.iter().map(|document| (None, Node::from_json(&document.json)));
        Self::default().replace(trees.collect(), Vec::new()).map(|applied| applied.mesh)
    }

    /// Creates or replaces documents, all of them or none.
    ///
    /// # Errors
    /// Everything that is wrong in the sources, and every reference of the rest of the mesh
    /// that would no longer hold.
    pub fn apply(&self, sources: &[Source]) -> Result<Applied, Problems> {
        let mut problems = Vec::new();
        let mut trees = Vec::new();
        for source in sources {
            let (documents, stop) = crate::yaml::parse(&source.text);
            for tree in documents {
                let items = tree.into_documents().into_iter();
                trees.extend(items.map(|item| (Some(source.name.clone()), item)));
            }
            problems.extend(stop.map(|stop| Problem {
                source: Some(source.name.clone()),
                position: stop.at,
                document: None,
                field: String::new(),
                reason: stop.reason,
            }));
        }
        self.replace(trees, problems)
    }

    /// Removes documents, all of them or none.
    ///
    /// # Errors
    /// The ids that do not exist, and every reference that would dangle.
    pub fn remove(&self, ids: &[DocumentId]) -> Result<Self, Problems> {
        let mut mesh = self.clone();
        let mut problems = Vec::new();
        for id in ids {
            let key = &id.key;
            let found = match id.kind {
                Kind::Service => mesh.services.remove(key).is_some(),
                Kind::Subset => mesh.subsets.remove(key).is_some(),
                Kind::Gateway => mesh.gateways.remove(key).is_some(),
                Kind::HttpRoute => mesh.routes.remove(key).is_some(),
                Kind::GrpcRoute => mesh.grpc_routes.remove(key).is_some(),
                Kind::TcpRoute => mesh.tcp_routes.remove(key).is_some(),
                Kind::TlsRoute => mesh.tls_routes.remove(key).is_some(),
                Kind::TrafficPolicy => mesh.policies.remove(key).is_some(),
                Kind::RateLimitPolicy => mesh.rate_limits.remove(key).is_some(),
                Kind::MeshConfig => mesh.configs.remove(key).is_some(),
                Kind::Workload => mesh.workloads.remove(key).is_some(),
            };
            if !found {
                let existing =
                    self.ids().filter(|other| other.kind == id.kind).map(|id| id.key.to_string());
                problems.push(Problem {
                    source: None,
                    position: None,
                    document: None,
                    field: String::new(),
                    reason: Reason::Dangling {
                        kind: id.kind.as_str(),
                        name: key.to_string(),
                        existing: existing.collect(),
                    },
                });
            }
        }
        mesh.settle(&Origins::default(), problems)
    }

    fn replace(
        &self,
        trees: Vec<(Option<Arc<str>>, Node)>,
        mut problems: Vec<Problem>,
    ) -> Result<Applied, Problems> {
        let mut mesh = self.clone();
        let mut origins = Origins::default();
        let mut documents = Vec::new();
        for (source, tree) in trees {
            let mut reader = Reader::new(source.clone());
            if let Some(id) = claimed_id(&tree) {
                reader.name_document(id.clone());
                if let Some(first) = origins.place(&id) {
                    let reason = Reason::DuplicateDocument { document: id.clone(), first };
                    reader.refuse::<()>(&tree, reason);
                }
                match document(&mut reader, &tree) {
                    Some(resource) => mesh.insert(&id, resource),
                    None => origins.mark_unread(id.clone()),
                }
                origins.add(id.clone(), source, tree);
                documents.push(id);
            } else {
                // It cannot be a valid document: the reader says what is missing.
                document(&mut reader, &tree);
            }
            problems.append(&mut reader.into_problems());
        }
        mesh.settle(&origins, problems).map(|mesh| Applied { mesh, documents })
    }

    fn insert(&mut self, id: &DocumentId, resource: AnyResource) {
        let key = id.key.clone();
        // An unchanged document keeps its allocation, so that caches by identity hold.
        fn put<T: PartialEq>(map: &mut BTreeMap<Key, Arc<T>>, key: Key, value: T) {
            if map.get(&key).is_none_or(|old| **old != value) {
                map.insert(key, Arc::new(value));
            }
        }
        match resource {
            AnyResource::Service(service) => put(&mut self.services, key, service),
            AnyResource::Subset(subset) => put(&mut self.subsets, key, subset),
            AnyResource::Gateway(gateway) => put(&mut self.gateways, key, gateway),
            AnyResource::HttpRoute(route) => put(&mut self.routes, key, route),
            AnyResource::GrpcRoute(route) => put(&mut self.grpc_routes, key, route),
            AnyResource::TcpRoute(route) => put(&mut self.tcp_routes, key, route),
            AnyResource::TlsRoute(route) => put(&mut self.tls_routes, key, route),
            AnyResource::TrafficPolicy(policy) => put(&mut self.policies, key, policy),
            AnyResource::RateLimitPolicy(policy) => put(&mut self.rate_limits, key, policy),
            AnyResource::MeshConfig(config) => put(&mut self.configs, key, config),
            AnyResource::Workload(workload) => put(&mut self.workloads, key, workload),
        }
    }

    /// Checks what documents say about each other.
    fn settle(mut self, origins: &Origins, mut problems: Vec<Problem>) -> Result<Self, Problems> {
        link(&self, origins, &mut problems);
        self.limited.clear();
        for (key, policy) in &self.rate_limits {
            let of_namespace = self.limited.entry(key.namespace.clone()).or_default();
            of_namespace.insert(policy.target_ref.clone(), Arc::clone(policy));
        }
        let bindings = bind(&self, origins, &mut problems);
        Problems::check(problems)?;
        self.bindings = bindings;
        let of_policies = self.policies.values().map(|policy| &policy.settings);
        let of_all = self.configs.values().map(|config| &config.defaults);
        let mut all = of_policies.chain(of_all);
        self.has_faults = all.clone().any(|settings| settings.fault.is_some());
        self.has_stickiness = all.any(|settings| settings.stickiness.is_some());
        self.targets.clear();
        for (key, policy) in &self.policies {
            let of_namespace = self.targets.entry(key.namespace.clone()).or_default();
            of_namespace.insert(policy.target_ref.clone(), Arc::clone(policy));
        }
        Ok(self)
    }

    /// The Services.
    pub fn services(&self) -> &BTreeMap<Key, Arc<Service>> {
        &self.services
    }

    /// The Subsets.
    pub fn subsets(&self) -> &BTreeMap<Key, Arc<Subset>> {
        &self.subsets
    }

    /// The Gateways.
    pub fn gateways(&self) -> &BTreeMap<Key, Arc<Gateway>> {
        &self.gateways
    }

    /// The HTTPRoutes as written; [`Mesh::bound_routes`] has them resolved.
    pub fn routes(&self) -> &BTreeMap<Key, Arc<HttpRoute>> {
        &self.routes
    }

    /// What holds for the whole mesh, if anything was said.
    pub fn config(&self) -> Option<&MeshConfig> {
        self.configs.values().next().map(AsRef::as_ref)
    }

    /// The TrafficPolicies.
    pub fn policies(&self) -> &BTreeMap<Key, Arc<TrafficPolicy>> {
        &self.policies
    }

    /// The RateLimitPolicies.
    pub fn rate_limits(&self) -> &BTreeMap<Key, Arc<RateLimitPolicy>> {
        &self.rate_limits
    }

    /// How often requests may come to a target in a namespace.
    pub fn rate_limit(
        &self,
        namespace: &str,
        target: &RateLimitTarget,
    ) -> Option<&Arc<RateLimitPolicy>> {
        self.limited.get(namespace)?.get(target)
    }

    /// The Service and port that count for a policy whose limits all proxies share.
    pub fn limit_service(&self, policy: &RateLimitPolicy) -> Option<(Key, u16)> {
        let asked = &policy.global.as_ref()?.service;
        let key = asked.key(&policy.metadata.namespace);
        let ports = &self.services.get(&key)?.ports;
        let mut fit = ports.iter().filter(|port| {
            port.protocol.is_http2() && asked.port.is_none_or(|number| number == port.port)
        });
        match (fit.next(), fit.next()) {
            (Some(port), None) => Some((key, port.port)),
            _ => None,
        }
    }

    /// The settings for requests to a Service, or to a Subset of it: the most specific of the
    /// Subset's policy, the Service's, and the mesh's defaults, field by field.
    pub fn settings(&self, service: &Key, subset: Option<&str>) -> TrafficSettings {
        let defaults = self.config().map(|config| config.defaults.clone()).unwrap_or_default();
        let of_namespace = self.targets.get(&service.namespace);
        let of = |target: &PolicyTarget| {
            let policy = of_namespace.and_then(|targets| targets.get(target));
            policy.map(|policy| policy.settings.clone()).unwrap_or_default()
        };
        let service = of(&PolicyTarget::Service(service.name.clone())).over(defaults);
        match subset {
            Some(subset) => of(&PolicyTarget::Subset(subset.to_owned())).over(service),
            None => service,
        }
    }

    /// Whether any rule of a route says what pages of other origins may do.
    pub fn has_cors(&self) -> bool {
        self.bindings.has_cors()
    }

    /// Whether any policy keeps sessions at their endpoints.
    pub fn has_stickiness(&self) -> bool {
        self.has_stickiness
    }

    /// Whether any policy has faults made on purpose.
    pub fn has_faults(&self) -> bool {
        self.has_faults
    }

    /// The Workloads.
    pub fn workloads(&self) -> &BTreeMap<Key, Arc<Workload>> {
        &self.workloads
    }

    /// The route that decides about connections to a tcp port of a Service; without one they go to
    /// its endpoints.
    pub fn bound_tcp_route(&self, service: &Key, port: u16) -> Option<&Arc<BoundTcpRoute>> {
        self.bindings.of_connections(service, port)
    }

    /// The routes that decide about connections to a tls port of a Service, no server name in two
    /// of them; without any, connections go to its endpoints.
    pub fn bound_tls_routes(&self, service: &Key, port: u16) -> &[Arc<BoundTlsRoute>] {
        self.bindings.of_tls(service, port)
    }

    /// The routes that decide about what comes to a listener of a Gateway.
    pub fn bound_listener(&self, gateway: &Key, listener: &str) -> ListenerRoutes {
        self.bindings.of_listener(gateway, listener)
    }

    /// Where a route is attached, and whether it is accepted there.
    pub fn attachments(&self, route: &DocumentId) -> &[Attachment] {
        self.bindings.attachments(route)
    }

    /// The routes that decide about requests to a port of a Service, the oldest first, then by
    /// name; empty when its requests simply go to its endpoints.
    pub fn bound_routes(&self, service: &Key, port: u16) -> &[Arc<BoundRoute>] {
        self.bindings.of(service, port)
    }

    /// The ids of all documents, by kind and key.
    pub fn ids(&self) -> impl Iterator<Item = DocumentId> {
        let of = |kind| move |key: &Key| DocumentId::new(kind, key.clone());
        self.services
            .keys()
            .map(of(Kind::Service))
            .chain(self.subsets.keys().map(of(Kind::Subset)))
            .chain(self.gateways.keys().map(of(Kind::Gateway)))
            .chain(self.routes.keys().map(of(Kind::HttpRoute)))
            .chain(self.grpc_routes.keys().map(of(Kind::GrpcRoute)))
            .chain(self.tcp_routes.keys().map(of(Kind::TcpRoute)))
            .chain(self.tls_routes.keys().map(of(Kind::TlsRoute)))
            .chain(self.policies.keys().map(of(Kind::TrafficPolicy)))
            .chain(self.rate_limits.keys().map(of(Kind::RateLimitPolicy)))
            .chain(self.configs.keys().map(of(Kind::MeshConfig)))
            .chain(self.workloads.keys().map(of(Kind::Workload)))
    }

    /// One document in canonical form.
    pub fn document(&self, id: &DocumentId) -> Option<Document> {
        match id.kind {
            Kind::Service => self.services.get(&id.key).map(|service| service.document()),
            Kind::Subset => self.subsets.get(&id.key).map(|subset| subset.document()),
            Kind::Gateway => self.gateways.get(&id.key).map(|gateway| gateway.document()),
            Kind::HttpRoute => self.routes.get(&id.key).map(|route| route.document()),
            Kind::GrpcRoute => self.grpc_routes.get(&id.key).map(|route| route.document()),
            Kind::TcpRoute => self.tcp_routes.get(&id.key).map(|route| route.document()),
            Kind::TlsRoute => self.tls_routes.get(&id.key).map(|route| route.document()),
            Kind::TrafficPolicy => self.policies.get(&id.key).map(|policy| policy.document()),
            Kind::RateLimitPolicy => self.rate_limits.get(&id.key).map(|policy| policy.document()),
            Kind::MeshConfig => self.configs.get(&id.key).map(|config| config.document()),
            Kind::Workload => self.workloads.get(&id.key).map(|workload| workload.document()),
        }
    }

    /// All documents in canonical form, by kind and key.
    pub fn documents(&self) -> Vec<Document> {
        self.ids().filter_map(|id| self.document(&id)).collect()
    }
}
