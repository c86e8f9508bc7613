//! One resource by its name, with its history as far as it matters.

use std::sync::Arc;

use bytes::Bytes;
use weft_resources::{Reason, Warning};

use crate::update::{Moment, Source};

/// Everything known of a name. What is rarely there is boxed: there are thousands of these.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) source: Source,
    /// What serves.
    pub(crate) active: Option<Version<T>>,
    /// What will serve as soon as what it refers to is there.
    pub(crate) warming: Option<Box<Version<T>>>,
    /// The newest version, if it was refused.
    pub(crate) refused: Option<Box<Refusal>>,
    /// Since when it counts as one that does not exist on the server.
    pub(crate) missing: Option<Moment>,
    /// Whether it keeps a dynamic resource of its name from being used.
    pub(crate) shadows: bool,
}

/// A good version of a resource.
#[derive(Debug)]
pub(crate) struct Version<T> {
    pub(crate) version: Arc<str>,
    /// As received, for dumps, and to see that nothing changed.
    pub(crate) bytes: Bytes,
    pub(crate) updated: Moment,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) value: T,
}

/// A version that was not taken.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) version: Arc<str>,
    pub(crate) bytes: Bytes,
    pub(crate) at: Moment,
    pub(crate) reasons: Vec<Reason>,
}

impl<T> Entry<T> {
    /// Nothing known yet.
    pub(crate) fn new(source: Source) -> Self {
        Self { source, active: None, warming: None, refused: None, missing: None, shadows: false }
    }

    /// Whether there is any good version.
    pub(crate) fn is_known(&self) -> bool {
        self.active.is_some() || self.warming.is_some()
    }

    /// The version that was accepted last.
    pub(crate) fn newest(&self) -> Option<&Version<T>> {
        self.warming.as_deref().or(self.active.as_ref())
    }

    /// All good versions.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &Version<T>> {
        self.active.iter().chain(self.warming.as_deref())
    }

    /// Takes note that these very bytes came again, if they are those of a good version. Returns
    /// whether they are.
    pub(crate) fn came_again(&mut self, bytes: &[u8], version: &Arc<str>) -> Came {
        let same = |held: &&mut Version<T>| held.bytes == bytes;
        let came = if let Some(warming) = self.warming.as_deref_mut().filter(same) {
            warming.version = Arc::clone(version);
            Came::Again
        } else if let Some(active) = self.active.as_mut().filter(same) {
            active.version = Arc::clone(version);
            // A change that was on its way is taken back.
            if self.warming.take().is_some() { Came::Back } else { Came::Again }
        } else {
            return Came::New;
        };
        self.refused = None;
        self.missing = None;
        came
    }

    /// A new good version that serves from now on.
    pub(crate) fn activate(&mut self, version: Version<T>) {
        self.active = Some(version);
        self.warming = None;
        self.accepted();
    }

    /// A new good version that has to wait.
    pub(crate) fn warm(&mut self, version: Version<T>) {
        self.warming = Some(Box::new(version));
        self.accepted();
    }

    fn accepted(&mut self) {
        self.refused = None;
        self.missing = None;
    }

    /// The version that waited serves from now on. Returns whether there was one.
    pub(crate) fn promote(&mut self) -> bool {
        let promoted = self.warming.take().map(|version| *version);
        let any = promoted.is_some();
        self.active = promoted.or(self.active.take());
        any
    }
}

/// How bytes compare to what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// Not seen.
    New,
    /// Those of the newest version.
    Again,
    /// Those of the active version, while another one was warming.
    Back,
}
