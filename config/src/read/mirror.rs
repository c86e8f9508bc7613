//! Reads the filter `RequestMirror` of a rule.

use super::refs::backend;
use crate::model::mirror::{Mirror, MirrorShare};
use crate::model::route::BackendRef;
use crate::problem::{Conflict, Reason};
use crate::reader::Reader;
use crate::tree::Node;

/// As many as anything can be.
const MOST: u32 = i32::MAX.unsigned_abs();

pub(super) fn mirror(reader: &mut Reader, node: &Node) -> Option<Mirror> {
    reader.object(node, |reader, object| {
        let backend_ref = object.required(reader, "backendRef", |reader, node| {
            let to = backend(reader, node)?;
            if to.weight == BackendRef::DEFAULT_WEIGHT && to.filters.is_empty() {
                return Some(to);
            }
            let what = "a weight or filters for copies".to_owned();
            let instead = "remove them: percent or fraction say how many requests are copied";
            reader.refuse(node, Reason::Unsupported { what, instead })
        });
        let percent = object.optional(reader, "percent", |reader, node| {
            reader.integer(node, 0, 100).map(MirrorShare::Percent)
        });
        let fraction = object.optional(reader, "fraction", fraction);
        let share = match (percent?, fraction?) {
            (Some(_), Some(_)) => {
                return reader.refuse(object.node(), Conflict::TwoShares.into());
            }
            (percent, fraction) => percent.or(fraction),
        };
        Some(Mirror { backend_ref: backend_ref?, share })
    })
}

fn fraction(reader: &mut Reader, node: &Node) -> Option<MirrorShare> {
    reader.object(node, |reader, object| {
        let denominator =
            object.optional(reader, "denominator", |reader, node| reader.integer(node, 1, MOST));
        let denominator = denominator.map(|said| said.unwrap_or(100));
        let numerator = object.required(reader, "numerator", |reader, node| {
            reader.integer(node, 0, denominator.unwrap_or(MOST))
        });
        Some(MirrorShare::Fraction { numerator: numerator?, denominator: denominator? })
    })
}
