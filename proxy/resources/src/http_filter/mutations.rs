//! `header_mutation`: changes to the headers, the query and the trailers of messages.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use weft_format::Format;
use weft_proto::pb::{
    envoy::{
        config::{common::mutation_rules::v3 as rules, core::v3 as core},
        extensions::filters::http::header_mutation::v3 as wire,
    },
    google::protobuf,
};
use weft_route::StringMatch;

use crate::{
    headers::{self, AppendAction, HeaderSet, HeaderText},
    matching,
    path::At,
    problem::{Notes, Problem},
};

/// `Mutations`, each list in the order in which it is applied.
#[derive(Debug, Default)]
pub struct MessageMutations {
    /// `request_mutations`.
    pub request: Box<[HeaderChange]>,
    /// `query_parameter_mutations`.
    pub query: Box<[QueryChange]>,
    /// `response_mutations`.
    pub response: Box<[HeaderChange]>,
    /// `request_trailers_mutations`.
    pub request_trailers: Arc<[TrailerChange]>,
    /// `response_trailers_mutations`.
    pub response_trailers: Arc<[TrailerChange]>,
}

impl MessageMutations {
    /// Whether a change of the request depends on what is known of it.
    pub fn request_has_formats(&self) -> bool {
        let in_query = |it: &QueryChange| match it {
            QueryChange::Remove(_) => false,
            QueryChange::Set { value, .. } => value.as_literal().is_none(),
        };
        self.request.iter().any(HeaderChange::has_format) || self.query.iter().any(in_query)
    }

    /// Whether a change of the response depends on the request or its answer.
    pub fn response_has_formats(&self) -> bool {
        self.response.iter().any(HeaderChange::has_format)
    }
}

/// `HeaderMutation`. Each sees what those before it did.
#[derive(Clone, Debug)]
pub enum HeaderChange {
    /// `remove`.
    Remove(HeaderName),
    /// `remove_on_match`: all whose names match.
    RemoveMatching(StringMatch),
    /// `append`.
    Set(HeaderSet),
}

impl HeaderChange {
    /// Whether it depends on what is known of the request.
    pub fn has_format(&self) -> bool {
        matches!(self, Self::Set(set) if matches!(set.value, HeaderText::Format(_)))
    }
}

/// A [`HeaderChange`] whose values are the same for all messages.
#[derive(Clone, Debug)]
pub enum TrailerChange {
    /// `remove`.
    Remove(HeaderName),
    /// `remove_on_match`.
    RemoveMatching(StringMatch),
    /// `append`.
    Set {
        /// The trailer.
        name: HeaderName,
        /// Its value.
        value: HeaderValue,
        /// What happens where it exists.
        append: AppendAction,
    },
}

/// `KeyValueMutation`, of the query of a path.
#[derive(Clone, Debug)]
pub enum QueryChange {
    /// `remove`.
    Remove(Box<str>),
    /// `append`.
    Set {
        /// The parameter.
        key: Box<str>,
        /// Its value.
        value: Format,
        /// What happens where it exists.
        append: AppendAction,
    },
}

/// Reads what is to be changed; nothing where it is not set.
pub(super) fn read(
    message: Option<&wire::Mutations>,
    at: &At<'_>,
    notes: &mut Notes,
) -> MessageMutations {
    let Some(message) = message else { return MessageMutations::default() };
    let at = at.field("mutations");
    let trailers = |list, field, notes: &mut Notes| {
        let changes = changes(list, field, &at, notes);
        let fixed = changes.into_iter().enumerate();
        fixed.filter_map(|(index, it)| fixed_change(it, &at.item(field, index), notes)).collect()
    };
    MessageMutations {
        request: changes(&message.request_mutations, "request_mutations", &at, notes).into(),
        query: queries(&message.query_parameter_mutations, &at, notes),
        response: changes(&message.response_mutations, "response_mutations", &at, notes).into(),
        request_trailers: trailers(
            &message.request_trailers_mutations,
            "request_trailers_mutations",
            notes,
        ),
        response_trailers: trailers(
            &message.response_trailers_mutations,
            "response_trailers_mutations",
            notes,
        ),
    }
}

/// Reads a list of changes.
pub(crate) fn changes(
    list: &[rules::HeaderMutation],
    field: &'static str,
    at: &At<'_>,
    notes: &mut Notes,
) -> Vec<HeaderChange> {
    at.each(field, list, notes, change)
}

fn change(message: &rules::HeaderMutation, at: &At<'_>, notes: &mut Notes) -> Option<HeaderChange> {
    use rules::header_mutation::Action;
    match &message.action {
        None => notes.refuse(&at.field("action"), Problem::Missing),
        Some(Action::Remove(name)) => {
            headers::modifiable(name, &at.field("remove"), notes).map(HeaderChange::Remove)
        }
        Some(Action::Append(option)) => {
            headers::set(option, &at.field("append"), notes).map(HeaderChange::Set)
        }
        Some(Action::RemoveOnMatch(on)) => {
            let at = at.field("remove_on_match");
            let at = at.field("key_matcher");
            match &on.key_matcher {
                None => notes.refuse(&at, Problem::Missing),
                Some(matcher) => {
                    matching::string(matcher, &at, notes).map(HeaderChange::RemoveMatching)
                }
            }
        }
    }
}

/// Trailers come when what formats would be told is long gone.
fn fixed_change(change: HeaderChange, at: &At<'_>, notes: &mut Notes) -> Option<TrailerChange> {
    match change {
        HeaderChange::Remove(name) => Some(TrailerChange::Remove(name)),
        HeaderChange::RemoveMatching(names) => Some(TrailerChange::RemoveMatching(names)),
        HeaderChange::Set(HeaderSet {
            name, value: HeaderText::Literal(value), append, ..
        }) => Some(TrailerChange::Set { name, value, append }),
        HeaderChange::Set(_) => {
            notes.unsupported(&at.field("append"), "a format in trailers", "literal text is")
        }
    }
}

fn queries(list: &[core::KeyValueMutation], at: &At<'_>, notes: &mut Notes) -> Box<[QueryChange]> {
    at.each("query_parameter_mutations", list, notes, query)
}

fn query(message: &core::KeyValueMutation, at: &At<'_>, notes: &mut Notes) -> Option<QueryChange> {
    let Some(append) = &message.append else {
        if message.remove.is_empty() {
            return notes.refuse(at, Problem::Missing);
        }
        return Some(QueryChange::Remove(message.remove.as_str().into()));
    };
    if !message.remove.is_empty() {
        return notes.refuse(&at.field("remove"), Problem::Conflict("append"));
    }
    let at = at.field("append");
    let action = append_action(append.action, &at.field("action"), notes);
    let at = at.field("record");
    let Some(record) = &append.record else { return notes.refuse(&at, Problem::Missing) };
    let at = at.field("value");
    let value = match record.value.as_ref().and_then(|value| value.kind.as_ref()) {
        Some(protobuf::value::Kind::StringValue(text)) => headers::format(text, &at, notes),
        None => notes.refuse(&at, Problem::Missing),
        Some(_) => notes.unsupported(&at, "a value that is no text", "string_value is"),
    };
    Some(QueryChange::Set { key: record.key.as_str().into(), value: value?, append: action? })
}

fn append_action(number: i32, at: &At<'_>, notes: &mut Notes) -> Option<AppendAction> {
    use core::key_value_append::KeyValueAppendAction as Wire;
    match Wire::try_from(number) {
        Ok(Wire::AppendIfExistsOrAdd) => Some(AppendAction::AppendIfExistsOrAdd),
        Ok(Wire::AddIfAbsent) => Some(AppendAction::AddIfAbsent),
        Ok(Wire::OverwriteIfExistsOrAdd) => Some(AppendAction::OverwriteIfExistsOrAdd),
        Ok(Wire::OverwriteIfExists) => Some(AppendAction::OverwriteIfExists),
        Err(_) => notes.refuse(at, Problem::UnknownEnum(number)),
    }
}
