//! Reads `hedging`.

use super::matches::method;
use super::settings::{budget, some_time};
use super::{non_empty, unique};
use crate::model::hedging::{Hedging, Slow};
use crate::problem::Reason;
use crate::reader::Reader;
use crate::tree::Node;

/// More endpoints than these are not asked at the same time.
const MOST_EXTRA: u32 = 5;

pub(super) fn hedging(reader: &mut Reader, node: &Node) -> Option<Hedging> {
    reader.object(node, |reader, object| {
        let percentile =
            object.optional(reader, "percentile", |reader, node| reader.integer(node, 1, 99));
        let after = object.optional(reader, "after", some_time);
        let extra =
            object.optional(reader, "extra", |reader, node| reader.integer(node, 1, MOST_EXTRA));
        let methods = object.optional(reader, "methods", |reader, node| {
            let methods = reader.list(node, method);
            let methods = non_empty(reader, node, methods);
            unique(reader, node, methods, |it| Some((*it, format!("the method {}", it.as_str()))))
        });
        let budget = object.optional(reader, "budget", budget);
        let slow = match (percentile?, after?) {
            (Some(percentile), None) => Slow::Percentile(percentile),
            (None, Some(after)) => Slow::After(after),
            (Some(_), Some(_)) | (None, None) => {
                let fields = &["percentile", "after"];
                return reader.refuse(object.node(), Reason::ExactlyOne { fields });
            }
        };
        let budget = budget?.unwrap_or_default();
        Some(Hedging { slow, extra: extra?, methods: methods?, budget })
    })
}
