//! What becomes of a path before anything is matched against it.
//!
//! Two hops that read one path in two ways can be played against each other, so the forms of a path
//! that mean the same are made one, or refused.

/// `path_with_escaped_slashes_action`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EscapedSlashes {
    /// `%2F` and `%5C` stay as they are.
    #[default]
    Keep,
    /// A path that has one is refused.
    Reject,
    /// The client is asked to come again with slashes.
    Redirect,
    /// They are slashes.
    Unescape,
}

/// How paths are made one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    /// What escaped slashes mean.
    pub escaped_slashes: EscapedSlashes,
    /// `normalize_path`: RFC 3986 §6.2.2, with backslashes as slashes.
    pub normalize: bool,
    /// `merge_slashes`: several slashes are one.
    pub merge_slashes: bool,
}

/// What the rules make of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathVerdict {
    /// Nothing.
    Same,
    /// This path, with its query string.
    Changed(String),
    /// The client is to ask for this path.
    Redirect(String),
    /// No path that is taken.
    Reject,
}

impl PathRules {
    /// Applies the rules to a path with its query string, which is left alone.
    pub fn apply(&self, path_and_query: &str) -> PathVerdict {
        let untouched = *self == Self::default() || !path_and_query.starts_with('/');
        if untouched {
            return PathVerdict::Same;
        }
        let end = path_and_query.find('?').unwrap_or(path_and_query.len());
        let (path, query) = path_and_query.split_at(end);
        let mut path = path.to_owned();
        let mut redirects = false;
        if self.escaped_slashes != EscapedSlashes::Keep
            && let Some(unescaped) = unescape_slashes(&path)
        {
            match self.escaped_slashes {
                EscapedSlashes::Reject => return PathVerdict::Reject,
                EscapedSlashes::Redirect => redirects = true,
                EscapedSlashes::Keep | EscapedSlashes::Unescape => {}
            }
            path = unescaped;
        }
        if self.normalize {
            match normalize(&path) {
                Some(normal) => path = normal,
                None => return PathVerdict::Reject,
            }
        }
        if self.merge_slashes {
            path = merge_slashes(&path);
        }
        path.push_str(query);
        if redirects {
            PathVerdict::Redirect(path)
        } else if path == path_and_query {
            PathVerdict::Same
        } else {
            PathVerdict::Changed(path)
        }
    }
}

/// `None` when there is nothing to unescape.
fn unescape_slashes(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let slash = match after.get(..2) {
            Some("2f" | "2F") => Some('/'),
            Some("5c" | "5C") => Some('\\'),
            _ => None,
        };
        out.push(slash.unwrap_or('%'));
        rest = if slash.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    out.push_str(rest);
    (out.len() < path.len()).then_some(out)
}

/// Resolves dot segments, takes what needs no escape out of its escape, and escapes what must not
/// be in a path; `None` for a path with a zero byte.
fn normalize(path: &str) -> Option<String> {
    let mut segments: Vec<String> = Vec::new();
    let mut ends_in_slash = false;
    for segment in path.get(1..)?.split(['/', '\\']) {
        let segment = normalize_segment(segment)?;
        ends_in_slash = matches!(&*segment, "" | "." | "..");
        match &*segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    // An empty last segment is a slash by itself; after a dot segment there is one to be added.
    if ends_in_slash && segments.last().is_none_or(|last| !last.is_empty()) {
        segments.push(String::new());
    }
    let mut out = String::with_capacity(path.len());
    for segment in &segments {
        out.push('/');
        out.push_str(segment);
    }
    Some(out)
}

fn normalize_segment(segment: &str) -> Option<String> {
    let mut out = String::with_capacity(segment.len());
    let mut bytes = segment.as_bytes();
    while let Some((&byte, rest)) = bytes.split_first() {
        bytes = rest;
        let escaped = if byte == b'%' { escaped(rest) } else { None };
        match escaped {
            Some(0) => return None,
            Some(plain) if is_unreserved(plain) => {
                out.push(char::from(plain));
                bytes = rest.get(2..).unwrap_or_default();
            }
            // Stays escaped, and in the case in which it came.
            Some(_) => out.push('%'),
            None if byte == 0 => return None,
            None if must_be_escaped(byte) => {
                out.push('%');
                for nibble in [byte >> 4, byte & 0xf] {
                    let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('0');
                    out.push(digit.to_ascii_uppercase());
                }
            }
            None => out.push(char::from(byte)),
        }
    }
    Some(out)
}

/// The byte that two hexadecimal digits stand for.
fn escaped(rest: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn must_be_escaped(byte: u8) -> bool {
    byte <= b' '
        || byte >= 0x7f
        || matches!(byte, b'"' | b'#' | b'<' | b'>' | b'?' | b'^' | b'`' | b'{' | b'|' | b'}')
}

fn merge_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: PathRules = PathRules {
        escaped_slashes: EscapedSlashes::Unescape,
        normalize: true,
        merge_slashes: true,
    };

    fn normal(path: &str) -> Option<String> {
        match (PathRules { normalize: true, ..PathRules::default() }).apply(path) {
            PathVerdict::Same => Some(path.to_owned()),
            PathVerdict::Changed(changed) => Some(changed),
            PathVerdict::Redirect(_) => panic!("nothing asks for that"),
            PathVerdict::Reject => None,
        }
    }

    #[test]
    fn dot_segments_are_resolved_and_escapes_made_one() {
        for (path, wanted) in [
            ("/a/b?x=/../y", "/a/b?x=/../y"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/../../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/..", "/"),
            ("/", "/"),
            ("//a//", "//a//"),
            ("/a//../b", "/a/b"),
            (r"/a\..\b", "/b"),
            ("/%2e%2E/%41%2f%7e", "/A%2f~"),
            ("/a b", "/a%20b"),
            ("/%zz%4", "/%zz%4"),
            ("/...", "/..."),
        ] {
            assert_eq!(normal(path).as_deref(), Some(wanted), "{path}");
        }
        assert_eq!(normal("/a%00"), None);
        assert_eq!(normal("*").as_deref(), Some("*"), "no path at all");
    }

    #[test]
    fn escaped_slashes_are_what_the_rules_say() {
        let verdict = |escaped_slashes, path: &str| {
            PathRules { escaped_slashes, ..PathRules::default() }.apply(path)
        };
        let path = "/a%2Fb%5cc%25?d%2Fe";
        assert_eq!(verdict(EscapedSlashes::Keep, path), PathVerdict::Same);
        assert_eq!(verdict(EscapedSlashes::Reject, path), PathVerdict::Reject);
        let slashes = r"/a/b\c%25?d%2Fe".to_owned();
        assert_eq!(verdict(EscapedSlashes::Unescape, path), PathVerdict::Changed(slashes.clone()));
        assert_eq!(verdict(EscapedSlashes::Redirect, path), PathVerdict::Redirect(slashes));
        assert_eq!(verdict(EscapedSlashes::Reject, "/a?b%2Fc"), PathVerdict::Same);
    }

    #[test]
    fn slashes_are_merged_last() {
        assert_eq!(ALL.apply("/a//b%2f%2F/c/"), PathVerdict::Changed("/a/b/c/".to_owned()));
        assert_eq!(ALL.apply("/a?b//c"), PathVerdict::Same);
    }

    proptest! {
        #[test]
        fn what_was_made_one_stays_as_it_is(path in "/[a-c./\\\\%2eEfF5 é?]{0,20}") {
            if let PathVerdict::Changed(once) = ALL.apply(&path) {
                prop_assert!(once.starts_with('/'));
                // An escape of an escape may have come to light, which is as far as it goes.
                let path = once.split('?').next().unwrap_or_default();
                prop_assert!(!path.contains("//") && !path.contains("/../"), "{}", once);
            }
        }
    }
}
