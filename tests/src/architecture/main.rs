//! The walls between crates, and other rules that a reviewer would otherwise have to remember.

mod edges;
mod examples;
mod shape;
mod support;
mod workspace;
