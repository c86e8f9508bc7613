//! What all types have in common when an update comes in: which of its resources are new, and
//! which of those can be read.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use foldhash::fast::RandomState;
use weft_resources::{Decoded, Problem, Reason, Resource, Warning, decode, name_of_key};

use crate::{
    catalog::Catalog,
    entry::{Came, Version},
    report::Report,
    update::{Moment, Source, Update, Upsert},
};

/// The outcome of reading an update.
pub(crate) struct Intake<'u, R> {
    /// New or changed, and readable.
    pub(crate) fresh: Vec<(Fresh<'u>, R)>,
    /// Names whose change was taken back while it was warming.
    pub(crate) back: Vec<Arc<str>>,
    /// Names whose resource was refused.
    pub(crate) refused: Vec<Arc<str>>,
}

/// A resource that could be read.
pub(crate) struct Fresh<'u> {
    pub(crate) index: usize,
    pub(crate) upsert: &'u Upsert,
    pub(crate) warnings: Vec<Warning>,
}

impl Fresh<'_> {
    /// What is kept of it, with `value` made from the resource.
    ///
    /// The bytes are copied: a slice of the response would keep the whole response in memory for
    /// as long as one of its resources is.
    pub(crate) fn version<V>(&self, value: V, now: Moment) -> Version<V> {
        Version {
            version: Arc::clone(&self.upsert.version),
            bytes: Bytes::copy_from_slice(&self.upsert.value),
            updated: now,
            warnings: self.warnings.clone(),
            value,
        }
    }
}

/// Reads an update. Resources that nobody wants are passed over in silence, as servers may send
/// more than was asked for.
pub(crate) fn read<'u, R: Resource, V>(
    update: &'u Update,
    catalog: &mut Catalog<V>,
    is_wanted: impl Fn(&str) -> bool,
    now: Moment,
    report: &mut Report,
) -> Intake<'u, R> {
    let mut times: HashMap<&str, usize, RandomState> = HashMap::default();
    for upsert in &update.upserts {
        *times.entry(&upsert.name).or_default() += 1;
    }
    let mut intake = Intake { fresh: Vec::new(), back: Vec::new(), refused: Vec::new() };
    for (index, upsert) in update.upserts.iter().enumerate() {
        if !is_wanted(&upsert.name) {
            continue;
        }
        if update.source == Source::Dynamic && is_static(catalog, &upsert.name) {
            let entry = catalog.entry(&upsert.name, update.source);
            if !std::mem::replace(&mut entry.shadows, true) {
                report.warn(&upsert.name, vec![shadowed()]);
            }
            continue;
        }
        if times.get(&*upsert.name).is_some_and(|times| *times > 1) {
            let problem = Problem::Duplicate(upsert.name.to_string());
            let reasons = vec![Reason { path: String::new(), problem }];
            catalog.refuse((upsert, index), reasons, (update.source, now), report);
            intake.refused.push(Arc::clone(&upsert.name));
            continue;
        }
        match known(catalog, upsert) {
            // What there is to say about it was said when it came first.
            Came::Again => {}
            Came::Back => intake.back.push(Arc::clone(&upsert.name)),
            Came::New => match read_one::<R>(upsert, update.source) {
                Ok(Decoded { resource, warnings }) => {
                    intake.fresh.push((Fresh { index, upsert, warnings }, resource));
                }
                Err(reasons) => {
                    catalog.refuse((upsert, index), reasons, (update.source, now), report);
                    intake.refused.push(Arc::clone(&upsert.name));
                }
            },
        }
    }
    intake
}

/// A dynamic resource that has no effect.
fn shadowed() -> Warning {
    let text = "not used: the bootstrap has a static resource of this name".to_owned();
    Warning { path: String::new(), text }
}

fn is_static<V>(catalog: &Catalog<V>, name: &str) -> bool {
    catalog.get(name).is_some_and(|entry| entry.source == Source::Static)
}

fn known<V>(catalog: &mut Catalog<V>, upsert: &Upsert) -> Came {
    match catalog.get_mut(&upsert.name) {
        Some(entry) => entry.came_again(&upsert.value, &upsert.version),
        None => Came::New,
    }
}

fn read_one<R: Resource>(upsert: &Upsert, source: Source) -> Result<Decoded<R>, Vec<Reason>> {
    let decoded = decode::<R>(&upsert.value)?;
    let name = decoded.resource.name();
    // A static resource may be without a name; whoever read the bootstrap gave it one.
    if name == name_of_key(&upsert.name) || source == Source::Static {
        return Ok(decoded);
    }
    let problem = Problem::OtherName(name_of_key(&upsert.name).to_owned());
    Err(vec![Reason { path: "name".to_owned(), problem }])
}
