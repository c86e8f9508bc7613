//! What the REST API can be asked: one table that requests are dispatched by, and that the OpenAPI
//! description is made of.

use std::sync::Arc;

use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{Schema, SchemaGenerator};

use crate::api::{Health, Info, Outcome, Proxy, Resource, Resources, Workload};
use crate::{Admin, rest};

/// One method of one path.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// Names it for generators of clients.
    pub(crate) id: &'static str,
    pub(crate) about: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// Whether the body is documents.
    pub(crate) takes_documents: bool,
    pub(crate) answer: Answer,
    pub(crate) handler: fn(MethodFilter) -> MethodRouter<Arc<Admin>>,
}

/// The methods that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Put,
    Delete,
}

impl Method {
    /// As OpenAPI writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }

    pub(crate) fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// What a request can say besides its body.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) about: &'static str,
    pub(crate) schema: fn() -> serde_json::Value,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

/// What a successful answer is.
pub(crate) enum Answer {
    /// JSON of this shape.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// The same, also with the status 503.
    Readiness(fn(&mut SchemaGenerator) -> Schema),
    /// A JSON document that describes itself.
    Described,
    /// A line.
    Text,
}

fn text() -> serde_json::Value {
    serde_json::json!({"type": "string"})
}

fn flag() -> serde_json::Value {
    serde_json::json!({"type": "boolean", "default": false})
}

const fn parameter(name: &'static str, place: Place, about: &'static str) -> Parameter {
    Parameter { name, place, about, schema: text }
}

const fn switch(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, place: Place::Query, about, schema: flag }
}

const KIND: Parameter =
    parameter("kind", Place::Path, "For example HTTPRoute; in any case, singular or plural.");
const NAMESPACE: Parameter = parameter("namespace", Place::Path, "For example default.");
const NAME: Parameter = parameter("name", Place::Path, "For example inventory.");
const DRY_RUN: Parameter = switch("dryRun", "Only tell what would change.");
const EFFECTS: Parameter =
    switch("effects", "With dryRun: also tell what connected proxies would be sent.");
const IF_MATCH: Parameter = parameter(
    "if-match",
    Place::Header,
    "The ETag of an earlier answer: refused with 412 when the mesh has changed since.",
);

const CHANGE: &[Parameter] = &[DRY_RUN, EFFECTS, IF_MATCH];
const ONE: &[Parameter] = &[KIND, NAMESPACE, NAME];
const CHANGE_ONE: &[Parameter] = &[KIND, NAMESPACE, NAME, DRY_RUN, EFFECTS, IF_MATCH];
const FILTER: &[Parameter] = &[
    parameter("kind", Place::Query, "Only resources of this kind."),
    parameter("namespace", Place::Query, "Only resources of this namespace."),
    parameter("name", Place::Query, "Only resources of this name."),
];
const NODE: &[Parameter] = &[parameter("node", Place::Path, "The node's id.")];

/// Everything there is.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::Get,
        path: "/v1/resources",
        id: "listResources",
        about: "The documents of the mesh.",
        parameters: FILTER,
        takes_documents: false,
        answer: Answer::Json(|schemas| schemas.subschema_for::<Resources>()),
        handler: |of| on(of, rest::list),
    },
    Operation {
        method: Method::Put,
        path: "/v1/resources",
        id: "applyResources",
        about: "Creates or replaces documents, all of them or none.",
        parameters: CHANGE,
        takes_documents: true,
        answer: Answer::Json(|schemas| schemas.subschema_for::<Outcome>()),
        handler: |of| on(of, rest::apply),
    },
    Operation {
        method: Method::Delete,
        path: "/v1/resources",
        id: "deleteResources",
        about: "Deletes the documents that the body names, all of them or none.",
        parameters: CHANGE,
        takes_documents: true,
        answer: Answer::Json(|schemas| schemas.subschema_for::<Outcome>()),
        handler: |of| on(of, rest::delete_named),
    },
    Operation {
        method: Method::Get,
        path: "/v1/resources/{kind}/{namespace}/{name}",
        id: "getResource",
        about: "One document of the mesh.",
        parameters: ONE,
        takes_documents: false,
        answer: Answer::Json(|schemas| schemas.subschema_for::<Resource>()),
        handler: |of| on(of, rest::one),
    },
    Operation {
        method: Method::Delete,
        path: "/v1/resources/{kind}/{namespace}/{name}",
        id: "deleteResource",
        about: "Deletes one document, unless others refer to it.",
        parameters: CHANGE_ONE,
        takes_documents: false,
        answer: Answer::Json(|schemas| schemas.subschema_for::<Outcome>()),
        handler: |of| on(of, rest::delete),
    },
    Operation {
        method: Method::Get,
        path: "/v1/workloads",
        id: "listWorkloads",
        about: "The running instances of services, as their sidecars registered them.",
        parameters: &[],
        takes_documents: false,
        answer: Answer::Json(|schemas| schemas.subschema_for::<Vec<Workload>>()),
        handler: |of| on(of, rest::workloads),
    },
    Operation {
        method: Method::Get,
        path: "/v1/proxies",
        id: "listProxies",
        about: "The connected proxies: what each was sent, has accepted, and has refused and why.",
        parameters: &[],
        takes_documents: false,
        answer: Answer::Json(|schemas| schemas.subschema_for::<Vec<Proxy>>()),
        handler: |of| on(of, rest::proxies),
    },
    Operation {
        method: Method::Get,
        path: "/v1/proxies/{node}",
        id: "getProxy",
        about: "One connected proxy.",
        parameters: NODE,
        takes_documents: false,
        answer: Answer::Json(|schemas| schemas.subschema_for::<Proxy>()),
        handler: |of| on(of, rest::proxy),
    },
    Operation {
        method: Method::Get,
        path: "/v1/info",
        id: "getInfo",
        about: "What this control plane is.",
        parameters: &[],
        takes_documents: false,
        answer: Answer::Json(|schemas| schemas.subschema_for::<Info>()),
        handler: |of| on(of, rest::info),
    },
    Operation {
        method: Method::Get,
        path: "/v1/openapi.json",
        id: "getOpenApi",
        about: "This description.",
        parameters: &[],
        takes_documents: false,
        answer: Answer::Described,
        handler: |of| on(of, rest::openapi),
    },
    Operation {
        method: Method::Get,
        path: "/v1/schema.json",
        id: "getSchema",
        about: "The JSON Schema of documents, for editors.",
        parameters: &[],
        takes_documents: false,
        answer: Answer::Described,
        handler: |of| on(of, rest::schema),
    },
    Operation {
        method: Method::Get,
        path: "/healthz",
        id: "isLive",
        about: "200 while the process answers at all.",
        parameters: &[],
        takes_documents: false,
        answer: Answer::Text,
        handler: |of| on(of, async || "live\n"),
    },
    Operation {
        method: Method::Get,
        path: "/readyz",
        id: "isReady",
        about: "200 when proxies are served, otherwise 503; why, and what else is wrong.",
        parameters: &[],
        takes_documents: false,
        answer: Answer::Readiness(|schemas| schemas.subschema_for::<Health>()),
        handler: |of| on(of, rest::ready),
    },
];
