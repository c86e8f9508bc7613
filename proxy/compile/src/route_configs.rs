//! Route configurations (RDS), kept as long as a listener refers to them.

use std::sync::{Arc, Weak};

use weft_resources::RouteConfiguration;

use crate::{
    catalog::Catalog,
    chain,
    clusters::Clusters,
    files::Files,
    intake,
    references::WantedNames,
    report::Report,
    route_table,
    routing::RouteConfig,
    slots::{self, Slots},
    tables::HttpChain,
    update::{Moment, Update},
};

/// Route configurations by name.
#[derive(Debug, Default)]
pub(crate) struct RouteConfigs {
    pub(crate) catalog: Catalog<Arc<RouteConfig>>,
    pub(crate) slots: Slots,
    /// As published, by slot.
    built: Vec<Option<Arc<RouteConfig>>>,
    /// Chains of former listeners, with the names of their routes: a connection that drains still
    /// looks its routes up here.
    draining: Vec<(Weak<HttpChain>, Arc<str>)>,
    dirty: bool,
}

impl RouteConfigs {
    /// Takes an update in. Returns the names about which there is news.
    pub(crate) fn apply(
        &mut self,
        update: &Update,
        clusters: &mut Clusters,
        wanted: &WantedNames,
        files: Files,
        now: Moment,
        report: &mut Report,
    ) -> Vec<Arc<str>> {
        let is_wanted = |name: &str| wanted.contains(name);
        let intake = intake::read::<RouteConfiguration, _>(
            update,
            &mut self.catalog,
            is_wanted,
            now,
            report,
        );
        let mut news = intake.refused;
        for (fresh, config) in intake.fresh {
            let upsert = fresh.upsert;
            news.push(Arc::clone(&upsert.name));
            let mut reasons =
                chain::unknown_clusters(&config, false, |name| clusters.is_known(name));
            let compiled = match route_table::compile(config, &mut clusters.slots, files) {
                Ok(compiled) if reasons.is_empty() => Arc::new(compiled),
                outcome => {
                    reasons.extend(outcome.err());
                    self.catalog.refuse(
                        (upsert, fresh.index),
                        reasons,
                        (update.source, now),
                        report,
                    );
                    continue;
                }
            };
            report.warn(&upsert.name, fresh.warnings.clone());
            self.publish(&upsert.name, Some(Arc::clone(&compiled)));
            let version = fresh.version(compiled, now);
            self.catalog.entry(&upsert.name, update.source).activate(version);
        }
        for name in update.removals.iter().filter(|name| is_wanted(name)) {
            if self.catalog.note_missing(name, now) {
                news.push(Arc::clone(name));
            }
        }
        news
    }

    /// Nobody refers to a name any more.
    pub(crate) fn forget(&mut self, name: &Arc<str>) {
        self.catalog.remove(name);
        if !self.draining.iter().any(|(_, used)| used == name) {
            self.publish(name, None);
        }
    }

    /// A chain is no longer served to new connections. What it refers to stays published for as
    /// long as a connection holds it.
    pub(crate) fn drain(&mut self, chain: &Arc<HttpChain>, name: Arc<str>) {
        self.draining.push((Arc::downgrade(chain), name));
    }

    /// Withdraws route configurations that were kept for connections which are gone.
    pub(crate) fn end_drained(&mut self) {
        let is_over = |chain: &Weak<HttpChain>| chain.strong_count() == 0;
        let (over, draining): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.draining).into_iter().partition(|(chain, _)| is_over(chain));
        self.draining = draining;
        for (_, name) in over {
            // A name whose new resource was refused is known again, but not what is published.
            let is_current = self.catalog.get(&name).is_some_and(|entry| entry.active.is_some());
            let is_used = is_current || self.draining.iter().any(|(_, used)| *used == name);
            if !is_used {
                self.publish(&name, None);
            }
        }
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// What is to be published.
    pub(crate) fn build(&mut self) -> &[Option<Arc<RouteConfig>>] {
        self.dirty = false;
        &self.built
    }

    fn publish(&mut self, name: &Arc<str>, config: Option<Arc<RouteConfig>>) {
        let slot = self.slots.of(name);
        slots::put(&mut self.built, slot, config);
        self.dirty = true;
    }
}
