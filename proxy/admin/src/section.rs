//! The parts of a configuration dump, as lists that are made while they are written.

use std::cell::RefCell;

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::Value;
use weft_compile::ResourceDump;

/// One member of `configs`. Its lists are made while they are written.
pub(crate) struct Section<'a> {
    kind: &'static str,
    pub(crate) version: Option<&'a str>,
    pub(crate) lists: Vec<(&'static str, Part<'a>)>,
}

pub(crate) enum Part<'a> {
    One(Box<dyn Fn() -> Value + 'a>),
    Many(Box<dyn Fn() -> Values<'a> + 'a>),
}

type Values<'a> = Box<dyn Iterator<Item = Value> + 'a>;

impl<'a> Section<'a> {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind, version: None, lists: Vec::new() }
    }

    /// Adds a list of what `show` makes of some resources; left out where that is nothing.
    pub(crate) fn list(
        &mut self,
        name: &'static str,
        resources: impl Iterator<Item = &'a ResourceDump>,
        show: impl Fn(&'a ResourceDump) -> Option<Value> + Copy + 'a,
    ) {
        let resources: Vec<&ResourceDump> = resources.collect();
        let values =
            move || -> Values<'a> { Box::new(resources.clone().into_iter().filter_map(show)) };
        self.lists.push((name, Part::Many(Box::new(values))));
    }
}

impl Serialize for Section<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("@type", &format!("type.googleapis.com/envoy.admin.v3.{}", self.kind))?;
        if let Some(version) = self.version {
            map.serialize_entry("version_info", version)?;
        }
        for (name, part) in &self.lists {
            match part {
                Part::One(value) => map.serialize_entry(name, &value())?,
                Part::Many(values) => {
                    let mut values = values().peekable();
                    if values.peek().is_some() {
                        map.serialize_entry(name, &Sequence(RefCell::new(values)))?;
                    }
                }
            }
        }
        map.end()
    }
}

/// Values that are made while they are written.
struct Sequence<I>(RefCell<I>);

impl<I: Iterator<Item = Value>> Serialize for Sequence<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(None)?;
        for value in &mut *self.0.borrow_mut() {
            sequence.serialize_element(&value)?;
        }
        sequence.end()
    }
}
