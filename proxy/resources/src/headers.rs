//! Changes to the headers of requests and responses.

use http::{HeaderName, HeaderValue, header};
use weft_proto::pb::envoy::config::core::v3 as core;

use crate::{
    path::At,
    problem::{Notes, Problem},
};

/// Header changes in the order they are applied: removals, then additions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderMutations {
    /// Names removed first.
    pub remove: Box<[HeaderName]>,
    /// Then these, in order.
    pub set: Box<[HeaderSet]>,
}

impl HeaderMutations {
    /// Nothing to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }

    /// One set of changes with the effect of `self` followed by `next`.
    ///
    /// What `self` adds and `next` removes is never seen, so it is left out; all other removals
    /// can go first without a difference.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let survives = |set: &&HeaderSet| !next.remove.contains(&set.name);
        let mut remove = self.remove.to_vec();
        for name in &next.remove {
            if !remove.contains(name) {
                remove.push(name.clone());
            }
        }
        Self {
            remove: remove.into(),
            set: self.set.iter().filter(survives).chain(&next.set).cloned().collect(),
        }
    }
}

/// One `HeaderValueOption` with a literal value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderSet {
    /// The header.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderValue,
    /// What happens when the header exists (`append_action`).
    pub append: AppendAction,
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
        remove: names(level.request_remove, "request_headers_to_remove", at, notes),
        set: sets(level.request_add, "request_headers_to_add", at, notes),
    };
    let response = HeaderMutations {
        remove: names(level.response_remove, "response_headers_to_remove", at, notes),
        set: sets(level.response_add, "response_headers_to_add", at, notes),
    };
    (request, response)
}

fn names(
    list: &[String],
    field: &'static str,
    at: &At<'_>,
    notes: &mut Notes,
) -> Box<[HeaderName]> {
    let mut names = Vec::with_capacity(list.len());
    for (index, text) in list.iter().enumerate() {
        names.extend(modifiable(text, &at.item(field, index), notes));
    }
    names.into()
}

fn sets(
    list: &[core::HeaderValueOption],
    field: &'static str,
    at: &At<'_>,
    notes: &mut Notes,
) -> Box<[HeaderSet]> {
    let mut sets = Vec::with_capacity(list.len());
    for (index, option) in list.iter().enumerate() {
        sets.extend(set(option, &at.item(field, index), notes));
    }
    sets.into()
}

fn set(option: &core::HeaderValueOption, at: &At<'_>, notes: &mut Notes) -> Option<HeaderSet> {
    let append = append_action(option, at, notes);
    let at = at.field("header");
    let Some(header) = &option.header else { return notes.refuse(&at, Problem::Missing) };
    let name = modifiable(&header.key, &at.field("key"), notes);
    let (field, bytes) = if header.raw_value.is_empty() {
        ("value", literal(&header.value, &at.field("value"), notes)?.into_bytes())
    } else if header.value.is_empty() {
        ("raw_value", header.raw_value.clone())
    } else {
        return notes.refuse(&at.field("raw_value"), Problem::Conflict("value"));
    };
    let value = header_value(&bytes, &at.field(field), notes)?;
    // Without keep_empty_value an empty value means that the header is not added at all.
    let kept = option.keep_empty_value || !value.is_empty();
    Some(HeaderSet { name: name?, value, append: append? }).filter(|_| kept)
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

/// Resolves `%%`, and refuses every other use of `%`: those are Envoy's substitutions.
fn literal(text: &str, at: &At<'_>, notes: &mut Notes) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            plain.push('%');
            rest = after;
        } else if let Some((operator, _)) = after.split_once('%') {
            return notes.refuse(at, Problem::Substitution(format!("%{operator}%")));
        } else {
            return notes.refuse(at, Problem::Percent);
        }
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;

    /// What the words of [`HeaderMutations`] mean.
    fn apply(mutations: &HeaderMutations, headers: &mut HeaderMap) {
        for name in &mutations.remove {
            headers.remove(name);
        }
        for HeaderSet { name, value, append } in &mutations.set {
            let exists = headers.contains_key(name);
            match append {
                AppendAction::AppendIfExistsOrAdd => {
                    headers.append(name, value.clone());
                }
                AppendAction::AddIfAbsent if exists => {}
                AppendAction::OverwriteIfExists if !exists => {}
                AppendAction::AddIfAbsent
                | AppendAction::OverwriteIfExistsOrAdd
                | AppendAction::OverwriteIfExists => {
                    headers.insert(name, value.clone());
                }
            }
        }
    }

    fn name() -> impl Strategy<Value = HeaderName> {
        (0usize..3).prop_map(|at| HeaderName::from_static(["a", "b", "c"][at]))
    }

    fn set() -> impl Strategy<Value = HeaderSet> {
        let append = prop_oneof![
            Just(AppendAction::AppendIfExistsOrAdd),
            Just(AppendAction::AddIfAbsent),
            Just(AppendAction::OverwriteIfExistsOrAdd),
            Just(AppendAction::OverwriteIfExists),
        ];
        (name(), 0u16..100, append).prop_map(|(name, value, append)| HeaderSet {
            name,
            value: HeaderValue::from(value),
            append,
        })
    }

    fn mutations() -> impl Strategy<Value = HeaderMutations> {
        let remove = proptest::collection::vec(name(), 0..3);
        let set = proptest::collection::vec(set(), 0..4);
        (remove, set)
            .prop_map(|(remove, set)| HeaderMutations { remove: remove.into(), set: set.into() })
    }

    proptest! {
        #[test]
        fn one_set_of_changes_does_what_two_did(
            first in mutations(),
            second in mutations(),
            before in proptest::collection::vec((name(), 0u16..100), 0..5),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in before {
                headers.append(name, HeaderValue::from(value));
            }
            let mut in_turn = headers.clone();
            apply(&first, &mut in_turn);
            apply(&second, &mut in_turn);
            apply(&first.then(&second), &mut headers);
            prop_assert_eq!(in_turn, headers);
        }
    }
}
