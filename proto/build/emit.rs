//! Writes the schema as Rust statics.
//!
//! They hold offsets into one string and into each other and no pointers: nothing is
//! relocated when the program is loaded, so pages that nobody reads cost no memory.

use std::collections::BTreeMap;
use std::fmt::Write;

use prost_reflect::{Cardinality, DescriptorPool, EnumDescriptor, Kind, MessageDescriptor};

use crate::Result;
use crate::place::{Place, Places, Slot};
use crate::rules::Rule;
use crate::table::Verdict;

/// Files whose messages describe other messages and travel in none.
const OMITTED: [&str; 2] = ["google/protobuf/descriptor.proto", "validate/validate.proto"];

/// Every string of the schema, each once, in one.
#[derive(Default)]
struct Texts {
    all: String,
    known: BTreeMap<String, usize>,
}

impl Texts {
    /// The source of a `Text`.
    fn add(&mut self, text: &str) -> String {
        let start = *self.known.entry(text.to_owned()).or_insert_with(|| {
            self.all.push_str(text);
            self.all.len() - text.len()
        });
        format!("t({start},{})", text.len())
    }
}

/// A static array in the making.
struct Array {
    rows: Vec<String>,
}

impl Array {
    fn new() -> Self {
        Self { rows: Vec::new() }
    }

    fn push(&mut self, row: String) -> usize {
        self.rows.push(row);
        self.rows.len() - 1
    }

    /// Appends the rows and returns the source of their `Span`.
    fn extend(&mut self, rows: impl IntoIterator<Item = String>) -> String {
        let start = self.rows.len();
        self.rows.extend(rows);
        format!("s({start},{})", self.rows.len() - start)
    }

    fn source(&self, name: &str, kind: &str) -> Result<String> {
        if self.rows.len() > usize::from(u16::MAX) {
            return Err(format!("{name} has outgrown its 16-bit indices").into());
        }
        let rows = self.rows.join(",\n");
        Ok(format!("pub(crate) static {name}: [{kind}; {}] = [\n{rows}\n];\n", self.rows.len()))
    }
}

struct Emitter<'a> {
    places: &'a Places,
    texts: Texts,
    message_index: BTreeMap<String, usize>,
    enum_index: BTreeMap<String, usize>,
    messages: Array,
    fields: Array,
    enums: Array,
    enum_values: Array,
    reached: Array,
    slots: Array,
    place_rows: Array,
    rules: Array,
    numbers: Array,
    words: Array,
    most_slots: usize,
}

/// The whole of the generated file.
pub(crate) fn schema(pool: &DescriptorPool, places: &Places) -> Result<String> {
    let mut messages: Vec<_> = pool
        .all_messages()
        .filter(|message| !OMITTED.contains(&message.parent_file().name()))
        .collect();
    messages.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    let mut enums: Vec<_> =
        pool.all_enums().filter(|kind| !OMITTED.contains(&kind.parent_file().name())).collect();
    enums.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    let mut emitter = Emitter {
        places,
        texts: Texts::default(),
        message_index: index(messages.iter().map(MessageDescriptor::full_name)),
        enum_index: index(enums.iter().map(EnumDescriptor::full_name)),
        messages: Array::new(),
        fields: Array::new(),
        enums: Array::new(),
        enum_values: Array::new(),
        reached: Array::new(),
        slots: Array::new(),
        place_rows: Array::new(),
        rules: Array::new(),
        numbers: Array::new(),
        words: Array::new(),
        most_slots: 1,
    };
    // Index 0 of both stands for "not within reach".
    emitter.reached.push("r(false,W,s(0,0))".into());
    emitter.place_rows.push("p(W,false,t(0,0),s(0,0),s(0,0),false,0,s(0,0),s(0,0),W,0,0)".into());
    for message in &messages {
        emitter.message(message)?;
    }
    for kind in &enums {
        emitter.enumeration(kind);
    }
    emitter.finish()
}

fn index<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    names.enumerate().map(|(index, name)| (name.to_owned(), index)).collect()
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Honour => "H",
        Verdict::Noop => "N",
        Verdict::Warn => "W",
        Verdict::Nack => "X",
    }
}

/// How JSON writes the message, and whether check looks inside.
fn special(message: &MessageDescriptor) -> &'static str {
    match message.full_name() {
        "google.protobuf.Any" => "Any",
        "google.protobuf.Duration" => "Duration",
        "google.protobuf.Timestamp" => "Timestamp",
        "google.protobuf.Struct" => "Struct",
        "google.protobuf.Value" => "Value",
        "google.protobuf.ListValue" => "List",
        "google.protobuf.BoolValue"
        | "google.protobuf.BytesValue"
        | "google.protobuf.DoubleValue"
        | "google.protobuf.FloatValue"
        | "google.protobuf.Int32Value"
        | "google.protobuf.Int64Value"
        | "google.protobuf.StringValue"
        | "google.protobuf.UInt32Value"
        | "google.protobuf.UInt64Value" => "Wrapper",
        _ => "None",
    }
}

impl Emitter<'_> {
    fn message(&mut self, message: &MessageDescriptor) -> Result<()> {
        let mut fields: Vec<_> = message.fields().collect();
        fields.sort_by_key(prost_reflect::FieldDescriptor::number);
        let mut rows = Vec::new();
        for field in fields {
            let name = self.texts.add(field.name());
            let kind = capitalised(&format!("{:?}", field.kind()));
            let (kind, target) = match field.kind() {
                Kind::Message(target) => ("Message", self.message_of(target.full_name())?),
                Kind::Enum(target) => ("Enum", self.enum_index[target.full_name()]),
                _ => (kind.as_str(), 0),
            };
            let label = if field.is_map() {
                "Map"
            } else if field.cardinality() == Cardinality::Repeated {
                "Repeated"
            } else if field.supports_presence() {
                "Present"
            } else {
                "Implicit"
            };
            let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
            let oneof = match oneof {
                Some(oneof) => {
                    let before = message.oneofs().filter(|other| !other.is_synthetic());
                    1 + before.take_while(|other| *other != oneof).count()
                }
                None => 0,
            };
            if field.json_name() != camel(field.name()) {
                return Err(format!("{}: unusual JSON name", field.full_name()).into());
            }
            let place = self.places.fields.get(&(message.full_name().into(), field.number()));
            let place = match place {
                Some(place) => self.place(message, &field, place)?,
                None => 0,
            };
            rows.push(format!(
                "f({},{name},Kind::{kind},Label::{label},{},{target},{oneof},{place})",
                field.number(),
                field.is_packed(),
            ));
        }
        if rows.len() > 128 {
            return Err(format!("{}: check has bits for 128 fields", message.full_name()).into());
        }
        let reached = self.reach(message)?;
        let span = self.fields.extend(rows);
        let name = self.texts.add(message.full_name());
        self.messages.push(format!("m({name},{span},Special::{},{reached})", special(message)));
        Ok(())
    }

    fn message_of(&self, name: &str) -> Result<usize> {
        self.message_index
            .get(name)
            .copied()
            .ok_or_else(|| format!("`{name}` is not in the schema").into())
    }

    fn reach(&mut self, message: &MessageDescriptor) -> Result<usize> {
        let Some(reached) = self.places.messages.get(message.full_name()) else { return Ok(0) };
        self.most_slots = self.most_slots.max(reached.slots.len());
        let slots: Vec<_> = reached.slots.iter().map(|slot| self.slot(slot)).collect();
        let slots = self.slots.extend(slots);
        Ok(self.reached.push(format!("r({},{},{slots})", reached.full, verdict(reached.unknown))))
    }

    fn slot(&mut self, slot: &Slot) -> String {
        let name = self.texts.add(&slot.name);
        let absence = self.texts.add(&slot.absence);
        format!(
            "o({name},{},{},{},{absence},{})",
            slot.min, slot.max, slot.supported, slot.support_only
        )
    }

    fn place(
        &mut self,
        message: &MessageDescriptor,
        field: &prost_reflect::FieldDescriptor,
        place: &Place,
    ) -> Result<usize> {
        let row = &place.row;
        let note = self.texts.add(&row.note);
        let value_rules: Vec<_> = place.rules.value.iter().map(|rule| self.rule(rule)).collect();
        let value_rules = self.rules.extend(value_rules);
        let key_rules: Vec<_> = place.rules.key.iter().map(|rule| self.rule(rule)).collect();
        let key_rules = self.rules.extend(key_rules);
        let values: Vec<_> = match field.kind() {
            Kind::Enum(kind) => row
                .values
                .iter()
                .filter_map(|value| kind.get_value_by_name(value))
                .map(|value| value.number().to_string())
                .collect(),
            _ => Vec::new(),
        };
        let values = self.numbers.extend(values);
        let types = row.types.iter().map(|name| Ok(self.message_of(name)?.to_string()));
        let types = types.collect::<Result<Vec<_>>>()?;
        let types = self.numbers.extend(types);
        let optional_by = row
            .optional_by
            .as_ref()
            .and_then(|name| message.get_field_by_name(name))
            .map_or(0, |field| field.number());
        let slot = place.slot.map_or(0, |slot| slot + 1);
        let unless = row.unless.map_or(0, |value| value + 1);
        Ok(self.place_rows.push(format!(
            "p({},{},{note},{value_rules},{key_rules},{},{slot},{values},{types},{},{optional_by},{unless})",
            verdict(row.verdict),
            place.listed,
            place.rules.unique,
            verdict(row.others),
        )))
    }

    fn rule(&mut self, rule: &Rule) -> String {
        match rule {
            Rule::Prefix(text) => format!("Rule::Prefix({})", self.texts.add(text)),
            Rule::Suffix(text) => format!("Rule::Suffix({})", self.texts.add(text)),
            Rule::OneOf(texts) => {
                let texts: Vec<_> = texts.iter().map(|text| self.texts.add(text)).collect();
                format!("Rule::OneOf({})", self.words.extend(texts))
            }
            Rule::NotIn(numbers) => {
                let numbers = self.numbers.extend(numbers.iter().map(i32::to_string));
                format!("Rule::NotIn({numbers})")
            }
            plain => format!("Rule::{plain:?}"),
        }
    }

    fn enumeration(&mut self, kind: &EnumDescriptor) {
        let values: Vec<_> = kind
            .values()
            .map(|value| format!("e({},{})", value.number(), self.texts.add(value.name())))
            .collect();
        let values = self.enum_values.extend(values);
        self.enums.push(format!("Enum{{values:{values}}}"));
    }

    fn finish(self) -> Result<String> {
        let roots = Array {
            rows: self
                .places
                .roots
                .iter()
                .map(|name| Ok(self.message_of(name)?.to_string()))
                .collect::<Result<_>>()?,
        };
        let mut out = String::new();
        writeln!(out, "pub(crate) const SLOTS: usize = {};", self.most_slots)?;
        writeln!(out, "pub(crate) static TEXT: &str = {:?};", self.texts.all)?;
        for (array, name, kind) in [
            (&self.messages, "MESSAGES", "Message"),
            (&self.fields, "FIELDS", "Field"),
            (&self.enums, "ENUMS", "Enum"),
            (&self.enum_values, "ENUM_VALUES", "EnumValue"),
            (&self.reached, "REACHED", "Reached"),
            (&self.slots, "SLOT_ROWS", "Slot"),
            (&self.place_rows, "PLACES", "Place"),
            (&self.rules, "RULES", "Rule"),
            (&self.numbers, "NUMBERS", "i32"),
            (&self.words, "WORDS", "Text"),
            (&roots, "ROOTS", "u16"),
        ] {
            out.push_str(&array.source(name, kind)?);
        }
        Ok(out)
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// The JSON name that a field name yields.
fn camel(name: &str) -> String {
    let mut upper = false;
    let mut out = String::new();
    for letter in name.chars() {
        if letter == '_' {
            upper = true;
        } else if upper {
            out.extend(letter.to_uppercase());
            upper = false;
        } else {
            out.push(letter);
        }
    }
    out
}
