//! Reads `TCPRoute` and `TLSRoute`.

use super::refs::{backends, hostnames, parents};
use crate::model::stream_route::StreamRule;
use crate::model::{Metadata, TcpRoute, TlsRoute};
use crate::problem::{Conflict, Reason};
use crate::reader::Reader;
use crate::syntax::{SUBDOMAIN, is_subdomain};
use crate::tree::Node;

pub(super) fn tcp_route(reader: &mut Reader, node: &Node, metadata: Metadata) -> Option<TcpRoute> {
    reader.object(node, |reader, object| {
        let parents = parents(reader, object, &metadata.namespace);
        let rules = object.required(reader, "rules", rules);
        Some(TcpRoute { metadata, parent_refs: parents?, rules: rules? })
    })
}

pub(super) fn tls_route(reader: &mut Reader, node: &Node, metadata: Metadata) -> Option<TlsRoute> {
    reader.object(node, |reader, object| {
        let parents = parents(reader, object, &metadata.namespace);
        let hostnames = match hostnames(reader, object) {
            Some(names) if names.is_empty() => {
                reader.refuse(object.node(), Reason::Missing { field: "hostnames" })
            }
            names => names,
        };
        let rules = object.required(reader, "rules", rules);
        Some(TlsRoute { metadata, parent_refs: parents?, hostnames: hostnames?, rules: rules? })
    })
}

fn rules(reader: &mut Reader, node: &Node) -> Option<[StreamRule; 1]> {
    let rules = reader.list(node, rule)?;
    let count = rules.len();
    <[StreamRule; 1]>::try_from(rules)
        .ok()
        .or_else(|| reader.invalid(node, &format!("{count} rules"), "a list of exactly one rule"))
}

fn rule(reader: &mut Reader, node: &Node) -> Option<StreamRule> {
    reader.object(node, |reader, object| {
        let name = object
            .optional(reader, "name", |reader, node| reader.text(node, SUBDOMAIN, is_subdomain));
        let backend_refs = match backends(reader, object) {
            Some(refs) if refs.is_empty() => {
                reader.refuse(object.node(), Reason::Missing { field: "backendRefs" })
            }
            Some(refs) if refs.iter().all(|backend| backend.weight == 0) => {
                reader.refuse(object.node(), Conflict::NoWeight.into())
            }
            Some(refs) if refs.iter().any(|backend| !backend.filters.is_empty()) => {
                reader.refuse(object.node(), Conflict::StreamWithFilters.into())
            }
            refs => refs,
        };
        Some(StreamRule { name: name?, backend_refs: backend_refs? })
    })
}
