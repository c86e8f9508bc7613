//! Regular expressions that match a whole value, in RE2's dialect, as Envoy reads them.

mod dfa;
mod dialect;
mod substitution;

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

pub(crate) use dfa::{FullMatchDfa, Matched};
pub use substitution::Substitution;

/// An expression that must match a whole value (`type.matcher.v3.RegexMatcher`).
///
/// Matching runs in time linear to the value, and without allocating unless the automaton of the
/// expression would be unreasonably large. Clones share the automaton.
#[derive(Clone)]
pub struct Pattern(Arc<Compiled>);

struct Compiled {
    source: Box<str>,
    translated: Box<str>,
    matcher: Matcher,
}

enum Matcher {
    Dfa(Box<FullMatchDfa>),
    /// For the few expressions whose automaton is exponential in their length.
    Searched(regex::bytes::Regex),
}

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("regex \"{pattern}\": {reason} (hint: RE2 syntax; the whole value must match)")]
pub struct PatternError {
    /// The expression.
    pub pattern: Box<str>,
    /// What is wrong with it.
    pub reason: Box<str>,
}

/// Bytes of program an expression may have before it is refused.
const PROGRAM_LIMIT: usize = 1 << 20;

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it is not valid, too large, or means something else in RE2 than it would here.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        let refuse = |reason: String| PatternError {
            pattern: source.into(),
            reason: reason.into_boxed_str(),
        };
        let translated = dialect::translate(source).map_err(|reason| refuse(reason.to_owned()))?;
        // On its own first: inside the group that anchors it, an unbalanced `)` would go unseen.
        let anchored = regex::bytes::RegexBuilder::new(&translated)
            .size_limit(PROGRAM_LIMIT)
            .build()
            .and_then(|_| {
                regex::bytes::RegexBuilder::new(&format!(r"\A(?:{translated})\z"))
                    .size_limit(PROGRAM_LIMIT)
                    .build()
            })
            .map_err(|error| refuse(last_line(&error.to_string())))?;
        let matcher = match FullMatchDfa::build(&[&translated]) {
            Some(dfa) => Matcher::Dfa(Box::new(dfa)),
            None => Matcher::Searched(anchored),
        };
        let translated = translated.into_boxed_str();
        Ok(Self(Arc::new(Compiled { source: source.into(), translated, matcher })))
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.0.source
    }

    /// The expression as the automata read it.
    pub(crate) fn translated(&self) -> &str {
        &self.0.translated
    }

    /// Whether the whole value matches.
    #[inline]
    pub fn matches(&self, value: &[u8]) -> bool {
        match &self.0.matcher {
            Matcher::Dfa(dfa) => dfa.run(value).is_some(),
            Matcher::Searched(regex) => regex.is_match(value),
        }
    }
}

/// Syntax errors are drawn over several lines; the last one says what is wrong.
fn last_line(text: &str) -> String {
    text.lines().next_back().unwrap_or(text).trim_start_matches("error: ").to_owned()
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.0.source)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.source.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, value: &[u8]) -> bool {
        Pattern::new(pattern).unwrap().matches(value)
    }

    #[test]
    fn the_whole_value_must_match() {
        assert!(matches("a|ab", b"ab"));
        assert!(!matches("a", b"ab"));
        assert!(matches("^/x/[0-9]{2,3}$", b"/x/123"));
        assert!(!matches("/x", b"/x\n"));
        assert!(matches("", b""));
        assert!(matches("(?i)straße", "STRASSE".replace("SS", "ß").as_bytes()));
    }

    #[test]
    fn character_classes_are_ascii_as_in_re2() {
        assert!(matches(r"\d+", b"42"));
        assert!(!matches(r"\d+", "٤٢".as_bytes()));
        assert!(!matches(r"\w+", "é".as_bytes()));
        assert!(matches(r"[\w.-]+", b"a.b-c_1"));
        assert!(matches(r"\W", "é".as_bytes()));
        assert!(matches(r"[^\s/]+", b"abc"));
        assert!(matches(r"a\b.*", "a é".as_bytes()));
        assert!(matches("[a[&&b]+", b"[&ab"));
        assert!(matches(r"\Qa.b\E+", b"a.bb"));
        assert!(!matches(r"\Qa.b\E", b"axb"));
        assert!(matches(".", "é".as_bytes()), "a dot is a character, not a byte");
    }

    #[test]
    fn hostile_bytes_do_not_match_a_dot() {
        assert!(!matches(".*", b"\xff"));
        assert!(!matches(".*", b"a\xc3"));
    }

    #[test]
    fn what_means_something_else_in_re2_is_refused() {
        for pattern in ["a)", "(", r"\1", "[a--b]", "(?x)a # b", r"\"] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
        let error = Pattern::new("a(").unwrap_err().to_string();
        assert!(error.contains("unclosed group"), "{error}");
    }

    #[test]
    fn an_exponential_automaton_falls_back_to_searching() {
        let pattern = Pattern::new("(?:.*a.{20})b").unwrap();
        assert!(matches!(pattern.0.matcher, Matcher::Searched(_)));
        assert!(pattern.matches(b"xxa01234567890123456789b"));
        assert!(!pattern.matches(b"xxa0123456789b\n"));
    }

    #[test]
    fn enormous_programs_are_refused() {
        assert!(Pattern::new(r"(?:(?:\pL{100}){100}){100}").is_err());
    }
}
