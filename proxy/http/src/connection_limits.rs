//! How many connections the process takes at once: of all its listeners together, and of each.

use std::{collections::BTreeMap, sync::Arc};

use smallvec::SmallVec;
use weft_compile::Listener;
use weft_telemetry::{Gauge, GaugeGuard};

/// Limits for connections of clients, which all workers count against together.
#[derive(Debug, Default)]
pub struct ConnectionLimits {
    global: Option<Arc<Limit>>,
    by_listener: BTreeMap<Box<str>, Arc<Limit>>,
}

/// A limit and what counts against it.
#[derive(Debug)]
pub(crate) struct Limit {
    most: u64,
    active: Gauge,
}

impl Limit {
    fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, active: Gauge::default() })
    }

    fn admit(self: &Arc<Self>) -> Option<Place> {
        GaugeGuard::raise_below(Arc::clone(self), |limit| &limit.active, self.most)
    }
}

/// A connection's place within a limit.
type Place = GaugeGuard<Arc<Limit>>;

/// A connection's places within all limits that hold for it.
pub(crate) type Places = SmallVec<[Place; 1]>;

/// Which limit a connection is one too many for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// That of its listener.
    OfListener,
    /// That of the process.
    OfAll,
}

impl ConnectionLimits {
    /// How many there may be of all listeners together.
    pub fn most(&self) -> Option<u64> {
        self.global.as_ref().map(|limit| limit.most)
    }

    /// `global` for all listeners together but those that ignore it, and one for each listener
    /// that is named.
    pub fn new(
        global: Option<u64>,
        by_listener: impl IntoIterator<Item = (Box<str>, u64)>,
    ) -> Self {
        Self {
            global: global.map(Limit::new),
            by_listener: by_listener
                .into_iter()
                .map(|(name, most)| (name, Limit::new(most)))
                .collect(),
        }
    }

    /// Counts a connection of a listener for as long as what is returned lives.
    pub(crate) fn admit(&self, listener: &Listener) -> Result<Places, TooMany> {
        let mut places = Places::new();
        // Where nothing is limited this is all.
        if self.global.is_none() && self.by_listener.is_empty() {
            return Ok(places);
        }
        if let Some(limit) = self.by_listener.get(&*listener.name) {
            places.push(limit.admit().ok_or(TooMany::OfListener)?);
        }
        if let Some(limit) = self.global.as_ref().filter(|_| !listener.ignores_global_limit) {
            places.push(limit.admit().ok_or(TooMany::OfAll)?);
        }
        Ok(places)
    }
}
