//! Names of clusters: looked up when it is time, by name servers or the system.
//!
//! [`Schedule`] knows when each name is to be looked up and does nothing itself; time and
//! randomness are arguments. [`lookup`] asks. The packets are those of `hickory-resolver`, which
//! also reads `resolv.conf` and the hosts file, follows aliases, and tries search domains. What it
//! is told is read anew for each lookup and nothing is cached here: when an answer is out of date
//! is the business of the schedule alone.

mod lookup;
mod resolver;
mod schedule;

pub use lookup::{Found, LookupError, lookup};
pub use schedule::{Ended, Schedule};
