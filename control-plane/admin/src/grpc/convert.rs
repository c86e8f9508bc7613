//! The types of REST as messages.

use prost::Message as _;
use tonic::{Code, Status};
use weft_config::DocumentId;
use weft_proto::admin as pb;
use weft_proto::pb::google::protobuf::Any;
use weft_proto::pb::google::rpc;

use crate::api::{
    ChangeKind, Check, Effect, Health, Info, Outcome, Problem, Proxy, ProxyType, Quarantined,
    Refusal, RefusalKind, RefusedVersion, Resource, Stamp, Withheld, Workload,
};

const REFUSAL: &str = "type.googleapis.com/weft.admin.v1.Refusal";

pub(super) fn resource(revision: u64, resource: Resource) -> pb::Resource {
    let Resource { kind, namespace, name, kept, place, document, status } = resource;
    pb::Resource {
        key: Some(pb::Key { kind, namespace, name }),
        kept: kept.as_str().to_owned(),
        place: place.unwrap_or_default(),
        document: document.to_string(),
        status: status.map(|status| status.to_string()).unwrap_or_default(),
        revision,
    }
}

pub(super) fn changed(id: &DocumentId, change: ChangeKind) -> pb::Changed {
    let key = pb::Key {
        kind: id.kind.to_string(),
        namespace: id.key.namespace.clone(),
        name: id.key.name.clone(),
    };
    pb::Changed { key: Some(key), change: pb::Change::from(change).into() }
}

/// A workload that is no more.
pub(super) fn gone(workload: Workload) -> pb::Workload {
    let Workload { service, namespace, instance, .. } = workload;
    pb::Workload { service, namespace, instance, ..pb::Workload::default() }
}

impl From<ChangeKind> for pb::Change {
    fn from(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Created => Self::Created,
            ChangeKind::Updated => Self::Updated,
            ChangeKind::Unchanged => Self::Unchanged,
            ChangeKind::Deleted => Self::Deleted,
        }
    }
}

impl From<Outcome> for pb::Outcome {
    fn from(outcome: Outcome) -> Self {
        let changed = outcome.resources.into_iter().map(|each| pb::Changed {
            key: Some(pb::Key { kind: each.kind, namespace: each.namespace, name: each.name }),
            change: pb::Change::from(each.change).into(),
        });
        Self {
            revision: outcome.revision,
            dry_run: outcome.dry_run,
            resources: changed.collect(),
            effects: outcome.effects.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Effect> for pb::Effect {
    fn from(effect: Effect) -> Self {
        let Effect { nodes, r#type, created, updated, deleted } = effect;
        Self { nodes, r#type, created, updated, deleted }
    }
}

impl From<Workload> for pb::Workload {
    fn from(workload: Workload) -> Self {
        let Workload { service, namespace, instance, address, phase, labels, zone } = workload;
        let labels = labels.into_iter().collect();
        Self { service, namespace, instance, address, phase, labels, zone }
    }
}

impl From<Proxy> for pb::Proxy {
    fn from(proxy: Proxy) -> Self {
        Self {
            node: proxy.node,
            agent: proxy.agent,
            service: proxy.service.unwrap_or_default(),
            gateway: proxy.gateway.unwrap_or_default(),
            since: proxy.since,
            converged: proxy.converged,
            types: proxy.types.into_iter().map(Into::into).collect(),
            quarantined: proxy.quarantined.into_iter().map(Into::into).collect(),
            withheld: proxy.withheld.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ProxyType> for pb::ProxyType {
    fn from(of: ProxyType) -> Self {
        let stamp = |Stamp { version, at }| pb::Stamp { version, at };
        let refused = |refused| {
            let RefusedVersion { version, at, resources, reason } = refused;
            pb::RefusedVersion { version, at, resources, reason }
        };
        Self {
            r#type: of.r#type,
            converged: of.converged,
            sent: of.sent.map(stamp),
            acknowledged: of.acknowledged.map(stamp),
            refused: of.refused.map(refused),
        }
    }
}

impl From<Quarantined> for pb::Quarantined {
    fn from(each: Quarantined) -> Self {
        let Quarantined { r#type, name, version, reason, sent } = each;
        Self { r#type, name, version, reason, sent: sent.unwrap_or_default() }
    }
}

impl From<Withheld> for pb::Withheld {
    fn from(each: Withheld) -> Self {
        let Withheld { r#type, name, reasons, sent } = each;
        Self { r#type, name, reasons, sent: sent.unwrap_or_default() }
    }
}

impl From<Info> for pb::Info {
    fn from(info: Info) -> Self {
        let Info { version, xds, admin, revision, served, directory } = info;
        let directory = directory.unwrap_or_default();
        Self { version, xds, admin, revision, served, directory }
    }
}

impl From<Health> for pb::Health {
    fn from(health: Health) -> Self {
        let check = |check: Check| pb::Check {
            name: check.name,
            status: check.status.as_str().to_owned(),
            detail: check.detail,
            hint: check.hint.unwrap_or_default(),
            problems: check.problems.into_iter().map(Into::into).collect(),
        };
        Self { ready: health.ready, checks: health.checks.into_iter().map(check).collect() }
    }
}

impl From<Problem> for pb::Problem {
    fn from(problem: Problem) -> Self {
        let number = |number: Option<usize>| number.unwrap_or_default().try_into().unwrap_or(0);
        Self {
            file: problem.file.unwrap_or_default(),
            line: number(problem.line),
            column: number(problem.column),
            document: problem.document.unwrap_or_default(),
            field: problem.field.unwrap_or_default(),
            message: problem.message,
            hint: problem.hint.unwrap_or_default(),
        }
    }
}

/// A refusal as the end of a call, with itself in the details.
impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = code(refusal.kind);
        let mut text = refusal.detail.clone();
        if let Some(problem) = refusal.problems.first() {
            text = format!("{text}: {problem}");
        }
        if let Some(hint) = &refusal.hint {
            text = format!("{text} ({hint})");
        }
        let kind = serde_json::to_value(refusal.kind).unwrap_or_default();
        let message = pb::Refusal {
            r#type: kind.as_str().unwrap_or_default().to_owned(),
            detail: refusal.detail,
            hint: refusal.hint.unwrap_or_default(),
            revision: refusal.revision,
            problems: refusal.problems.into_iter().map(Into::into).collect(),
        };
        let detail = Any { type_url: REFUSAL.to_owned(), value: message.encode_to_vec() };
        let details =
            rpc::Status { code: code.into(), message: text.clone(), details: vec![detail] };
        Self::with_details(code, text, details.encode_to_vec().into())
    }
}

fn code(kind: RefusalKind) -> Code {
    match kind {
        RefusalKind::BadRequest | RefusalKind::InvalidDocuments => Code::InvalidArgument,
        RefusalKind::Forbidden => Code::PermissionDenied,
        RefusalKind::NotFound => Code::NotFound,
        RefusalKind::MethodNotAllowed => Code::Unimplemented,
        RefusalKind::Timeout => Code::DeadlineExceeded,
        RefusalKind::KeptInFiles => Code::FailedPrecondition,
        RefusalKind::StaleRevision => Code::Aborted,
        RefusalKind::TooLarge => Code::ResourceExhausted,
        RefusalKind::StoreFailed => Code::Internal,
        RefusalKind::Unavailable => Code::Unavailable,
    }
}
