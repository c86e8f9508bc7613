//! Reads a share of the requests.

use crate::model::share::Share;
use crate::problem::Conflict;
use crate::reader::{Object, Reader};
use crate::tree::Node;

/// As many as anything can be.
const MOST: u32 = i32::MAX.unsigned_abs();

/// `percent` or `fraction` among the fields of an object.
pub(super) fn share(reader: &mut Reader, object: &mut Object<'_>) -> Option<Option<Share>> {
    let percent = object.optional(reader, "percent", |reader, node| {
        reader.integer(node, 0, 100).map(Share::Percent)
    });
    let fraction = object.optional(reader, "fraction", fraction);
    match (percent?, fraction?) {
        (Some(_), Some(_)) => reader.refuse(object.node(), Conflict::TwoShares.into()),
        (percent, fraction) => Some(percent.or(fraction)),
    }
}

fn fraction(reader: &mut Reader, node: &Node) -> Option<Share> {
    reader.object(node, |reader, object| {
        let denominator =
            object.optional(reader, "denominator", |reader, node| reader.integer(node, 1, MOST));
        let denominator = denominator.map(|said| said.unwrap_or(100));
        let numerator = object.required(reader, "numerator", |reader, node| {
            reader.integer(node, 0, denominator.unwrap_or(MOST))
        });
        Some(Share::Fraction { numerator: numerator?, denominator: denominator? })
    })
}
