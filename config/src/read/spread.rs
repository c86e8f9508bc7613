//! Reads how far requests are spread when endpoints are new, or not well.

use super::settings::some_time;
use super::{non_empty, unique};
use crate::model::spread::{SlowStart, Spread, ZoneWeight, Zones};
use crate::reader::{Choices, Object, Reader};
use crate::tree::Node;

const ZONE: &str = "the name of a zone, 1 to 256 characters";
const ZONES: Choices<Zones> =
    Choices { names: &["PreferOwn", "Any"], values: &[Zones::PreferOwn, Zones::Any] };

/// The settings among the fields of a balancer.
pub(super) fn spread(reader: &mut Reader, object: &mut Object<'_>) -> Option<Spread> {
    let slow_start = object.optional(reader, "slowStart", slow_start);
    let panic_threshold =
        object.optional(reader, "panicThreshold", |reader, node| reader.integer(node, 0, 100));
    let zones = object.optional(reader, "zones", |reader, node| reader.choice(node, &ZONES));
    Some(Spread { slow_start: slow_start?, panic_threshold: panic_threshold?, zones: zones? })
}

/// What zones take, each once.
pub(super) fn zone_weights(reader: &mut Reader, node: &Node) -> Option<Vec<ZoneWeight>> {
    let weights = reader.list(node, |reader, node| {
        reader.object(node, |reader, object| {
            let zone = object.required(reader, "zone", |reader, node| {
                reader.text(node, ZONE, |zone| (1..=256).contains(&zone.len()))
            });
            let weight = object
                .required(reader, "weight", |reader, node| reader.integer(node, 1, 1_000_000));
            Some(ZoneWeight { zone: zone?, weight: weight? })
        })
    });
    let weights = non_empty(reader, node, weights);
    unique(reader, node, weights, |it| Some((it.zone.clone(), format!("the zone {}", it.zone))))
}

fn slow_start(reader: &mut Reader, node: &Node) -> Option<SlowStart> {
    reader.object(node, |reader, object| {
        let window = object.required(reader, "window", some_time);
        let least = object
            .optional(reader, "minWeightPercent", |reader, node| reader.integer(node, 1, 100));
        Some(SlowStart { window: window?, min_weight_percent: least? })
    })
}
