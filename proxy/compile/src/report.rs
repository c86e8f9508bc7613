//! What became of an update.

use std::{fmt::Write, sync::Arc};

use weft_resources::{Reason, ResourceType, Warning};

/// The outcome of an update. Resources that are not listed as rejected are accepted, also when
/// others of the same update are not.
#[derive(Clone, Debug)]
pub struct Report {
    /// The type of the update.
    pub resource_type: ResourceType,
    /// What was refused, in the order of the update.
    pub rejected: Vec<Rejected>,
    /// What was accepted with remarks, in the order of the update.
    pub warned: Vec<Warned>,
    /// Whether [`crate::Compiler::wanted`] says something else than before.
    pub wanted_changed: bool,
}

/// A refused resource; its last good version stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in [`crate::Update::upserts`].
    pub index: usize,
    /// Its name.
    pub name: Arc<str>,
    /// Why; at least one.
    pub reasons: Vec<Reason>,
}

/// An accepted resource of which something is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warned {
    /// Its name.
    pub name: Arc<str>,
    /// What is not followed.
    pub warnings: Vec<Warning>,
}

impl Report {
    pub(crate) fn new(resource_type: ResourceType) -> Self {
        let (rejected, warned) = (Vec::new(), Vec::new());
        Self { resource_type, rejected, warned, wanted_changed: false }
    }

    pub(crate) fn warn(&mut self, name: &Arc<str>, warnings: Vec<Warning>) {
        if !warnings.is_empty() {
            self.warned.push(Warned { name: Arc::clone(name), warnings });
        }
    }

    /// Whether everything was accepted.
    pub fn is_accepted(&self) -> bool {
        self.rejected.is_empty()
    }

    /// The text of a NACK: every refused resource with its reasons, in the shape that gRPC
    /// clients use, so that management servers can show it alike. `None` for an ACK.
    pub fn error_detail(&self) -> Option<String> {
        if self.is_accepted() {
            return None;
        }
        let mut text = String::from("xDS response validation errors: [");
        for (nth, rejected) in self.rejected.iter().enumerate() {
            let separator = if nth == 0 { "" } else { "; " };
            let Rejected { index, name, reasons } = rejected;
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "{separator}resource index {index}: {name}: INVALID_ARGUMENT: errors validating \
                 {} resource: [{}]",
                self.resource_type,
                join(reasons)
            );
        }
        text.push(']');
        Some(text)
    }
}

/// Reasons on one line.
pub(crate) fn join(reasons: &[Reason]) -> String {
    let mut text = String::new();
    for (nth, reason) in reasons.iter().enumerate() {
        let separator = if nth == 0 { "" } else { "; " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{reason}");
    }
    text
}
