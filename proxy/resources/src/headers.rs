//! Changes to the headers of requests and responses.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, header};
use weft_format::Format;
use weft_proto::pb::envoy::config::core::v3 as core;

use crate::{
    path::At,
    problem::{Notes, Problem},
};

/// Header changes of one level. All values are made from the headers as they are after the removals;
/// then those that replace are set, and after them those that are added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderMutations {
    /// Names removed first.
    pub remove: Box<[HeaderName]>,
    /// Then these.
    pub set: Box<[HeaderSet]>,
}

impl HeaderMutations {
    /// Nothing to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }
}

/// The header changes of several levels, one after the other. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderProgram(Option<Arc<[HeaderMutations]>>);

impl HeaderProgram {
    /// Levels in the order in which they are applied; those that change nothing are left out.
    pub fn new<'a>(levels: impl IntoIterator<Item = &'a HeaderMutations>) -> Self {
        let levels = levels.into_iter().filter(|level| !level.is_empty());
        let levels: Vec<HeaderMutations> = levels.cloned().collect();
        Self(Some(levels).filter(|levels| !levels.is_empty()).map(Arc::from))
    }

    /// The levels, each with something to do.
    #[inline]
    pub fn levels(&self) -> &[HeaderMutations] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Nothing to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether any value depends on the request or its answer.
    pub fn has_formats(&self) -> bool {
        let mut sets = self.levels().iter().flat_map(|level| &level.set);
        sets.any(|set| matches!(set.value, HeaderText::Format(_)))
    }
}

/// One `HeaderValueOption`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderSet {
    /// The header.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderText,
    /// What happens when the header exists (`append_action`).
    pub append: AppendAction,
    /// `keep_empty_value`: also where the value comes out empty.
    pub keep_empty: bool,
}

/// The value of a [`HeaderSet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderText {
    /// Always this; never empty, unless it is kept so.
    Literal(HeaderValue),
    /// Made for each request.
    Format(Format),
}

/// `HeaderValueOption.append_action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendAction {
    /// Add another value (the default).
    AppendIfExistsOrAdd,
    /// Add only where there is none.
    AddIfAbsent,
    /// Replace all values, or add.
    OverwriteIfExistsOrAdd,
    /// Replace all values; do nothing where there is none.
    OverwriteIfExists,
}

/// The four fields of one level (route, virtual host, route configuration).
pub(crate) struct Level<'m> {
    pub(crate) request_add: &'m [core::HeaderValueOption],
    pub(crate) request_remove: &'m [String],
    pub(crate) response_add: &'m [core::HeaderValueOption],
    pub(crate) response_remove: &'m [String],
}

/// Reads one level: changes to requests, changes to responses.
pub(crate) fn level(
    level: &Level<'_>,
    at: &At<'_>,
    notes: &mut Notes,
) -> (HeaderMutations, HeaderMutations) {
    let request = HeaderMutations {
        remove: at.each(
            "request_headers_to_remove",
            level.request_remove,
            notes,
            |text, at, notes| modifiable(text, at, notes),
        ),
        set: sets(level.request_add, "request_headers_to_add", at, notes),
    };
    let response = HeaderMutations {
        remove: at.each(
            "response_headers_to_remove",
            level.response_remove,
            notes,
            |text, at, notes| modifiable(text, at, notes),
        ),
        set: sets(level.response_add, "response_headers_to_add", at, notes),
    };
    (request, response)
}

/// Reads a list of names, whichever they are.
pub(crate) fn plain_names(
    list: &[String],
    field: &'static str,
    at: &At<'_>,
    notes: &mut Notes,
) -> Box<[HeaderName]> {
    at.each(field, list, notes, |text, at, notes| header_name(text, at, notes))
}

/// Reads a list of headers to be set.
pub(crate) fn sets(
    list: &[core::HeaderValueOption],
    field: &'static str,
    at: &At<'_>,
    notes: &mut Notes,
) -> Box<[HeaderSet]> {
    at.each(field, list, notes, set)
}

/// Reads one header to be set; `None` where nothing would be.
pub(crate) fn set(
    option: &core::HeaderValueOption,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HeaderSet> {
    let append = append_action(option, at, notes);
    let at = at.field("header");
    let Some(header) = &option.header else { return notes.refuse(&at, Problem::Missing) };
    let name = modifiable(&header.key, &at.field("key"), notes);
    let value = text(header, option.keep_empty_value, &at, notes)?;
    let (name, append) = (name?, append?);
    let keep_empty = option.keep_empty_value;
    value.map(|value| HeaderSet { name, value, append, keep_empty })
}

/// Reads a value; without `keep_empty` an empty one means that the header is not added at all.
#[expect(clippy::option_option, reason = "refused, or nothing to do, or something")]
fn text(
    header: &core::HeaderValue,
    keep_empty: bool,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Option<HeaderText>> {
    let value_at = at.field("value");
    let literal = if !header.raw_value.is_empty() {
        let at = at.field("raw_value");
        if !header.value.is_empty() {
            return notes.refuse(&at, Problem::Conflict("value"));
        }
        header_value(&header.raw_value, &at, notes)?
    } else {
        let format = format(&header.value, &value_at, notes)?;
        match format.as_literal() {
            Some(literal) => header_value(literal.as_bytes(), &value_at, notes)?,
            None => return Some(Some(HeaderText::Format(format))),
        }
    };
    Some(Some(HeaderText::Literal(literal)).filter(|_| keep_empty || !is_empty(header)))
}

fn is_empty(header: &core::HeaderValue) -> bool {
    header.value.is_empty() && header.raw_value.is_empty()
}

/// Reads a format string.
pub(crate) fn format(text: &str, at: &At<'_>, notes: &mut Notes) -> Option<Format> {
    match text.parse() {
        Ok(format) => Some(format),
        Err(error) => notes.refuse(at, Problem::Format(error)),
    }
}

fn append_action(
    option: &core::HeaderValueOption,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<AppendAction> {
    use core::header_value_option::HeaderAppendAction as Wire;
    #[expect(deprecated, reason = "still sent by many management servers, and Envoy honours it")]
    let deprecated = option.append.as_ref().map(|append| append.value);
    let at = at.field("append_action");
    let action = match Wire::try_from(option.append_action) {
        Ok(Wire::AppendIfExistsOrAdd) => AppendAction::AppendIfExistsOrAdd,
        Ok(Wire::AddIfAbsent) => AppendAction::AddIfAbsent,
        Ok(Wire::OverwriteIfExistsOrAdd) => AppendAction::OverwriteIfExistsOrAdd,
        Ok(Wire::OverwriteIfExists) => AppendAction::OverwriteIfExists,
        Err(_) => return notes.refuse(&at, Problem::UnknownEnum(option.append_action)),
    };
    match deprecated {
        None => Some(action),
        Some(_) if action != AppendAction::AppendIfExistsOrAdd => {
            notes.refuse(&at, Problem::Conflict("append"))
        }
        Some(true) => Some(AppendAction::AppendIfExistsOrAdd),
        Some(false) => Some(AppendAction::OverwriteIfExistsOrAdd),
    }
}

/// Reads the name of a header that routes may change: not `host`, not a pseudo-header.
pub(crate) fn modifiable(text: &str, at: &At<'_>, notes: &mut Notes) -> Option<HeaderName> {
    if text.starts_with(':') {
        return notes.refuse(at, Problem::ForbiddenHeader(text.to_owned()));
    }
    let name = header_name(text, at, notes)?;
    if name == header::HOST {
        return notes.refuse(at, Problem::ForbiddenHeader(text.to_owned()));
    }
    Some(name)
}

/// Reads a header name.
pub(crate) fn header_name(text: &str, at: &At<'_>, notes: &mut Notes) -> Option<HeaderName> {
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(name) => Some(name),
        Err(_) => notes.refuse(at, Problem::HeaderName(text.to_owned())),
    }
}

/// Reads a header value.
pub(crate) fn header_value(bytes: &[u8], at: &At<'_>, notes: &mut Notes) -> Option<HeaderValue> {
    match HeaderValue::from_bytes(bytes) {
        Ok(value) => Some(value),
        Err(_) => notes.refuse(at, Problem::HeaderValue),
    }
}
