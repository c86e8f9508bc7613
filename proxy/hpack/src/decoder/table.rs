//! The dynamic table of the receiving side (RFC 7541 §2.3.2, §4).

use std::collections::VecDeque;

use crate::Field;

/// Entries that are made room for at once: a connection has ten or twenty, so doubling would leave
/// half of the room unused.
const STEP: usize = 4;

/// A field as a table holds it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) field: Field,
    /// Length of the name, which a malformed field no longer has.
    pub(crate) name: usize,
    /// Size as RFC 7541 §4.1 counts it.
    pub(crate) size: usize,
}

#[derive(Debug)]
pub(super) struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    size: usize,
    capacity: usize,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, capacity }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry at `index`, counted from 0 for the newest.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// Adds an entry. One larger than the whole table empties it and is not kept (§4.4).
    pub(super) fn insert(&mut self, entry: Entry) {
        self.evict(self.capacity.saturating_sub(entry.size));
        if entry.size <= self.capacity {
            self.size += entry.size;
            if self.entries.len() == self.entries.capacity() {
                self.entries.reserve_exact(STEP);
            }
            self.entries.push_front(entry);
        }
    }

    pub(super) fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.evict(capacity);
    }

    pub(super) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// Drops the oldest entries until the rest takes no more than `size`.
    fn evict(&mut self, size: usize) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_back() else { break };
            self.size -= oldest.size;
        }
    }
}
