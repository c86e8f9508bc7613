//! Path matches and path changes of Gateway API in the words of `RouteMatch`.

use weft_config::model::route::{PathMatch, PathModifier};
use weft_proto::pb::envoy::config::route::v3::route_match::PathSpecifier;
use weft_proto::pb::envoy::r#type::matcher::v3::RegexMatcher;

use crate::node::Dialect;

/// A matcher, and what takes the place of what it matched.
pub(crate) type Specifier = (PathSpecifier, Option<String>);

/// The matchers that together do what one path match asks for, each with the change that goes
/// along with it. `ReplaceFullPath` is a change here only where the match is the full path.
///
/// A PathPrefix is by whole segments: `/a` and `/a/` both match `/a` and `/a/b`, and not `/ab`.
pub(crate) fn specifiers(
    path: Option<&PathMatch>,
    change: Option<&PathModifier>,
    dialect: Dialect,
) -> Vec<Specifier> {
    match (path, change) {
        (Some(PathMatch::Exact(path)), change) => {
            let full = match change {
                Some(PathModifier::ReplaceFullPath(to)) => Some(to.clone()),
                Some(PathModifier::ReplacePrefixMatch(_)) | None => None,
            };
            vec![(PathSpecifier::Path(path.clone()), full)]
        }
        (Some(PathMatch::RegularExpression(pattern)), _) => {
            vec![(PathSpecifier::SafeRegex(regex(pattern)), None)]
        }
        (Some(PathMatch::PathPrefix(prefix)), change) => by_prefix(prefix, change, dialect),
        (None, change) => by_prefix("/", change, dialect),
    }
}

fn by_prefix(prefix: &str, change: Option<&PathModifier>, dialect: Dialect) -> Vec<Specifier> {
    let prefix = prefix.trim_end_matches('/');
    let replacement = match change {
        Some(PathModifier::ReplacePrefixMatch(to)) => Some(to.trim_end_matches('/')),
        Some(PathModifier::ReplaceFullPath(_)) | None => None,
    };
    if prefix.is_empty() {
        // Every path starts with the slash that is matched here, so the new prefix needs one.
        let change = replacement.filter(|to| !to.is_empty()).map(|to| format!("{to}/"));
        return vec![(PathSpecifier::Prefix("/".to_owned()), change)];
    }
    let apart = |change: Option<String>| {
        vec![
            (PathSpecifier::Path(prefix.to_owned()), change.clone()),
            (PathSpecifier::Prefix(format!("{prefix}/")), change),
        ]
    };
    match replacement {
        // Taking the prefix away would leave `//b` of `/a/b`, and nothing of `/a`.
        Some("") => apart(Some("/".to_owned())),
        // gRPC clients do not know path_separated_prefix (gRFC A28).
        None if dialect == Dialect::Grpc => apart(None),
        to => {
            let separated = PathSpecifier::PathSeparatedPrefix(prefix.to_owned());
            vec![(separated, to.map(str::to_owned))]
        }
    }
}

/// A regular expression that the whole value must match.
pub(crate) fn regex(pattern: &str) -> RegexMatcher {
    RegexMatcher { regex: pattern.to_owned(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Envoy makes of a path: the first specifier that matches, and its change applied.
    fn rewritten(specifiers: &[Specifier], path: &str) -> Option<String> {
        specifiers.iter().find_map(|(specifier, change)| {
            let matched = match specifier {
                PathSpecifier::Path(exact) => (path == exact).then_some(exact.len()),
                PathSpecifier::Prefix(prefix) => {
                    path.starts_with(prefix.as_str()).then_some(prefix.len())
                }
                PathSpecifier::PathSeparatedPrefix(prefix) => {
                    let rest = path.strip_prefix(prefix.as_str())?;
                    (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
                }
                other => panic!("not a prefix: {other:?}"),
            }?;
            Some(match change {
                None => path.to_owned(),
                Some(to) => format!("{to}{}", &path[matched..]),
            })
        })
    }

    /// The table of Gateway API's `ReplacePrefixMatch`.
    #[test]
    fn prefixes_are_replaced_as_gateway_api_says() {
        let cases = [
            ("/foo/bar", "/foo", "/xyz", Some("/xyz/bar")),
            ("/foo/bar", "/foo", "/xyz/", Some("/xyz/bar")),
            ("/foo/bar", "/foo/", "/xyz", Some("/xyz/bar")),
            ("/foo/bar", "/foo/", "/xyz/", Some("/xyz/bar")),
            ("/foo", "/foo", "/xyz", Some("/xyz")),
            ("/foo/", "/foo", "/xyz", Some("/xyz/")),
            ("/foo/bar", "/foo", "", Some("/bar")),
            ("/foo/", "/foo", "", Some("/")),
            ("/foo", "/foo", "", Some("/")),
            ("/foo/", "/foo", "/", Some("/")),
            ("/foo", "/foo", "/", Some("/")),
            ("/foobar", "/foo", "/xyz", None),
            ("/bar", "/", "/xyz", Some("/xyz/bar")),
            ("/bar", "/", "/", Some("/bar")),
        ];
        for dialect in [Dialect::Envoy, Dialect::Grpc] {
            for (path, prefix, to, expected) in cases {
                let prefix = PathMatch::PathPrefix(prefix.to_owned());
                let change = PathModifier::ReplacePrefixMatch(to.to_owned());
                let specifiers = specifiers(Some(&prefix), Some(&change), dialect);
                let found = rewritten(&specifiers, path);
                assert_eq!(found.as_deref(), expected, "{path} {prefix:?} {to:?}");
            }
        }
    }

    #[test]
    fn prefixes_are_by_segment_in_both_dialects() {
        for dialect in [Dialect::Envoy, Dialect::Grpc] {
            for prefix in ["/a", "/a/"] {
                let prefix = PathMatch::PathPrefix(prefix.to_owned());
                let specifiers = specifiers(Some(&prefix), None, dialect);
                for (path, matches) in
                    [("/a", true), ("/a/", true), ("/a/b", true), ("/ab", false), ("/", false)]
                {
                    assert_eq!(rewritten(&specifiers, path).is_some(), matches, "{path}");
                }
            }
        }
    }
}
