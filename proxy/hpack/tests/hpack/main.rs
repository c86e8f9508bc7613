//! The coder against the RFC, against others, and against the hostile.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod allocation;
mod encoding;
mod hostile;
mod huffman;
mod oracle;
mod rfc7541;
mod roundtrip;
mod support;
mod vectors;
