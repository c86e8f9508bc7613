//! Reads `TCPRoute`.

use super::refs::{backends, parents};
use crate::model::tcp_route::TcpRule;
use crate::model::{Metadata, TcpRoute};
use crate::problem::{Conflict, Reason};
use crate::reader::Reader;
use crate::syntax::{SUBDOMAIN, is_subdomain};
use crate::tree::Node;

pub(super) fn tcp_route(reader: &mut Reader, node: &Node, metadata: Metadata) -> Option<TcpRoute> {
    reader.object(node, |reader, object| {
        let parents = parents(reader, object, &metadata.namespace);
        let rules = object.required(reader, "rules", |reader, node| {
            let rules = reader.list(node, rule)?;
            let count = rules.len();
            <[TcpRule; 1]>::try_from(rules).ok().or_else(|| {
                reader.invalid(node, &format!("{count} rules"), "a list of exactly one rule")
            })
        });
        Some(TcpRoute { metadata, parent_refs: parents?, rules: rules? })
    })
}

fn rule(reader: &mut Reader, node: &Node) -> Option<TcpRule> {
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
            refs => refs,
        };
        Some(TcpRule { name: name?, backend_refs: backend_refs? })
    })
}
