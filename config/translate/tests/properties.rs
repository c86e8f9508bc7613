//! Whatever is valid translates: always the same, also incrementally, and to nothing that a
//! proxy would refuse.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use weft_proto::check::{self, Verdict};
use weft_proto::type_url;
use weft_translate::{Collection, Dialect, Resources, Translator, translate};

fn by_type(resources: &Resources) -> [(&'static str, &Collection); 4] {
    [
        (type_url::LISTENER, &resources.listeners),
        (type_url::ROUTE_CONFIGURATION, &resources.routes),
        (type_url::CLUSTER, &resources.clusters),
        (type_url::CLUSTER_LOAD_ASSIGNMENT, &resources.endpoints),
    ]
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_same_state_gives_the_same_bytes(mesh in support::mesh(), workloads in support::workloads()) {
        for node in support::nodes() {
            let once = translate(&mesh, &workloads, &node);
            prop_assert_eq!(&once, &translate(&mesh.clone(), &workloads.clone(), &node));
        }
    }

    #[test]
    fn a_change_gives_what_starting_afresh_gives(
        meshes in prop::collection::vec(support::mesh(), 2..4),
        workloads in support::workloads(),
        changes in prop::collection::vec(support::instances(), 0..4),
    ) {
        let mut translator = Translator::new(Arc::new(meshes[0].clone()), workloads);
        let mut held: Vec<Resources> =
            support::nodes().iter().map(|node| translator.resources(node)).collect();
        for (mesh, (service, instances)) in meshes.iter().cycle().zip(changes) {
            translator.set_instances(&service, instances);
            compare(&mut translator, &mut held)?;
            translator.set_mesh(Arc::new(mesh.clone()));
            compare(&mut translator, &mut held)?;
        }
    }

    #[test]
    fn no_proxy_refuses_it(mesh in support::mesh(), workloads in support::workloads()) {
        for node in support::nodes() {
            // "Fail the call" is an action of gRPC clients (gRFC A36) that proxies have not got.
            let of_grpc = |path: &str| node.dialect == Dialect::Grpc && path.ends_with(".non_forwarding_action");
            let resources = translate(&mesh, &workloads, &node);
            for (type_url, collection) in by_type(&resources) {
                for (name, resource) in collection.iter() {
                    let mut refused = check::check(type_url, &resource.value);
                    refused.retain(|finding| finding.verdict == Verdict::Nack && !of_grpc(&finding.path));
                    prop_assert!(refused.is_empty(), "{} {}: {:?}", type_url, name, refused);
                }
            }
        }
    }

    #[test]
    fn every_cluster_has_its_endpoints(mesh in support::mesh(), workloads in support::workloads()) {
        for node in support::nodes() {
            let resources = translate(&mesh, &workloads, &node);
            let names = |collection: &Collection| -> BTreeSet<String> {
                let names = collection.iter().map(|(name, _)| name.to_string());
                names.filter(|name| name != weft_translate::names::INBOUND).collect()
            };
            // Those found by name bring theirs along.
            let by_name = |name: &String| name.starts_with("o-") || name.starts_with("egress/");
            let mut clusters = names(&resources.clusters);
            // Peers have the endpoints of their Service.
            clusters.retain(|name| !by_name(name) && name != weft_translate::names::PEERS);
            prop_assert!(clusters.is_subset(&names(&resources.endpoints)));
        }
    }
}

fn compare(translator: &mut Translator, held: &mut [Resources]) -> Result<(), TestCaseError> {
    let (mesh, workloads) = (translator.mesh().clone(), translator.workloads().clone());
    for (node, held) in support::nodes().iter().zip(held) {
        let afresh = translate(&mesh, &workloads, node);
        prop_assert_eq!(&translator.resources(node), &afresh);
        translator.refresh(node, held);
        prop_assert_eq!(&*held, &afresh);
    }
    Ok(())
}
