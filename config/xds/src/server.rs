//! The server's side: one machine for each stream that a client opened.
//!
//! [`Stream`] is told what the client says and what it is to be offered ([`Snapshot`]), and answers
//! with what to send. It sends what changed and nothing else, referred-to before referring, and
//! takes away only what nobody needs any more.
//!
//! [`Snapshot`]: crate::Snapshot

mod ask;
mod compose;
mod interest;
mod knowledge;
mod memory;
mod order;
mod refusal;
mod standing;
mod stream;
mod track;

pub use memory::Refusals;
pub use standing::{Refusal, Standing, State};
pub use stream::{Actions, Event, Ignored, Note, Scope, Stream, Timing};

#[cfg(test)]
mod tests;
