//! What an input made its target do, short enough to compare: inputs that made it do
//! something new are worth mutating further.
//!
//! This stands in for the coverage that a compiler would have to count. What a parser says of
//! an input (which refusal, at which path, with what shape of result) tells its branches
//! apart well enough, and needs no build of its own.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A digest of a behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Behaviour(u64);

impl Behaviour {
    /// Of anything that can be hashed.
    pub(crate) fn of(value: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// Of words, leaving out what repeats the input: digits, and what stands in quotes.
    pub(crate) fn of_words(words: &str) -> Self {
        let mut quoted = false;
        let kept = words.chars().filter(|c| {
            quoted ^= matches!(c, '"' | '`');
            !quoted && !c.is_ascii_digit()
        });
        Self::of(kept.take(400).collect::<String>())
    }
}
