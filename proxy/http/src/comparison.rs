//! Whether the answer to a copy of a request is like the one that the client gets.
//!
//! Nothing of an answer is kept but what is compared: hashes, and the values of fields that may be
//! shown. Neither answer waits for the other; whichever ends last is the moment of the comparison.

mod answer;
mod pair;

pub(crate) use self::pair::{Asked, Witness, compare};
