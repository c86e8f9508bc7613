//! The client's side: one conversation with a server, over as many streams as it takes.
//!
//! [`Client`] is told what is wanted, what the server says, and what the caller thinks of it. It
//! answers with what to send, what to apply, what turned out to be missing, and when to connect.
//! What a server sends is handed over once, as the difference to what was accepted before; a
//! verdict on it is returned, and the acknowledgement follows from that. A resource that was
//! refused is never claimed to be held; its last good version is.

mod ask;
mod backoff;
mod decode;
mod lifetime;
mod machine;
mod preference;
mod status;
mod subscription;
mod wanted;

pub use backoff::Backoff;
pub use machine::{Action, Client, Delivery, Event, Settings, Upsert, Verdict};
pub use preference::{Preference, Retry};
pub use status::{Refusal, State, Status};
pub use wanted::{Patience, Wanted};

#[cfg(test)]
mod tests;
