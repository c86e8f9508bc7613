//! Clusters of a type that is not in the enum (`cluster_type`), and `ORIGINAL_DST`.

use std::sync::Arc;

use prost::Name as _;
use weft_proto::pb::envoy::{
    config::cluster::v3::{
        self as wire,
        cluster::{CustomClusterType, LbConfig},
    },
    extensions::clusters::{
        aggregate::v3::ClusterConfig, dns::v3::DnsCluster,
        dynamic_forward_proxy::v3::ClusterConfig as DynamicCluster,
    },
};

use crate::{
    balancing::{Balancing, Picker},
    cluster::{Discovery, optional},
    dns, dynamic_hosts, extension,
    name::ClusterName,
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// `ORIGINAL_DST`: requests go where the connection, or a header, says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalDestination {
    /// The header that names the destination, in lower case (`use_http_header`,
    /// `http_header_name`); `None` takes where the client's connection was going.
    pub header: Option<Box<str>>,
    /// `upstream_port_override`.
    pub port: Option<u16>,
    /// `cleanup_interval` (5 s by default): a destination nobody asked for in this time is
    /// forgotten.
    pub cleanup_interval: std::time::Duration,
}

/// Envoy's default name of the header.
const HEADER: &str = "x-envoy-original-dst-host";
/// Envoy's default `cleanup_interval`.
const CLEANUP: std::time::Duration = std::time::Duration::from_secs(5);

/// The names under which Envoy has the types of the enum as extensions.
pub(crate) fn built_in(name: &str) -> Option<wire::cluster::DiscoveryType> {
    use wire::cluster::DiscoveryType;
    match name {
        "envoy.cluster.static" => Some(DiscoveryType::Static),
        "envoy.cluster.eds" => Some(DiscoveryType::Eds),
        "envoy.cluster.strict_dns" => Some(DiscoveryType::StrictDns),
        "envoy.cluster.logical_dns" => Some(DiscoveryType::LogicalDns),
        "envoy.cluster.original_dst" => Some(DiscoveryType::OriginalDst),
        _ => None,
    }
}

/// The types there are.
const SUPPORTED: &str = "envoy.clusters.dns, .aggregate and .dynamic_forward_proxy are";

/// Reads a cluster of an extension's type.
pub(crate) fn read(
    message: &wire::Cluster,
    custom: &CustomClusterType,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Discovery> {
    let at_type = at.field("cluster_type");
    let at_config = at_type.field("typed_config");
    let Some(any) = &custom.typed_config else {
        let what = format!("cluster type {:?}", custom.name);
        return notes.unsupported(&at_type, what, SUPPORTED);
    };
    match extension::type_name(any) {
        name if name == DnsCluster::full_name() => {
            let config = extension::unpack::<DnsCluster>(any, &at_config, notes)?;
            let dns = dns::by_extension(message, &config, (at, &at_config), notes)?;
            Some(Discovery::Dns(dns))
        }
        name if name == ClusterConfig::full_name() => {
            let config = extension::unpack::<ClusterConfig>(any, &at_config, notes)?;
            if config.clusters.is_empty() {
                return notes.refuse(&at_config.field("clusters"), Problem::Missing);
            }
            let members = config.clusters.iter().map(|name| ClusterName::from(name.as_str()));
            Some(Discovery::Aggregate(members.collect()))
        }
        name if name == DynamicCluster::full_name() => {
            let config = extension::unpack::<DynamicCluster>(any, &at_config, notes)?;
            let hosts = dynamic_hosts::of_cluster(&config, &at_config, notes)?;
            Some(Discovery::Dynamic(Arc::new(hosts)))
        }
        other => notes.unsupported(&at_config, other, SUPPORTED),
    }
}

/// Reads `original_dst_lb_config`.
pub(crate) fn original_destination(
    message: &wire::Cluster,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<OriginalDestination> {
    let cleanup = message.cleanup_interval.as_ref();
    let cleanup_interval =
        scalar::duration_or(cleanup, CLEANUP, &at.field("cleanup_interval"), notes);
    let Some(LbConfig::OriginalDstLbConfig(config)) = &message.lb_config else {
        return Some(OriginalDestination { header: None, port: None, cleanup_interval });
    };
    let at = at.field("original_dst_lb_config");
    let header = config.use_http_header.then(|| match config.http_header_name.as_str() {
        "" => HEADER.into(),
        name => name.to_ascii_lowercase().into(),
    });
    let port = match optional(config.upstream_port_override.as_ref()).map(u16::try_from) {
        None => None,
        Some(Ok(port)) => Some(port),
        Some(Err(_)) => {
            let at = at.field("upstream_port_override");
            return notes.unsupported(&at, "more than 65535", "a port is");
        }
    };
    Some(OriginalDestination { header, port, cleanup_interval })
}

/// Clusters that know by themselves where a request goes need a policy that says so, and no other
/// does.
pub(crate) fn check_policy(
    discovery: &Discovery,
    balancing: &Balancing,
    at: &At<'_>,
    notes: &mut Notes,
) {
    let provides = matches!(
        discovery,
        Discovery::OriginalDestination(_) | Discovery::Aggregate(_) | Discovery::Dynamic(_)
    );
    let provided = balancing.picker == Picker::ClusterProvided;
    let at = at.field("lb_policy");
    if provides && !provided {
        notes.unsupported::<()>(&at, "a policy of its own", "CLUSTER_PROVIDED is, for this type");
    } else if provided && !provides {
        notes.unsupported::<()>(&at, "CLUSTER_PROVIDED", "this type of cluster provides nothing");
    }
}
