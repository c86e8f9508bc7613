//! The walk over an encoded resource.

use super::leaf::{duration, flag, is_default, is_harmless, wrapped};
use super::path::Step;
use super::rule::{self, Plain};
use super::{Finding, MAX_FINDINGS, Verdict, reason};
use crate::schema::{Field, Kind, Label, Message, Place, Reached, SLOTS, Special};
use crate::type_url::message_name;
use crate::wire::{self, Fields, Value};

/// Levels of nesting, as many as prost decodes.
const MAX_DEPTH: usize = 100;

/// Everything that is to be said of the resource.
pub(super) fn findings(message: &'static Message, bytes: &[u8]) -> Vec<Finding> {
    let mut walk = Walk { findings: Vec::new() };
    walk.message(message, bytes, Scope { step: None, full: true, depth: 0, types: None });
    walk.findings
}

struct Walk {
    findings: Vec<Finding>,
}

/// Where a message stands.
#[derive(Clone, Copy)]
struct Scope<'a> {
    /// How one came here; `None` at the top.
    step: Option<&'a Step<'a>>,
    /// Whether what is here takes effect. Below a field that does not, only soundness
    /// matters.
    full: bool,
    depth: usize,
    /// The field above that says which types an `Any` here may hold.
    types: Option<&'static Place>,
}

impl Scope<'_> {
    fn path(&self) -> String {
        self.step.map(|step| step.render(true)).unwrap_or_default()
    }

    fn path_of(&self, name: &str) -> String {
        match self.path() {
            path if path.is_empty() => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }
}

/// A field as met in a message.
#[derive(Clone, Copy)]
struct Met<'a> {
    step: &'a Step<'a>,
    place: &'static Place,
    full: bool,
    scope: Scope<'a>,
}

impl Walk {
    fn report(&mut self, path: String, verdict: Verdict, reason: String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { path, verdict, reason });
        }
    }

    fn refuse(&mut self, step: &Step<'_>, reason: impl Into<String>) {
        self.report(step.render(true), Verdict::Nack, reason.into());
    }

    fn message(&mut self, message: &'static Message, bytes: &[u8], scope: Scope<'_>) {
        let Some(reached) = message.reached() else { return };
        if scope.depth > MAX_DEPTH {
            return self.report(scope.path(), Verdict::Nack, "is nested too deeply".into());
        }
        let mut counts = [0_u32; SLOTS];
        let mut seen = 0_u128;
        let mut fields = Fields::of(bytes);
        while let Some(found) = fields.next() {
            if self.findings.len() >= MAX_FINDINGS {
                return;
            }
            let Ok((number, value)) = found else {
                return self.report(scope.path(), Verdict::Nack, "is no encoded message".into());
            };
            let Some((position, field)) = message.position(number) else {
                if scope.full {
                    self.unknown(message, reached, number, scope);
                }
                continue;
            };
            let Some(place) = field.place() else { continue };
            let step = Step {
                parent: scope.step,
                field,
                container: bytes,
                end: fields.position(),
                packed: 0,
            };
            let bit = 1_u128.checked_shl(u32::try_from(position).unwrap_or(u32::MAX));
            let first = bit.is_some_and(|bit| seen & bit == 0);
            seen |= bit.unwrap_or_default();
            let met = Met { step: &step, place, full: scope.full, scope };
            let elements = self.field(message, met, value, first);
            if let Some(count) = place.slot().and_then(|slot| counts.get_mut(slot)) {
                *count = count.saturating_add(elements);
            }
        }
        self.close(reached, &counts, scope);
    }

    fn unknown(&mut self, message: &Message, reached: &Reached, number: u32, scope: Scope<'_>) {
        let reason = format!(
            "field {number} of {} is newer than what this was built with, and not supported",
            message.name()
        );
        self.report(scope.path(), reached.unknown, reason);
    }

    /// What must be there and is not, and what is there too often.
    fn close(&mut self, reached: &Reached, counts: &[u32; SLOTS], scope: Scope<'_>) {
        for (slot, &count) in reached.slots().iter().zip(counts) {
            if count < slot.min && (scope.full || !slot.support_only) {
                let path = scope.path_of(slot.name());
                self.report(path, Verdict::Nack, slot.absence().to_owned());
            }
            if count > slot.max {
                let reason = format!("must have at most {} elements, has {count}", slot.max);
                self.report(scope.path_of(slot.name()), Verdict::Nack, reason);
            } else if count > slot.supported && scope.full {
                let reason = format!(
                    "has {count} elements, which is not supported; supported: {}",
                    slot.supported
                );
                self.report(scope.path_of(slot.name()), Verdict::Nack, reason);
            }
        }
    }

    /// Takes one occurrence of a field and returns how many elements it holds.
    fn field(
        &mut self,
        message: &'static Message,
        mut met: Met<'_>,
        value: Value<'_>,
        first: bool,
    ) -> u32 {
        let (field, place) = (met.step.field, met.place);
        if field.label == Label::Implicit && is_default(field, value) {
            return 0; // the same as absent
        }
        if met.full && place.verdict != Verdict::Honour {
            met.full = false;
            let optional = flag(met.step.container, place.optional_by);
            let verdict = if optional { Verdict::Warn } else { place.verdict };
            let complains = place.verdict != Verdict::Noop && !is_harmless(field, place, value);
            if complains && first {
                let reason = reason::unsupported(message, field, place, value);
                self.report(met.step.render(false), verdict, reason);
            }
            if place.verdict == Verdict::Nack {
                return 1;
            }
        }
        if place.unique && first {
            self.unique(met.step);
        }
        match (field.label, value) {
            (Label::Repeated, Value::Bytes(packed)) if field.kind.is_packable() => {
                return self.packed(met, packed);
            }
            (Label::Map, Value::Bytes(entry)) => self.entry(met, entry),
            (Label::Map, _) => self.refuse(met.step, "is no encoded map"),
            _ => self.value(met, field, value),
        }
        1
    }

    fn packed(&mut self, met: Met<'_>, mut rest: &[u8]) -> u32 {
        let mut elements = 0_u32;
        while !rest.is_empty() && self.findings.len() < MAX_FINDINGS {
            let Ok(value) = wire::packed(&mut rest, met.step.field.kind) else {
                self.refuse(met.step, "is no encoded list");
                break;
            };
            let step = Step { packed: elements as usize, ..*met.step };
            self.value(Met { step: &step, ..met }, step.field, value);
            elements = elements.saturating_add(1);
        }
        elements
    }

    fn entry(&mut self, met: Met<'_>, entry: &[u8]) {
        let Some(pair) = met.step.field.message() else { return };
        let (Some(key_field), Some(value_field)) = (pair.field(1), pair.field(2)) else { return };
        let mut key =
            if key_field.kind == Kind::String { Value::Bytes(&[]) } else { Value::Varint(0) };
        let mut value = None;
        for found in Fields::of(entry) {
            match found {
                Ok((1, found)) => key = found,
                Ok((2, found)) => value = Some(found),
                Ok(_) => {}
                Err(_) => return self.refuse(met.step, "is no encoded map"),
            }
        }
        match rule::plain(key_field.kind, key) {
            Some(key) => {
                if let Some(broken) = rule::broken(met.place.key_rules(), key, key_field) {
                    let reason = format!("its key {}", rule::explain(broken, key_field));
                    self.refuse(met.step, reason);
                }
            }
            None => self.refuse(met.step, "has a malformed key"),
        }
        let value = match (value, value_field.kind) {
            (Some(value), _) => value,
            (None, Kind::String | Kind::Bytes | Kind::Message) => Value::Bytes(&[]),
            (None, Kind::Double | Kind::Fixed64 | Kind::Sfixed64) => Value::Fixed64(0),
            (None, Kind::Float | Kind::Fixed32 | Kind::Sfixed32) => Value::Fixed32(0),
            (None, _) => Value::Varint(0),
        };
        self.value(met, value_field, value);
    }

    /// Takes one value of a field, of a list or of a map.
    fn value(&mut self, met: Met<'_>, field: &'static Field, value: Value<'_>) {
        match (field.message(), value) {
            (Some(message), Value::Bytes(bytes)) => self.nested(met, message, bytes),
            (Some(_), _) => self.refuse(met.step, "is no encoded message"),
            (None, value) => match rule::plain(field.kind, value) {
                Some(plain) => {
                    if let (Plain::Enum(number), true) = (plain, met.full) {
                        self.enumeration(met, field, number);
                    }
                    self.rules(met, plain, field);
                }
                None if field.kind == Kind::String && matches!(value, Value::Bytes(_)) => {
                    self.refuse(met.step, "is not UTF-8");
                }
                None => self.refuse(met.step, "is malformed"),
            },
        }
    }

    fn rules(&mut self, met: Met<'_>, value: Plain<'_>, field: &Field) {
        if let Some(broken) = rule::broken(met.place.rules(), value, field) {
            self.refuse(met.step, rule::explain(broken, field));
        }
    }

    fn enumeration(&mut self, met: Met<'_>, field: &Field, number: i32) {
        let Some(kind) = field.enumeration() else { return };
        let honoured = met.place.values();
        let value = kind.value(number);
        if value.is_some() && (honoured.is_empty() || honoured.contains(&number)) {
            return;
        }
        self.refuse(met.step, reason::value(kind, number, honoured));
    }

    fn nested(&mut self, met: Met<'_>, message: &'static Message, bytes: &[u8]) {
        match message.special {
            Special::None => {
                let types = met.place.has_types().then_some(met.place);
                self.message(
                    message,
                    bytes,
                    Scope {
                        step: Some(met.step),
                        full: met.full,
                        depth: met.scope.depth + 1,
                        types,
                    },
                );
            }
            Special::Any => self.any(met, bytes),
            Special::Duration => match duration(bytes) {
                Some((seconds, nanos)) => {
                    self.rules(met, Plain::Duration(seconds, nanos), met.step.field);
                }
                None => self.refuse(met.step, "is no duration within ±10,000 years"),
            },
            Special::Wrapper => {
                let Some(inner) = message.field(1) else { return };
                match wrapped(inner, bytes) {
                    Some(value) => self.rules(met, value, inner),
                    None => self.refuse(met.step, "is malformed"),
                }
            }
            Special::Timestamp | Special::Struct | Special::Value | Special::List => {} // free in form
        }
    }

    fn any(&mut self, met: Met<'_>, bytes: &[u8]) {
        let (mut type_url, mut content): (&[u8], &[u8]) = (&[], &[]);
        for found in Fields::of(bytes) {
            match found {
                Ok((1, Value::Bytes(bytes))) => type_url = bytes,
                Ok((2, Value::Bytes(bytes))) => content = bytes,
                Ok((3.., _)) => {}
                _ => return self.refuse(met.step, "is no encoded Any"),
            }
        }
        let Ok(type_url) = std::str::from_utf8(type_url) else {
            return self.refuse(met.step, "has a type URL that is not UTF-8");
        };
        let name = message_name(type_url);
        let below =
            Scope { step: Some(met.step), full: met.full, depth: met.scope.depth + 1, types: None };
        if !met.full {
            if let Some(message) = Message::find(name) {
                self.message(message, content, below);
            }
            return;
        }
        let source = if met.place.has_types() { Some(met.place) } else { met.scope.types };
        let honoured = source.into_iter().flat_map(Place::types);
        match honoured.clone().find(|message| message.name() == name) {
            Some(message) => self.message(message, content, below),
            // It says nothing. Who needs a message there says so when it is read.
            None if bytes.is_empty() => {}
            None => {
                let optional = flag(met.step.container, met.place.optional_by);
                let others = source.map_or(Verdict::Nack, |place| place.others);
                let verdict = if optional { Verdict::Warn } else { others };
                let supported = honoured.map(Message::name).collect::<Vec<_>>().join(", ");
                let reason = format!("`{name}` is not supported; supported: {supported}");
                self.report(met.step.render(true), verdict, reason);
            }
        }
    }

    /// Refuses a list that has an element twice.
    fn unique(&mut self, step: &Step<'_>) {
        let number = step.field.number;
        let mut elements = Vec::new();
        for (_, value) in Fields::of(step.container).flatten().filter(|(found, _)| *found == number)
        {
            match value {
                Value::Bytes(mut rest) if step.field.kind.is_packable() => {
                    while !rest.is_empty() {
                        let Ok(element) = wire::packed(&mut rest, step.field.kind) else {
                            return; // reported as malformed
                        };
                        elements.push(element);
                    }
                }
                value => elements.push(value),
            }
        }
        elements.sort_unstable();
        if elements.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            let reason = "must not have an element twice".to_owned();
            self.report(step.render(false), Verdict::Nack, reason);
        }
    }
}
