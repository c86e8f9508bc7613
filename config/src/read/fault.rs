//! Reads the faults of a policy.

use super::request_match::request_match;
use super::settings::{error_code, some_time};
use super::share::share;
use crate::model::fault::{Abort, AbortAnswer, Delay, Fault, GrpcStatus};
use crate::problem::Reason;
use crate::reader::{Choices, Reader};
use crate::tree::Node;

/// As many as anything can be.
const MOST: u32 = i32::MAX.unsigned_abs();

const STATUSES: Choices<GrpcStatus> =
    Choices { names: &GrpcStatus::NAMES, values: &GrpcStatus::ALL };

pub(super) fn fault(reader: &mut Reader, node: &Node) -> Option<Fault> {
    reader.object(node, |reader, object| {
        let delay = object.optional(reader, "delay", delay);
        let abort = object.optional(reader, "abort", abort);
        let matched = object.optional(reader, "match", request_match);
        let max_active =
            object.optional(reader, "maxActive", |reader, node| reader.integer(node, 1, MOST));
        let fault =
            Fault { delay: delay?, abort: abort?, matched: matched?, max_active: max_active? };
        if fault.delay.is_none() && fault.abort.is_none() {
            return reader
                .refuse(object.node(), Reason::AtLeastOne { fields: &["delay", "abort"] });
        }
        Some(fault)
    })
}

fn delay(reader: &mut Reader, node: &Node) -> Option<Delay> {
    reader.object(node, |reader, object| {
        let time = object.required(reader, "time", some_time);
        let share = share(reader, object);
        Some(Delay { time: time?, share: share? })
    })
}

fn abort(reader: &mut Reader, node: &Node) -> Option<Abort> {
    reader.object(node, |reader, object| {
        let status = object.optional(reader, "status", |reader, node| {
            error_code(reader, node).map(AbortAnswer::Status)
        });
        let grpc = object.optional(reader, "grpcStatus", |reader, node| {
            reader.choice(node, &STATUSES).map(AbortAnswer::GrpcStatus)
        });
        let share = share(reader, object);
        let ((Some(answer), None) | (None, Some(answer))) = (status?, grpc?) else {
            let fields = &["status", "grpcStatus"];
            return reader.refuse(object.node(), Reason::ExactlyOne { fields });
        };
        Some(Abort { answer, share: share? })
    })
}
