//! The mesh model: what people write, checked and typed.
//!
//! A [`Mesh`] is read from YAML or JSON [`Source`]s, or back from the [`Document`]s of a store.
//! Reading is strict: unknown fields, wrong types, missing fields, dangling references and
//! conflicts are all reported together, each with file, line, column, field path and a hint
//! (see [`Problems`]), and nothing is half applied.
//!
//! ```
//! use weft_config::{Mesh, Source};
//!
//! let text = "
//! apiVersion: weft.dev/v1
//! kind: Service
//! metadata: {name: catalog}
//! spec: {ports: [{port: 80, protocol: gprc}]}
//! ";
//! let problems = Mesh::parse(&[Source::new("catalog.yaml", text)]).unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "catalog.yaml:5:37: Service/catalog spec.ports[0].protocol: \
//!      \"gprc\" is not one of http, http2, grpc, tcp, tls, did you mean \"grpc\"?\n  \
//!      hint: write one of: http, http2, grpc, tcp, tls"
//! );
//! ```

mod binding;
mod document;
mod emit;
mod link;
mod mesh;
pub mod model;
mod pattern;
mod places;
mod problem;
mod read;
mod reader;
mod reference;
mod schema;
mod status;
mod suggest;
mod syntax;
mod tree;
mod yaml;

pub use binding::{
    Attachment, Backend, BoundMirror, BoundRoute, BoundRule, BoundTcpRoute, BoundTlsRoute,
    ListenerRoutes,
};
pub use document::{
    DEFAULT_NAMESPACE, Document, DocumentId, GATEWAY_API, GATEWAY_API_ALPHA, Key, Kind,
    UnknownKind, WEFT_API,
};
pub use emit::to_yaml;
pub use mesh::{Applied, Mesh, Source};
pub use places::Places;
pub use problem::{Conflict, Problem, Problems, Reason};
pub use reader::StringMap;
pub use reference::reference;
pub use schema::json_schema;
pub use status::{
    Address, Condition, ListenerStatus, ParentStatus, Progress, RouteKind, Status, Truth,
};
pub use tree::Position;
