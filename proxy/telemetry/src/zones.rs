//! Bytes between a proxy and the endpoints of a cluster, by whether they cross zones.

use crate::{metric::Counter, registry::Value};

/// What went within the zone of the proxy, and beyond it. Where a zone is not known nothing is counted.
#[derive(Debug, Default)]
pub struct ZoneBytes {
    /// From endpoints of its zone,
    pub same_rx: Counter,
    /// and to them.
    pub same_tx: Counter,
    /// From endpoints of other zones,
    pub cross_rx: Counter,
    /// and to them.
    pub cross_tx: Counter,
}

impl ZoneBytes {
    /// So many bytes came.
    #[inline]
    pub fn received(&self, crosses: Option<bool>, bytes: usize) {
        match crosses {
            Some(true) => self.cross_rx.add(bytes as u64),
            Some(false) => self.same_rx.add(bytes as u64),
            None => {}
        }
    }

    /// So many bytes went.
    #[inline]
    pub fn sent(&self, crosses: Option<bool>, bytes: usize) {
        match crosses {
            Some(true) => self.cross_tx.add(bytes as u64),
            Some(false) => self.same_tx.add(bytes as u64),
            None => {}
        }
    }

    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self { same_rx, same_tx, cross_rx, cross_tx } = self;
        for (name, counter) in [
            ("upstream_cx_rx_bytes_same_zone", same_rx),
            ("upstream_cx_tx_bytes_same_zone", same_tx),
            ("upstream_cx_rx_bytes_cross_zone", cross_rx),
            ("upstream_cx_tx_bytes_cross_zone", cross_tx),
        ] {
            see(name, Value::Counter(counter.get()));
        }
    }
}
