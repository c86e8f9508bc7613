//! The little that the protocol must know of a resource's content, read without decoding the rest.

use std::sync::Arc;

use bytes::Bytes;
use prost::{DecodeError, Message};

/// The name of a resource, shared by all who speak of it.
pub type Name = Arc<str>;

/// Every type of resource keeps its name in field 1.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// The fields of `envoy.config.cluster.v3.Cluster` that say where its endpoints come from.
#[derive(Clone, PartialEq, Message)]
struct ClusterOutline {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    discovery_type: i32,
    #[prost(message, optional, tag = "3")]
    eds: Option<EdsOutline>,
}

#[derive(Clone, PartialEq, Message)]
struct EdsOutline {
    #[prost(message, optional, tag = "1")]
    source: Option<SourceOutline>,
    #[prost(string, tag = "2")]
    service_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct SourceOutline {
    #[prost(message, optional, tag = "3")]
    ads: Option<Nothing>,
    #[prost(message, optional, tag = "5")]
    same_as_parent: Option<Nothing>,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// `Cluster.DiscoveryType.EDS`.
const EDS: i32 = 3;

/// The name within an encoded resource of any type.
///
/// # Errors
/// When the bytes are not an encoded message, or its first field is no string.
pub fn name_of(body: &Bytes) -> Result<Name, DecodeError> {
    Named::decode(body.clone()).map(|named| named.name.into())
}

/// The EDS resource that an encoded cluster takes from the stream it came by, if any.
pub(crate) fn endpoints_of(cluster: &Bytes) -> Option<Name> {
    let outline = ClusterOutline::decode(cluster.clone()).ok()?;
    let eds = outline.eds.filter(|_| outline.discovery_type == EDS)?;
    let source = eds.source?;
    if source.ads.is_none() && source.same_as_parent.is_none() {
        return None;
    }
    let name = if eds.service_name.is_empty() { outline.name } else { eds.service_name };
    Some(name.into())
}

/// A name in its canonical form: the context parameters of an `xdstp:` name stand in the order of
/// their keys (xDS TP1). All other names are what they are.
pub(crate) fn canonical(name: String) -> String {
    if !name.starts_with("xdstp:") {
        return name;
    }
    let (head, directives) = match name.split_once('#') {
        Some((head, directives)) => (head, Some(directives)),
        None => (name.as_str(), None),
    };
    let Some((path, context)) = head.split_once('?') else { return name };
    let mut parameters: Vec<&str> = context.split('&').collect();
    parameters.sort_unstable();
    let context = parameters.join("&");
    match directives {
        Some(directives) => format!("{path}?{context}#{directives}"),
        None => format!("{path}?{context}"),
    }
}

#[cfg(test)]
mod tests {
    use weft_proto::pb::envoy::config::{
        cluster::v3::{
            Cluster,
            cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig},
        },
        core::v3::{
            AggregatedConfigSource, ConfigSource, PathConfigSource,
            config_source::ConfigSourceSpecifier,
        },
    };

    use super::*;

    fn cluster(discovery: DiscoveryType, source: ConfigSourceSpecifier, service: &str) -> Bytes {
        Cluster {
            name: "c".into(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery as i32)),
            eds_cluster_config: Some(EdsClusterConfig {
                eds_config: Some(ConfigSource {
                    config_source_specifier: Some(source),
                    ..ConfigSource::default()
                }),
                service_name: service.into(),
            }),
            ..Cluster::default()
        }
        .encode_to_vec()
        .into()
    }

    #[test]
    fn endpoints_come_from_the_stream_only_for_eds_clusters_that_say_so() {
        let ads = || ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
        let named = |name: &str| Some(Name::from(name));
        assert_eq!(endpoints_of(&cluster(DiscoveryType::Eds, ads(), "")), named("c"));
        assert_eq!(endpoints_of(&cluster(DiscoveryType::Eds, ads(), "s")), named("s"));
        assert_eq!(endpoints_of(&cluster(DiscoveryType::StrictDns, ads(), "s")), None);
        let path = ConfigSourceSpecifier::PathConfigSource(PathConfigSource::default());
        assert_eq!(endpoints_of(&cluster(DiscoveryType::Eds, path, "s")), None);
    }

    #[test]
    fn only_the_parameters_of_xdstp_names_have_an_order() {
        let cases = [
            ("plain?b=1&a=2", "plain?b=1&a=2"),
            ("xdstp://authority/type/id", "xdstp://authority/type/id"),
            ("xdstp://authority/type/id?b=1&a=2", "xdstp://authority/type/id?a=2&b=1"),
            ("xdstp:///type/id?b=1&a=2#entry", "xdstp:///type/id?a=2&b=1#entry"),
        ];
        for (name, expected) in cases {
            assert_eq!(canonical(name.to_owned()), expected);
        }
    }

    #[test]
    fn hostile_bytes_have_no_name() {
        assert!(name_of(&Bytes::from_static(&[0x08, 0x01])).is_err());
        assert!(name_of(&Bytes::from_static(&[0x0a, 0xff])).is_err());
        assert_eq!(endpoints_of(&Bytes::from_static(&[0x1a, 0x7f, 0x00])), None);
        assert_eq!(name_of(&Bytes::new()).unwrap().as_ref(), "");
    }
}
