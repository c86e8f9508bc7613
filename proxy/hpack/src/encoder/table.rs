//! The dynamic table of the sending side (RFC 7541 §2.3.2), found by hash.

use std::collections::VecDeque;

use http::HeaderName;

use crate::{FIELD_OVERHEAD, hash, known};

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
    size: usize,
}

/// Where an entry may be.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u32,
    /// The entry's number, counted from 1 for the first of the connection.
    number: u32,
}

/// Slots that a key may be at.
const WAYS: usize = 4;
/// Sets of slots: with [`WAYS`] of them as many slots as the table could hold of the smallest entries.
const SETS: usize = 32;
/// Fields that were seen and are not in the table, roughly.
const SEEN: usize = 64;

#[derive(Debug)]
pub(super) struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    slots: Vec<[Slot; WAYS]>,
    seen: Vec<u32>,
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
    pub(super) fn find(&self, key: u64, name: Name<'_>, value: &[u8]) -> Option<usize> {
        let (set, key) = place(key);
        self.slots.get(set)?.iter().filter(|slot| slot.key == key).find_map(|slot| {
            let age = self.inserted.wrapping_sub(slot.number) as usize;
            let entry = self.entries.get(age)?;
            (entry.name.is(name) && *entry.value == *value).then_some(age)
        })
    }

    /// Whether the field should be inserted: it came before, not long ago, and leaves room for others.
    pub(super) fn worth(&mut self, name: Name<'_>, value: &[u8]) -> bool {
        if size(name, value) > self.capacity / 4 {
            return false;
        }
        if self.seen.is_empty() {
            self.seen.resize(SEEN, 0);
        }
        let (place, key) = place(hash::whole(name.hash(), value));
        let Some(seen) = self.seen.get_mut(place % SEEN) else { return false };
        std::mem::replace(seen, key) == key
    }

    pub(super) fn insert(&mut self, key: u64, name: Name<'_>, value: &[u8]) {
        let size = size(name, value);
        self.evict(self.capacity.saturating_sub(size));
        self.size += size;
        self.inserted = self.inserted.wrapping_add(1);
        self.entries.push_front(Entry { name: name.to_owned(), value: value.into(), size });
        self.remember(key);
    }

    /// Notes the newest entry under its key, in the place of one that is gone, or of the oldest.
    fn remember(&mut self, key: u64) {
        if self.slots.is_empty() {
            self.slots.resize(SETS, [Slot::default(); WAYS]);
        }
        let (set, key) = place(key);
        let number = self.inserted;
        let oldest = self
            .slots
            .get_mut(set)
            .and_then(|set| set.iter_mut().max_by_key(|slot| number.wrapping_sub(slot.number)));
        if let Some(slot) = oldest {
            *slot = Slot { key, number };
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
            self.size -= oldest.size;
        }
    }
}

impl Name<'_> {
    #[inline]
    pub(super) fn hash(self) -> u64 {
        match self {
            Self::Known(id) => u64::from(id),
            Self::Other(name) => hash::ends(name.as_str().as_bytes()),
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Known(id) => known::get(id).map_or(0, |known| known.text().len()),
            Self::Other(name) => name.as_str().len(),
        }
    }

    fn to_owned(self) -> OwnName {
        match self {
            Self::Known(id) => OwnName::Known(id),
            Self::Other(name) => OwnName::Other(name.clone()),
        }
    }
}

impl OwnName {
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
fn size(name: Name<'_>, value: &[u8]) -> usize {
    name.length() + value.len() + FIELD_OVERHEAD
}

/// A set of slots, and what tells keys of the set apart.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "any 32 bits of a hash will do")]
fn place(key: u64) -> (usize, u32) {
    ((key >> 32) as usize % SETS, key as u32)
}
