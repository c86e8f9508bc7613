//! What our own control plane sends is what our own proxy takes.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{fs, path::Path};

use prost::Name;
use serde_json::Value;
use weft_compile::{ResourceType, check_resource};
use weft_proto::{
    json,
    pb::envoy::config::{
        cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment, listener::v3::Listener,
        route::v3::RouteConfiguration,
    },
};

/// The resources that the translator's own tests compare with.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/translate/tests/golden");

fn encode<M: Name + Default>(resource: &Value) -> Vec<u8> {
    let mut resource = resource.clone();
    resource.as_object_mut().unwrap().remove("@type");
    json::from_json::<M>(&resource.to_string()).unwrap().encode_to_vec()
}

fn check(resource: &Value) {
    let url = resource["@type"].as_str().unwrap();
    let kind = ResourceType::from_type_url(url).unwrap();
    let bytes = match kind {
        ResourceType::Cluster => encode::<Cluster>(resource),
        ResourceType::Assignment => encode::<ClusterLoadAssignment>(resource),
        ResourceType::Listener => encode::<Listener>(resource),
        ResourceType::RouteConfiguration => encode::<RouteConfiguration>(resource),
    };
    let warnings = check_resource(kind, &bytes)
        .unwrap_or_else(|reasons| panic!("{resource:#}\nis refused: {reasons:#?}"));
    assert!(warnings.is_empty(), "{resource:#}\nis warned about: {warnings:#?}");
}

#[test]
fn every_resource_of_the_translator_is_taken_without_a_remark() {
    let mut checked = 0;
    for file in fs::read_dir(Path::new(GOLDEN)).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let sections: Value = serde_yaml_ng::from_str(&text).unwrap();
        for section in sections.as_object().unwrap().values() {
            for resource in section.as_object().unwrap().values() {
                check(resource);
                checked += 1;
            }
        }
    }
    assert!(checked > 50, "only {checked} resources were found");
}
