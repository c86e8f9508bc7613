//! `scoped_routes`: route configurations chosen by what requests say in headers.

use std::collections::BTreeSet;

use weft_proto::pb::envoy::{
    config::route::v3::{ScopedRouteConfiguration, scoped_route_configuration::key::fragment},
    extensions::filters::network::http_connection_manager::v3::{
        self as wire,
        scoped_routes::{
            ConfigSpecifier,
            scope_key_builder::{
                FragmentBuilder,
                fragment_builder::{
                    HeaderValueExtractor, Type,
                    header_value_extractor::{ExtractType, KvElement},
                },
            },
        },
    },
};
use weft_route::HeaderKey;

use crate::{
    headers,
    path::At,
    problem::{Notes, Problem},
    route_config::{self, RouteConfiguration},
};

/// Route configurations, and how a request says which of them is its own.
#[derive(Debug)]
pub struct ScopedRoutes {
    /// `scope_key_builder`: the parts of a key.
    pub fragments: Box<[ScopeFragment]>,
    /// `scoped_route_configurations_list`, with different keys of as many parts.
    pub scopes: Vec<Scope>,
}

/// `HeaderValueExtractor`: a part of a key, out of the first line of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeFragment {
    /// The header.
    pub name: HeaderKey,
    /// What stands between elements; empty for one element alone.
    pub separator: Box<str>,
    /// Which element it is.
    pub element: ScopeElement,
}

/// Which element of a header is part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeElement {
    /// The one at this position.
    Index(usize),
    /// What follows the separator in the first one with this key before it.
    Named {
        /// What stands between key and value.
        separator: Box<str>,
        /// The key.
        key: Box<str>,
    },
}

impl ScopeFragment {
    /// The part of a key in what the header says.
    pub fn of<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        let mut elements = split(value, self.separator.as_bytes());
        match &self.element {
            ScopeElement::Index(index) => elements.nth(*index),
            ScopeElement::Named { separator, key } => elements.find_map(|element| {
                let mut halves = split(element, separator.as_bytes());
                let name = halves.next()?;
                let rest = element.get(name.len() + separator.len()..).unwrap_or_default();
                (name == key.as_bytes()).then_some(rest)
            }),
        }
    }
}

/// The pieces between separators; all in one piece where that is empty.
fn split<'v>(value: &'v [u8], separator: &[u8]) -> impl Iterator<Item = &'v [u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let left = rest?;
        let at = left.windows(separator.len().max(1)).position(|window| window == separator);
        let piece = at.and_then(|at| left.get(..at));
        rest = at.and_then(|at| left.get(at + separator.len()..));
        Some(piece.unwrap_or(left))
    })
}

/// `ScopedRouteConfiguration`.
#[derive(Debug)]
pub struct Scope {
    /// `key`, part by part.
    pub key: Box<[Box<str>]>,
    /// `route_configuration`.
    pub routes: RouteConfiguration,
}

/// Reads scoped routes.
pub(crate) fn read(
    message: &wire::ScopedRoutes,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ScopedRoutes> {
    let list = match &message.config_specifier {
        Some(ConfigSpecifier::ScopedRouteConfigurationsList(list)) => list,
        Some(ConfigSpecifier::ScopedRds(_)) => {
            return notes.unsupported(
                &at.field("scoped_rds"),
                "discovery of scopes",
                "scoped_route_configurations_list is",
            );
        }
        None => return notes.refuse(&at.field("config_specifier"), Problem::Missing),
    };
    let builder_at = at.field("scope_key_builder");
    let builder = message.scope_key_builder.as_ref();
    let builders = builder.map(|builder| builder.fragments.as_slice()).unwrap_or_default();
    if builders.is_empty() {
        return notes.refuse(&builder_at.field("fragments"), Problem::Missing);
    }
    let read = |(index, builder)| fragment(builder, &builder_at.item("fragments", index), notes);
    let fragments: Vec<_> = builders.iter().enumerate().filter_map(read).collect();
    let list_at = at.field("scoped_route_configurations_list");
    let mut scopes = Vec::with_capacity(list.scoped_route_configurations.len());
    let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for (index, message) in list.scoped_route_configurations.iter().enumerate() {
        let at = list_at.item("scoped_route_configurations", index);
        if !names.insert(&message.name) {
            notes.refuse::<()>(&at.field("name"), Problem::Duplicate(message.name.clone()));
        }
        let Some(scope) = scope(message, &at, notes) else { continue };
        if !keys.insert(scope.key.clone()) {
            notes.refuse::<()>(&at.field("key"), Problem::Duplicate(scope.key.join(", ")));
        }
        if scope.key.len() == builders.len() {
            scopes.push(scope);
        } else {
            notes.warn(
                &at.field("key"),
                "never matches: it has not as many parts as keys are built of",
            );
        }
    }
    Some(ScopedRoutes { fragments: fragments.into(), scopes })
}

fn fragment(message: &FragmentBuilder, at: &At<'_>, notes: &mut Notes) -> Option<ScopeFragment> {
    let at = at.field("header_value_extractor");
    let Some(Type::HeaderValueExtractor(extractor)) = &message.r#type else {
        return notes.refuse(&at, Problem::Missing);
    };
    let name = match extractor.name.parse::<HeaderKey>() {
        Ok(HeaderKey::Scheme) => {
            notes.unsupported(&at.field("name"), ":scheme", "other headers are")
        }
        Ok(name) => Some(name),
        Err(error) => notes.refuse(&at.field("name"), Problem::HeaderKey(error)),
    };
    let element = element(extractor, &at, notes);
    let separator = extractor.element_separator.as_str().into();
    Some(ScopeFragment { name: name?, separator, element: element? })
}

fn element(message: &HeaderValueExtractor, at: &At<'_>, notes: &mut Notes) -> Option<ScopeElement> {
    match &message.extract_type {
        None => notes.refuse(&at.field("extract_type"), Problem::Missing),
        Some(ExtractType::Index(index)) if *index > 0 && message.element_separator.is_empty() => {
            notes.refuse(&at.field("element_separator"), Problem::Missing)
        }
        Some(ExtractType::Index(index)) => {
            Some(ScopeElement::Index(usize::try_from(*index).unwrap_or(usize::MAX)))
        }
        Some(ExtractType::Element(KvElement { separator, key })) => {
            for (text, field) in [(separator, "separator"), (key, "key")] {
                if text.is_empty() {
                    notes.refuse::<()>(&at.field("element").field(field), Problem::Missing);
                }
            }
            let (separator, key) = (separator.as_str().into(), key.as_str().into());
            Some(ScopeElement::Named { separator, key })
        }
    }
}

fn scope(message: &ScopedRouteConfiguration, at: &At<'_>, notes: &mut Notes) -> Option<Scope> {
    let key_at = at.field("key");
    let parts = message.key.as_ref().map(|key| key.fragments.as_slice()).unwrap_or_default();
    if parts.is_empty() {
        notes.refuse::<()>(&key_at.field("fragments"), Problem::Missing);
    }
    let mut key = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let at = key_at.item("fragments", index);
        match &part.r#type {
            None => notes.refuse::<()>(&at.field("string_key"), Problem::Missing),
            // What no header can hold would never be found.
            Some(fragment::Type::StringKey(text)) => {
                headers::header_value(text.as_bytes(), &at.field("string_key"), notes)
                    .map(|_| key.push(Box::from(text.as_str())))
            }
        };
    }
    // Envoy knows names only for scopes that are discovered.
    let routes_at = at.field("route_configuration");
    let routes = match &message.route_configuration {
        Some(config) => route_config::read(config, &routes_at, notes),
        None => notes.refuse(&routes_at, Problem::Missing),
    };
    Some(Scope { key: key.into(), routes: routes? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(separator: &str, element: ScopeElement, value: &'static str) -> Option<&'static str> {
        let name = HeaderKey::Authority;
        let fragment = ScopeFragment { name, separator: separator.into(), element };
        fragment.of(value.as_bytes()).map(|part| std::str::from_utf8(part).unwrap())
    }

    #[test]
    fn elements_are_found_by_their_place() {
        let at = |index, value| of(",", ScopeElement::Index(index), value);
        assert_eq!(at(0, "a,b"), Some("a"));
        assert_eq!(at(1, "a,b"), Some("b"));
        assert_eq!(at(2, "a,b,"), Some(""));
        assert_eq!(at(2, "a,b"), None);
        assert_eq!(at(0, ""), Some(""));
        assert_eq!(of("", ScopeElement::Index(0), "a,b"), Some("a,b"));
        assert_eq!(of("--", ScopeElement::Index(1), "a-b--c"), Some("c"));
    }

    #[test]
    fn elements_are_found_by_their_key() {
        let named = |value| {
            let element = ScopeElement::Named { separator: "=".into(), key: "k".into() };
            of(";", element, value)
        };
        assert_eq!(named("a=1;k=2=3;k=4"), Some("2=3"));
        assert_eq!(named("k"), Some(""), "a key alone has no value");
        assert_eq!(named("kk=1;a=k"), None);
    }
}
