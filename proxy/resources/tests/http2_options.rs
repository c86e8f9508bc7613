//! `Http2ProtocolOptions`, whole.

use std::time::Duration;

use prost::{Message as _, Name};
use weft_proto::pb::{
    envoy::{
        config::{
            cluster::v3::Cluster as Wire,
            core::v3::{Http2ProtocolOptions, KeepaliveSettings},
        },
        extensions::upstreams::http::v3::{
            HttpProtocolOptions,
            http_protocol_options::{
                ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
                explicit_http_config::ProtocolConfig,
            },
        },
        r#type::v3::Percent,
    },
    google::protobuf::{Any, BoolValue, Duration as WireDuration, UInt32Value},
};
use weft_resources::{Cluster, Http2Options, Keepalive, decode};

fn of_cluster(chosen: UpstreamProtocolOptions) -> Result<Http2Options, String> {
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(chosen),
        ..HttpProtocolOptions::default()
    };
    let key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned();
    let value = options.encode_to_vec();
    let any = Any { type_url: HttpProtocolOptions::type_url(), value };
    let cluster = Wire {
        name: "a".to_owned(),
        typed_extension_protocol_options: [(key, any)].into(),
        ..Wire::default()
    };
    decode::<Cluster>(&cluster.encode_to_vec())
        .map(|decoded| decoded.resource.connection.http2)
        .map_err(|reasons| reasons.iter().map(|reason| format!("{reason}\n")).collect())
}

fn explicit(options: Http2ProtocolOptions) -> Result<Http2Options, String> {
    let http2 = ProtocolConfig::Http2ProtocolOptions(options);
    of_cluster(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
        protocol_config: Some(http2),
    }))
}

fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

fn millis(millis: i32) -> Option<WireDuration> {
    Some(WireDuration { seconds: 0, nanos: millis * 1_000_000 })
}

fn all() -> Http2ProtocolOptions {
    Http2ProtocolOptions {
        hpack_table_size: number(1),
        max_concurrent_streams: number(2),
        initial_stream_window_size: number(70_000),
        initial_connection_window_size: number(80_000),
        allow_connect: true,
        max_outbound_frames: number(3),
        max_outbound_control_frames: number(4),
        max_consecutive_inbound_frames_with_empty_payload: number(5),
        max_inbound_priority_frames_per_stream: number(6),
        max_inbound_window_update_frames_per_data_frame_sent: number(7),
        override_stream_error_on_invalid_http_message: Some(BoolValue { value: false }),
        connection_keepalive: Some(KeepaliveSettings {
            interval: millis(100),
            timeout: millis(200),
            interval_jitter: Some(Percent { value: 20.0 }),
            connection_idle_interval: millis(300),
        }),
        ..Http2ProtocolOptions::default()
    }
}

#[test]
fn every_option_is_read() {
    let expected = Http2Options {
        hpack_table_size: 1,
        max_concurrent_streams: 2,
        initial_stream_window_size: 70_000,
        initial_connection_window_size: 80_000,
        allow_connect: true,
        max_outbound_frames: 3,
        max_outbound_control_frames: 4,
        max_consecutive_inbound_frames_with_empty_payload: 5,
        max_inbound_priority_frames_per_stream: 6,
        max_inbound_window_update_frames_per_data_frame_sent: 7,
        invalid_messages_end_connections: true,
        keepalive: Some(Keepalive {
            interval: Some(Duration::from_millis(100)),
            timeout: Duration::from_millis(200),
            jitter_percent: 20,
            idle_interval: Some(Duration::from_millis(300)),
        }),
    };
    assert_eq!(explicit(all()).unwrap(), expected);
    let as_downstream = UseDownstreamHttpConfig {
        http2_protocol_options: Some(all()),
        ..UseDownstreamHttpConfig::default()
    };
    let chosen = UpstreamProtocolOptions::UseDownstreamProtocolConfig(as_downstream);
    assert_eq!(of_cluster(chosen).unwrap(), expected);
}

#[test]
fn what_is_not_set_is_as_in_envoy_but_narrower() {
    let unset = explicit(Http2ProtocolOptions::default()).unwrap();
    assert_eq!(unset, Http2Options::default());
    assert_eq!((unset.initial_stream_window_size, unset.hpack_table_size), (256 * 1024, 4096));
}

#[test]
fn values_out_of_range_are_refused_by_their_path() {
    for (options, field) in [
        (
            Http2ProtocolOptions {
                initial_stream_window_size: number(65_534),
                ..Http2ProtocolOptions::default()
            },
            "initial_stream_window_size",
        ),
        (
            Http2ProtocolOptions {
                max_outbound_frames: number(0),
                ..Http2ProtocolOptions::default()
            },
            "max_outbound_frames",
        ),
        (
            Http2ProtocolOptions {
                connection_keepalive: Some(KeepaliveSettings::default()),
                ..Http2ProtocolOptions::default()
            },
            "connection_keepalive.timeout",
        ),
    ] {
        let refused = explicit(options).unwrap_err();
        assert!(refused.contains(field), "{field}: {refused}");
    }
}
