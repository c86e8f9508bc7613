//! Listeners (LDS), each ready once its routes are there.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;
use weft_resources::{
    Address, Listener as Resource, ListenerKind, Problem, Reason, RouteSource, Scope, Sockets,
    Terminal,
};
use weft_telemetry::Stats;

use crate::{
    catalog::Catalog,
    chain::{self, Names},
    clusters::Clusters,
    endpoints,
    entry::Entry,
    files::Files,
    filter_chains,
    intake::{self, Fresh},
    listener_filters,
    rates::SharedBuckets,
    references::{self, Reference, References, WantedNames},
    report::Report,
    route_configs::RouteConfigs,
    tables::{Chain, FilterChain, Inspection, Listener},
    update::{Moment, Update, Upsert},
};

/// Which listener an address belongs to.
type Owners = HashMap<Address, Arc<str>, RandomState>;

/// A listener, compiled, with the route configurations it needs.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) listener: Arc<Listener>,
    routes: Vec<Reference>,
}

impl Compiled {
    /// Whether all route configurations are there, or known not to come.
    fn is_warm(&self, serves: bool, route_configs: &RouteConfigs) -> bool {
        self.routes.iter().all(|routes| route_configs.catalog.is_settled(&routes.name, serves))
    }
}

/// Listeners by name.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    pub(crate) catalog: Catalog<Compiled>,
    references: References,
    dirty: bool,
}

/// What listeners refer to.
pub(crate) struct Surroundings<'a> {
    pub(crate) clusters: &'a mut Clusters,
    pub(crate) route_configs: &'a mut RouteConfigs,
    pub(crate) wanted: &'a mut WantedNames,
    pub(crate) buckets: &'a mut SharedBuckets,
    pub(crate) stats: &'a Arc<Stats>,
    pub(crate) files: Files,
}

impl Listeners {
    /// Takes an update in.
    pub(crate) fn apply(
        &mut self,
        update: &Update,
        around: &mut Surroundings<'_>,
        now: Moment,
        report: &mut Report,
    ) {
        // Before anything else, so that an address is free for the listener that takes it over.
        for name in self.catalog.gone(update) {
            self.remove(&name, around);
        }
        let intake = intake::read::<Resource, _>(update, &mut self.catalog, |_| true, now, report);
        for name in &intake.back {
            self.relink(name, around);
        }
        let mut owners = self.owners(&intake.fresh);
        for (fresh, resource) in intake.fresh {
            let upsert = fresh.upsert;
            let known = self.chains_of(&upsert.name);
            let compiled = compile(resource, upsert, &known, around)
                .and_then(|compiled| claim(compiled, &mut owners));
            match compiled {
                Ok(compiled) => {
                    report.warn(&upsert.name, fresh.warnings.clone());
                    self.accept(&fresh, compiled, update, around, now);
                }
                Err(reasons) => {
                    self.catalog.refuse(
                        (upsert, fresh.index),
                        reasons,
                        (update.source, now),
                        report,
                    );
                }
            }
        }
        self.forget_orphans(around);
    }

    /// There is news about a route configuration: whoever waited for it is warm now.
    pub(crate) fn routes_news(&mut self, routes: &str, around: &mut Surroundings<'_>) {
        for name in self.references.users(routes) {
            let Some(entry) = self.catalog.get_mut(&name) else { continue };
            let Some(warming) = &entry.warming else { continue };
            if warming.value.is_warm(entry.active.is_some(), around.route_configs) {
                drain(entry, Some(&warming.value), around);
                entry.promote();
                self.dirty = true;
                self.relink(&name, around);
            }
        }
        self.forget_orphans(around);
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// What is to be published: warm listeners by name.
    pub(crate) fn build(&mut self) -> Vec<Arc<Listener>> {
        self.dirty = false;
        let active = self.catalog.iter().filter_map(|(_, entry)| entry.active.as_ref());
        active.map(|version| Arc::clone(&version.value.listener)).collect()
    }

    fn accept(
        &mut self,
        fresh: &Fresh<'_>,
        compiled: Compiled,
        update: &Update,
        around: &mut Surroundings<'_>,
        now: Moment,
    ) {
        let name = &fresh.upsert.name;
        let entry = self.catalog.entry(name, update.source);
        let serves = entry.active.is_some();
        let is_warm = compiled.is_warm(serves, around.route_configs);
        let version = fresh.version(compiled, now);
        if is_warm {
            drain(entry, Some(&version.value), around);
            entry.activate(version);
            self.dirty = true;
        } else {
            entry.warm(version);
        }
        self.relink(name, around);
    }

    fn remove(&mut self, name: &Arc<str>, around: &mut Surroundings<'_>) {
        let Some(entry) = self.catalog.remove(name) else { return };
        if entry.active.is_some() {
            drain(&entry, None, around);
            self.dirty = true;
        }
        self.relink(name, around);
    }

    /// Notes what a listener refers to now.
    fn relink(&mut self, name: &Arc<str>, around: &mut Surroundings<'_>) {
        let references = self.catalog.get(name).map(references).unwrap_or_default();
        self.references.replace(name, references, around.wanted);
    }

    /// Forgets route configurations that nobody refers to any more.
    fn forget_orphans(&mut self, around: &mut Surroundings<'_>) {
        for orphan in self.references.take_orphans(around.wanted) {
            around.route_configs.forget(&orphan);
        }
    }

    /// The chains of all good versions of a listener, those that serve first.
    fn chains_of(&self, name: &str) -> Vec<Arc<FilterChain>> {
        let versions = self.catalog.get(name).into_iter().flat_map(Entry::versions);
        versions.flat_map(|version| version.value.listener.chains.iter().cloned()).collect()
    }

    /// Who has which address, leaving out listeners that are about to be replaced.
    fn owners(&self, fresh: &[(Fresh<'_>, Resource)]) -> Owners {
        let replaced: BTreeSet<&str> = fresh.iter().map(|(fresh, _)| &*fresh.upsert.name).collect();
        let mut owners = Owners::default();
        for (name, entry) in self.catalog.iter().filter(|(name, _)| !replaced.contains(&***name)) {
            for place in entry.newest().iter().flat_map(|v| &v.value.listener.addresses) {
                owners.insert(place.address.clone(), Arc::clone(name));
            }
        }
        owners
    }
}

/// What both versions of a listener refer to.
fn references(entry: &Entry<Compiled>) -> Vec<Reference> {
    entry.versions().flat_map(|version| version.value.routes.iter().cloned()).collect()
}

/// Keeps the routes of chains that end with the active version, for the connections they leave
/// behind.
fn drain(entry: &Entry<Compiled>, next: Option<&Compiled>, around: &mut Surroundings<'_>) {
    let Some(active) = &entry.active else { return };
    let stays = |chain: &Arc<FilterChain>| {
        next.is_some_and(|next| next.listener.chains.iter().any(|kept| Arc::ptr_eq(kept, chain)))
    };
    for ending in active.value.listener.chains.iter().filter(|chain| !stays(chain)) {
        if let (Chain::Http(chain), Some(routes)) = (&ending.chain, &ending.routes) {
            around.route_configs.drain(chain, Arc::clone(&routes.name));
        }
    }
}

fn compile(
    listener: Resource,
    upsert: &Upsert,
    known: &[Arc<FilterChain>],
    around: &mut Surroundings<'_>,
) -> Result<Compiled, Vec<Reason>> {
    let ListenerKind::Sockets(sockets) = listener.kind else {
        let what = "a listener for clients without a proxy".to_owned();
        let problem = Problem::Unsupported { what, supported: "address is" };
        return Err(vec![Reason { path: "api_listener".to_owned(), problem }]);
    };
    let Sockets {
        addresses,
        chains,
        default_chain,
        filters,
        filters_timeout,
        continue_on_filters_timeout,
        hand_off,
        bind,
        ignores_global_limit,
    } = *sockets;
    let unknown: Vec<Reason> = chains
        .iter()
        .chain(&default_chain)
        .flat_map(|chain| unknown_clusters(chain, around.clusters))
        .collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let mut names = Names {
        clusters: &mut around.clusters.slots,
        route_configs: &mut around.route_configs.slots,
        buckets: around.buckets,
        files: around.files,
    };
    let chains = filter_chains::compile(chains, default_chain, known, &mut names, around.stats)?;
    let mut routes: Vec<Reference> =
        chains.iter().filter_map(|chain| chain.routes.clone()).collect();
    routes.sort_by(|one, other| one.name.cmp(&other.name));
    routes.dedup_by(|one, other| one.name == other.name);
    let origins = routes.iter().map(|routes| &routes.origin);
    let unreachable = references::unreachable(origins, |name| around.clusters.is_static(name));
    if !unreachable.is_empty() {
        return Err(unreachable);
    }
    let main = addresses.first().map(|main| main.address.to_string()).unwrap_or_default();
    let stats = around.stats.listener(&main);
    let hash = endpoints::hash(&[&upsert.value]);
    let name = Arc::clone(&upsert.name);
    let inspection = Inspection {
        filters: listener_filters::compile(filters, hand_off, around.buckets, around.stats),
        timeout: filters_timeout,
        continue_on_timeout: continue_on_filters_timeout,
        stats: Arc::clone(&around.stats.inspection),
    };
    let listener = Listener {
        name,
        addresses,
        inspection,
        hand_off,
        bind,
        ignores_global_limit,
        chains,
        stats,
        hash,
    };
    Ok(Compiled { listener: Arc::new(listener), routes })
}

/// The clusters that a chain's own routes name and that are not there.
fn unknown_clusters(chain: &weft_resources::FilterChain, clusters: &Clusters) -> Vec<Reason> {
    match &chain.terminal {
        Terminal::Http(http) => match &http.routes {
            RouteSource::Inline(config) => {
                chain::unknown_clusters(config, true, |name| clusters.is_known(name))
            }
            RouteSource::Rds { .. } => Vec::new(),
            RouteSource::Scoped(scoped) => {
                let unknown = |scope: &Scope| {
                    chain::unknown_clusters(&scope.routes, true, |name| clusters.is_known(name))
                };
                scoped.scopes.iter().flat_map(unknown).collect()
            }
        },
        Terminal::Tcp(_) | Terminal::Direct(_) | Terminal::Echo => Vec::new(),
    }
}

/// Takes the addresses of a listener, unless another one has one of them. Port 0 is nobody's.
fn claim(compiled: Compiled, owners: &mut Owners) -> Result<Compiled, Vec<Reason>> {
    let fixed = |address: &&Address| !matches!(address, Address::Ip(ip) if ip.port() == 0);
    let places = compiled.listener.addresses.iter().map(|place| &place.address);
    let addresses = || places.clone().filter(fixed);
    for address in addresses() {
        if let Some(other) = owners.get(address) {
            let (address, other) = (address.to_string(), other.to_string());
            let problem = Problem::AddressTaken { address, other };
            return Err(vec![Reason { path: "address".to_owned(), problem }]);
        }
    }
    for address in addresses() {
        owners.insert(address.clone(), Arc::clone(&compiled.listener.name));
    }
    Ok(compiled)
}
