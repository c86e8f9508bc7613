//! What a rate limit service is asked, and what it answers (`envoy.service.ratelimit.v3`), as the
//! messages of a gRPC call. Pure: who calls, and over what, is somebody else's business.

mod answer;
mod left;
mod question;
mod wire;

pub use answer::{Answer, Verdict};
pub use left::{Left, Policy};
pub use question::{Descriptor, Hits, Override, Question, Unit};
pub use wire::{Malformed, PATH};
