//! Reads `Workload`.

use super::{labels, non_empty};
use crate::model::workload::{Program, Run, Sample};
use crate::model::{Metadata, Workload};
use crate::problem::{Conflict, Reason};
use crate::reader::{Choices, Reader};
use crate::syntax::{LABEL, is_label};
use crate::tree::Node;

const SAMPLES: Choices<Sample> = Choices {
    names: &["storefront", "catalog", "inventory"],
    values: &[Sample::Storefront, Sample::Catalog, Sample::Inventory],
};

/// Enough for any laptop.
const MAX_INSTANCES: u32 = 100;

pub(super) fn workload(reader: &mut Reader, node: &Node, metadata: Metadata) -> Option<Workload> {
    reader.object(node, |reader, object| {
        let service =
            object.required(reader, "service", |reader, node| reader.text(node, LABEL, is_label));
        let labels = labels(reader, object, "labels");
        let instances = object
            .optional(reader, "instances", |reader, node| {
                reader.integer(node, 1, MAX_INSTANCES).and_then(|count| u16::try_from(count).ok())
            })
            .map(|count| count.unwrap_or(1));
        let run = object.required(reader, "run", run);
        let (instances, run) = (instances?, run?);
        if let Some(port) = run.port.filter(|_| instances > 1) {
            return reader.refuse(object.node(), Conflict::SharedPort { instances, port }.into());
        }
        Some(Workload { metadata, service: service?, labels: labels?, instances, run })
    })
}

fn run(reader: &mut Reader, node: &Node) -> Option<Run> {
    reader.object(node, |reader, object| {
        let sample = object.optional(reader, "sample", |reader, node| {
            reader.choice(node, &SAMPLES).map(Program::Sample)
        });
        let command = object.optional(reader, "command", |reader, node| {
            let words = reader.list(node, |reader, node| reader.string(node).map(str::to_owned));
            non_empty(reader, node, words).map(Program::Command)
        });
        let env = object.string_map(reader, "env");
        let port = object.optional(reader, "port", Reader::port);
        match (sample?, command?) {
            (Some(program), None) | (None, Some(program)) => {
                Some(Run { program, env: env?, port: port? })
            }
            _ => {
                let fields = &["sample", "command"];
                reader.refuse(object.node(), Reason::ExactlyOne { fields })
            }
        }
    })
}
