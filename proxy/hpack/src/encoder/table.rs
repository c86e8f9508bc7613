//! The dynamic table of the sending side (RFC 7541 §2.3.2), found by hash.

use std::collections::VecDeque;

use http::HeaderName;

use crate::{
    FIELD_OVERHEAD, hash,
    known::{self, Known},
};

/// A name to be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name<'a> {
    Known(u8),
    Other(&'a HeaderName),
}

#[derive(Debug)]
enum OwnName {
    Known(u8),
    Other(HeaderName),
}

#[derive(Debug)]
struct Entry {
    name: OwnName,
    value: Box<[u8]>,
}

/// Where an entry may be.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u32,
    /// The entry's number, counted from 1 for the first of the connection.
    number: u32,
}

/// What was seen and is not in the table.
type Seen = u32;

/// Slots that a key may be at.
const WAYS: usize = 4;
/// Sets of slots that a table begins with: enough for the heads of most connections.
const FIRST_SETS: usize = 8;
/// Sets of slots at most: with [`WAYS`] of them more slots than the table holds of the smallest
/// entries.
const MOST_SETS: usize = 32;
/// Sets of what was seen and is not in the table.
const SEEN_SETS: usize = 16;
/// Entries that are made room for at once: a connection has ten
/// or twenty, so doubling would leave half of the room unused.
const STEP: usize = 4;

#[derive(Debug)]
pub(super) struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    slots: Vec<[Slot; WAYS]>,
    seen: Vec<[Seen; WAYS]>,
    /// Entries that were ever inserted.
    inserted: u32,
    size: usize,
    capacity: usize,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            slots: Vec::new(),
            seen: Vec::new(),
            inserted: 0,
            size: 0,
            capacity,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Where the field is, counted from 0 for the newest.
    #[inline]
    pub(super) fn find(&self, name: Name<'_>, value: &[u8]) -> Option<usize> {
        self.at(name.key_with(value), |entry| entry.name.is(name) && *entry.value == *value)
    }

    /// Where a field of this name is.
    pub(super) fn find_name(&self, name: Name<'_>) -> Option<usize> {
        self.at(name.key(), |entry| entry.name.is(name))
    }

    #[inline]
    fn at(&self, key: u64, is: impl Fn(&Entry) -> bool) -> Option<usize> {
        let (set, key) = place(key, self.slots.len());
        self.slots.get(set)?.iter().filter(|slot| slot.key == key).find_map(|slot| {
            let age = self.inserted.wrapping_sub(slot.number) as usize;
            self.entries.get(age).filter(|entry| is(entry)).map(|_| age)
        })
    }

    /// Whether the field should be inserted: it came before, not long ago, and leaves room for others.
    pub(super) fn worth(&mut self, name: Name<'_>, value: &[u8]) -> bool {
        self.suits(name, value) && self.seen(hash::whole(name.key(), value))
    }

    /// Whether the field should be inserted for its name: fields of this name came before.
    pub(super) fn familiar(&mut self, name: Name<'_>, value: &[u8]) -> bool {
        self.suits(name, value) && self.seen(name.key())
    }

    fn suits(&self, name: Name<'_>, value: &[u8]) -> bool {
        size_of_field(name, value) <= self.capacity / 4
    }

    /// Whether this was seen among the last few of its set. It is the latest of them now.
    fn seen(&mut self, key: u64) -> bool {
        if self.seen.is_empty() {
            self.seen = vec![[0; WAYS]; SEEN_SETS];
        }
        let (set, key) = place(key, self.seen.len());
        let Some(set) = self.seen.get_mut(set) else { return false };
        let found = set.iter().position(|seen| *seen == key);
        set[..=found.unwrap_or(WAYS - 1)].rotate_right(1);
        set[0] = key;
        found.is_some()
    }

    pub(super) fn insert(&mut self, name: Name<'_>, value: &[u8]) {
        let size = size_of_field(name, value);
        self.evict(self.capacity.saturating_sub(size));
        self.size += size;
        self.inserted = self.inserted.wrapping_add(1);
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(STEP);
        }
        self.entries.push_front(Entry { name: name.to_owned(), value: value.into() });
        // An entry may stand in two slots.
        if self.entries.len() * 2 > self.slots.len() * WAYS && self.slots.len() < MOST_SETS {
            self.grow();
        } else {
            self.remember_both(name, value, self.inserted);
        }
    }

    /// Makes room for the slots of more entries.
    #[cold]
    fn grow(&mut self) {
        let sets = (self.slots.len() * 2).max(FIRST_SETS);
        self.slots = vec![[Slot::default(); WAYS]; sets];
        let entries = std::mem::take(&mut self.entries);
        let first = self.inserted.wrapping_sub(u32::try_from(entries.len()).unwrap_or_default());
        let mut number = first;
        for entry in entries.iter().rev() {
            number = number.wrapping_add(1);
            self.remember_both(entry.name.get(), &entry.value, number);
        }
        self.entries = entries;
    }

    fn remember_both(&mut self, name: Name<'_>, value: &[u8], number: u32) {
        self.remember(name.key_with(value), number);
        if name.index() == 0 {
            self.remember(name.key(), number);
        }
    }

    /// Notes the newest entry under its key, in the place of one that is gone, or of the oldest.
    fn remember(&mut self, key: u64, number: u32) {
        let (set, key) = place(key, self.slots.len());
        let Some(set) = self.slots.get_mut(set) else { return };
        let same = set.iter().position(|slot| slot.key == key);
        let oldest = || (0..WAYS).max_by_key(|way| number.wrapping_sub(set[*way].number));
        if let Some(way) = same.or_else(oldest) {
            set[way] = Slot { key, number };
        }
    }

    pub(super) fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.evict(capacity);
    }

    /// Gives back all memory; the table must be empty.
    pub(super) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        self.slots = Vec::new();
        self.seen = Vec::new();
    }

    fn evict(&mut self, size: usize) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_back() else { break };
            self.size -= size_of_field(oldest.name.get(), &oldest.value);
        }
    }
}

impl<'a> Name<'a> {
    pub(super) fn as_str(self) -> &'a str {
        match self {
            Self::Known(id) => known::get(id).map_or("", Known::text),
            Self::Other(name) => name.as_str(),
        }
    }

    /// Where the static table has it; 0 when it does not.
    #[inline]
    pub(super) fn index(self) -> usize {
        match self {
            Self::Known(id) => known::get(id).map_or(0, |known| usize::from(known.index)),
            Self::Other(_) => 0,
        }
    }

    #[inline]
    fn key(self) -> u64 {
        match self {
            Self::Known(id) => hash::join(u64::from(id), 0),
            Self::Other(name) => hash::ends(name.as_str().as_bytes()),
        }
    }

    #[inline]
    fn key_with(self, value: &[u8]) -> u64 {
        hash::join(hash::ends(value), self.key())
    }

    fn to_owned(self) -> OwnName {
        match self {
            Self::Known(id) => OwnName::Known(id),
            Self::Other(name) => OwnName::Other(name.clone()),
        }
    }
}

impl OwnName {
    fn get(&self) -> Name<'_> {
        match self {
            Self::Known(id) => Name::Known(*id),
            Self::Other(name) => Name::Other(name),
        }
    }

    #[inline]
    fn is(&self, name: Name<'_>) -> bool {
        match (self, name) {
            (Self::Known(one), Name::Known(other)) => *one == other,
            (Self::Other(one), Name::Other(other)) => one == other,
            _ => false,
        }
    }
}

/// Size as RFC 7541 §4.1 counts it.
fn size_of_field(name: Name<'_>, value: &[u8]) -> usize {
    name.as_str().len() + value.len() + FIELD_OVERHEAD
}

/// Which of `sets` sets of slots, and what tells keys of the set apart.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "any 32 bits of a hash will do")]
fn place(key: u64, sets: usize) -> (usize, u32) {
    // There are none, or a power of two.
    ((key >> 32) as usize & sets.wrapping_sub(1), key as u32)
}
