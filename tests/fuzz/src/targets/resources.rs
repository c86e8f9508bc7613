//! Encoded resources to tables.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result};
use prost::Message;
use weft_compile::{Compiler, ResourceType, Source, Update, Upsert, check_resource};
use weft_proto::json;
use weft_proto::pb::envoy::config::bootstrap::v3::Bootstrap;
use weft_telemetry::Stats;

use crate::novelty::Behaviour;

/// The resources of a bootstrap, each behind the number of its type.
pub(super) fn of_bootstrap(bootstrap: &Bootstrap) -> Vec<(ResourceType, Vec<u8>)> {
    let mut all = Vec::new();
    let Some(resources) = &bootstrap.static_resources else {
        return all;
    };
    for cluster in &resources.clusters {
        all.push((ResourceType::Cluster, cluster.encode_to_vec()));
        if let Some(assignment) = &cluster.load_assignment {
            all.push((ResourceType::Assignment, assignment.encode_to_vec()));
        }
    }
    for listener in &resources.listeners {
        all.push((ResourceType::Listener, listener.encode_to_vec()));
    }
    all
}

/// The inputs of a bootstrap in YAML: its resources, and its tables of routes.
pub(super) fn seed(file: Vec<u8>) -> Result<Vec<Vec<u8>>> {
    let text = String::from_utf8(file).context("a bootstrap is text")?;
    let bootstrap: Bootstrap = json::from_yaml(&text).context("a bootstrap of the corpus")?;
    let resources = of_bootstrap(&bootstrap);
    let number = |wanted| ResourceType::ALL.iter().position(|kind| *kind == wanted).unwrap_or(0);
    let tagged = resources.into_iter().map(|(kind, value)| {
        let tag = u8::try_from(number(kind)).unwrap_or(0);
        [vec![tag], value].concat()
    });
    Ok(tagged.collect())
}

/// An input is the number of a type, and a resource of it.
pub(super) fn run(input: &[u8]) -> Behaviour {
    let Some((&tag, value)) = input.split_first() else {
        return Behaviour::of("empty");
    };
    let kind = ResourceType::ALL.get(usize::from(tag) % ResourceType::ALL.len());
    let kind = kind.copied().unwrap_or(ResourceType::Cluster);
    let said = match check_resource(kind, value) {
        Ok(warnings) => format!("{warnings:?}"),
        Err(reasons) => reasons.iter().map(|reason| format!("{reason}\n")).collect(),
    };
    let tables = compiled(&[(kind, value.to_vec())]);
    Behaviour::of((kind, Behaviour::of_words(&said), tables))
}

/// Takes resources in as a proxy would, one after the other, and again as an update.
pub(super) fn compiled(resources: &[(ResourceType, Vec<u8>)]) -> Behaviour {
    let mut compiler = Compiler::new(Stats::new(Instant::now()));
    let mut said = String::new();
    for source in [Source::Dynamic, Source::Dynamic] {
        for (kind, value) in resources {
            let name: Arc<str> = Arc::from(name_of(value));
            let upsert = Upsert { name, version: Arc::from("1"), value: value.clone().into() };
            let update = Update { source, ..Update::fixed(*kind, vec![upsert]) };
            let report = compiler.apply(&update, SystemTime::UNIX_EPOCH);
            said += &format!("{report:?}\n");
        }
    }
    let tables = compiler.tables();
    let shape = (tables.clusters.len(), tables.listeners.len());
    Behaviour::of((shape, Behaviour::of_words(&said)))
}

/// What delta xDS would call it: the first field of all four types but the assignment's, too, is
/// the name.
fn name_of(value: &[u8]) -> String {
    match value {
        [0x0a, length, rest @ ..] if *length < 0x80 => {
            let name = rest.get(..usize::from(*length)).unwrap_or_default();
            String::from_utf8_lossy(name).into_owned()
        }
        _ => String::new(),
    }
}
