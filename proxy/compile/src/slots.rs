//! Numbers for names.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

/// Gives every name a number, counted from 0.
///
/// A number is never given to another name, also when its resource is gone: routes of a draining
/// listener may still carry it, and must find nothing rather than something else. A name that is
/// forgotten costs its text and some 50 bytes for the life of the process.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    by_name: SharedNames,
}

/// The numbers of names, as of some moment.
pub(crate) type SharedNames = Arc<HashMap<Arc<str>, u32, RandomState>>;

impl Slots {
    /// The name's number, if it has one.
    pub(crate) fn get(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The name's number.
    pub(crate) fn of(&mut self, name: &Arc<str>) -> u32 {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        // Four billion names do not fit into memory.
        let next = u32::try_from(self.by_name.len()).unwrap_or(u32::MAX);
        // Copied only when the names of before are in use, which is once for each publication.
        Arc::make_mut(&mut self.by_name).insert(Arc::clone(name), next);
        next
    }

    /// All numbers given so far.
    pub(crate) fn shared(&self) -> SharedNames {
        Arc::clone(&self.by_name)
    }
}

/// Puts a value at a number, with room up to it.
pub(crate) fn put<T: Clone>(slots: &mut Vec<Option<T>>, at: u32, value: Option<T>) {
    let at = at as usize;
    if slots.len() <= at {
        slots.resize(at + 1, None);
    }
    if let Some(slot) = slots.get_mut(at) {
        *slot = value;
    }
}
