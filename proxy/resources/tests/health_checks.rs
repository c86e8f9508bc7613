//! Health checks as they are read.

use std::time::Duration;

use prost::Message as _;
use weft_proto::pb::{
    envoy::{
        config::{
            cluster::v3::Cluster as Wire,
            core::v3::{
                HeaderValue, HeaderValueOption, HealthCheck as WireCheck,
                health_check::{
                    CustomHealthCheck, HealthChecker, HttpHealthCheck, Payload, TcpHealthCheck,
                    payload,
                },
            },
        },
        r#type::v3::Int64Range,
    },
    google::protobuf::{self, UInt32Value},
};
use weft_resources::{CheckQuestion, Cluster, HealthCheck, Reason, decode};

fn cluster(checks: Vec<WireCheck>) -> Result<Option<HealthCheck>, Vec<Reason>> {
    let wire = Wire { name: "catalog".to_owned(), health_checks: checks, ..Wire::default() };
    decode::<Cluster>(&wire.encode_to_vec()).map(|decoded| decoded.resource.health_check)
}

fn read(check: WireCheck) -> Result<HealthCheck, Vec<Reason>> {
    cluster(vec![check]).map(Option::unwrap)
}

#[expect(clippy::unnecessary_wraps, reason = "as the fields are")]
fn time(seconds: i64) -> Option<protobuf::Duration> {
    Some(protobuf::Duration { seconds, nanos: 0 })
}

fn check(checker: HealthChecker) -> WireCheck {
    WireCheck {
        timeout: time(1),
        interval: time(10),
        unhealthy_threshold: Some(UInt32Value { value: 2 }),
        healthy_threshold: Some(UInt32Value { value: 3 }),
        health_checker: Some(checker),
        ..WireCheck::default()
    }
}

fn http(check: HttpHealthCheck) -> WireCheck {
    let path = "/health".to_owned();
    self::check(HealthChecker::HttpHealthCheck(HttpHealthCheck { path, ..check }))
}

fn refused(checks: Vec<WireCheck>) -> String {
    let Err(reasons) = cluster(checks) else { return "nothing".to_owned() };
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn defaults_are_those_of_envoy() {
    let read = read(http(HttpHealthCheck::default())).unwrap();
    assert_eq!((read.unhealthy_threshold, read.healthy_threshold), (2, 3));
    assert!(read.reuse_connection && !read.log_failures && !read.log_successes);
    let intervals = &read.intervals;
    let ten = Duration::from_secs(10);
    for interval in
        [intervals.healthy, intervals.healthy_edge, intervals.unhealthy, intervals.unhealthy_edge]
    {
        assert_eq!(interval, ten);
    }
    assert_eq!(intervals.no_traffic, Duration::from_mins(1));
    assert_eq!(intervals.no_traffic_healthy, Duration::from_mins(1));
    let CheckQuestion::Http(check) = &read.question else { panic!("{read:?}") };
    assert_eq!((check.method.as_str(), &*check.path), ("GET", "/health"));
    assert!(check.expected.contains(200) && !check.expected.contains(201));
    assert!(!check.retriable.contains(503));
}

#[test]
fn an_interval_is_the_default_of_others() {
    let wire = WireCheck {
        unhealthy_interval: time(20),
        no_traffic_interval: time(30),
        ..http(HttpHealthCheck::default())
    };
    let intervals = read(wire).unwrap().intervals;
    assert_eq!(intervals.unhealthy_edge, Duration::from_secs(20));
    assert_eq!(intervals.no_traffic_healthy, Duration::from_secs(30));
}

#[test]
fn payloads_are_bytes() {
    let binary = payload::Payload::Binary(vec![0, 255]);
    let text = payload::Payload::Text("00fF".to_owned());
    let payload = |payload| Payload { payload: Some(payload) };
    let tcp = TcpHealthCheck {
        send: Some(payload(binary)),
        receive: vec![payload(text)],
        ..TcpHealthCheck::default()
    };
    let read = read(check(HealthChecker::TcpHealthCheck(tcp))).unwrap();
    let CheckQuestion::Tcp(check) = read.question else { panic!("{read:?}") };
    assert_eq!((&check.send[..], &check.receive[0][..]), (&[0, 255][..], &[0, 255][..]));
    for odd in ["0", "0g", "zz"] {
        let text = payload(payload::Payload::Text(odd.to_owned()));
        let tcp = TcpHealthCheck { send: Some(text), ..TcpHealthCheck::default() };
        let said = refused(vec![self::check(HealthChecker::TcpHealthCheck(tcp))]);
        assert!(said.starts_with("health_checks[0].tcp_health_check.send.text"), "{said}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_path() {
    let good = || http(HttpHealthCheck::default());
    assert!(refused(vec![good(), good()]).starts_with("health_checks"));
    let said = refused(vec![WireCheck { timeout: None, ..good() }]);
    assert!(said.starts_with("health_checks[0].timeout"), "{said}");
    let said = refused(vec![WireCheck { unhealthy_threshold: None, ..good() }]);
    assert!(said.starts_with("health_checks[0].unhealthy_threshold"), "{said}");
    let said = refused(vec![WireCheck { health_checker: None, ..good() }]);
    assert!(said.starts_with("health_checks[0].health_checker"), "{said}");
    let custom = CustomHealthCheck { name: "own".to_owned(), ..CustomHealthCheck::default() };
    let said = refused(vec![check(HealthChecker::CustomHealthCheck(custom))]);
    assert!(said.starts_with("health_checks[0].custom_health_check"), "{said}");
    for (start, end) in [(99, 200), (200, 601), (300, 300), (i64::MAX, 0), (-1, 200)] {
        let ranges = vec![Int64Range { start, end }];
        let wire = HttpHealthCheck { expected_statuses: ranges, ..HttpHealthCheck::default() };
        let said = refused(vec![http(wire)]);
        assert!(said.contains("http_health_check.expected_statuses[0]"), "{said}");
    }
    let option = HeaderValueOption {
        header: Some(HeaderValue {
            key: "x-from".to_owned(),
            value: "%PROTOCOL%".to_owned(),
            ..HeaderValue::default()
        }),
        ..HeaderValueOption::default()
    };
    let wire =
        HttpHealthCheck { request_headers_to_add: vec![option], ..HttpHealthCheck::default() };
    let said = refused(vec![http(wire)]);
    assert!(said.contains("http_health_check.request_headers_to_add[0]"), "{said}");
}
