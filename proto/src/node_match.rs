//! Whether a question is about this node (`type.matcher.v3.NodeMatcher`).

use crate::pb::{
    envoy::{
        config::core::v3::Node,
        r#type::matcher::v3::{
            DoubleMatcher, NodeMatcher, StringMatcher, StructMatcher, ValueMatcher, double_matcher,
            list_matcher, string_matcher, struct_matcher, value_matcher,
        },
    },
    google::protobuf::{Struct, Value, value::Kind},
};
use regex::Regex;

/// How deep a question may nest its conditions.
const DEPTH: usize = 16;

/// A question that cannot be answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// A condition, or a part of one, is not set.
    #[error("a condition of node_matchers is not set")]
    Missing,
    /// A condition that is an extension.
    #[error(
        "node_matchers: custom conditions are not supported (hint: use exact, prefix or regex)"
    )]
    Custom,
    /// An expression that is none.
    #[error("node_matchers: {0}")]
    Regex(String),
    /// Conditions within conditions without an end.
    #[error("node_matchers: conditions are nested more than {DEPTH} deep")]
    Deep,
}

/// Whether any of the matchers is satisfied; without one, every node is meant.
///
/// # Errors
/// When a matcher cannot be understood, whichever it is.
pub fn any_matches(matchers: &[NodeMatcher], node: &Node) -> Result<bool, MatcherError> {
    if matchers.is_empty() {
        return Ok(true);
    }
    let mut found = false;
    // All of them are read, so that a wrong one is reported whatever stands before it.
    for matcher in matchers {
        found |= matches(matcher, node)?;
    }
    Ok(found)
}

fn matches(matcher: &NodeMatcher, node: &Node) -> Result<bool, MatcherError> {
    let id = matcher.node_id.as_ref().map(|id| text(id, &node.id)).transpose()?;
    let mut all = id.unwrap_or(true);
    for metadata in &matcher.node_metadatas {
        all &= structure(metadata, node.metadata.as_ref())?;
    }
    Ok(all)
}

fn text(matcher: &StringMatcher, subject: &str) -> Result<bool, MatcherError> {
    use string_matcher::MatchPattern as Pattern;
    let fold = |text: &str| if matcher.ignore_case { text.to_lowercase() } else { text.to_owned() };
    let folded = fold(subject);
    match matcher.match_pattern.as_ref().ok_or(MatcherError::Missing)? {
        Pattern::Exact(pattern) => Ok(folded == fold(pattern)),
        Pattern::Prefix(pattern) => Ok(folded.starts_with(&fold(pattern))),
        Pattern::Suffix(pattern) => Ok(folded.ends_with(&fold(pattern))),
        Pattern::Contains(pattern) => Ok(folded.contains(&fold(pattern))),
        Pattern::SafeRegex(pattern) => {
            // Expressions match the whole text, and case counts, as everywhere in Envoy's API.
            let whole = format!("^(?:{})$", pattern.regex);
            let regex =
                Regex::new(&whole).map_err(|error| MatcherError::Regex(error.to_string()))?;
            Ok(regex.is_match(subject))
        }
        Pattern::Custom(_) => Err(MatcherError::Custom),
    }
}

fn structure(matcher: &StructMatcher, metadata: Option<&Struct>) -> Result<bool, MatcherError> {
    let condition = matcher.value.as_ref().ok_or(MatcherError::Missing)?;
    let mut place = metadata;
    let mut found = None;
    for segment in &matcher.path {
        let Some(struct_matcher::path_segment::Segment::Key(key)) = &segment.segment else {
            return Err(MatcherError::Missing);
        };
        found = place.and_then(|place| place.fields.get(key));
        place = match found.and_then(|value| value.kind.as_ref()) {
            Some(Kind::StructValue(inner)) => Some(inner),
            _ => None,
        };
    }
    value(condition, found, DEPTH)
}

fn value(
    matcher: &ValueMatcher,
    found: Option<&Value>,
    depth: usize,
) -> Result<bool, MatcherError> {
    use value_matcher::MatchPattern as Pattern;
    let depth = depth.checked_sub(1).ok_or(MatcherError::Deep)?;
    let kind = found.and_then(|value| value.kind.as_ref());
    match (matcher.match_pattern.as_ref().ok_or(MatcherError::Missing)?, kind) {
        (Pattern::PresentMatch(wanted), kind) => Ok(kind.is_some() == *wanted),
        (Pattern::OrMatch(any), _) => {
            let mut matched = false;
            for matcher in &any.value_matchers {
                matched |= value(matcher, found, depth)?;
            }
            Ok(matched)
        }
        (Pattern::NullMatch(_), Some(Kind::NullValue(_))) => Ok(true),
        (Pattern::BoolMatch(wanted), Some(Kind::BoolValue(found))) => Ok(wanted == found),
        (Pattern::DoubleMatch(wanted), Some(Kind::NumberValue(found))) => number(wanted, *found),
        (Pattern::StringMatch(wanted), Some(Kind::StringValue(found))) => text(wanted, found),
        (Pattern::ListMatch(list), Some(Kind::ListValue(found))) => {
            let Some(list_matcher::MatchPattern::OneOf(each)) = &list.match_pattern else {
                return Err(MatcherError::Missing);
            };
            let mut matched = false;
            for item in &found.values {
                matched |= value(each, Some(item), depth)?;
            }
            Ok(matched)
        }
        _ => Ok(false),
    }
}

fn number(matcher: &DoubleMatcher, found: f64) -> Result<bool, MatcherError> {
    match matcher.match_pattern.as_ref().ok_or(MatcherError::Missing)? {
        double_matcher::MatchPattern::Exact(wanted) => {
            Ok(found.to_bits() == wanted.to_bits() || found == *wanted)
        }
        double_matcher::MatchPattern::Range(range) => Ok((range.start..range.end).contains(&found)),
    }
}

#[cfg(test)]
mod tests {
    use crate::json::from_yaml;

    use super::*;

    fn asked(matchers: &[&str]) -> Result<bool, MatcherError> {
        let node: Node = from_yaml(
            "{id: sidecar-7, metadata: {team: Cart, load: 3, on: true, tags: [a, b], at: {zone: z1}}}",
        )
        .unwrap();
        let matchers: Vec<NodeMatcher> =
            matchers.iter().map(|text| from_yaml(text).unwrap()).collect();
        any_matches(&matchers, &node)
    }

    fn of_metadata(path: &str, value: &str) -> Result<bool, MatcherError> {
        let path: Vec<_> = path.split('.').map(|key| format!("{{key: {key}}}")).collect();
        let path = path.join(", ");
        asked(&[&format!("{{node_metadatas: [{{path: [{path}], value: {value}}}]}}")])
    }

    #[test]
    fn without_conditions_every_node_is_meant() {
        assert_eq!(asked(&[]), Ok(true));
        assert_eq!(asked(&["{}"]), Ok(true));
    }

    #[test]
    fn a_node_is_told_by_its_id() {
        for (condition, matched) in [
            ("exact: sidecar-7", true),
            ("exact: sidecar", false),
            ("exact: SIDECAR-7, ignore_case: true", true),
            ("prefix: sidecar-", true),
            ("suffix: '-7'", true),
            ("contains: decar", true),
            ("safe_regex: {regex: 'side.*-[0-9]'}", true),
            ("safe_regex: {regex: 'side'}", false),
        ] {
            assert_eq!(
                asked(&[&format!("{{node_id: {{{condition}}}}}")]),
                Ok(matched),
                "{condition}"
            );
        }
        let either = ["{node_id: {exact: other}}", "{node_id: {exact: sidecar-7}}"];
        assert_eq!(asked(&either), Ok(true), "one of several is enough");
    }

    #[test]
    fn a_node_is_told_by_its_metadata() {
        for (path, value, matched) in [
            ("team", "{string_match: {exact: Cart}}", true),
            ("team", "{string_match: {exact: Checkout}}", false),
            ("load", "{double_match: {exact: 3}}", true),
            ("load", "{double_match: {range: {start: 0, end: 3}}}", false),
            ("on", "{bool_match: true}", true),
            ("tags", "{list_match: {one_of: {string_match: {exact: b}}}}", true),
            ("tags", "{list_match: {one_of: {string_match: {exact: c}}}}", false),
            ("at.zone", "{string_match: {exact: z1}}", true),
            ("at.rack", "{present_match: false}", true),
            ("at.rack", "{present_match: true}", false),
            ("on", "{or_match: {value_matchers: [{bool_match: false}, {bool_match: true}]}}", true),
        ] {
            assert_eq!(of_metadata(path, value), Ok(matched), "{path} {value}");
        }
    }

    #[test]
    fn conditions_that_cannot_be_evaluated_are_refused() {
        assert_eq!(asked(&["{node_id: {}}"]), Err(MatcherError::Missing));
        let broken = asked(&["{node_id: {safe_regex: {regex: '('}}}"]);
        assert!(matches!(broken, Err(MatcherError::Regex(_))), "{broken:?}");
        let nested = "{or_match: {value_matchers: [".repeat(DEPTH);
        let closed = "]}}".repeat(DEPTH);
        assert_eq!(
            of_metadata("on", &format!("{nested}{{bool_match: true}}{closed}")),
            Err(MatcherError::Deep)
        );
    }
}
