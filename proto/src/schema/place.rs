//! What the field table and the validation rules say of messages and fields.

use super::{MESSAGES, Message, NUMBERS, RULES, SLOT_ROWS, Span, Text, WORDS};

/// What becomes of a field that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It takes effect.
    Honour,
    /// It has no effect, and by its nature that harms nobody.
    Noop,
    /// It has no effect, which is said in the log and in the metrics.
    Warn,
    /// The resource is refused.
    Nack,
}

/// What check knows of a message that is within reach of a root.
pub(crate) struct Reached {
    pub(crate) full: bool,
    pub(crate) unknown: Verdict,
    slots: Span,
}

/// Something whose occurrences in a message are counted: a field or a oneof.
pub(crate) struct Slot {
    name: Text,
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) supported: u32,
    absence: Text,
    pub(crate) support_only: bool,
}

/// What check knows of a field that is within reach of a root.
pub(crate) struct Place {
    pub(crate) verdict: Verdict,
    pub(crate) listed: bool,
    note: Text,
    rules: Span,
    key_rules: Span,
    pub(crate) unique: bool,
    /// One more than the index, so that 0 is none; `unless` likewise.
    slot: u8,
    values: Span,
    types: Span,
    pub(crate) others: Verdict,
    pub(crate) optional_by: u32,
    unless: u64,
}

/// What one value must be, after protoc-gen-validate.
#[allow(dead_code, reason = "which of the rules are within reach is for the table to say")]
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    IgnoreEmpty,
    BoolIs(bool),
    UintAtLeast(u64),
    UintAtMost(u64),
    IntAtLeast(i64),
    IntAtMost(i64),
    FloatAtLeast(f64),
    FloatAbove(f64),
    FloatAtMost(f64),
    FloatBelow(f64),
    DurationAtLeast(i64, i32),
    DurationAbove(i64, i32),
    DurationAtMost(i64, i32),
    DurationBelow(i64, i32),
    CharsAtLeast(u32),
    CharsAtMost(u32),
    BytesAtLeast(u32),
    BytesAtMost(u32),
    Prefix(Text),
    Suffix(Text),
    OneOf(Span),
    HeaderName,
    HeaderValue,
    HeaderLoose,
    PathSeparatedPrefix,
    Defined,
    NotIn(Span),
}

impl Reached {
    pub(crate) fn slots(&self) -> &'static [Slot] {
        self.slots.of(&SLOT_ROWS)
    }
}

impl Slot {
    pub(crate) fn name(&self) -> &'static str {
        self.name.get()
    }

    pub(crate) fn absence(&self) -> &'static str {
        self.absence.get()
    }
}

impl Place {
    pub(crate) fn note(&self) -> &'static str {
        self.note.get()
    }

    pub(crate) fn rules(&self) -> &'static [Rule] {
        self.rules.of(&RULES)
    }

    pub(crate) fn key_rules(&self) -> &'static [Rule] {
        self.key_rules.of(&RULES)
    }

    pub(crate) fn slot(&self) -> Option<usize> {
        usize::from(self.slot).checked_sub(1)
    }

    /// The enum numbers honoured; empty for all.
    pub(crate) fn values(&self) -> &'static [i32] {
        self.values.of(&NUMBERS)
    }

    pub(crate) fn has_types(&self) -> bool {
        !self.types.is_empty()
    }

    /// The types honoured in the `Any` here.
    pub(crate) fn types(&self) -> impl Iterator<Item = &'static Message> + Clone {
        let indices = self.types.of(&NUMBERS).iter();
        indices.filter_map(|index| MESSAGES.get(usize::try_from(*index).ok()?))
    }

    /// The value, as a number, that means what happens anyway.
    pub(crate) fn unless(&self) -> Option<u64> {
        self.unless.checked_sub(1)
    }
}

impl Rule {
    pub(crate) fn words(words: Span) -> impl Iterator<Item = &'static str> + Clone {
        words.of(&WORDS).iter().map(|word| word.get())
    }

    pub(crate) fn numbers(numbers: Span) -> &'static [i32] {
        numbers.of(&NUMBERS)
    }
}

// Names under which the generated arrays stay short.

pub(super) const H: Verdict = Verdict::Honour;
pub(super) const N: Verdict = Verdict::Noop;
pub(super) const W: Verdict = Verdict::Warn;
pub(super) const X: Verdict = Verdict::Nack;

pub(super) const fn o(
    name: Text,
    min: u32,
    max: u32,
    supported: u32,
    absence: Text,
    support_only: bool,
) -> Slot {
    Slot { name, min, max, supported, absence, support_only }
}

pub(super) const fn r(full: bool, unknown: Verdict, slots: Span) -> Reached {
    Reached { full, unknown, slots }
}

#[expect(clippy::too_many_arguments, reason = "only generated code calls it")]
pub(super) const fn p(
    verdict: Verdict,
    listed: bool,
    note: Text,
    rules: Span,
    key_rules: Span,
    unique: bool,
    slot: u8,
    values: Span,
    types: Span,
    others: Verdict,
    optional_by: u32,
    unless: u64,
) -> Place {
    Place {
        verdict,
        listed,
        note,
        rules,
        key_rules,
        unique,
        slot,
        values,
        types,
        others,
        optional_by,
        unless,
    }
}
