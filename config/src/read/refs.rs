//! Reads what all routes have in common: whose requests they decide about, and where those go.

use super::filters::backend_filters;
use super::{non_empty, unique};
use crate::model::route::{BackendKind, BackendRef, ParentKind, ParentRef};
use crate::problem::Reason;
use crate::reader::{Choices, Object, Reader};
use crate::syntax::{HOSTNAME, LABEL, SUBDOMAIN, is_hostname, is_label, is_subdomain};
use crate::tree::Node;

/// The largest weight Gateway API allows.
const MAX_WEIGHT: u32 = 1_000_000;

/// The most backends Gateway API allows; so all weights of a rule add up within 32 bits.
const MAX_BACKENDS: usize = 16;

/// `parentRefs`, of a route in `namespace`.
pub(super) fn parents(
    reader: &mut Reader,
    object: &mut Object<'_>,
    namespace: &str,
) -> Option<Vec<ParentRef>> {
    object.required(reader, "parentRefs", |reader, node| {
        let parents = reader.list(node, |reader, node| parent(reader, node, namespace));
        let parents = non_empty(reader, node, parents);
        unique(reader, node, parents, |parent| {
            let what = format!("the parent {:?}", parent.name);
            let ParentRef { kind, name, namespace, port, section_name } = parent.clone();
            Some(((kind, namespace, name, port, section_name), what))
        })
    })
}

/// `hostnames`.
pub(super) fn hostnames(reader: &mut Reader, object: &mut Object<'_>) -> Option<Vec<String>> {
    let names = object.optional(reader, "hostnames", |reader, node| {
        let names = reader.list(node, |reader, node| reader.text(node, HOSTNAME, is_hostname));
        unique(reader, node, names, |name| Some((name.clone(), format!("the host name {name:?}"))))
    });
    names.map(Option::unwrap_or_default)
}

/// `backendRefs`.
pub(super) fn backends(reader: &mut Reader, object: &mut Object<'_>) -> Option<Vec<BackendRef>> {
    let list =
        object.optional(reader, "backendRefs", |reader, node| match reader.list(node, backend) {
            Some(list) if list.len() > MAX_BACKENDS => {
                let found = format!("{} items", list.len());
                reader.invalid(node, &found, format!("a list of at most {MAX_BACKENDS} items"))
            }
            list => list,
        });
    list.map(Option::unwrap_or_default)
}

const PARENT_KINDS: Choices<ParentKind> =
    Choices { names: &["Service", "Gateway"], values: &[ParentKind::Service, ParentKind::Gateway] };
const GATEWAY_GROUP: Choices<()> = Choices { names: &["gateway.networking.k8s.io"], values: &[()] };
const SERVICE_GROUPS: Choices<()> = Choices { names: &["", "weft.dev"], values: &[(), ()] };
const SUBSET_GROUP: Choices<()> = Choices { names: &["weft.dev"], values: &[()] };
const BACKEND_KINDS: Choices<BackendKind> =
    Choices { names: &["Service", "Subset"], values: &[BackendKind::Service, BackendKind::Subset] };

fn parent(reader: &mut Reader, node: &Node, namespace: &str) -> Option<ParentRef> {
    reader.object(node, |reader, object| {
        let kind = object
            .optional(reader, "kind", |reader, node| reader.choice(node, &PARENT_KINDS))
            .map(|kind| kind.unwrap_or(ParentKind::Gateway));
        let group = object.optional(reader, "group", |reader, node| match kind {
            Some(ParentKind::Gateway) => reader.choice(node, &GATEWAY_GROUP),
            _ => reader.choice(node, &SERVICE_GROUPS),
        });
        let name = object.required(reader, "name", |reader, node| match kind {
            Some(ParentKind::Gateway) => reader.text(node, SUBDOMAIN, is_subdomain),
            _ => reader.text(node, LABEL, is_label),
        });
        let other = object.optional(reader, "namespace", |reader, node| {
            let text = reader.text(node, LABEL, is_label)?;
            if kind == Some(ParentKind::Gateway) || text == namespace {
                return Some(text);
            }
            let what = "a parent Service in another namespace".to_owned();
            let instead = "put the route into the namespace of its Service";
            reader.refuse(node, Reason::Unsupported { what, instead })
        });
        let port = object.optional(reader, "port", Reader::port);
        let section_name = object.optional(reader, "sectionName", |reader, node| match kind {
            Some(ParentKind::Gateway) => reader.text(node, SUBDOMAIN, is_subdomain),
            _ => reader.text(node, LABEL, is_label),
        });
        group?;
        Some(ParentRef {
            kind: kind?,
            name: name?,
            namespace: other?.filter(|other| other != namespace),
            port: port?,
            section_name: section_name?,
        })
    })
}

pub(super) fn backend(reader: &mut Reader, node: &Node) -> Option<BackendRef> {
    reader.object(node, |reader, object| {
        let kind = object
            .optional(reader, "kind", |reader, node| reader.choice(node, &BACKEND_KINDS))
            .map(|kind| kind.unwrap_or(BackendKind::Service));
        let group = match kind {
            // A Subset without its group would mean another kind to other implementations.
            Some(BackendKind::Subset) => {
                object.required(reader, "group", |reader, node| reader.choice(node, &SUBSET_GROUP))
            }
            _ => object
                .optional(reader, "group", |reader, node| reader.choice(node, &SERVICE_GROUPS))
                .map(|_| ()),
        };
        let name = object.required(reader, "name", |reader, node| match kind {
            Some(BackendKind::Subset) => reader.text(node, SUBDOMAIN, is_subdomain),
            _ => reader.text(node, LABEL, is_label),
        });
        let namespace =
            object.optional(reader, "namespace", |reader, node| reader.text(node, LABEL, is_label));
        let port = object.optional(reader, "port", Reader::port);
        let weight =
            object.optional(reader, "weight", |reader, node| reader.integer(node, 0, MAX_WEIGHT));
        let filters = object.optional(reader, "filters", backend_filters);
        group?;
        Some(BackendRef {
            kind: kind?,
            name: name?,
            namespace: namespace?,
            port: port?,
            weight: weight?.unwrap_or(BackendRef::DEFAULT_WEIGHT),
            filters: filters?.unwrap_or_default(),
        })
    })
}
