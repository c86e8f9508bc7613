//! Reads the filter `RequestMirror` of a rule.

use super::refs::backend;
use super::share::share;
use crate::model::mirror::Mirror;
use crate::model::route::BackendRef;
use crate::problem::Reason;
use crate::reader::Reader;
use crate::tree::Node;

pub(super) fn mirror(reader: &mut Reader, node: &Node) -> Option<Mirror> {
    reader.object(node, |reader, object| {
        let backend_ref = object.required(reader, "backendRef", |reader, node| {
            let to = backend(reader, node)?;
            if to.weight == BackendRef::DEFAULT_WEIGHT && to.filters.is_empty() {
                return Some(to);
            }
            let what = "a weight or filters for copies".to_owned();
            let instead = "remove them: percent or fraction say how many requests are copied";
            reader.refuse(node, Reason::Unsupported { what, instead })
        });
        let share = share(reader, object);
        Some(Mirror { backend_ref: backend_ref?, share: share? })
    })
}
