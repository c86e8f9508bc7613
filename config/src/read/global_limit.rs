//! Reads the limits that a rate limit service counts.

use super::settings::some_time;
use super::{non_empty, unique};
use crate::model::global_limit::{
    FailureMode, GlobalLimit, LimitDescriptor, LimitEntry, LimitService,
};
use crate::problem::Reason;
use crate::reader::{Choices, Object, Reader};
use crate::syntax::{HEADER_NAME, LABEL, is_header_name, is_label};
use crate::tree::Node;

const TEXT: &str = "a text of 1 to 256 characters";

const FAILURE_MODES: Choices<FailureMode> =
    Choices { names: &["Open", "Closed"], values: &[FailureMode::Open, FailureMode::Closed] };

pub(super) fn global_limit(reader: &mut Reader, node: &Node) -> Option<GlobalLimit> {
    reader.object(node, |reader, object| {
        let service = object.required(reader, "service", service);
        let domain = object.required(reader, "domain", short);
        let descriptors = object.required(reader, "descriptors", |reader, node| {
            let list = reader.list(node, descriptor);
            non_empty(reader, node, list)
        });
        let timeout = object.optional(reader, "timeout", some_time);
        let mode = object
            .optional(reader, "failureMode", |reader, node| reader.choice(node, &FAILURE_MODES));
        Some(GlobalLimit {
            service: service?,
            domain: domain?,
            descriptors: descriptors?,
            timeout: timeout?,
            failure_mode: mode?.unwrap_or_default(),
        })
    })
}

fn service(reader: &mut Reader, node: &Node) -> Option<LimitService> {
    reader.object(node, |reader, object| {
        let label = |reader: &mut Reader, node: &Node| reader.text(node, LABEL, is_label);
        let name = object.required(reader, "name", label);
        let namespace = object.optional(reader, "namespace", label);
        let port = object.optional(reader, "port", Reader::port);
        Some(LimitService { name: name?, namespace: namespace?, port: port? })
    })
}

fn short(reader: &mut Reader, node: &Node) -> Option<String> {
    reader.text(node, TEXT, |text| (1..=256).contains(&text.len()))
}

fn descriptor(reader: &mut Reader, node: &Node) -> Option<LimitDescriptor> {
    reader.object(node, |reader, object| {
        let entries = object.required(reader, "entries", |reader, node| {
            let entries = reader.list(node, entry);
            let entries = non_empty(reader, node, entries);
            unique(reader, node, entries, |entry| Some(key(entry)))
        });
        Some(LimitDescriptor { entries: entries? })
    })
}

/// The key of an entry, and what it is called: no two of a description are the same.
pub(super) fn key(entry: &LimitEntry) -> (String, String) {
    let key = match entry {
        LimitEntry::Header(name) | LimitEntry::QueryParameter(name) => name,
        LimitEntry::RemoteAddress {} => "remote_address",
        LimitEntry::Value { key, .. } => key,
    };
    (key.to_owned(), format!("the key {key:?}"))
}

fn entry(reader: &mut Reader, node: &Node) -> Option<LimitEntry> {
    reader.object(node, |reader, object| {
        let [header, parameter, address] = of_request(reader, object);
        let value = object.optional(reader, "value", |reader, node| {
            reader.object(node, |reader, object| {
                let key = object.required(reader, "key", short);
                let value = object.required(reader, "value", short);
                Some(LimitEntry::Value { key: key?, value: value? })
            })
        });
        let fields = &["header", "queryParameter", "remoteAddress", "value"];
        the_only(reader, object, [header?, parameter?, address?, value?], fields)
    })
}

/// Something of a request that tells callers apart.
pub(super) fn caller(reader: &mut Reader, node: &Node) -> Option<LimitEntry> {
    reader.object(node, |reader, object| {
        let [header, parameter, address] = of_request(reader, object);
        let fields = &["header", "queryParameter", "remoteAddress"];
        the_only(reader, object, [header?, parameter?, address?], fields)
    })
}

/// The fields whose values come with requests.
fn of_request(reader: &mut Reader, object: &mut Object<'_>) -> [Option<Option<LimitEntry>>; 3] {
    let header = object.optional(reader, "header", |reader, node| {
        let name = reader.text(node, HEADER_NAME, is_header_name)?;
        Some(LimitEntry::Header(name.to_ascii_lowercase()))
    });
    let parameter = object.optional(reader, "queryParameter", |reader, node| {
        short(reader, node).map(LimitEntry::QueryParameter)
    });
    let address = object.optional(reader, "remoteAddress", |reader, node| {
        reader.object(node, |_, _| Some(LimitEntry::RemoteAddress {}))
    });
    [header, parameter, address]
}

fn the_only<const N: usize>(
    reader: &mut Reader,
    object: &Object<'_>,
    said: [Option<LimitEntry>; N],
    fields: &'static [&'static str],
) -> Option<LimitEntry> {
    let mut said = said.into_iter().flatten();
    match (said.next(), said.next()) {
        (Some(entry), None) => Some(entry),
        _ => reader.refuse(object.node(), Reason::ExactlyOne { fields }),
    }
}
