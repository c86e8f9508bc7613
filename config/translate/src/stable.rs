//! Routes as bytes that are the same in every process. The order of a protobuf map is not defined,
//! and what routes say to filters is one: its entries are written in the order of their names.

use std::collections::BTreeMap;

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, message, string};
use weft_proto::pb::envoy::config::route::v3 as route;

use crate::resources::Resource;

/// `RouteConfiguration.virtual_hosts`.
const VIRTUAL_HOSTS: u32 = 2;
/// `VirtualHost.routes`.
const ROUTES: u32 = 3;
/// `Route.typed_per_filter_config`.
const FILTERS: u32 = 13;

/// A whole `RouteConfiguration`.
pub(crate) fn configuration(mut routes: route::RouteConfiguration) -> Resource {
    let hosts = std::mem::take(&mut routes.virtual_hosts);
    let mut bytes = routes.encode_to_vec();
    for host in hosts {
        append(host, &mut bytes);
    }
    Resource::encoded(bytes)
}

/// Appends a virtual host to an encoded `RouteConfiguration`.
pub(crate) fn append(mut host: route::VirtualHost, to: &mut Vec<u8>) {
    let routes = std::mem::take(&mut host.routes);
    let mut bytes = host.encode_to_vec();
    for route in routes {
        field(ROUTES, &encoded(route), &mut bytes);
    }
    field(VIRTUAL_HOSTS, &bytes, to);
}

fn encoded(mut route: route::Route) -> Vec<u8> {
    let said: BTreeMap<_, _> =
        std::mem::take(&mut route.typed_per_filter_config).into_iter().collect();
    let mut bytes = route.encode_to_vec();
    for (name, config) in said {
        let mut entry = Vec::new();
        string::encode(1, &name, &mut entry);
        message::encode(2, &config, &mut entry);
        field(FILTERS, &entry, &mut bytes);
    }
    bytes
}

fn field(tag: u32, bytes: &[u8], to: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, to);
    // A length always fits.
    encode_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), to);
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::pb::google::protobuf::Any;

    fn routes() -> route::RouteConfiguration {
        let said = |name: &str| {
            (name.to_owned(), Any { type_url: format!("type/{name}"), value: vec![1, 2, 3] })
        };
        let route = |name: &str, filters: &[&str]| route::Route {
            name: name.to_owned(),
            typed_per_filter_config: filters.iter().map(|name| said(name)).collect(),
            ..Default::default()
        };
        let host = |name: &str| route::VirtualHost {
            name: name.to_owned(),
            domains: vec![name.to_owned()],
            routes: vec![route("r", &["cors", "fault", "limit", "other"]), route("s", &[])],
            ..Default::default()
        };
        route::RouteConfiguration {
            name: "outbound".to_owned(),
            virtual_hosts: vec![host("a"), host(&"b".repeat(300))],
            ..Default::default()
        }
    }

    #[test]
    fn the_bytes_are_the_message_and_always_the_same() {
        let bytes = configuration(routes()).value;
        assert_eq!(route::RouteConfiguration::decode(&*bytes), Ok(routes()));
        // Each map has an order of its own.
        for _ in 0..20 {
            assert_eq!(configuration(routes()).value, bytes);
        }
    }
}
