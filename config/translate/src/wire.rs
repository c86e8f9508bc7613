//! Small pieces of protobuf that every resource needs.

use std::net::SocketAddr;
use std::time::Duration as StdDuration;

use weft_config::model::route::Share;
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::envoy::r#type::v3::FractionalPercent;
use weft_proto::pb::envoy::r#type::v3::fractional_percent::DenominatorType;
use weft_proto::pb::google::protobuf::{Any, BoolValue, Duration, UInt32Value};

/// A message inside an `Any`.
pub(crate) fn any<T: prost::Name>(message: &T) -> Any {
    Any {
        type_url: format!("{}{}", weft_proto::type_url::PREFIX, T::full_name()),
        value: message.encode_to_vec(),
    }
}

pub(crate) fn duration(value: StdDuration) -> Duration {
    Duration {
        seconds: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(value.subsec_nanos()).unwrap_or_default(),
    }
}

pub(crate) fn uint32(value: u32) -> UInt32Value {
    UInt32Value { value }
}

pub(crate) fn bool_value(value: bool) -> BoolValue {
    BoolValue { value }
}

pub(crate) fn address(address: SocketAddr) -> core::Address {
    host_and_port(&address.ip().to_string(), address.port())
}

/// An address whose host may be a name.
pub(crate) fn host_and_port(host: &str, port: u16) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address: host.to_owned(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(u32::from(port))),
            ..Default::default()
        })),
    }
}

/// A share of the requests.
pub(crate) fn fraction(share: Share) -> FractionalPercent {
    FractionalPercent {
        numerator: share.per_million(),
        denominator: DenominatorType::Million.into(),
    }
}

/// A share of the requests, in percent.
pub(crate) fn of_hundred(numerator: u32) -> core::RuntimeFractionalPercent {
    let share = FractionalPercent { numerator, ..Default::default() };
    core::RuntimeFractionalPercent { default_value: Some(share), ..Default::default() }
}

/// "Ask the stream this came by."
pub(crate) fn ads() -> core::ConfigSource {
    core::ConfigSource {
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource::default(),
        )),
        ..Default::default()
    }
}
