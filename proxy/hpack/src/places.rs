//! Finding a text among a few that are known when this crate is built: one hash, one comparison.

use crate::hash;

/// A slot for no text.
const NONE: u8 = u8::MAX;

/// Which of the texts may be where, under a hash by which no two meet.
pub(crate) struct Places<const SLOTS: usize> {
    factor: u64,
    ids: [u8; SLOTS],
}

impl<const SLOTS: usize> Places<SLOTS> {
    /// Finds the hash, beginning at `factor`. Any odd number will do when the texts change, but one that
    /// fits, or nearly, keeps builds quick.
    pub(crate) const fn find(texts: &[&str], mut factor: u64) -> Self {
        assert!(SLOTS.is_power_of_two() && texts.len() < NONE as usize);
        loop {
            if let Some(ids) = Self::ids(texts, factor) {
                return Self { factor, ids };
            }
            factor = factor.wrapping_add(2);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "there are less texts than NONE")]
    const fn ids(texts: &[&str], factor: u64) -> Option<[u8; SLOTS]> {
        let mut ids = [NONE; SLOTS];
        let mut id = 0;
        while id < texts.len() {
            let slot = Self::slot(texts[id].as_bytes(), factor);
            if ids[slot] != NONE {
                return None;
            }
            ids[slot] = id as u8;
            id += 1;
        }
        Some(ids)
    }

    /// The number of the one text that `text` can be; no number there is when it is none.
    #[inline]
    pub(crate) fn id(&self, text: &[u8]) -> u8 {
        self.ids.get(Self::slot(text, self.factor)).copied().unwrap_or(NONE)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "what is left is less than SLOTS")]
    const fn slot(text: &[u8], factor: u64) -> usize {
        (hash::ends(text).wrapping_mul(factor) >> (u64::BITS - SLOTS.ilog2())) as usize
    }
}
