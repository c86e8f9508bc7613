//! Reads `TrafficPolicy` and `MeshConfig`.

use super::settings::settings;
use super::{non_empty, unique};
use crate::document::DEFAULT_NAMESPACE;
use crate::model::policy::{Egress, EgressHost, PolicyTarget};
use crate::model::service::Protocol;
use crate::model::{MeshConfig, Metadata, TrafficPolicy};
use crate::problem::Conflict;
use crate::reader::{Choices, Reader};
use crate::syntax::{
    DNS_NAME, LABEL, SUBDOMAIN, TRUST_DOMAIN, is_dns_name, is_label, is_subdomain, is_trust_domain,
};
use crate::tree::Node;

pub(super) fn traffic_policy(
    reader: &mut Reader,
    node: &Node,
    metadata: Metadata,
) -> Option<TrafficPolicy> {
    reader.object(node, |reader, object| {
        let target = object.required(reader, "targetRef", target);
        let settings = settings(reader, object);
        Some(TrafficPolicy { metadata, target_ref: target?, settings: settings? })
    })
}

#[derive(Clone, Copy)]
enum TargetKind {
    Service,
    Subset,
}

const TARGET_KINDS: Choices<TargetKind> =
    Choices { names: &["Service", "Subset"], values: &[TargetKind::Service, TargetKind::Subset] };
const GROUPS: Choices<()> = Choices { names: &["", "weft.dev"], values: &[(), ()] };

fn target(reader: &mut Reader, node: &Node) -> Option<PolicyTarget> {
    reader.object(node, |reader, object| {
        let kind =
            object.required(reader, "kind", |reader, node| reader.choice(node, &TARGET_KINDS));
        let group = object.optional(reader, "group", |reader, node| reader.choice(node, &GROUPS));
        let name = object.required(reader, "name", |reader, node| match kind {
            Some(TargetKind::Subset) => reader.text(node, SUBDOMAIN, is_subdomain),
            _ => reader.text(node, LABEL, is_label),
        });
        group?;
        Some(match kind? {
            TargetKind::Service => PolicyTarget::Service(name?),
            TargetKind::Subset => PolicyTarget::Subset(name?),
        })
    })
}

pub(super) fn mesh_config(
    reader: &mut Reader,
    node: &Node,
    metadata: Metadata,
) -> Option<MeshConfig> {
    reader.object(node, |reader, object| {
        let is_the_one =
            metadata.name == DEFAULT_NAMESPACE && metadata.namespace == DEFAULT_NAMESPACE;
        // Metadata that could not be read has no name, and its own problems.
        if !is_the_one && !metadata.name.is_empty() {
            return reader.refuse(object.node(), Conflict::OtherMeshConfig.into());
        }
        let trust_domain = object.optional(reader, "trustDomain", |reader, node| {
            reader.text(node, TRUST_DOMAIN, is_trust_domain)
        });
        let defaults = object.optional(reader, "defaults", |reader, node| {
            reader.object(node, |reader, object| settings(reader, object))
        });
        let egress = object.optional(reader, "egress", egress);
        Some(MeshConfig {
            metadata,
            trust_domain: trust_domain?,
            defaults: defaults?.unwrap_or_default(),
            egress: egress?.unwrap_or_default(),
        })
    })
}

#[derive(Clone, Copy)]
enum EgressPolicy {
    Deny,
    AllowList,
    Allow,
}

const EGRESS: Choices<EgressPolicy> = Choices {
    names: &["Deny", "AllowList", "Allow"],
    values: &[EgressPolicy::Deny, EgressPolicy::AllowList, EgressPolicy::Allow],
};

fn egress(reader: &mut Reader, node: &Node) -> Option<Egress> {
    reader.object(node, |reader, object| {
        let policy = object.required(reader, "policy", |reader, node| reader.choice(node, &EGRESS));
        match policy {
            Some(EgressPolicy::Deny) => Some(Egress::Deny),
            Some(EgressPolicy::AllowList) => {
                let hosts = object.required(reader, "hosts", |reader, node| {
                    let hosts = egress_hosts(reader, node);
                    non_empty(reader, node, hosts)
                });
                hosts.map(|hosts| Egress::AllowList { hosts })
            }
            Some(EgressPolicy::Allow) => {
                let hosts = object.optional(reader, "hosts", egress_hosts);
                hosts.map(|hosts| Egress::Allow { hosts: hosts.unwrap_or_default() })
            }
            None => {
                object.leave(&["hosts"]);
                None
            }
        }
    })
}

fn egress_hosts(reader: &mut Reader, node: &Node) -> Option<Vec<EgressHost>> {
    let hosts = reader.list(node, egress_host);
    unique(reader, node, hosts, |host| {
        let what = format!("the host {}:{}", host.host, host.port);
        Some(((host.host.clone(), host.port), what))
    })
}

const PROTOCOLS: Choices<Protocol> = Choices {
    names: &["http", "http2", "grpc"],
    values: &[Protocol::Http, Protocol::Http2, Protocol::Grpc],
};

fn egress_host(reader: &mut Reader, node: &Node) -> Option<EgressHost> {
    reader.object(node, |reader, object| {
        let host = object
            .required(reader, "host", |reader, node| reader.text(node, DNS_NAME, is_dns_name));
        let port = object.optional(reader, "port", Reader::port);
        let protocol =
            object.optional(reader, "protocol", |reader, node| reader.choice(node, &PROTOCOLS));
        Some(EgressHost {
            host: host?,
            port: port?.unwrap_or(80),
            protocol: protocol?.unwrap_or(Protocol::Http),
        })
    })
}
