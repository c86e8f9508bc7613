//! The translation as a whole, and its memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_config::model::policy::TrafficSettings;
use weft_config::model::service::{Service, Subset};
use weft_config::{DocumentId, Key, Kind, Mesh};

use crate::cluster::{self, Inbound as Speaks, Source, cluster_name, subset_cluster_name};
use crate::egress;
use crate::endpoint::assignment;
use crate::grpc::{self, ClientView};
use crate::listener::{self, INBOUND, OUTBOUND};
use crate::node::{Dialect, Node};
use crate::resources::{Collection, Note, Resource, ResourceMap, Resources};
use crate::workloads::{Instance, Workloads};

/// What a node is sent, by the mesh and by what runs in it.
pub fn translate(mesh: &Mesh, workloads: &Workloads, node: &Node) -> Resources {
    Translator::new(Arc::new(mesh.clone()), workloads.clone()).resources(node)
}

/// [`translate`] with a memory. For the same state it gives the same resources; between two
/// states, those that are equal stay the same allocation.
#[derive(Debug)]
pub struct Translator {
    mesh: Arc<Mesh>,
    workloads: Workloads,
    /// Counts meshes, so that what depends on the mesh alone is not built again without need.
    generation: u64,
    services: BTreeMap<Key, ServicePieces>,
    envoy_clusters: Arc<ResourceMap>,
    grpc_clusters: Arc<ResourceMap>,
    endpoints: Arc<ResourceMap>,
    outbound_routes: BTreeMap<String, Remembered<Arc<ResourceMap>>>,
    client_views: BTreeMap<String, Remembered<SharedClientView>>,
}

/// What was built for a generation of the mesh.
#[derive(Debug)]
struct Remembered<T> {
    generation: u64,
    value: T,
}

#[derive(Clone, Debug, Default)]
struct SharedClientView {
    listeners: Arc<ResourceMap>,
    routes: Arc<ResourceMap>,
    notes: Arc<[Note]>,
}

impl Translator {
    /// A translator of this state.
    pub fn new(mesh: Arc<Mesh>, workloads: Workloads) -> Self {
        let mut translator = Self {
            mesh: Arc::default(),
            workloads,
            generation: 0,
            services: BTreeMap::new(),
            envoy_clusters: Arc::default(),
            grpc_clusters: Arc::default(),
            endpoints: Arc::default(),
            outbound_routes: BTreeMap::new(),
            client_views: BTreeMap::new(),
        };
        translator.set_mesh(mesh);
        translator
    }

    /// The mesh being translated.
    pub fn mesh(&self) -> &Arc<Mesh> {
        &self.mesh
    }

    /// The workloads being translated.
    pub fn workloads(&self) -> &Workloads {
        &self.workloads
    }

    /// Changes the mesh. Only Services that changed are translated again.
    pub fn set_mesh(&mut self, mesh: Arc<Mesh>) {
        self.generation += 1;
        let mut subsets: BTreeMap<Key, Vec<(&Key, &Arc<Subset>)>> = BTreeMap::new();
        for (key, subset) in mesh.subsets() {
            let service = Key::new(&key.namespace, &subset.service);
            subsets.entry(service).or_default().push((key, subset));
        }
        let mut before = std::mem::take(&mut self.services);
        for (key, service) in mesh.services() {
            let subsets = subsets.remove(key).unwrap_or_default();
            let settings = Settings::of(&mesh, key, &subsets);
            let pieces = match before.remove(key) {
                Some(pieces) if pieces.are_of(service, &subsets, &settings) => pieces,
                _ => {
                    let instances = self.workloads.of(key);
                    ServicePieces::new(key, service, &subsets, settings, instances)
                }
            };
            self.services.insert(key.clone(), pieces);
        }
        self.mesh = mesh;
        let clusters = |kind: fn(&Piece) -> Option<&Resource>| -> ResourceMap {
            let pieces = self.services.values().flat_map(|service| &service.pieces);
            pieces.filter_map(|piece| Some((piece.name.clone(), kind(piece)?.clone()))).collect()
        };
        let mut envoy = clusters(|piece| Some(&piece.envoy));
        envoy.extend(egress::clusters(&self.mesh).map(|cluster| {
            let resource = Resource::new(&cluster);
            (cluster.name.into(), resource)
        }));
        let grpc = clusters(|piece| piece.grpc.as_ref());
        let endpoints = clusters(|piece| piece.assignment.as_ref());
        self.envoy_clusters = keep(&self.envoy_clusters, envoy);
        self.grpc_clusters = keep(&self.grpc_clusters, grpc);
        self.endpoints = keep(&self.endpoints, endpoints);
    }

    /// Replaces the instances of a Service; says whether any resource changed by it.
    pub fn set_instances(&mut self, service: &Key, instances: Vec<Instance>) -> bool {
        if !self.workloads.set(service.clone(), instances) {
            return false;
        }
        let Some(pieces) = self.services.get_mut(service) else { return false };
        let changed = pieces.set_instances(self.workloads.of(service));
        if changed.is_empty() {
            return false;
        }
        // Copies the map only when a node still holds it; its resources are shared either way.
        Arc::make_mut(&mut self.endpoints).extend(changed);
        true
    }

    /// What a node is sent.
    pub fn resources(&mut self, node: &Node) -> Resources {
        let mut resources = match node.dialect {
            Dialect::Envoy => self.for_proxy(node),
            Dialect::Grpc => self.for_client(node),
        };
        resources.generation = self.generation;
        resources
    }

    /// Brings the resources of a node up to date. Costs next to nothing when only endpoints
    /// changed since they were made.
    pub fn refresh(&mut self, node: &Node, resources: &mut Resources) {
        if resources.generation != self.generation {
            *resources = self.resources(node);
        } else if self.has_endpoints(node) {
            resources.endpoints = Collection::shared(self.endpoints.clone());
        }
    }

    fn has_endpoints(&self, node: &Node) -> bool {
        node.dialect == Dialect::Grpc || node.outbound.is_some()
    }

    fn for_proxy(&mut self, node: &Node) -> Resources {
        let mut resources = Resources::default();
        let own = node.service_key();
        if let Some(outbound) = node.outbound {
            resources.clusters = Collection::shared(self.envoy_clusters.clone());
            resources.endpoints = Collection::shared(self.endpoints.clone());
            resources.routes = Collection::shared(self.outbound_routes(&node.namespace));
            resources.listeners.insert(OUTBOUND, &listener::outbound(outbound));
            for (name, listener) in listener::tcp_listeners(&self.mesh, own.as_ref()) {
                resources.listeners.insert(name, &listener);
            }
        }
        if let (Some(inbound), Some(key)) = (node.inbound, own) {
            let service = self.mesh.services().get(&key).map(AsRef::as_ref);
            let speaks = listener::speaks(service);
            resources.clusters.insert(INBOUND, &cluster::inbound(inbound.app, speaks));
            resources.listeners.insert(INBOUND, &listener::inbound(inbound.listen, speaks));
            resources.notes = inbound_note(key, service, speaks).into_iter().collect();
        }
        resources
    }

    fn for_client(&mut self, node: &Node) -> Resources {
        let view = self.client_view(&node.namespace);
        Resources {
            listeners: Collection::shared(view.listeners),
            routes: Collection::shared(view.routes),
            clusters: Collection::shared(self.grpc_clusters.clone()),
            endpoints: Collection::shared(self.endpoints.clone()),
            notes: view.notes,
            generation: self.generation,
        }
    }

    /// The namespace under which a view is remembered. All namespaces without Services see the
    /// same, so that what nodes claim cannot grow the memory.
    fn viewpoint(&self, namespace: &str) -> String {
        let known = self.mesh.services().keys().any(|key| key.namespace == namespace);
        if known { namespace.to_owned() } else { String::new() }
    }

    fn outbound_routes(&mut self, namespace: &str) -> Arc<ResourceMap> {
        let viewpoint = self.viewpoint(namespace);
        let (mesh, generation) = (&self.mesh, self.generation);
        remember(&mut self.outbound_routes, &viewpoint, generation, |viewpoint, before| {
            keep(before, listener::outbound_routes(mesh, viewpoint))
        })
    }

    fn client_view(&mut self, namespace: &str) -> SharedClientView {
        let viewpoint = self.viewpoint(namespace);
        let (mesh, generation) = (&self.mesh, self.generation);
        remember(&mut self.client_views, &viewpoint, generation, |viewpoint, before| {
            let ClientView { listeners, routes, notes } = grpc::view(mesh, viewpoint);
            SharedClientView {
                listeners: keep(&before.listeners, listeners),
                routes: keep(&before.routes, routes),
                notes: notes.into(),
            }
        })
    }
}

/// The value of this generation: as remembered, or built from the one before it.
fn remember<T: Clone + Default>(
    memory: &mut BTreeMap<String, Remembered<T>>,
    viewpoint: &str,
    generation: u64,
    build: impl FnOnce(&str, &T) -> T,
) -> T {
    let remembered = memory
        .entry(viewpoint.to_owned())
        .or_insert_with(|| Remembered { generation: 0, value: T::default() });
    if remembered.generation != generation {
        remembered.value = build(viewpoint, &remembered.value);
        remembered.generation = generation;
    }
    remembered.value.clone()
}

/// The new map, with every resource that has not changed in its old allocation; the old map when
/// nothing has.
fn keep(before: &Arc<ResourceMap>, mut now: ResourceMap) -> Arc<ResourceMap> {
    for (name, resource) in &mut now {
        if let Some(old) = before.get(name).filter(|old| old.version == resource.version) {
            *resource = old.clone();
        }
    }
    if now == **before { before.clone() } else { Arc::new(now) }
}

fn inbound_note(key: Key, service: Option<&Service>, speaks: Speaks) -> Option<Note> {
    let id = DocumentId::new(Kind::Service, key);
    match service {
        None => Some(Note::UnknownService { service: id }),
        Some(service) => {
            let has_tcp = service.ports.iter().any(|port| !port.protocol.is_http());
            (has_tcp && speaks != Speaks::Tcp).then_some(Note::MixedInbound { service: id })
        }
    }
}

/// The settings for a Service and for each of its Subsets, in their order.
#[derive(Debug, PartialEq)]
struct Settings {
    service: TrafficSettings,
    subsets: Vec<TrafficSettings>,
}

impl Settings {
    fn of(mesh: &Mesh, key: &Key, subsets: &[(&Key, &Arc<Subset>)]) -> Self {
        Self {
            service: mesh.settings(key, None),
            subsets: subsets
                .iter()
                .map(|(subset, _)| mesh.settings(key, Some(&subset.name)))
                .collect(),
        }
    }
}

/// What a Service adds to the resources of all nodes.
#[derive(Debug)]
struct ServicePieces {
    service: Arc<Service>,
    settings: Settings,
    pieces: Vec<Piece>,
}

/// A cluster in both dialects, and its endpoints.
#[derive(Debug)]
struct Piece {
    name: Arc<str>,
    port: u16,
    subset: Option<Arc<Subset>>,
    envoy: Resource,
    grpc: Option<Resource>,
    /// None when the endpoints are found by name.
    assignment: Option<Resource>,
}

impl ServicePieces {
    fn new(
        key: &Key,
        service: &Arc<Service>,
        subsets: &[(&Key, &Arc<Subset>)],
        settings: Settings,
        instances: &[Instance],
    ) -> Self {
        let mut pieces = Vec::new();
        for port in &service.ports {
            let number = port.port;
            let source = Source::of(service, number);
            let whole = (cluster_name(key, number), None, settings.service);
            let parts = subsets.iter().zip(&settings.subsets).map(|((subset, it), settings)| {
                let name = subset_cluster_name(key, &subset.name, number);
                (name, Some(Arc::clone(it)), *settings)
            });
            for (name, subset, settings) in std::iter::once(whole).chain(parts) {
                let envoy = cluster::envoy(&name, port.protocol, source, settings);
                let grpc = port.protocol.is_http2();
                let grpc = grpc.then(|| Resource::new(&cluster::grpc(&name, source, settings)));
                let assigned = (source == Source::Discovery)
                    .then(|| assignment(&name, service, number, subset.as_deref(), instances));
                pieces.push(Piece {
                    port: number,
                    envoy: Resource::new(&envoy),
                    grpc,
                    assignment: assigned.as_ref().map(Resource::new),
                    name: name.into(),
                    subset,
                });
            }
        }
        Self { service: Arc::clone(service), settings, pieces }
    }

    /// Whether they were made of these very documents.
    fn are_of(
        &self,
        service: &Arc<Service>,
        subsets: &[(&Key, &Arc<Subset>)],
        settings: &Settings,
    ) -> bool {
        let identity = |subset: &Arc<Subset>| Arc::as_ptr(subset);
        let made_of = self.pieces.iter().filter_map(|piece| piece.subset.as_ref()).map(identity);
        let of =
            service.ports.iter().flat_map(|_| subsets.iter().map(|(_, subset)| identity(subset)));
        Arc::ptr_eq(&self.service, service) && self.settings == *settings && made_of.eq(of)
    }

    /// Builds the assignments again and gives those that changed.
    fn set_instances(&mut self, instances: &[Instance]) -> Vec<(Arc<str>, Resource)> {
        let mut changed = Vec::new();
        for piece in &mut self.pieces {
            let Some(before) = &mut piece.assignment else { continue };
            let subset = piece.subset.as_deref();
            let assignment = assignment(&piece.name, &self.service, piece.port, subset, instances);
            let resource = Resource::new(&assignment);
            if resource.version != before.version {
                *before = resource.clone();
                changed.push((piece.name.clone(), resource));
            }
        }
        changed
    }
}
