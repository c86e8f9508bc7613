//! The walls between crates, and other rules that a reviewer would otherwise have to remember.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod edges;
mod examples;
mod shape;
mod support;
mod workspace;
