//! Reads `Gateway`.

use std::net::IpAddr;

use super::{non_empty, unique};
use crate::model::Metadata;
use crate::model::gateway::{
    Gateway, GatewayClass, GatewayListener, ListenerProtocol, RouteNamespaces,
};
use crate::problem::{Conflict, Reason};
use crate::reader::{Choices, Object, Reader};
use crate::syntax::{HOSTNAME, IP_ADDRESS, SUBDOMAIN, is_hostname, is_subdomain};
use crate::tree::Node;

const CLASSES: Choices<GatewayClass> = Choices { names: &["weft"], values: &[GatewayClass::Weft] };
const PROTOCOLS: Choices<ListenerProtocol> = Choices {
    names: &["HTTP", "TCP", "TLS"],
    values: &[ListenerProtocol::Http, ListenerProtocol::Tcp, ListenerProtocol::Tls],
};
const FROM: Choices<RouteNamespaces> =
    Choices { names: &["Same", "All"], values: &[RouteNamespaces::Same, RouteNamespaces::All] };

pub(super) fn gateway(reader: &mut Reader, node: &Node, metadata: Metadata) -> Option<Gateway> {
    reader.object(node, |reader, object| {
        let class = object
            .required(reader, "gatewayClassName", |reader, node| reader.choice(node, &CLASSES));
        let addresses = object.optional(reader, "addresses", |reader, node| {
            let addresses = reader.list(node, address);
            unique(reader, node, addresses, |ip| Some((*ip, format!("the address {ip}"))))
        });
        let listeners = object.required(reader, "listeners", listeners);
        let instead = "remove it: who starts the proxy decides where it runs";
        let no_infrastructure = object.unsupported(reader, "infrastructure", instead);
        let no_sets = object.unsupported(reader, "allowedListeners", "write all listeners here");
        let no_tls = object.unsupported(reader, "tls", NO_IDENTITY);
        no_infrastructure.and(no_sets).and(no_tls)?;
        Some(Gateway {
            metadata,
            gateway_class_name: class?,
            addresses: addresses?.unwrap_or_default(),
            listeners: listeners?,
        })
    })
}

const NO_IDENTITY: &str =
    "this version has no certificates: pass TLS through by protocol TLS with tls.mode Passthrough";

fn address(reader: &mut Reader, node: &Node) -> Option<IpAddr> {
    reader.object(node, |reader, object| {
        let kind = object.optional(reader, "type", |reader, node| {
            if node.as_text() == Some("Hostname") || node.as_text() == Some("NamedAddress") {
                let what = format!("the address type {}", node.as_text().unwrap_or_default());
                let instead = "write an IPAddress that the gateway's host has";
                return reader.refuse(node, Reason::Unsupported { what, instead });
            }
            reader.choice(node, &Choices { names: &["IPAddress"], values: &[()] })
        });
        let value = object.required(reader, "value", |reader, node| {
            reader.parsed(node, IP_ADDRESS, |text| text.parse().ok())
        });
        kind?;
        value
    })
}

fn listeners(reader: &mut Reader, node: &Node) -> Option<Vec<GatewayListener>> {
    let listeners = reader.list(node, listener);
    let listeners = non_empty(reader, node, listeners);
    let listeners = unique(reader, node, listeners, |listener| {
        Some((listener.name.clone(), format!("the listener name {:?}", listener.name)))
    })?;
    for (index, one) in listeners.iter().enumerate() {
        let before = listeners.iter().take(index).filter(|other| other.port == one.port);
        for other in before {
            let (listener, other_name) = (one.name.clone(), other.name.clone());
            let conflict = if other.protocol != one.protocol {
                Conflict::ListenerProtocol { listener, other: other_name, port: one.port }
            } else if one.protocol == ListenerProtocol::Tcp || other.hostname == one.hostname {
                Conflict::ListenerHostname { listener, other: other_name, port: one.port }
            } else {
                continue;
            };
            return reader.refuse(node, conflict.into());
        }
    }
    Some(listeners)
}

fn listener(reader: &mut Reader, node: &Node) -> Option<GatewayListener> {
    reader.object(node, |reader, object| {
        let name = object
            .required(reader, "name", |reader, node| reader.text(node, SUBDOMAIN, is_subdomain));
        let port = object.required(reader, "port", Reader::port);
        let protocol = object.required(reader, "protocol", protocol);
        let hostname = if protocol == Some(ListenerProtocol::Tcp) {
            let instead = "remove it: connections without TLS do not say whom they are for";
            object.unsupported(reader, "hostname", instead).map(|()| None)
        } else {
            object.optional(reader, "hostname", |reader, node| {
                reader.text(node, HOSTNAME, is_hostname)
            })
        };
        tls(reader, object, protocol)?;
        let routes_from = object.optional(reader, "allowedRoutes", allowed_routes);
        Some(GatewayListener {
            name: name?,
            port: port?,
            protocol: protocol?,
            hostname: hostname?,
            routes_from: routes_from?.unwrap_or_default(),
        })
    })
}

fn protocol(reader: &mut Reader, node: &Node) -> Option<ListenerProtocol> {
    let unsupported = |reader: &mut Reader, word: &str, instead| {
        let what = format!("the protocol {word}");
        reader.refuse(node, Reason::Unsupported { what, instead })
    };
    match node.as_text() {
        Some("HTTPS") => unsupported(reader, "HTTPS", NO_IDENTITY),
        Some("UDP") => unsupported(reader, "UDP", "use one of: HTTP, TCP, TLS"),
        _ => reader.choice(node, &PROTOCOLS),
    }
}

/// `tls`: passed through, and nothing else.
fn tls(
    reader: &mut Reader,
    object: &mut Object<'_>,
    protocol: Option<ListenerProtocol>,
) -> Option<()> {
    match protocol {
        Some(ListenerProtocol::Tls) => object.required(reader, "tls", |reader, node| {
            reader.object(node, |reader, object| {
                let mode = object.required(reader, "mode", |reader, node| {
                    if node.as_text() == Some("Terminate") {
                        let what = "taking TLS off at the gateway".to_owned();
                        return reader
                            .refuse(node, Reason::Unsupported { what, instead: NO_IDENTITY });
                    }
                    reader.choice(node, &Choices { names: &["Passthrough"], values: &[()] })
                });
                let instead = "remove it: whoever the TLS is for has the certificate";
                let no_certificates = object.unsupported(reader, "certificateRefs", instead);
                let no_validation = object.unsupported(reader, "frontendValidation", instead);
                let no_options = object.unsupported(reader, "options", "remove it");
                mode.and(no_certificates).and(no_validation).and(no_options)
            })
        }),
        Some(_) => object.unsupported(reader, "tls", "only listeners with protocol TLS have it"),
        None => {
            object.leave(&["tls"]);
            Some(())
        }
    }
}

fn allowed_routes(reader: &mut Reader, node: &Node) -> Option<RouteNamespaces> {
    reader.object(node, |reader, object| {
        let from = object.optional(reader, "namespaces", |reader, node| {
            reader.object(node, |reader, object| {
                let from = object.optional(reader, "from", from);
                let instead = "use from: Same or All: namespaces have no labels here";
                object.unsupported(reader, "selector", instead)?;
                Some(from?.unwrap_or_default())
            })
        });
        let instead = "remove it: the protocol of a listener decides which kinds fit";
        object.unsupported(reader, "kinds", instead)?;
        Some(from?.unwrap_or_default())
    })
}

fn from(reader: &mut Reader, node: &Node) -> Option<RouteNamespaces> {
    match node.as_text() {
        Some(word @ ("Selector" | "None")) => {
            let what = format!("allowing routes from {word}");
            let instead = "use Same or All: namespaces have no labels here";
            reader.refuse(node, Reason::Unsupported { what, instead })
        }
        _ => reader.choice(node, &FROM),
    }
}
