//! The source that translates a mesh, for each node that asks.
//!
//! Nodes that say the same of themselves are sent the same, so they follow one offer: a change is
//! translated, vetted and told once for all sidecars of a Service.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use weft_config::{Key, Mesh};
use weft_proto::discovery::Node;
use weft_translate::{Collection, Instance, Node as NodeIntent, Resources, Translator, Workloads};
use weft_xds::{PerType, ResourceType};

use crate::{
    source::{Offer, Refused, Source},
    vetted::Vetted,
};

/// The types that a mesh is translated to.
const TYPES: [ResourceType; 4] =
    [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Listener, ResourceType::Route];

/// Translates the mesh for each node that asks. Nodes are told nothing before the first
/// [`Translated::publish`].
#[derive(Debug, Default)]
pub struct Translated {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    translator: Option<Translator>,
    kinds: HashMap<NodeIntent, Followers>,
    /// What was vetted for one node serves all that are sent the same.
    shared: PerType<Vec<(Collection, Arc<Vetted>)>>,
}

/// Nodes that say the same of themselves, kept up to date together.
#[derive(Debug)]
struct Followers {
    resources: Resources,
    vetted: BTreeMap<ResourceType, (Collection, Arc<Vetted>)>,
    offers: watch::Sender<Option<Arc<Offer>>>,
}

impl Translated {
    /// A source that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Brings every node up to date with this mesh and what runs in it.
    pub fn publish(&self, mesh: Arc<Mesh>, workloads: &Workloads) {
        let known = |state: &State| -> Vec<Key> {
            let translator = state.translator.as_ref();
            translator.map(|it| it.workloads().services().cloned().collect()).unwrap_or_default()
        };
        let gone = known(&self.lock()).into_iter().map(|service| (service, Vec::new()));
        let there = workloads.services();
        let there = there.map(|service| (service.clone(), workloads.of(service).to_vec()));
        self.publish_changes(mesh, gone.chain(there).collect::<BTreeMap<_, _>>());
    }

    /// Brings every node up to date with this mesh, and with the instances of these Services. Those
    /// of all others are what they were.
    pub fn publish_changes(
        &self,
        mesh: Arc<Mesh>,
        changed: impl IntoIterator<Item = (Key, Vec<Instance>)>,
    ) {
        let state = &mut *self.lock();
        let translator = state
            .translator
            .get_or_insert_with(|| Translator::new(Arc::default(), Workloads::default()));
        // Services that are not in the mesh keep their instances for when they are.
        for (service, instances) in changed {
            translator.set_instances(&service, instances);
        }
        if !Arc::ptr_eq(translator.mesh(), &mesh) && **translator.mesh() != *mesh {
            translator.set_mesh(mesh);
        }
        let State { translator, kinds, shared } = state;
        kinds.retain(|_, followers| !followers.offers.is_closed());
        if let Some(translator) = translator {
            for (node, followers) in kinds {
                followers.refresh(node, translator, shared);
            }
        }
        for (_, vetted) in shared.iter_mut() {
            vetted.retain(|(_, vetted)| Arc::strong_count(vetted) > 1);
        }
    }

    /// How many nodes are kept up to date.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.lock().kinds.values().map(|followers| followers.offers.receiver_count()).sum()
    }

    /// State is only ever replaced by complete values, so it is sound even after a panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Translated {
    fn open(&self, node: &Node) -> Result<watch::Receiver<Option<Arc<Offer>>>, Refused> {
        let node = NodeIntent::from_xds(node).map_err(|error| Refused(error.to_string()))?;
        let state = &mut *self.lock();
        if let Some(followers) = state.kinds.get(&node) {
            return Ok(followers.offers.subscribe());
        }
        let (offers, receiver) = watch::channel(None);
        let (resources, vetted) = (Resources::default(), BTreeMap::new());
        let mut followers = Followers { resources, vetted, offers };
        if let Some(translator) = &mut state.translator {
            followers.refresh(&node, translator, &mut state.shared);
        }
        // Nodes may say anything of themselves: what nobody follows any more goes as the rest grows.
        if state.kinds.len().is_power_of_two() {
            state.kinds.retain(|_, followers| !followers.offers.is_closed());
        }
        state.kinds.insert(node, followers);
        Ok(receiver)
    }
}

impl Followers {
    fn refresh(
        &mut self,
        node: &NodeIntent,
        translator: &mut Translator,
        shared: &mut PerType<Vec<(Collection, Arc<Vetted>)>>,
    ) {
        translator.refresh(node, &mut self.resources);
        let mut changed = self.offers.borrow().is_none();
        for of in TYPES {
            changed |= self.vet(of, &mut shared[of]);
        }
        if changed {
            let types = self.vetted.iter().map(|(of, (_, vetted))| (*of, &**vetted));
            self.offers.send_replace(Some(Arc::new(Offer::new(types))));
        }
    }

    /// Vets the resources of one type if they changed. Whether they did.
    fn vet(&mut self, of: ResourceType, shared: &mut Vec<(Collection, Arc<Vetted>)>) -> bool {
        let collection = match of {
            ResourceType::Cluster => &self.resources.clusters,
            ResourceType::Endpoint => &self.resources.endpoints,
            ResourceType::Listener => &self.resources.listeners,
            _ => &self.resources.routes,
        };
        let previous = self.vetted.get(&of);
        if previous.is_some_and(|(vetted, _)| vetted.is_same(collection)) {
            return false;
        }
        // Listeners are made for each node; to look for an equal one would take longer.
        let shareable = of != ResourceType::Listener;
        let known = shared.iter().find(|(vetted, _)| shareable && vetted.is_same(collection));
        let vetted = match known {
            Some((_, vetted)) => Arc::clone(vetted),
            None => {
                let bodies = collection.iter().map(|(name, each)| (name, &each.value));
                let vetted = Vetted::new(of, bodies, previous.map(|(_, vetted)| &**vetted));
                for withheld in vetted.withheld() {
                    tracing::error!(
                        kind = withheld.r#type,
                        name = withheld.name,
                        reasons = withheld.reasons.join("; "),
                        "withheld: proxies would refuse it"
                    );
                }
                let vetted = Arc::new(vetted);
                if shareable {
                    shared.push((collection.clone(), Arc::clone(&vetted)));
                }
                vetted
            }
        };
        self.vetted.insert(of, (collection.clone(), vetted));
        true
    }
}
