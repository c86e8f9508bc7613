//! Whatever the order of updates, the tables say what a plain reading of all updates says, and
//! what did not change is the same object as before.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod fixture;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use fixture::{
    Proxy, assignment, bad_cluster, bad_routes, eds_cluster, find, inline_listener, leads_to,
    ports, rds_listener, routes, static_cluster,
};
use proptest::prelude::*;
use weft_compile::{ResourceType, Tables};

const CDS: ResourceType = ResourceType::Cluster;
const EDS: ResourceType = ResourceType::Assignment;
const LDS: ResourceType = ResourceType::Listener;
const RDS: ResourceType = ResourceType::RouteConfiguration;

const CLUSTERS: [&str; 4] = ["c0", "c1", "c2", "c3"];
const SERVICES: [&str; 3] = ["s0", "s1", "s2"];
const LISTENERS: [&str; 2] = ["l0", "l1"];
const ROUTES: [&str; 2] = ["r0", "r1"];

#[derive(Clone, Debug, PartialEq)]
enum ClusterSpec {
    Static(Vec<u16>),
    Eds { service: usize, connect: i64 },
    Bad,
}

#[derive(Clone, Debug, PartialEq)]
enum ListenerSpec {
    Rds(usize),
    Inline(usize),
}

/// A child resource: endpoints, or the cluster that routes lead to. `None` is a bad one.
type ChildSpec<T> = Option<T>;

#[derive(Clone, Debug)]
enum Step {
    Clusters { upserts: BTreeMap<usize, ClusterSpec>, full: bool, removal: Option<usize> },
    Endpoints(BTreeMap<usize, ChildSpec<Vec<u16>>>),
    NoEndpoints(usize),
    Listeners { upserts: BTreeMap<usize, ListenerSpec>, full: bool },
    Routes(usize, ChildSpec<usize>),
    NoRoutes(usize),
}

fn port_list() -> impl Strategy<Value = Vec<u16>> {
    proptest::collection::btree_set(1u16..6, 0..4).prop_map(|set| set.into_iter().collect())
}

fn step() -> impl Strategy<Value = Step> {
    let cluster = prop_oneof![
        2 => port_list().prop_map(ClusterSpec::Static),
        5 => (0usize..3, 1i64..3).prop_map(|(service, connect)| ClusterSpec::Eds { service, connect }),
        1 => Just(ClusterSpec::Bad),
    ];
    let listener = prop_oneof![
        3 => (0usize..2).prop_map(ListenerSpec::Rds),
        1 => (0usize..4).prop_map(ListenerSpec::Inline),
    ];
    let endpoints = proptest::option::weighted(0.9, port_list());
    prop_oneof![
        4 => (
            proptest::collection::btree_map(0usize..4, cluster, 0..4),
            any::<bool>(),
            proptest::option::weighted(0.2, 0usize..4),
        )
            .prop_map(|(upserts, full, removal)| {
                let removal = removal.filter(|at| !full && !upserts.contains_key(at));
                Step::Clusters { upserts, full, removal }
            }),
        4 => proptest::collection::btree_map(0usize..3, endpoints, 1..3).prop_map(Step::Endpoints),
        1 => (0usize..3).prop_map(Step::NoEndpoints),
        3 => (proptest::collection::btree_map(0usize..2, listener, 0..3), any::<bool>())
            .prop_map(|(upserts, full)| Step::Listeners { upserts, full }),
        3 => (0usize..2, proptest::option::weighted(0.9, 0usize..4))
            .prop_map(|(at, to)| Step::Routes(at, to)),
        1 => (0usize..2).prop_map(Step::NoRoutes),
    ]
}

/// A resource that may wait for another one.
#[derive(Clone, Debug)]
struct Parent<S> {
    active: Option<S>,
    warming: Option<S>,
}

#[derive(Clone, Debug, Default)]
struct Child<V> {
    good: Option<V>,
    missing: bool,
    refused: bool,
}

impl<V> Child<V> {
    fn is_settled(&self, something_serves: bool) -> bool {
        self.good.is_some() || self.missing || (self.refused && !something_serves)
    }

    fn update(&mut self, value: Option<V>) {
        match value {
            Some(value) => *self = Self { good: Some(value), missing: false, refused: false },
            None => self.refused = true,
        }
    }

    fn miss(&mut self) {
        self.missing |= self.good.is_none();
    }
}

/// The state after a sequence of updates, worked out the plain way: everything is looked at anew
/// after every step.
#[derive(Clone, Debug, Default)]
struct Model {
    clusters: BTreeMap<usize, Parent<ClusterSpec>>,
    endpoints: BTreeMap<usize, Child<Vec<u16>>>,
    listeners: BTreeMap<usize, Parent<ListenerSpec>>,
    routes: BTreeMap<usize, Child<usize>>,
}

fn accept<S: PartialEq>(parents: &mut BTreeMap<usize, Parent<S>>, at: usize, spec: S) {
    let parent = parents.entry(at).or_insert(Parent { active: None, warming: None });
    if parent.active.as_ref() == Some(&spec) {
        parent.warming = None;
    } else if parent.warming.as_ref() != Some(&spec) {
        parent.warming = Some(spec);
    }
}

/// Promotes what waits for nothing, and forgets children without parents.
fn settle<S, V>(
    parents: &mut BTreeMap<usize, Parent<S>>,
    children: &mut BTreeMap<usize, Child<V>>,
    refers_to: fn(&S) -> Option<usize>,
) where
    Child<V>: Default,
{
    let mut wanted = BTreeSet::new();
    for parent in parents.values_mut() {
        if let Some(warming) = &parent.warming {
            let serves = parent.active.is_some();
            let is_warm = refers_to(warming).is_none_or(|child| {
                children.get(&child).is_some_and(|child| child.is_settled(serves))
            });
            if is_warm {
                parent.active = parent.warming.take();
            }
        }
        let specs = parent.active.iter().chain(&parent.warming);
        wanted.extend(specs.filter_map(refers_to));
    }
    children.retain(|at, _| wanted.contains(at));
    for at in wanted {
        children.entry(at).or_default();
    }
}

impl Model {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Clusters { upserts, full, removal } => {
                let kept = |at: &usize| !*full || upserts.contains_key(at);
                self.clusters.retain(|at, _| kept(at) && removal.as_ref() != Some(at));
                for (at, spec) in upserts.iter().filter(|(_, spec)| **spec != ClusterSpec::Bad) {
                    accept(&mut self.clusters, *at, spec.clone());
                }
            }
            Step::Endpoints(upserts) => {
                for (at, value) in upserts {
                    if let Some(child) = self.endpoints.get_mut(at) {
                        child.update(value.clone());
                    }
                }
            }
            Step::NoEndpoints(at) => {
                if let Some(child) = self.endpoints.get_mut(at) {
                    child.miss();
                }
            }
            Step::Listeners { upserts, full } => {
                self.listeners.retain(|at, _| !*full || upserts.contains_key(at));
                for (at, spec) in upserts {
                    let known = match spec {
                        ListenerSpec::Rds(_) => true,
                        ListenerSpec::Inline(cluster) => self.clusters.contains_key(cluster),
                    };
                    // The same bytes again are not looked at again.
                    let held = self.listeners.get(at).is_some_and(|parent| {
                        [&parent.active, &parent.warming].contains(&&Some(spec.clone()))
                    });
                    if known || held {
                        accept(&mut self.listeners, *at, spec.clone());
                    }
                }
            }
            Step::Routes(at, value) => {
                if let Some(child) = self.routes.get_mut(at) {
                    child.update(*value);
                }
            }
            Step::NoRoutes(at) => {
                if let Some(child) = self.routes.get_mut(at) {
                    child.miss();
                }
            }
        }
        settle(&mut self.clusters, &mut self.endpoints, |spec| match spec {
            ClusterSpec::Eds { service, .. } => Some(*service),
            ClusterSpec::Static(_) | ClusterSpec::Bad => None,
        });
        settle(&mut self.listeners, &mut self.routes, |spec| match spec {
            ListenerSpec::Rds(routes) => Some(*routes),
            ListenerSpec::Inline(_) => None,
        });
    }

    /// What serves of a cluster, and what is known of its endpoints.
    fn cluster(&self, at: usize) -> Option<(ClusterSpec, Option<Vec<u16>>)> {
        let spec = self.clusters.get(&at)?.active.clone()?;
        let ports = match &spec {
            ClusterSpec::Eds { service, .. } => {
                self.endpoints.get(service).and_then(|child| child.good.clone())
            }
            ClusterSpec::Static(ports) => Some(ports.clone()),
            ClusterSpec::Bad => unreachable!("never accepted"),
        };
        Some((spec, ports))
    }

    /// Where a listener leads to, in the words of the fixture.
    fn leads_to(&self, at: usize) -> Option<Option<String>> {
        let cluster = match self.listeners.get(&at)?.active.as_ref()? {
            ListenerSpec::Inline(cluster) => Some(*cluster),
            ListenerSpec::Rds(routes) => self.routes.get(routes)?.good,
        };
        Some(cluster.map(|cluster| match self.cluster(cluster) {
            Some(_) => CLUSTERS[cluster].to_owned(),
            None => String::new(),
        }))
    }

    /// The same state, told to a new proxy at once.
    fn anew(&self) -> Arc<Tables> {
        let mut proxy = Proxy::new();
        let active = self.clusters.iter().filter_map(|(at, p)| Some((*at, p.active.as_ref()?)));
        let clusters: Vec<_> = active.map(|(at, spec)| (CLUSTERS[at], encode(at, spec))).collect();
        proxy.set(CDS, &clusters);
        for (at, child) in &self.endpoints {
            if let Some(ports) = &child.good {
                proxy.add(EDS, &[(SERVICES[*at], assignment(SERVICES[*at], ports))]);
            }
            proxy.missing(EDS, SERVICES[*at]);
        }
        // Listeners were checked against the clusters of their time, so all of them were there.
        let gone: Vec<&str> = (0..4)
            .filter(|at| self.clusters.get(at).is_none_or(|parent| parent.active.is_none()))
            .map(|at| CLUSTERS[at])
            .collect();
        let once: Vec<_> = gone.iter().map(|name| (*name, static_cluster(name, &[]))).collect();
        proxy.add(CDS, &once);
        let active = self.listeners.iter().filter_map(|(at, p)| Some((*at, p.active.as_ref()?)));
        let listeners: Vec<_> =
            active.map(|(at, spec)| (LISTENERS[at], encode_listener(at, spec))).collect();
        proxy.set(LDS, &listeners);
        for (at, child) in &self.routes {
            if let Some(to) = child.good {
                proxy.add(RDS, &[(ROUTES[*at], routes(ROUTES[*at], CLUSTERS[to]))]);
            }
            proxy.missing(RDS, ROUTES[*at]);
        }
        proxy.remove(CDS, &gone);
        proxy.tables()
    }
}

fn encode(at: usize, spec: &ClusterSpec) -> Bytes {
    match spec {
        ClusterSpec::Static(ports) => static_cluster(CLUSTERS[at], ports),
        ClusterSpec::Eds { service, connect } => {
            eds_cluster(CLUSTERS[at], SERVICES[*service], *connect)
        }
        ClusterSpec::Bad => bad_cluster(CLUSTERS[at]),
    }
}

fn encode_listener(at: usize, spec: &ListenerSpec) -> Bytes {
    let port = 1000 + u16::try_from(at).unwrap();
    match spec {
        ListenerSpec::Rds(routes) => rds_listener(LISTENERS[at], port, ROUTES[*routes]),
        ListenerSpec::Inline(cluster) => inline_listener(LISTENERS[at], port, CLUSTERS[*cluster]),
    }
}

fn tell(proxy: &mut Proxy, step: &Step) {
    match step {
        Step::Clusters { upserts, full, removal } => {
            let resources: Vec<_> =
                upserts.iter().map(|(at, spec)| (CLUSTERS[*at], encode(*at, spec))).collect();
            let mut update = fixture::update(CDS, &resources);
            update.full_state = *full;
            update.removals = removal.iter().map(|at| Arc::from(CLUSTERS[*at])).collect();
            proxy.apply(&update);
        }
        Step::Endpoints(upserts) => {
            let encode = |(at, ports): (&usize, &ChildSpec<Vec<u16>>)| {
                let bytes = match ports {
                    Some(ports) => assignment(SERVICES[*at], ports),
                    None => assignment("another name", &[]),
                };
                (SERVICES[*at], bytes)
            };
            proxy.add(EDS, &upserts.iter().map(encode).collect::<Vec<_>>());
        }
        Step::NoEndpoints(at) => {
            proxy.missing(EDS, SERVICES[*at]);
        }
        Step::Listeners { upserts, full } => {
            let resources: Vec<_> = upserts
                .iter()
                .map(|(at, spec)| (LISTENERS[*at], encode_listener(*at, spec)))
                .collect();
            let mut update = fixture::update(LDS, &resources);
            update.full_state = *full;
            proxy.apply(&update);
        }
        Step::Routes(at, to) => {
            let bytes = match to {
                Some(to) => routes(ROUTES[*at], CLUSTERS[*to]),
                None => bad_routes(ROUTES[*at]),
            };
            proxy.add(RDS, &[(ROUTES[*at], bytes)]);
        }
        Step::NoRoutes(at) => {
            proxy.missing(RDS, ROUTES[*at]);
        }
    }
}

/// What the tables say, without identities.
fn description(tables: &Tables) -> Vec<String> {
    let clusters = CLUSTERS.iter().map(|name| {
        let connection = find(tables, name).map(|cluster| Arc::clone(&cluster.connection));
        format!("{name} {:?} {connection:?}", ports(tables, name))
    });
    let listeners = LISTENERS.iter().map(|name| format!("{name} {:?}", leads_to(tables, name)));
    clusters.chain(listeners).collect()
}

fn check_against(model: &Model, proxy: &mut Proxy) {
    let tables = proxy.tables();
    for (at, name) in CLUSTERS.iter().enumerate() {
        let expected = model.cluster(at).map(|(_, ports)| ports.unwrap_or_default());
        assert_eq!(ports(&tables, name), expected, "{name}");
    }
    for (at, name) in LISTENERS.iter().enumerate() {
        assert_eq!(leads_to(&tables, name), model.leads_to(at), "{name}");
    }
    let wanted = |names: &weft_compile::WantedNames| -> Vec<String> {
        names.iter().map(|(name, _)| name.to_string()).collect()
    };
    let services: Vec<_> = model.endpoints.keys().map(|at| SERVICES[*at].to_owned()).collect();
    assert_eq!(wanted(&proxy.compiler.wanted().assignments), services);
    let configs: Vec<_> = model.routes.keys().map(|at| ROUTES[*at].to_owned()).collect();
    assert_eq!(wanted(&proxy.compiler.wanted().route_configs), configs);
    let warming = proxy.compiler.warming();
    assert_eq!(warming.clusters, model.clusters.values().filter(|p| p.warming.is_some()).count());
    assert_eq!(warming.listeners, model.listeners.values().filter(|p| p.warming.is_some()).count());
}

/// What is the same before and after must be the same object.
fn check_carried_over((model, before): (&Model, &Tables), (next, after): (&Model, &Tables)) {
    for (at, name) in CLUSTERS.iter().enumerate() {
        let (Some(old), Some(new)) = (find(before, name), find(after, name)) else { continue };
        assert_eq!(old.id, new.id);
        if model.cluster(at) == next.cluster(at) {
            assert!(Arc::ptr_eq(old, new), "{name} was rebuilt without need");
        }
        if old.connection != new.connection {
            continue;
        }
        for host in old.balancer.hosts() {
            let same =
                |other: &&weft_balance::Host| other.endpoint.address() == host.endpoint.address();
            if let Some(other) = new.balancer.hosts().iter().find(same) {
                assert!(Arc::ptr_eq(&host.endpoint, &other.endpoint), "{name} lost an endpoint");
            }
        }
    }
    for (at, name) in LISTENERS.iter().enumerate() {
        let spec = |model: &Model| model.listeners.get(&at).and_then(|p| p.active.clone());
        let (Some(old), Some(new)) = (before.listener(name), after.listener(name)) else {
            continue;
        };
        if spec(model) == spec(next) {
            assert!(Arc::ptr_eq(old, new), "{name} was rebuilt without need");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tables_say_what_the_updates_said(steps in proptest::collection::vec(step(), 1..24)) {
        let mut proxy = Proxy::new();
        let mut told = Model::default();
        let mut before = (Model::default(), proxy.tables());
        for step in &steps {
            tell(&mut proxy, step);
            told.step(step);
            check_against(&told, &mut proxy);
            let after = (told.clone(), proxy.tables());
            check_carried_over((&before.0, &before.1), (&after.0, &after.1));
            before = after;
        }
        prop_assert_eq!(description(&before.1), description(&told.anew()));
    }

    #[test]
    fn publishing_late_makes_no_difference(steps in proptest::collection::vec(step(), 1..24)) {
        let (mut eager, mut lazy) = (Proxy::new(), Proxy::new());
        for step in &steps {
            tell(&mut eager, step);
            eager.tables();
            tell(&mut lazy, step);
        }
        prop_assert_eq!(description(&eager.tables()), description(&lazy.tables()));
    }
}
