//! What becomes of a request, and why: asked of the tables that decide it.
//!
//! Nothing here decides anything. A request is looked up in the tables by the code that serves, and
//! what was found is put into words: which route takes it, what the others of its host ask that it
//! does not have, what holds for it, and where it may go.

mod conditions;
mod destination;
mod found;
mod pick;
mod policy;
mod tried;
mod words;

pub use conditions::texts;
pub use destination::{Destination, Endpoint, carried, destinations};
pub use found::{Explanation, Other, Question, Rule, explain};
pub use pick::Pick;
pub use policy::{Limit, limits};
pub use tried::{Tried, tried};
