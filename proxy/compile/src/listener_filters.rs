//! What a listener finds out of connections, ready to be asked.

use std::sync::Arc;

use weft_resources::{ListenerFilter as Resource, ListenerFilterKind as Kind};
use weft_telemetry::Stats;

use crate::{
    rates::SharedBuckets,
    tables::{ListenerFilter, ListenerFilterKind},
};

/// The filters of a listener. One that hands off must know where connections were meant to go.
pub(crate) fn compile(
    filters: Vec<Resource>,
    hands_off: bool,
    buckets: &mut SharedBuckets,
    stats: &Stats,
) -> Box<[ListenerFilter]> {
    let knows = filters.iter().any(|filter| filter.kind == Kind::OriginalDst);
    let further = (hands_off && !knows)
        .then_some(ListenerFilter { kind: ListenerFilterKind::OriginalDst, disabled: None });
    let one = |Resource { kind, disabled }| ListenerFilter {
        kind: match kind {
            Kind::OriginalDst => ListenerFilterKind::OriginalDst,
            Kind::TlsInspector { max_hello, close_on_error } => {
                ListenerFilterKind::TlsInspector { max_hello, close_on_error }
            }
            Kind::HttpInspector => ListenerFilterKind::HttpInspector,
            Kind::ProxyProtocol(rules) => ListenerFilterKind::ProxyProtocol(rules),
            Kind::Rate(rate) => {
                let stats = stats.listener_rate(&rate.stat_prefix);
                ListenerFilterKind::Rate(Arc::new(buckets.rate(&rate, stats)))
            }
        },
        disabled,
    };
    filters.into_iter().map(one).chain(further).collect()
}
