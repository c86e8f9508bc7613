//! Matching the path.

use crate::pattern::Pattern;

/// `route.v3.RouteMatch.path_specifier`. What is compared is the path without its query string.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// The path begins with these bytes.
    Prefix {
        /// The beginning.
        value: Box<str>,
        /// Whether ASCII letters must agree in case.
        case_sensitive: bool,
    },
    /// The whole path.
    Exact {
        /// The path.
        value: Box<str>,
        /// Whether ASCII letters must agree in case.
        case_sensitive: bool,
    },
    /// `path_separated_prefix`: this path, or one that goes on with `/` after it.
    Segments {
        /// The leading segments, without a slash at the end.
        value: Box<str>,
        /// Whether ASCII letters must agree in case.
        case_sensitive: bool,
    },
    /// The whole path, by an expression. It says itself whether case matters.
    Regex(Pattern),
    /// `connect_matcher`: no path at all, but the method CONNECT, which nothing else here matches.
    Connect,
}

impl PathMatch {
    /// A case-sensitive prefix.
    pub fn prefix(value: &str) -> Self {
        Self::Prefix { value: value.into(), case_sensitive: true }
    }

    /// A case-sensitive whole path.
    pub fn exact(value: &str) -> Self {
        Self::Exact { value: value.into(), case_sensitive: true }
    }

    /// Case-sensitive leading segments.
    pub fn segments(value: &str) -> Self {
        Self::Segments { value: value.into(), case_sensitive: true }
    }

    /// Whether `path`, without query string, matches.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Prefix { value, case_sensitive } => {
                rest_after(path, value, *case_sensitive).is_some()
            }
            Self::Exact { value, case_sensitive } => {
                rest_after(path, value, *case_sensitive).is_some_and(<[u8]>::is_empty)
            }
            Self::Segments { value, case_sensitive } => rest_after(path, value, *case_sensitive)
                .is_some_and(|rest| rest.first().is_none_or(|next| *next == b'/')),
            Self::Regex(pattern) => pattern.matches(path.as_bytes()),
            Self::Connect => false,
        }
    }

    /// How many bytes at the beginning of a path a `prefix_rewrite` replaces when this matched:
    /// `None` for all of them, as for an expression.
    pub fn matched_len(&self) -> Option<usize> {
        match self {
            Self::Prefix { value, .. }
            | Self::Exact { value, .. }
            | Self::Segments { value, .. } => Some(value.len()),
            Self::Regex(_) | Self::Connect => None,
        }
    }
}

fn rest_after<'a>(path: &'a str, head: &str, case_sensitive: bool) -> Option<&'a [u8]> {
    let (start, rest) = path.as_bytes().split_at_checked(head.len())?;
    let same = if case_sensitive {
        start == head.as_bytes()
    } else {
        start.eq_ignore_ascii_case(head.as_bytes())
    };
    same.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_differ_at_the_end_of_the_value() {
        let paths = ["/api", "/api/", "/api/v1", "/apiary", "/ap"];
        let matched = |matcher: PathMatch| paths.map(|path| matcher.matches(path));
        assert_eq!(matched(PathMatch::prefix("/api")), [true, true, true, true, false]);
        assert_eq!(matched(PathMatch::exact("/api")), [true, false, false, false, false]);
        assert_eq!(matched(PathMatch::segments("/api")), [true, true, true, false, false]);
        let regex = PathMatch::Regex(Pattern::new("/api/[^/]*").unwrap());
        assert_eq!(matched(regex), [false, true, true, false, false]);
    }

    #[test]
    fn case_can_be_ignored() {
        let folded = PathMatch::Prefix { value: "/Api".into(), case_sensitive: false };
        assert!(folded.matches("/aPI/x"));
        assert!(!PathMatch::prefix("/Api").matches("/api"));
    }

    #[test]
    fn a_prefix_may_end_inside_a_character() {
        assert!(!PathMatch::prefix("/a").matches("/é"));
        assert!(PathMatch::prefix("/").matches("/é"));
    }
}
