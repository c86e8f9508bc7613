//! The translation as a whole, and its memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_config::model::policy::{TrafficSettings, ZoneWeight};
use weft_config::model::rate_limit::RateLimitTarget;
use weft_config::model::service::{Service, Subset};
use weft_config::{DocumentId, Key, Kind, Mesh};
use weft_proto::pb::envoy::config::endpoint::v3::cluster_load_assignment::Policy;

use crate::cluster::{self, Inbound as Speaks, Source, cluster_name, subset_cluster_name};
use crate::egress;
use crate::encoded::EncodedHosts;
use crate::endpoint::{assignment, policy};
use crate::gateway;
use crate::grpc::{self, ClientView};
use crate::listener::{self, INBOUND, OUTBOUND};
use crate::node::{Dialect, Node};
use crate::rate_limit;
use crate::resources::{Collection, Note, Resource, ResourceMap, Resources};
use crate::view::{Viewpoint, within};
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
    /// Counts changes of endpoints within a mesh.
    endpoint_generation: u64,
    views: BTreeMap<Viewpoint, Remembered<View>>,
    client_views: BTreeMap<Viewpoint, Remembered<SharedClientView>>,
    encoded: EncodedHosts,
}

/// What was built for a generation of the mesh.
#[derive(Debug)]
struct Remembered<T> {
    generation: u64,
    value: T,
}

/// What proxies that look from the same place share.
#[derive(Clone, Debug, Default)]
struct View {
    routes: Arc<ResourceMap>,
    clusters: Arc<ResourceMap>,
    /// The names of `clusters`, when they are not all there are.
    reach: Option<Arc<BTreeSet<String>>>,
    endpoints: Arc<ResourceMap>,
    endpoint_generation: u64,
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
            endpoint_generation: 0,
            views: BTreeMap::new(),
            client_views: BTreeMap::new(),
            encoded: EncodedHosts::default(),
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
        let mesh = &self.mesh;
        self.encoded.follow(mesh);
        self.views.retain(|viewpoint, _| viewpoint.exists(mesh));
        self.client_views.retain(|viewpoint, _| viewpoint.exists(mesh));
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
        self.endpoint_generation += 1;
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
        } else if node.dialect == Dialect::Grpc {
            resources.endpoints = Collection::shared(self.endpoints.clone());
        } else if let Some(viewpoint) = self.viewpoint(node) {
            resources.endpoints = Collection::shared(self.view(&viewpoint).endpoints);
        }
    }

    /// From where a proxy looks at the mesh, if it sends requests anywhere.
    fn viewpoint(&self, node: &Node) -> Option<Viewpoint> {
        match node.gateway_key() {
            Some(key) => self.mesh.gateways().contains_key(&key).then_some(Viewpoint::Gateway(key)),
            None if node.outbound.is_some() => Some(Viewpoint::of_sidecar(&self.mesh, node)),
            None => {
                // What counts for its inbound side is all that it calls.
                let key = node.service_key().filter(|_| node.inbound.is_some())?;
                let limited = rate_limit::of_target(&self.mesh, &key, RateLimitTarget::Service)?;
                limited.global.as_ref().map(|_| Viewpoint::Service(key))
            }
        }
    }

    fn for_proxy(&mut self, node: &Node) -> Resources {
        let mut resources = Resources::default();
        let own = node.service_key();
        let viewpoint = self.viewpoint(node);
        if let Some(viewpoint) = &viewpoint {
            let view = self.view(viewpoint);
            resources.clusters = Collection::shared(view.clusters);
            resources.endpoints = Collection::shared(view.endpoints);
            resources.routes = Collection::shared(view.routes);
        }
        if let Some(key) = node.gateway_key() {
            let Some(gateway) = self.mesh.gateways().get(&key) else {
                let gateway = DocumentId::new(Kind::Gateway, key);
                resources.notes = [Note::UnknownGateway { gateway }].into();
                return resources;
            };
            for (name, listener) in gateway::listeners(&self.mesh, &key, gateway) {
                resources.listeners.insert(name, &listener);
            }
            return resources;
        }
        if let (Some(outbound), Some(viewpoint)) = (node.outbound, &viewpoint) {
            resources
                .listeners
                .insert(OUTBOUND, &listener::outbound(&self.mesh, viewpoint, outbound));
            for (name, listener) in listener::port_listeners(&self.mesh, viewpoint, own.as_ref()) {
                resources.listeners.insert(name, &listener);
            }
        }
        if let (Some(inbound), Some(key)) = (node.inbound, own) {
            let service = self.mesh.services().get(&key).map(AsRef::as_ref);
            let speaks = listener::speaks(service);
            resources.clusters.insert(INBOUND, &cluster::inbound(inbound.app, speaks));
            if let Some(peers) =
                viewpoint.and(self.services.get(&key)).and_then(ServicePieces::found)
            {
                resources.clusters.insert(cluster::PEERS, &cluster::peers(peers));
            }
            let limited = rate_limit::of_target(&self.mesh, &key, RateLimitTarget::Service);
            let own = self.mesh.settings(&key, None);
            let listener = listener::inbound(&self.mesh, inbound.listen, speaks, limited, &own);
            resources.listeners.insert(INBOUND, &listener);
            resources.notes = inbound_note(key, service, speaks).into_iter().collect();
        }
        resources
    }

    fn for_client(&mut self, node: &Node) -> Resources {
        let view = self.client_view(&Viewpoint::of_namespace(&self.mesh, &node.namespace));
        let mut listeners = Collection::shared(view.listeners);
        if let Some(inbound) = node.inbound {
            let name = grpc::server_listener_name(inbound.listen);
            listeners.insert(name, &grpc::server_listener(inbound.listen));
        }
        let mut notes = view.notes;
        let own = node.service_key();
        let limited =
            own.and_then(|key| rate_limit::of_target(&self.mesh, &key, RateLimitTarget::Service));
        if let Some(policy) = limited {
            let policy = DocumentId::new(Kind::RateLimitPolicy, policy.metadata.key());
            notes = notes.iter().cloned().chain([Note::LimitInGrpc { policy }]).collect();
        }
        Resources {
            listeners,
            routes: Collection::shared(view.routes),
            clusters: Collection::shared(self.grpc_clusters.clone()),
            endpoints: Collection::shared(self.endpoints.clone()),
            notes,
            generation: self.generation,
        }
    }

    fn view(&mut self, viewpoint: &Viewpoint) -> View {
        let Self { mesh, generation, envoy_clusters, endpoints, endpoint_generation, .. } = self;
        let whole = (&**mesh, &*envoy_clusters);
        let encoded = &mut self.encoded;
        let mut view = remember(&mut self.views, viewpoint, *generation, |before| {
            build_view(whole, encoded, viewpoint, before)
        });
        // Those of a part of the mesh are looked for again when any endpoint has changed.
        let Some(reach) = view.reach.clone() else {
            view.endpoints = endpoints.clone();
            return view;
        };
        if view.endpoint_generation != *endpoint_generation {
            view.endpoints = keep(&view.endpoints, within(endpoints, &reach));
            view.endpoint_generation = *endpoint_generation;
            if let Some(remembered) = self.views.get_mut(viewpoint) {
                remembered.value = view.clone();
            }
        }
        view
    }

    fn client_view(&mut self, viewpoint: &Viewpoint) -> SharedClientView {
        let (mesh, generation) = (&self.mesh, self.generation);
        remember(&mut self.client_views, viewpoint, generation, |before| {
            let ClientView { listeners, routes, notes } = grpc::view(mesh, viewpoint.namespace());
            SharedClientView {
                listeners: keep(&before.listeners, listeners),
                routes: keep(&before.routes, routes),
                notes: notes.into(),
            }
        })
    }
}

fn build_view(
    (mesh, clusters): (&Mesh, &Arc<ResourceMap>),
    encoded: &mut EncodedHosts,
    viewpoint: &Viewpoint,
    before: &View,
) -> View {
    let reach = viewpoint.reach(mesh);
    let clusters = match reach.as_deref() {
        Some(reach) => keep(&before.clusters, within(clusters, reach)),
        None => clusters.clone(),
    };
    View {
        routes: keep(&before.routes, viewpoint.routes(mesh, encoded)),
        clusters,
        reach,
        endpoints: before.endpoints.clone(),
        // No count of changes: the endpoints are still to be looked for.
        endpoint_generation: u64::MAX,
    }
}

/// The value of this generation: as remembered, or built from the one before it.
fn remember<T: Clone + Default>(
    memory: &mut BTreeMap<Viewpoint, Remembered<T>>,
    viewpoint: &Viewpoint,
    generation: u64,
    build: impl FnOnce(&T) -> T,
) -> T {
    let remembered = memory
        .entry(viewpoint.clone())
        .or_insert_with(|| Remembered { generation: 0, value: T::default() });
    if remembered.generation != generation {
        remembered.value = build(&remembered.value);
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
    /// What becomes of requests to it as a whole.
    policy: Option<Policy>,
    /// What its zones take.
    zones: Vec<ZoneWeight>,
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
            let whole = (cluster_name(key, number), None, &settings.service);
            let parts = subsets.iter().zip(&settings.subsets).map(|((subset, it), settings)| {
                let name = subset_cluster_name(key, &subset.name, number);
                (name, Some(Arc::clone(it)), settings)
            });
            for (name, subset, settings) in std::iter::once(whole).chain(parts) {
                let envoy = cluster::envoy(&name, port.protocol, source, settings);
                let grpc = port.protocol.is_http2();
                let grpc = grpc.then(|| Resource::new(&cluster::grpc(&name, source, settings)));
                let policy = policy(settings);
                let zones = &settings.load_balancer.zone_weights;
                let assigned = (source == Source::Discovery).then(|| {
                    assignment(
                        &name,
                        service,
                        number,
                        subset.as_deref(),
                        (policy.clone(), zones),
                        instances,
                    )
                });
                pieces.push(Piece {
                    port: number,
                    envoy: Resource::new(&envoy),
                    grpc,
                    assignment: assigned.as_ref().map(Resource::new),
                    name: name.into(),
                    subset,
                    policy,
                    zones: zones.clone(),
                });
            }
        }
        Self { service: Arc::clone(service), settings, pieces }
    }

    /// The cluster of one of its ports, if its endpoints are discovered.
    fn found(&self) -> Option<&str> {
        let whole = |piece: &&Piece| piece.subset.is_none() && piece.assignment.is_some();
        self.pieces.iter().find(whole).map(|piece| &*piece.name)
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
            let (number, whole) = (piece.port, (piece.policy.clone(), &*piece.zones));
            let assignment =
                assignment(&piece.name, &self.service, number, subset, whole, instances);
            let resource = Resource::new(&assignment);
            if resource.version != before.version {
                *before = resource.clone();
                changed.push((piece.name.clone(), resource));
            }
        }
        changed
    }
}
