//! Matching a value against literal text or an expression.

use memchr::memmem;

use crate::pattern::Pattern;

/// How the text of a [`StringMatch`] is applied (`type.matcher.v3.StringMatcher.match_pattern`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StringRule {
    /// The whole value.
    Exact(Box<str>),
    /// The beginning of the value.
    Prefix(Box<str>),
    /// The end of the value.
    Suffix(Box<str>),
    /// Anywhere in the value.
    Contains(Box<str>),
    /// The whole value, by an expression. Not affected by [`StringMatch::ignore_case`].
    Regex(Pattern),
}

/// `type.matcher.v3.StringMatcher`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StringMatch {
    /// What to look for, and where.
    pub rule: StringRule,
    /// Compare ASCII letters without regard to case.
    pub ignore_case: bool,
}

impl StringMatch {
    /// A case-sensitive match.
    pub fn new(rule: StringRule) -> Self {
        Self { rule, ignore_case: false }
    }

    /// The whole value, case-sensitively.
    pub fn exact(text: &str) -> Self {
        Self::new(StringRule::Exact(text.into()))
    }

    /// Whether `value`, which need not be UTF-8, matches.
    pub fn matches(&self, value: &[u8]) -> bool {
        match &self.rule {
            StringRule::Exact(text) => self.equal(value, text.as_bytes()),
            StringRule::Prefix(text) => {
                value.get(..text.len()).is_some_and(|head| self.equal(head, text.as_bytes()))
            }
            StringRule::Suffix(text) => value
                .len()
                .checked_sub(text.len())
                .and_then(|at| value.get(at..))
                .is_some_and(|tail| self.equal(tail, text.as_bytes())),
            StringRule::Contains(text) => self.contains(value, text.as_bytes()),
            StringRule::Regex(pattern) => pattern.matches(value),
        }
    }

    fn equal(&self, value: &[u8], text: &[u8]) -> bool {
        if self.ignore_case { value.eq_ignore_ascii_case(text) } else { value == text }
    }

    fn contains(&self, value: &[u8], text: &[u8]) -> bool {
        if text.is_empty() {
            return true;
        }
        if self.ignore_case {
            value.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text))
        } else {
            memmem::find(value, text).is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: StringRule, ignore_case: bool, value: &str) -> bool {
        StringMatch { rule, ignore_case }.matches(value.as_bytes())
    }

    #[test]
    fn each_rule_with_and_without_case() {
        type Rule = fn(Box<str>) -> StringRule;
        let cases: [(Rule, &str, &str, bool); 12] = [
            (StringRule::Exact, "Abc", "Abc", true),
            (StringRule::Exact, "Abc", "Abcd", false),
            (StringRule::Exact, "", "", true),
            (StringRule::Prefix, "Ab", "Abc", true),
            (StringRule::Prefix, "Abcd", "Abc", false),
            (StringRule::Suffix, "bc", "Abc", true),
            (StringRule::Suffix, "zAbc", "Abc", false),
            (StringRule::Suffix, "", "Abc", true),
            (StringRule::Contains, "b", "Abc", true),
            (StringRule::Contains, "", "", true),
            (StringRule::Contains, "x", "Abc", false),
            (StringRule::Contains, "Abcd", "Abc", false),
        ];
        for (rule, text, value, expected) in cases {
            assert_eq!(check(rule(text.into()), false, value), expected, "{text} in {value}");
            let upper = value.to_uppercase();
            assert_eq!(check(rule(text.into()), true, &upper), expected, "{text} in {upper}");
        }
        assert!(!check(StringRule::Exact("abc".into()), false, "ABC"));
    }

    #[test]
    fn an_expression_keeps_its_own_case_rules() {
        let regex = || StringRule::Regex(Pattern::new("a+").unwrap());
        assert!(check(regex(), true, "aa"));
        assert!(!check(regex(), true, "AA"));
    }
}
