//! From a text to its parts.

use std::{fmt, str::FromStr};

use crate::{
    error::{Fault, FormatError},
    operator::Operator,
};

/// A format string, parsed.
#[derive(Clone, PartialEq, Eq)]
pub struct Format {
    text: Box<str>,
    pub(crate) parts: Box<[Part]>,
}

/// A piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Box<str>),
    Operator(Operator),
}

impl Format {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it always says, if it has no operators.
    pub fn as_literal(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            let position = text.len() - after.len() - 1;
            let refuse = |fault| FormatError { text: text.into(), position, fault };
            let (operator, after) = operator(after).map_err(refuse)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Operator(operator));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Self { text: text.into(), parts: parts.into() })
    }
}

/// Reads `NAME(argument):length%`, and says what follows.
fn operator(text: &str) -> Result<(Operator, &str), Fault> {
    let end = text
        .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Err(Fault::Percent);
    }
    let (argument, rest) = match rest.strip_prefix('(') {
        None => (None, rest),
        Some(inside) => {
            let (argument, rest) = argument(inside).ok_or(Fault::Percent)?;
            (Some(argument), rest)
        }
    };
    let (length, rest) = length(rest).ok_or(Fault::Percent)?;
    Ok((Operator::new(name, argument, length)?, rest))
}

/// What stands before the parenthesis that ends the operator: one with a `%` or a length behind
/// it, as times may have both signs in their format.
fn argument(inside: &str) -> Option<(&str, &str)> {
    inside.match_indices(')').find_map(|(at, _)| {
        let rest = inside.get(at + 1..)?;
        length(rest).and_then(|_| Some((inside.get(..at)?, rest)))
    })
}

/// A `:length`, if there is one, and the `%` that ends the operator.
fn length(text: &str) -> Option<(Option<usize>, &str)> {
    if let Some(rest) = text.strip_prefix('%') {
        return Some((None, rest));
    }
    let (digits, rest) = text.strip_prefix(':')?.split_once('%')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    // What is too large for a number cuts nothing.
    is_number.then(|| (Some(digits.parse().unwrap_or(usize::MAX)), rest))
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Format({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::View;

    fn fault(text: &str) -> (usize, Fault) {
        let error = text.parse::<Format>().unwrap_err();
        (error.position, error.fault)
    }

    #[test]
    fn text_without_operators_is_literal() {
        for (text, literal) in [("", ""), ("plain", "plain"), ("100%%", "100%"), ("%%%%", "%%")] {
            assert_eq!(text.parse::<Format>().unwrap().as_literal(), Some(literal));
        }
        assert_eq!("%PROTOCOL%".parse::<Format>().unwrap().as_literal(), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        assert_eq!(fault("50%"), (2, Fault::Percent));
        assert_eq!(fault("50% off"), (2, Fault::Percent));
        assert_eq!(fault("%%a%REQ(x)"), (3, Fault::Percent));
        assert_eq!(fault("é%NO_SUCH%"), (2, Fault::Unknown("NO_SUCH".into())));
        assert_eq!(fault("%REQ%").1, Fault::NoArgument("REQ".into(), "a header's name"));
        assert_eq!(fault("%REQ(a b)%").1, Fault::Header("a b".into()));
        assert_eq!(fault("%PROTOCOL(x)%").1, Fault::Argument("PROTOCOL".into()));
        assert_eq!(fault("%PROTOCOL:3%").1, Fault::Length("PROTOCOL".into()));
        assert_eq!(fault("%START_TIME(%)%").1, Fault::Time("%".into()));
        assert_eq!(
            fault("%ENVIRONMENT()%").1,
            Fault::NoArgument("ENVIRONMENT".into(), "a variable's name")
        );
        let shown = "a %X%".parse::<Format>().unwrap_err().to_string();
        assert_eq!(shown, "at byte 2 of \"a %X%\": the operator \"X\" is not supported");
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[%A-Z_():?0-9a-z é.]{0,40}") {
            if let Ok(format) = text.parse::<Format>() {
                format.render(&View::default(), "-", &mut Vec::new());
                prop_assert_eq!(format.as_str(), text);
            }
        }

        #[test]
        fn percent_signs_are_doubled_to_stay(text in "[a-z%]{0,20}") {
            let format: Format = text.replace('%', "%%").parse().unwrap();
            prop_assert_eq!(format.as_literal(), Some(&*text));
        }
    }
}
