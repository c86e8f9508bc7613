//! Where in a resource a walk is. Nothing is spelled out until somebody asks.

use std::fmt::Write;

use crate::schema::{Field, Label};
use crate::wire::{self, Fields};

/// A step from a message into one of its fields.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) parent: Option<&'a Step<'a>>,
    pub(super) field: &'static Field,
    /// The message that the field is in.
    pub(super) container: &'a [u8],
    /// Where in the container the field's occurrence ends.
    pub(super) end: usize,
    /// How many elements came before within the same occurrence, in a packed list.
    pub(super) packed: usize,
}

impl Step<'_> {
    /// The path to here. `element` asks for the index of this step's occurrence too.
    pub(super) fn render(&self, element: bool) -> String {
        let mut out = String::new();
        self.write(&mut out, element);
        out
    }

    fn write(&self, out: &mut String, element: bool) {
        if let Some(parent) = self.parent {
            parent.write(out, true);
        }
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(self.field.name());
        if !element {
            return;
        }
        match self.field.label {
            Label::Repeated => {
                let before = self.occurrences().count().saturating_sub(1);
                let _ = write!(out, "[{}]", before + self.packed);
            }
            Label::Map => {
                let key = self.entry().map(key_of).unwrap_or_default();
                let _ = write!(out, "[{key:?}]");
            }
            Label::Implicit | Label::Present => {}
        }
    }

    fn entry(&self) -> Option<&[u8]> {
        self.occurrences().last()
    }

    /// The occurrences of the field up to this one.
    fn occurrences(&self) -> impl Iterator<Item = &[u8]> {
        let number = self.field.number;
        let seen = self.container.get(..self.end).unwrap_or_default();
        Fields::of(seen).flatten().filter(move |(found, _)| *found == number).map(|(_, value)| {
            match value {
                wire::Value::Bytes(bytes) => bytes,
                _ => &[],
            }
        })
    }
}

/// The key of a map's entry, as text.
fn key_of(entry: &[u8]) -> String {
    let mut key = String::new();
    for (number, value) in Fields::of(entry).flatten() {
        match (number, value) {
            (1, wire::Value::Bytes(bytes)) => key = String::from_utf8_lossy(bytes).into_owned(),
            (1, wire::Value::Varint(value)) => key = value.to_string(),
            _ => {}
        }
    }
    key
}
