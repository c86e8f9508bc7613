//! Streams that this end has reset, and of which frames may still be on their way.

use std::collections::VecDeque;

/// How many are remembered one by one.
const REMEMBERED: usize = 256;

/// RFC 9113 §5.4.2: frames that the peer sent before it saw our RST_STREAM are no mistake.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    recent: VecDeque<u32>,
    /// The highest of those that are not remembered any more.
    forgotten: u32,
}

impl Ignored {
    pub(crate) fn add(&mut self, id: u32) {
        if self.recent.len() == REMEMBERED
            && let Some(oldest) = self.recent.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest);
        }
        self.recent.push_back(id);
    }

    /// Whether frames of this closed stream may be ignored. In doubt they may.
    pub(crate) fn holds(&self, id: u32) -> bool {
        id <= self.forgotten || self.recent.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_many_and_doubts_the_older_ones() {
        let mut ignored = Ignored::default();
        ignored.add(5);
        assert!(ignored.holds(5));
        assert!(!ignored.holds(3));
        for id in (7..).step_by(4).take(REMEMBERED) {
            ignored.add(id);
        }
        assert!(ignored.holds(5) && ignored.holds(3));
        assert!(!ignored.holds(9));
        assert!(ignored.recent.len() <= REMEMBERED);
    }
}
