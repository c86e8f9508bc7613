//! Replacing what an expression finds.

use std::{fmt, sync::Arc};

use super::{PROGRAM_LIMIT, PatternError, dialect, last_line};

/// An expression, looked for anywhere, and what stands in the place of each occurrence
/// (`type.matcher.v3.RegexMatchAndSubstitute`).
///
/// In the replacement `\1` to `\9` are the groups of the expression, `\0` is all of what was found,
/// and `\\` is a backslash.
#[derive(Clone)]
pub struct Substitution(Arc<Compiled>);

struct Compiled {
    source: Box<str>,
    template: Box<str>,
    regex: regex::bytes::Regex,
    replacement: Vec<Part>,
}

enum Part {
    Literal(Box<[u8]>),
    Group(usize),
}

impl Substitution {
    /// Compiles an expression and its replacement.
    ///
    /// # Errors
    /// When the expression is not valid or too large, or the replacement names a group that the
    /// expression does not have.
    pub fn new(source: &str, template: &str) -> Result<Self, PatternError> {
        let refuse = |reason: String| PatternError {
            pattern: source.into(),
            reason: reason.into_boxed_str(),
        };
        let translated = dialect::translate(source).map_err(|reason| refuse(reason.to_owned()))?;
        let regex = regex::bytes::RegexBuilder::new(&translated)
            .size_limit(PROGRAM_LIMIT)
            .build()
            .map_err(|error| refuse(last_line(&error.to_string())))?;
        let replacement = parse(template, regex.captures_len()).map_err(refuse)?;
        let (source, template) = (source.into(), template.into());
        Ok(Self(Arc::new(Compiled { source, template, regex, replacement })))
    }

    /// `text` with every occurrence replaced. Time is linear to the text and its occurrences.
    pub fn replace_all(&self, text: &str) -> String {
        let text = text.as_bytes();
        let mut out = Vec::with_capacity(text.len() + 16);
        let mut copied = 0;
        for found in self.0.regex.captures_iter(text) {
            let Some(whole) = found.get(0) else { continue };
            out.extend_from_slice(text.get(copied..whole.start()).unwrap_or_default());
            for part in &self.0.replacement {
                match part {
                    Part::Literal(bytes) => out.extend_from_slice(bytes),
                    // A group that took no part in the match is empty.
                    Part::Group(group) => {
                        let group = found.get(*group);
                        out.extend_from_slice(group.map_or(&[][..], |group| group.as_bytes()));
                    }
                }
            }
            copied = whole.end();
        }
        out.extend_from_slice(text.get(copied..).unwrap_or_default());
        String::from_utf8(out)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

fn parse(template: &str, groups: usize) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = Vec::new();
    let mut bytes = template.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            literal.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'\\') => literal.push(b'\\'),
            Some(digit @ b'0'..=b'9') => {
                let group = usize::from(digit - b'0');
                if group >= groups {
                    return Err(format!(
                        "the substitution {template:?} needs group {group}, and there are {}",
                        groups.saturating_sub(1)
                    ));
                }
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal).into()));
                }
                parts.push(Part::Group(group));
            }
            _ => {
                return Err(format!(
                    "the substitution {template:?} has a backslash that is followed by neither a \
                     digit nor a backslash"
                ));
            }
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.into()));
    }
    Ok(parts)
}

impl fmt::Debug for Substitution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Substitution({:?} -> {:?})", self.0.source, self.0.template)
    }
}

impl PartialEq for Substitution {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source && self.0.template == other.0.template
    }
}

impl Eq for Substitution {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replaced(pattern: &str, template: &str, text: &str) -> String {
        Substitution::new(pattern, template).unwrap().replace_all(text)
    }

    #[test]
    fn every_occurrence_is_replaced() {
        assert_eq!(replaced("one", "two", "/xxx/one/yyy/one/zzz"), "/xxx/two/yyy/two/zzz");
        assert_eq!(replaced("^(.*?)one(.*)$", r"\1two\2", "/xxx/one/one/zzz"), "/xxx/two/one/zzz");
        assert_eq!(
            replaced("^/service/([^/]+)(/.*)$", r"\2/instance/\1", "/service/foo/v1/api"),
            "/v1/api/instance/foo"
        );
        assert_eq!(replaced("(?i)/xxx/", "/yyy/", "/aaa/XxX/bbb"), "/aaa/yyy/bbb");
        assert_eq!(replaced("b*", "-", "abc"), "-a-c-", "as RE2 does");
        assert_eq!(replaced("(a)|(b)", r"[\1\2\0]\\", "ab"), r"[aa]\[bb]\");
        assert_eq!(replaced("x", "y", "/none"), "/none");
    }

    #[test]
    fn groups_must_exist() {
        for (pattern, template) in
            [("a", r"\1"), ("(a)", r"\2"), ("a", r"\x"), ("a", r"\"), ("(", "")]
        {
            assert!(Substitution::new(pattern, template).is_err(), "{pattern} {template}");
        }
        let error = Substitution::new("(a)", r"\2").unwrap_err().to_string();
        assert!(error.contains("needs group 2, and there are 1"), "{error}");
    }

    proptest! {
        #[test]
        fn no_template_and_no_text_is_too_odd(template in ".{0,12}", text: String) {
            if let Ok(substitution) = Substitution::new("(é|a*)x?", &template) {
                substitution.replace_all(&text);
            }
        }
    }
}
