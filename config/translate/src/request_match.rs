//! Conditions of policies on requests, in the words of header matchers.

use weft_config::model::policy::RequestMatch;
use weft_config::model::route::PathMatch;
use weft_proto::pb::envoy::config::route::v3 as route;

use crate::path::regex;
use crate::rule::{exact, header, named_header, safe_regex};

/// What the headers of a request must be like, its method and path among them.
pub(crate) fn headers(matched: &RequestMatch) -> Vec<route::HeaderMatcher> {
    let method = matched.method.map(|method| header(":method", exact(method.as_str())));
    let path = matched.path.as_ref().and_then(pattern);
    let path = path.map(|pattern| header(":path", safe_regex(regex(&pattern))));
    let others = matched.headers.iter().map(named_header);
    method.into_iter().chain(path).chain(others).collect()
}

/// A path and whatever query; `None` for every path.
fn pattern(path: &PathMatch) -> Option<String> {
    match path {
        PathMatch::Exact(path) => Some(format!(r"{}(\?.*)?", escaped(path))),
        PathMatch::PathPrefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            (!prefix.is_empty()).then(|| format!("{}([/?].*)?", escaped(prefix)))
        }
        // Limits have none: nothing could tell it from the query.
        PathMatch::RegularExpression(_) => None,
    }
}

/// The text as a regular expression that matches nothing else.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_punctuation() && !"-_~/%&=@:,;!'\"<>#`".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_whatever_the_query() {
        let exact = |path: &str| pattern(&PathMatch::Exact(path.to_owned()));
        let prefix = |path: &str| pattern(&PathMatch::PathPrefix(path.to_owned()));
        assert_eq!(exact("/a.b").as_deref(), Some(r"/a\.b(\?.*)?"));
        assert_eq!(prefix("/a+/").as_deref(), Some(r"/a\+([/?].*)?"));
        assert_eq!(prefix("/"), None);
        assert_eq!(escaped("$(*)|[^]{}\\~-%20"), r"\$\(\*\)\|\[\^\]\{\}\\~-%20");
    }
}
