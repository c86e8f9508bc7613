//! Reads `adaptiveConcurrency`.

use super::settings::{at_most, some_time};
use crate::model::adaptive::AdaptiveConcurrency;
use crate::problem::Conflict;
use crate::reader::Reader;
use crate::tree::Node;

pub(super) fn adaptive(reader: &mut Reader, node: &Node) -> Option<AdaptiveConcurrency> {
    reader.object(node, |reader, object| {
        let min_concurrent = at_most(reader, object, "minConcurrent", 1);
        let max_concurrent = at_most(reader, object, "maxConcurrent", 1);
        let idle_latency = object.optional(reader, "idleLatency", some_time);
        let (min_concurrent, max_concurrent) = (min_concurrent?, max_concurrent?);
        let least = min_concurrent.unwrap_or(AdaptiveConcurrency::MIN);
        let most = max_concurrent.unwrap_or(AdaptiveConcurrency::MAX);
        if least > most {
            let conflict = Conflict::ConcurrencyBounds { least, most };
            return reader.refuse(object.node(), conflict.into());
        }
        Some(AdaptiveConcurrency { min_concurrent, max_concurrent, idle_latency: idle_latency? })
    })
}
