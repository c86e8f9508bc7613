//! Endpoint assignments (EDS), kept as long as a cluster refers to them.

use std::sync::Arc;

use weft_resources::Assignment;

use crate::{
    catalog::Catalog,
    entry::Version,
    intake,
    references::WantedNames,
    report::Report,
    update::{Moment, Update},
};

/// Assignments by name.
#[derive(Debug, Default)]
pub(crate) struct Assignments {
    pub(crate) catalog: Catalog<Assignment>,
}

impl Assignments {
    /// Takes an update in. Returns the names about which there is news, and whether each has new
    /// endpoints.
    ///
    /// A removal is followed only where nothing is held: it is how a delta server says that a name
    /// does not exist. Endpoints in use are never taken away by it.
    pub(crate) fn apply(
        &mut self,
        update: &Update,
        wanted: &WantedNames,
        now: Moment,
        report: &mut Report,
    ) -> Vec<(Arc<str>, bool)> {
        let is_wanted = |name: &str| wanted.contains(name);
        let intake =
            intake::read::<Assignment, _>(update, &mut self.catalog, is_wanted, now, report);
        let mut news: Vec<_> = intake.refused.into_iter().map(|name| (name, false)).collect();
        for (fresh, resource) in intake.fresh {
            let name = &fresh.upsert.name;
            report.warn(name, fresh.warnings.clone());
            let version = fresh.version(resource, now);
            self.catalog.entry(name, update.source).activate(version);
            news.push((Arc::clone(name), true));
        }
        let missing = update.removals.iter().filter(|name| is_wanted(name));
        for name in missing {
            if self.catalog.note_missing(name, now) {
                news.push((Arc::clone(name), false));
            }
        }
        news
    }

    /// The good version of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&Version<Assignment>> {
        self.catalog.get(name)?.active.as_ref()
    }
}
