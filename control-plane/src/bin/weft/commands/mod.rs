//! The commands that talk to a control plane, or to nobody.

pub(crate) mod apply;
pub(crate) mod bootstrap;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod status;
pub(crate) mod validate;
