//! Reads `Service` and `Subset`.

use std::net::SocketAddr;

use super::refs::hostnames;
use super::{labels, non_empty, unique};
use crate::model::service::{
    Dependency, DnsEndpoint, EndpointSource, Protocol, ServicePort, StaticEndpoint,
};
use crate::model::{Metadata, Service, Subset};
use crate::problem::{Conflict, Reason};
use crate::reader::{Choices, Object, Reader};
use crate::syntax::{ADDRESS, DNS_NAME, LABEL, is_dns_name, is_label};
use crate::tree::Node;

const PROTOCOLS: Choices<Protocol> = Choices {
    names: &["http", "http2", "grpc", "tcp", "tls"],
    values: &[Protocol::Http, Protocol::Http2, Protocol::Grpc, Protocol::Tcp, Protocol::Tls],
};

/// More than the endpoints of a locality can add up to within an xDS weight (32 bits).
const MAX_WEIGHT: u32 = 10_000;

pub(super) fn service(reader: &mut Reader, node: &Node, metadata: Metadata) -> Option<Service> {
    reader.object(node, |reader, object| {
        let ports = object.required(reader, "ports", ports);
        let hostnames = hostnames(reader, object);
        let endpoints = object.optional(reader, "endpoints", |reader, node| {
            let sources = reader.list(node, source);
            non_empty(reader, node, sources)
        });
        let dependencies = object.optional(reader, "dependencies", |reader, node| {
            let list = reader.list(node, dependency);
            unique(reader, node, list, |it| {
                Some((it.key(&metadata.namespace), format!("the Service {:?}", it.name)))
            })
        });
        let unsupported = kubernetes(reader, object);
        let no_subsets = object.unsupported(
            reader,
            "subsets",
            "write documents of kind Subset, each with its labels",
        );
        unsupported.and(no_subsets)?;
        let service = Service {
            dependencies: dependencies?,
            metadata,
            ports: ports?,
            hostnames: hostnames?,
            endpoints: endpoints?.unwrap_or_else(|| vec![EndpointSource::Registered]),
        };
        check(reader, object, &service).map(|()| service)
    })
}

/// What the fields must agree on among each other.
fn check(reader: &mut Reader, object: &Object<'_>, service: &Service) -> Option<()> {
    let http = service.ports.iter().any(|port| port.protocol.is_http());
    let tcp = service.ports.iter().any(|port| !port.protocol.is_http());
    if http && tcp && service.takes_registrations() {
        return reader.refuse(object.node(), Conflict::MixedTransports.into());
    }
    if service.dns().is_some() && service.endpoints.len() > 1 {
        return reader.refuse(object.node(), Conflict::DnsWithOthers.into());
    }
    let endpoints: Vec<&StaticEndpoint> = service.static_endpoints().collect();
    for (index, endpoint) in endpoints.iter().enumerate() {
        if let Some(port) = endpoint.port.filter(|port| service.port(*port).is_none()) {
            let existing = service.ports.iter().map(|port| port.port.to_string()).collect();
            let reason = Reason::Dangling { kind: "port", name: port.to_string(), existing };
            return reader.refuse(object.node(), reason);
        }
        let same = |other: &&StaticEndpoint| {
            let overlap =
                other.port.is_none() || endpoint.port.is_none() || other.port == endpoint.port;
            other.address == endpoint.address && overlap
        };
        if endpoints.iter().take(index).any(same) {
            let what = format!("the endpoint {}", endpoint.address);
            return reader.refuse(object.node(), Reason::Repeated { what });
        }
    }
    Some(())
}

fn ports(reader: &mut Reader, node: &Node) -> Option<Vec<ServicePort>> {
    let ports = reader.list(node, port);
    let ports = non_empty(reader, node, ports);
    let ports =
        unique(reader, node, ports, |port| Some((port.port, format!("the port {}", port.port))));
    unique(reader, node, ports, |port| {
        port.name.clone().map(|name| (name.clone(), format!("the port name {name:?}")))
    })
}

/// What Kubernetes says in its own Service.
fn kubernetes(reader: &mut Reader, object: &mut Object<'_>) -> Option<()> {
    let by_label = "remove it: sidecars join by --service; endpoints can be written as static";
    let selector = object.unsupported(reader, "selector", by_label);
    let inside = "remove it: the mesh reaches every Service, and a Gateway lets others in";
    let kind = object.unsupported(reader, "type", inside);
    let address = object.unsupported(reader, "clusterIP", inside);
    selector.and(kind).and(address)
}

fn port(reader: &mut Reader, node: &Node) -> Option<ServicePort> {
    reader.object(node, |reader, object| {
        let number = object.required(reader, "port", Reader::port);
        let name =
            object.optional(reader, "name", |reader, node| reader.text(node, LABEL, is_label));
        let protocol = object
            .optional(reader, "protocol", |reader, node| reader.choice(node, &PROTOCOLS))
            .map(|protocol| protocol.unwrap_or(Protocol::Http));
        let listen = object.optional(reader, "listen", address);
        let instead = "remove it: each sidecar knows where its application listens (--port)";
        object.unsupported(reader, "targetPort", instead)?;
        Some(ServicePort { port: number?, name: name?, protocol: protocol?, listen: listen? })
    })
}

fn dependency(reader: &mut Reader, node: &Node) -> Option<Dependency> {
    reader.object(node, |reader, object| {
        let name =
            object.required(reader, "name", |reader, node| reader.text(node, LABEL, is_label));
        let namespace =
            object.optional(reader, "namespace", |reader, node| reader.text(node, LABEL, is_label));
        Some(Dependency { name: name?, namespace: namespace? })
    })
}

fn source(reader: &mut Reader, node: &Node) -> Option<EndpointSource> {
    reader.object(node, |reader, object| {
        let registered = object.optional(reader, "registered", |reader, node| {
            reader.object(node, |_, _| Some(EndpointSource::Registered))
        });
        let written = object.optional(reader, "static", |reader, node| {
            reader.list(node, static_endpoint).map(EndpointSource::Static)
        });
        let dns = object.optional(reader, "dns", dns);
        match (registered?, written?, dns?) {
            (Some(source), None, None)
            | (None, Some(source), None)
            | (None, None, Some(source)) => Some(source),
            _ => {
                let fields = &["registered", "static", "dns"];
                reader.refuse(object.node(), Reason::ExactlyOne { fields })
            }
        }
    })
}

fn dns(reader: &mut Reader, node: &Node) -> Option<EndpointSource> {
    reader.object(node, |reader, object| {
        let host = object
            .required(reader, "host", |reader, node| reader.text(node, DNS_NAME, is_dns_name));
        let port = object.optional(reader, "port", Reader::port);
        Some(EndpointSource::Dns(DnsEndpoint { host: host?, port: port? }))
    })
}

fn static_endpoint(reader: &mut Reader, node: &Node) -> Option<StaticEndpoint> {
    reader.object(node, |reader, object| {
        let address = object.required(reader, "address", address);
        let port = object.optional(reader, "port", Reader::port);
        let labels = labels(reader, object, "labels");
        let zone =
            object.optional(reader, "zone", |reader, node| reader.text(node, LABEL, is_label));
        let weight =
            object.optional(reader, "weight", |reader, node| reader.integer(node, 1, MAX_WEIGHT));
        Some(StaticEndpoint {
            address: address?,
            port: port?,
            labels: labels?,
            zone: zone?,
            weight: weight?,
        })
    })
}

fn address(reader: &mut Reader, node: &Node) -> Option<SocketAddr> {
    reader.parsed(node, ADDRESS, |text| {
        text.parse().ok().filter(|address: &SocketAddr| address.port() != 0)
    })
}

pub(super) fn subset(reader: &mut Reader, node: &Node, metadata: Metadata) -> Option<Subset> {
    reader.object(node, |reader, object| {
        let service =
            object.required(reader, "service", |reader, node| reader.text(node, LABEL, is_label));
        // Without labels it would be the whole Service under another name.
        let labels = match labels(reader, object, "labels") {
            Some(labels) if labels.is_empty() => {
                reader.refuse(object.node(), Reason::Missing { field: "labels" })
            }
            labels => labels,
        };
        Some(Subset { metadata, service: service?, labels: labels? })
    })
}
