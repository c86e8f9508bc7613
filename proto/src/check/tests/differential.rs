//! Check against a walk of the same resource over prost-reflect.
//!
//! The walk here is the specification: plain, slow, and by descriptors. It knows nothing
//! of the wire format and has the table only by its public rows.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use prost_reflect::{DescriptorPool, DynamicMessage, MapKey, ReflectMessage, Value};

use super::*;
use crate::schema::{Kind, Label, Message, Special};

/// Draws the bytes of a random message: some fields, some values, nesting for a while.
struct Drawer<'a> {
    dice: &'a mut dyn FnMut(usize) -> usize,
}

impl Drawer<'_> {
    fn message(&mut self, message: &'static Message, depth: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let fields = message.fields();
        if fields.is_empty() || depth == 0 {
            return out;
        }
        let mut numbers = BTreeSet::new();
        for _ in 0..(self.dice)(5) {
            numbers.insert(fields[(self.dice)(fields.len())].number);
        }
        let mut oneofs = BTreeSet::new();
        for number in numbers {
            let field = message.field(number).unwrap();
            if field.oneof().is_some_and(|oneof| !oneofs.insert(oneof)) {
                continue;
            }
            let times = match field.label {
                Label::Repeated => (self.dice)(3),
                _ => 1,
            };
            for _ in 0..times {
                self.value(&mut out, field, depth);
            }
        }
        out
    }

    fn value(&mut self, out: &mut Vec<u8>, field: &'static crate::schema::Field, depth: usize) {
        let bytes;
        let value = match field.kind {
            Kind::Message => {
                let target = field.message().unwrap();
                bytes = match target.special {
                    Special::Any => self.any(field, depth),
                    Special::Duration => b"\x08\x01".to_vec(),
                    Special::None | Special::Wrapper => self.message(target, depth - 1),
                    _ => Vec::new(),
                };
                wire::Value::Bytes(&bytes)
            }
            Kind::String | Kind::Bytes => wire::Value::Bytes(b"ab"),
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => {
                wire::Value::Fixed64(1.5_f64.to_bits())
            }
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => wire::Value::Fixed32(1.5_f32.to_bits()),
            _ => wire::Value::Varint((self.dice)(3) as u64),
        };
        wire::put(out, field.number, value);
    }

    fn any(&mut self, field: &'static crate::schema::Field, depth: usize) -> Vec<u8> {
        let types: Vec<_> = field.place().into_iter().flat_map(|place| place.types()).collect();
        let mut out = Vec::new();
        let chosen = types.get((self.dice)(types.len() + 1));
        let name = chosen.map_or("no.such.Type", |message| message.name());
        wire::put(&mut out, 1, wire::Value::Bytes(format!("a/{name}").as_bytes()));
        if let Some(message) = chosen {
            let content = self.message(message, depth - 1);
            wire::put(&mut out, 2, wire::Value::Bytes(&content));
        }
        out
    }
}

type Rows = BTreeMap<(String, String), Row>;

/// The paths of fields that are set and do not take effect.
fn unsupported(message: &DynamicMessage, rows: &Rows, path: &str, out: &mut BTreeSet<String>) {
    for (field, value) in message.fields() {
        let key = (field.parent_message().full_name().to_owned(), field.name().to_owned());
        let Some(row) = rows.get(&key) else { continue };
        let here = match path {
            "" => field.name().to_owned(),
            path => format!("{path}.{}", field.name()),
        };
        match row.verdict {
            Verdict::Honour => {}
            Verdict::Noop => continue,
            Verdict::Warn | Verdict::Nack => {
                out.insert(here);
                continue;
            }
        }
        match value {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    descend(item, row, rows, &format!("{here}[{index}]"), out);
                }
            }
            Value::Map(entries) => {
                for (key, item) in entries {
                    let MapKey::String(key) = key else { continue };
                    descend(item, row, rows, &format!("{here}[{key:?}]"), out);
                }
            }
            value => descend(value, row, rows, &here, out),
        }
    }
}

fn descend(value: &Value, row: &Row, rows: &Rows, path: &str, out: &mut BTreeSet<String>) {
    let Some(message) = value.as_message() else { return };
    if message.descriptor().full_name() != "google.protobuf.Any" {
        return unsupported(message, rows, path, out);
    }
    let url = message.get_field_by_name("type_url").unwrap();
    let name = message_name(url.as_str().unwrap()).to_owned();
    if row.types.contains(&name.as_str()) {
        let content = message.get_field_by_name("value").unwrap();
        let kind = message.descriptor().parent_pool().get_message_by_name(&name).unwrap();
        let content = DynamicMessage::decode(kind, content.as_bytes().unwrap().clone()).unwrap();
        unsupported(&content, rows, path, out);
    }
}

/// The same of check: the findings that come from the table, without the harmless values
/// and without types, which the specification above does not know.
fn checked(root: &'static Message, bytes: &[u8]) -> Vec<Finding> {
    let findings = walk::findings(root, bytes);
    let from_table = |finding: &Finding| {
        finding.reason.starts_with("not supported")
            || finding.reason.starts_with("selects behaviour")
    };
    findings.into_iter().filter(from_table).collect()
}

proptest! {
    #[test]
    fn agrees_with_a_walk_over_reflection(root in 0..6_usize, dice in prop::collection::vec(0..1000_usize, 400)) {
        thread_local! {
            static POOL: DescriptorPool = DescriptorPool::decode(
                include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin")).as_slice()).unwrap();
            static ROWS: Rows =
                table().map(|row| ((row.message.to_owned(), row.field.to_owned()), row)).collect();
        }
        let roots: Vec<_> = ["bootstrap.v3.Bootstrap", "cluster.v3.Cluster", "listener.v3.Listener",
            "endpoint.v3.ClusterLoadAssignment", "route.v3.RouteConfiguration", "route.v3.VirtualHost"]
            .iter().map(|name| Message::root(&format!("envoy.config.{name}")).unwrap()).collect();
        let message = roots[root];
        let mut rolls = dice.into_iter().cycle();
        let bytes = Drawer { dice: &mut |sides| rolls.next().unwrap() % sides }.message(message, 12);
        let found = checked(message, &bytes);
        prop_assume!(found.len() < MAX_FINDINGS);
        let mut expected = BTreeSet::new();
        let kind = POOL.with(|pool| pool.get_message_by_name(message.name()).unwrap());
        let dynamic = DynamicMessage::decode(kind, bytes.as_slice()).unwrap();
        ROWS.with(|rows| unsupported(&dynamic, rows, "", &mut expected));
        let paths: BTreeSet<_> = found.iter().map(|finding| finding.path.clone()).collect();
        // Harmless values are expected here and not found there.
        let missed: Vec<_> = ROWS.with(|rows| {
            expected.difference(&paths).filter(|path| !is_switch(path, rows)).collect()
        });
        let surplus: Vec<_> = paths.difference(&expected).collect();
        prop_assert!(missed.is_empty() && surplus.is_empty(),
            "missed {missed:?}\nsurplus {surplus:?}\n{}", crate::json::any_to_json(message.name(), &bytes));
    }
}

/// Whether the path leads to a field that has a harmless value.
fn is_switch(path: &str, rows: &Rows) -> bool {
    rows.values().any(|row| row.harmless.is_some() && path.ends_with(row.field))
}

proptest! {
    /// Resources that were sound once, with a few bytes changed.
    #[test]
    fn damaged_resources_never_panic(
        dice in prop::collection::vec(0..1000_usize, 200),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let message = Message::root("envoy.config.listener.v3.Listener").unwrap();
        let mut rolls = dice.into_iter().cycle();
        let mut bytes = Drawer { dice: &mut |sides| rolls.next().unwrap() % sides }.message(message, 12);
        bytes.push(0);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let findings = check(type_url::LISTENER, &bytes);
        prop_assert!(findings.len() <= MAX_FINDINGS);
        // What a decoder refuses is refused here as well, unless it is in a part that is
        // not walked: free in form, or within what is refused already.
        let refused = findings.iter().any(|finding| finding.verdict == Verdict::Nack);
        if !refused && Listener::decode(bytes.as_slice()).is_err() {
            let printed = crate::json::any_to_json(type_url::LISTENER, &bytes);
            prop_assert!(free_in_form(&bytes), "{printed}");
        }
    }
}

/// Whether the listener has metadata, whose content is nobody's business here.
fn free_in_form(bytes: &[u8]) -> bool {
    wire::Fields::of(bytes).flatten().any(|(number, _)| number == 6)
}
