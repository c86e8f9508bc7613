//! Outlier detection as it is read.

use std::time::Duration;

use prost::Message as _;
use weft_proto::pb::{
    envoy::{
        config::cluster::v3::{
            Cluster as Wire, OutlierDetection as WireDetection,
            cluster::{ClusterDiscoveryType, CustomClusterType, DiscoveryType, LbPolicy},
        },
        extensions::{
            clusters::dynamic_forward_proxy::v3::{
                ClusterConfig, cluster_config::ClusterImplementationSpecifier,
            },
            common::dynamic_forward_proxy::v3::DnsCacheConfig,
        },
    },
    google::protobuf::{self, Any, BoolValue, UInt32Value},
};
use weft_resources::{Cluster, OutlierDetection, Reason, decode};

fn read(detection: WireDetection) -> Result<Option<OutlierDetection>, Vec<Reason>> {
    let wire =
        Wire { name: "catalog".to_owned(), outlier_detection: Some(detection), ..Wire::default() };
    decode::<Cluster>(&wire.encode_to_vec()).map(|decoded| decoded.resource.outlier_detection)
}

#[expect(clippy::unnecessary_wraps, reason = "as the fields are")]
fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

#[expect(clippy::unnecessary_wraps, reason = "as the fields are")]
fn time(seconds: i64, nanos: i32) -> Option<protobuf::Duration> {
    Some(protobuf::Duration { seconds, nanos })
}

#[test]
fn defaults_are_those_of_envoy() {
    assert_eq!(read(WireDetection::default()), Ok(Some(OutlierDetection::default())));
}

#[test]
fn settings_are_read() {
    let read = read(WireDetection {
        consecutive_5xx: number(0),
        enforcing_failure_percentage: number(40),
        max_ejection_percent: number(100),
        base_ejection_time: time(600, 0),
        interval: time(0, 1_000_000),
        always_eject_one_host: Some(BoolValue { value: true }),
        successful_active_health_check_uneject_host: Some(BoolValue { value: false }),
        split_external_local_origin_errors: true,
        ..WireDetection::default()
    })
    .unwrap()
    .unwrap();
    assert_eq!((read.consecutive_5xx, read.max_ejection_percent), (0, 100));
    assert_eq!(read.enforcing.failure_percentage, 40);
    assert_eq!(read.interval, Duration::from_millis(1));
    // The longest ejection is never shorter than the first.
    assert_eq!(read.max_ejection_time, Duration::from_mins(10));
    assert!(read.always_eject_one && read.split_local_origin && !read.return_when_checked);
}

#[test]
fn absurd_settings_are_refused_with_their_path() {
    let refused = |detection| {
        let reasons = read(detection).unwrap_err();
        reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let default = WireDetection::default;
    let said = refused(WireDetection { max_ejection_percent: number(101), ..default() });
    assert!(said.starts_with("outlier_detection.max_ejection_percent"), "{said}");
    let said = refused(WireDetection { interval: time(0, 999_999), ..default() });
    assert_eq!(said, "outlier_detection.interval: must be at least 1ms");
    let said = refused(WireDetection { interval: time(0, 0), ..default() });
    assert!(said.starts_with("outlier_detection.interval"), "{said}");
    let said = refused(WireDetection { base_ejection_time: time(-1, 0), ..default() });
    assert!(said.starts_with("outlier_detection.base_ejection_time"), "{said}");
    let said = refused(WireDetection {
        base_ejection_time: time(10, 0),
        max_ejection_time: time(9, 0),
        ..default()
    });
    assert!(said.starts_with("outlier_detection.max_ejection_time"), "{said}");
    assert!(said.contains("base_ejection_time"), "{said}");
}

/// The warnings about a cluster whose endpoints come about like this.
fn warnings(
    kind: ClusterDiscoveryType,
    detection: Option<WireDetection>,
) -> Result<Vec<String>, Vec<Reason>> {
    let lb_policy = match kind {
        ClusterDiscoveryType::Type(kind) if kind == i32::from(DiscoveryType::Static) => {
            LbPolicy::RoundRobin
        }
        _ => LbPolicy::ClusterProvided,
    };
    let wire = Wire {
        name: "any".to_owned(),
        cluster_discovery_type: Some(kind),
        lb_policy: lb_policy.into(),
        outlier_detection: detection,
        ..Wire::default()
    };
    let read = decode::<Cluster>(&wire.encode_to_vec())?;
    Ok(read.warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn where_requests_say_where_they_go_nobody_is_ejected() {
    let cache = DnsCacheConfig { name: "hosts".to_owned(), ..DnsCacheConfig::default() };
    let dynamic = ClusterConfig {
        cluster_implementation_specifier: Some(ClusterImplementationSpecifier::DnsCacheConfig(
            cache,
        )),
        ..ClusterConfig::default()
    };
    let typed = Any {
        type_url:
            "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"
                .to_owned(),
        value: dynamic.encode_to_vec(),
    };
    let dynamic = ClusterDiscoveryType::ClusterType(CustomClusterType {
        name: "envoy.clusters.dynamic_forward_proxy".to_owned(),
        typed_config: Some(typed),
    });
    let of = |kind: DiscoveryType| ClusterDiscoveryType::Type(kind.into());
    let kinds =
        [(of(DiscoveryType::OriginalDst), "ORIGINAL_DST"), (dynamic, "dynamic_forward_proxy")];
    for (kind, name) in kinds {
        assert_eq!(warnings(kind.clone(), None), Ok(Vec::new()));
        let told = warnings(kind, Some(WireDetection::default()));
        let expected = format!(
            "outlier_detection: nobody is ejected: a request to a cluster of type {name} goes where it says itself"
        );
        assert_eq!(told, Ok(vec![expected]));
    }
    let chosen = warnings(of(DiscoveryType::Static), Some(WireDetection::default()));
    assert_eq!(chosen, Ok(Vec::new()));
}
