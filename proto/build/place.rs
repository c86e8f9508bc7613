//! What the table and the rules together say of every field within reach.

use std::collections::{BTreeMap, VecDeque};

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use crate::Result;
use crate::rules::{Reader, Rules};
use crate::table::{Row, Table, Verdict};

/// A field within reach.
pub(crate) struct Place {
    pub(crate) row: Row,
    /// Whether the table has a row of its own for it.
    pub(crate) listed: bool,
    pub(crate) rules: Rules,
    /// Which of its message's slots counts it.
    pub(crate) slot: Option<u8>,
}

/// Something whose occurrences in a message are counted: a field or a oneof.
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) min: u32,
    pub(crate) max: u32,
    /// The most that the table honours.
    pub(crate) supported: u32,
    /// Why `min` is what it is.
    pub(crate) absence: String,
    /// Whether `min` is a matter of support and not of structure.
    pub(crate) support_only: bool,
}

/// A message within reach.
#[derive(Default)]
pub(crate) struct Reached {
    /// Whether every step from a root to it is honoured; else only structure matters.
    pub(crate) full: bool,
    /// What becomes of fields that the schema does not know.
    pub(crate) unknown: Verdict,
    pub(crate) slots: Vec<Slot>,
}

/// Everything within reach of the roots.
pub(crate) struct Places {
    pub(crate) roots: Vec<String>,
    pub(crate) fields: BTreeMap<(String, u32), Place>,
    pub(crate) messages: BTreeMap<String, Reached>,
}

/// The message of a field whose content is walked; `None` for scalars and for the
/// well-known types that are leaves.
fn walked(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let Kind::Message(message) = field.kind() else { return None };
    if message.is_map_entry() {
        return walked(&message.map_entry_value_field());
    }
    (message.package_name() != "google.protobuf").then_some(message)
}

/// Whether the field, or each of its values, is an `Any`.
fn is_any(field: &FieldDescriptor) -> bool {
    match field.kind() {
        Kind::Message(message) if message.is_map_entry() => {
            is_any(&message.map_entry_value_field())
        }
        Kind::Message(message) => message.full_name() == "google.protobuf.Any",
        _ => false,
    }
}

/// The message that wraps an `Any` for its parent, whose row names the types.
fn is_wrapper_of_any(message: &MessageDescriptor) -> bool {
    message.name() == "TypedExtensionConfig"
}

impl Places {
    pub(crate) fn survey(pool: &DescriptorPool, table: &Table) -> Result<Self> {
        let reader = Reader::new(pool)?;
        let mut places =
            Self { roots: table.roots.clone(), fields: BTreeMap::new(), messages: BTreeMap::new() };
        let find = |name: &str| {
            pool.get_message_by_name(name)
                .ok_or_else(|| format!("fields.toml: there is no message `{name}`"))
        };
        let mut queue = VecDeque::new();
        for root in &table.roots {
            queue.push_back((find(root)?, true));
        }
        while let Some((message, full)) = queue.pop_front() {
            let name = message.full_name().to_owned();
            let known = places.messages.get(&name).map(|reached| reached.full);
            if known == Some(true) || known == Some(full) {
                continue;
            }
            if known.is_none() {
                places.visit(&message, table, &reader)?;
            }
            let reached = places.messages.entry(name).or_default();
            reached.full = full;
            for field in message.fields() {
                let Some(place) = places.fields.get(&(message.full_name().into(), field.number()))
                else {
                    continue;
                };
                let below = full && place.row.verdict == Verdict::Honour;
                if full && place.row.verdict == Verdict::Nack {
                    continue;
                }
                if let Some(target) = walked(&field) {
                    queue.push_back((target, below));
                }
                for name in &place.row.types {
                    queue.push_back((find(name)?, below));
                }
            }
        }
        places.refuse_dead_rows(pool, table)?;
        Ok(places)
    }

    fn visit(&mut self, message: &MessageDescriptor, table: &Table, reader: &Reader) -> Result<()> {
        reader.check_switches(message)?;
        let name = message.full_name();
        let mut slots = Vec::new();
        let mut oneof_slots = BTreeMap::new();
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            if reader.oneof_required(&oneof) {
                oneof_slots.insert(oneof.name().to_owned(), u8::try_from(slots.len())?);
                let arms: Vec<_> = oneof.fields().map(|arm| arm.name().to_owned()).collect();
                slots.push(Slot {
                    name: oneof.name().into(),
                    min: 1,
                    max: u32::MAX,
                    supported: u32::MAX,
                    absence: format!("is required: one of {}", arms.join(", ")),
                    support_only: false,
                });
            }
        }
        for field in message.fields() {
            let (row, listed) = row_of(&field, table);
            let rules = reader.read(&field)?;
            check_row(&field, &row)?;
            let arm = field.containing_oneof().and_then(|oneof| oneof_slots.get(oneof.name()));
            let slot = match (arm, slot_of(&field, &row, &rules)) {
                (Some(slot), None) => Some(*slot),
                (None, Some(slot)) => {
                    slots.push(slot);
                    Some(u8::try_from(slots.len() - 1)?)
                }
                (None, None) => None,
                (Some(_), Some(_)) => {
                    return Err(format!("{}: an arm is counted twice", field.full_name()).into());
                }
            };
            self.fields.insert((name.into(), field.number()), Place { row, listed, rules, slot });
        }
        let unknown =
            default_row(message, table).map_or(Verdict::Warn, |row| row.verdict.max(Verdict::Warn));
        self.messages.insert(name.into(), Reached { full: false, unknown, slots });
        Ok(())
    }

    /// Rows that nothing can reach are mistakes.
    fn refuse_dead_rows(&self, pool: &DescriptorPool, table: &Table) -> Result<()> {
        for (name, rows) in &table.messages {
            let Some(message) = pool.get_message_by_name(name) else {
                return Err(format!("fields.toml: there is no message `{name}`").into());
            };
            if !self.messages.get(name).is_some_and(|reached| reached.full) {
                return Err(format!("fields.toml: no honoured field leads to `{name}`").into());
            }
            for field in rows.keys().filter(|field| *field != "*") {
                if message.get_field_by_name(field).is_none() {
                    return Err(format!("fields.toml: `{name}` has no field `{field}`").into());
                }
            }
        }
        for prefix in table.places.keys() {
            if !pool.all_messages().any(|message| message.full_name().starts_with(prefix.as_str()))
            {
                return Err(format!("fields.toml: there is nothing under `{prefix}`").into());
            }
        }
        Ok(())
    }
}

/// The row for unlisted fields of the message, where it has one.
fn default_row<'a>(message: &MessageDescriptor, table: &'a Table) -> Option<&'a Row> {
    let name = message.full_name();
    table.messages.get(name).and_then(|rows| rows.get("*")).or_else(|| {
        let fitting = table.places.iter().filter(|(prefix, _)| name.starts_with(prefix.as_str()));
        fitting.max_by_key(|(prefix, _)| prefix.len()).map(|(_, row)| row)
    })
}

/// The field's own row, or the default of its place.
fn row_of(field: &FieldDescriptor, table: &Table) -> (Row, bool) {
    let message = field.parent_message();
    let own = table.messages.get(message.full_name()).and_then(|rows| rows.get(field.name()));
    if let Some(row) = own {
        return (row.clone(), true);
    }
    if let Some(row) = default_row(message, table) {
        return (row.clone(), false);
    }
    let arm = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
    let verdict = if arm { Verdict::Nack } else { Verdict::Warn };
    (Row { verdict, ..Row::default() }, false)
}

fn check_row(field: &FieldDescriptor, row: &Row) -> Result<()> {
    let name = field.full_name();
    let honoured = row.verdict == Verdict::Honour;
    if let Kind::Enum(kind) = field.kind() {
        if let Some(wrong) = row.values.iter().find(|value| kind.get_value_by_name(value).is_none())
        {
            return Err(format!("fields.toml: {name}: there is no value `{wrong}`").into());
        }
    } else if !row.values.is_empty() {
        return Err(format!("fields.toml: {name} is no enum, it has no `values`").into());
    }
    let target = match field.kind() {
        Kind::Message(message) if message.is_map_entry() => walked(field),
        Kind::Message(message) => Some(message),
        _ => None,
    };
    let names_types = (is_any(field) && !is_wrapper_of_any(field.parent_message()))
        || target.as_ref().is_some_and(is_wrapper_of_any);
    if honoured && names_types && row.types.is_empty() {
        return Err(format!("fields.toml: {name} is honoured, but for which `types`?").into());
    }
    if !row.types.is_empty() && !names_types {
        return Err(format!("fields.toml: {name} holds no Any, it has no `types`").into());
    }
    if let Some(other) = &row.optional_by
        && field.parent_message().get_field_by_name(other).is_none()
    {
        return Err(format!("fields.toml: {name}: there is no `{other}` next to it").into());
    }
    Ok(())
}

/// What of the field must be counted.
fn slot_of(field: &FieldDescriptor, row: &Row, rules: &Rules) -> Option<Slot> {
    let absence = rules.refuse_absence(field);
    let unsupported_default = absence.is_none()
        && !row.values.is_empty()
        && !field.supports_presence()
        && !field.is_list()
        && matches!(field.kind(), Kind::Enum(kind)
            if kind.get_value(0).is_none_or(|zero| !row.values.iter().any(|value| value == zero.name())));
    let support_only = unsupported_default;
    let absence = absence.or_else(|| {
        unsupported_default.then(|| format!("must be one of {}", row.values.join(", ")))
    });
    let min = if absence.is_some() { 1 } else { rules.min };
    let supported = row.at_most.unwrap_or(u32::MAX);
    (min > 0 || rules.max < u32::MAX || supported < u32::MAX).then(|| Slot {
        name: field.name().into(),
        min,
        max: rules.max,
        supported,
        absence: absence.unwrap_or_else(|| match min {
            1 => "must not be empty".into(),
            _ => format!("must have at least {min} elements"),
        }),
        support_only,
    })
}
