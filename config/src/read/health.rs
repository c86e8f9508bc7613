//! Reads `healthCheck` of a `TrafficPolicy`.

use super::settings::some_time;
use super::unique;
use crate::model::policy::{GrpcProbe, HealthCheck, HttpProbe, Probe};
use crate::problem::Reason;
use crate::reader::{Object, Reader};
use crate::syntax::{GRPC_SERVICE, HOSTNAME, PATH, is_grpc_service, is_hostname, is_path};
use crate::tree::Node;

/// More answers in a row than this say nothing more.
const MOST_ANSWERS: u32 = 1000;

pub(super) fn health_check(reader: &mut Reader, node: &Node) -> Option<HealthCheck> {
    reader.object(node, |reader, object| {
        let probe = probe(reader, object);
        let interval = object.optional(reader, "interval", some_time);
        let timeout = object.optional(reader, "timeout", some_time);
        let healthy = answers(reader, object, "healthyThreshold");
        let unhealthy = answers(reader, object, "unhealthyThreshold");
        Some(HealthCheck {
            probe: probe?,
            interval: interval?.unwrap_or(HealthCheck::INTERVAL),
            timeout: timeout?.unwrap_or(HealthCheck::TIMEOUT),
            healthy_threshold: healthy?.unwrap_or(HealthCheck::HEALTHY),
            unhealthy_threshold: unhealthy?.unwrap_or(HealthCheck::UNHEALTHY),
        })
    })
}

fn answers(
    reader: &mut Reader,
    object: &mut Object<'_>,
    name: &'static str,
) -> Option<Option<u32>> {
    object.optional(reader, name, |reader, node| reader.integer(node, 1, MOST_ANSWERS))
}

fn probe(reader: &mut Reader, object: &mut Object<'_>) -> Option<Probe> {
    let http = object.optional(reader, "http", http);
    let grpc = object.optional(reader, "grpc", grpc);
    let tcp =
        object.optional(reader, "tcp", |reader, node| reader.object(node, |_, _| Some(Probe::Tcp)));
    let mut said = [http?, grpc?, tcp?].into_iter().flatten();
    match (said.next(), said.next()) {
        (Some(probe), None) => Some(probe),
        _ => reader.refuse(object.node(), Reason::ExactlyOne { fields: &["http", "grpc", "tcp"] }),
    }
}

fn http(reader: &mut Reader, node: &Node) -> Option<Probe> {
    reader.object(node, |reader, object| {
        let path = object.required(reader, "path", |reader, node| {
            // A query goes along; what the syntax of paths refuses is refused before it.
            let is_target = |text: &str| is_path(text.split('?').next().unwrap_or_default());
            reader.text(node, PATH, |text| is_target(text) && !text.contains([' ', '#']))
        });
        let host = object.optional(reader, "host", |reader, node| {
            reader.text(node, HOSTNAME, |text| is_hostname(text) && !text.starts_with('*'))
        });
        let statuses = object.optional(reader, "statuses", |reader, node| {
            let statuses = reader.list(node, |reader, node| {
                reader.integer(node, 100, 599).and_then(|status| u16::try_from(status).ok())
            });
            unique(reader, node, statuses, |status| Some((*status, format!("the status {status}"))))
        });
        Some(Probe::Http(HttpProbe {
            path: path?,
            host: host?,
            statuses: statuses?.unwrap_or_default(),
        }))
    })
}

fn grpc(reader: &mut Reader, node: &Node) -> Option<Probe> {
    reader.object(node, |reader, object| {
        let service = object.optional(reader, "service", |reader, node| {
            reader.text(node, GRPC_SERVICE, is_grpc_service)
        });
        Some(Probe::Grpc(GrpcProbe { service: service? }))
    })
}
