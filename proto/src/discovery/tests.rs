//! Each message, every field set, through the generated type and back.

use prost::Message;

use super::*;
use crate::pb;
use crate::pb::envoy::config::cluster::v3::Cluster;

/// Encodes `ours`, decodes it as the generated `T`, and the other way round.
fn through<T: Message + Default, O: Message + Default + PartialEq + std::fmt::Debug>(
    ours: &O,
) -> T {
    let theirs = T::decode(ours.encode_to_vec().as_slice()).expect("the generated type reads ours");
    let back = O::decode(theirs.encode_to_vec().as_slice()).expect("ours reads the generated type");
    assert_eq!(&back, ours);
    theirs
}

fn cluster() -> Any {
    Any::pack(&Cluster { name: "c".into(), ..Default::default() })
}

fn status() -> Status {
    Status { code: 3, message: "no".into(), details: vec![cluster()] }
}

fn node() -> Node {
    Node { id: "n".into(), cluster: "mesh".into(), ..Default::default() }
}

fn resource_error() -> ResourceError {
    ResourceError {
        resource_name: Some(ResourceName { name: "gone".into() }),
        error_detail: Some(status()),
    }
}

#[test]
fn requests_are_wire_compatible() {
    let theirs: pb::envoy::service::discovery::v3::DiscoveryRequest = through(&DiscoveryRequest {
        version_info: "1".into(),
        node: Some(node()),
        resource_names: vec!["a".into(), "b".into()],
        type_url: "t".into(),
        response_nonce: "n".into(),
        error_detail: Some(status()),
    });
    assert_eq!(theirs.version_info, "1");
    assert_eq!(theirs.node.unwrap().id, "n");
    assert_eq!(theirs.resource_names, ["a", "b"]);
    assert_eq!((theirs.type_url.as_str(), theirs.response_nonce.as_str()), ("t", "n"));
    assert_eq!(theirs.error_detail.unwrap().message, "no");

    let theirs: pb::envoy::service::discovery::v3::DeltaDiscoveryRequest =
        through(&DeltaDiscoveryRequest {
            node: Some(node()),
            type_url: "t".into(),
            resource_names_subscribe: vec!["*".into()],
            resource_names_unsubscribe: vec!["b".into()],
            initial_resource_versions: [("a".into(), "7".into())].into(),
            response_nonce: "n".into(),
            error_detail: Some(status()),
        });
    assert_eq!(theirs.resource_names_subscribe, ["*"]);
    assert_eq!(theirs.resource_names_unsubscribe, ["b"]);
    assert_eq!(theirs.initial_resource_versions["a"], "7");
    assert_eq!((theirs.type_url.as_str(), theirs.response_nonce.as_str()), ("t", "n"));
    assert_eq!(theirs.error_detail.unwrap().code, 3);
}

#[test]
fn responses_are_wire_compatible() {
    let theirs: pb::envoy::service::discovery::v3::DiscoveryResponse =
        through(&DiscoveryResponse {
            version_info: "1".into(),
            resources: vec![cluster()],
            canary: true,
            type_url: "t".into(),
            nonce: "n".into(),
            control_plane: Some(ControlPlane { identifier: "weft".into() }),
            resource_errors: vec![resource_error()],
        });
    assert_eq!(theirs.resources[0].value, cluster().value);
    assert_eq!(theirs.control_plane.unwrap().identifier, "weft");
    assert_eq!((theirs.type_url.as_str(), theirs.nonce.as_str()), ("t", "n"));
    assert_eq!(theirs.resource_errors[0].resource_name.as_ref().unwrap().name, "gone");

    let resource = Resource {
        version: "2".into(),
        resource: Some(cluster()),
        name: "c".into(),
        aliases: vec!["d".into()],
        ttl: Some(Duration { seconds: 3, nanos: 0 }),
        cache_control: Some(CacheControl { do_not_cache: true }),
        resource_name: Some(ResourceName { name: "e".into() }),
    };
    let theirs: pb::envoy::service::discovery::v3::DeltaDiscoveryResponse =
        through(&DeltaDiscoveryResponse {
            system_version_info: "1".into(),
            resources: vec![resource],
            type_url: "t".into(),
            nonce: "n".into(),
            removed_resources: vec!["x".into()],
            control_plane: Some(ControlPlane { identifier: "weft".into() }),
            removed_resource_names: vec![ResourceName { name: "y".into() }],
            resource_errors: vec![resource_error()],
        });
    let resource = &theirs.resources[0];
    assert_eq!((resource.name.as_str(), resource.version.as_str()), ("c", "2"));
    assert_eq!(resource.aliases, ["d"]);
    assert_eq!(resource.ttl.as_ref().unwrap().seconds, 3);
    assert!(resource.cache_control.unwrap().do_not_cache);
    assert_eq!(resource.resource_name.as_ref().unwrap().name, "e");
    assert_eq!(theirs.removed_resources, ["x"]);
    assert_eq!(theirs.removed_resource_names[0].name, "y");
    assert_eq!((theirs.type_url.as_str(), theirs.nonce.as_str()), ("t", "n"));
    assert_eq!(theirs.resource_errors[0].error_detail.as_ref().unwrap().code, 3);
}

#[test]
fn decoding_shares_the_buffer() {
    let response = DiscoveryResponse { resources: vec![cluster()], ..Default::default() };
    let wire = Bytes::from(response.encode_to_vec());
    let decoded = DiscoveryResponse::decode(wire.clone()).unwrap();
    assert!(wire.as_ptr_range().contains(&decoded.resources[0].value.as_ptr()));
}

#[test]
fn an_any_yields_only_its_own_type() {
    assert_eq!(cluster().unpack::<Cluster>().unwrap().name, "c");
    let wrong = cluster().unpack::<Resource>().unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "an Any holds `type.googleapis.com/envoy.config.cluster.v3.Cluster` where \
         `envoy.service.discovery.v3.Resource` is expected"
    );
    let cut = Any { value: Bytes::from_static(b"\x0a\xff"), ..cluster() };
    assert!(matches!(cut.unpack::<Cluster>(), Err(UnpackError::Malformed(_))));
}
