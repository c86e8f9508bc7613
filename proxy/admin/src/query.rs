//! Parameters of a request to the admin interface.

use std::borrow::Cow;

/// Decoded parameters, all of which the endpoint knows.
#[derive(Debug, Default)]
pub(crate) struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// A parameter that cannot be honoured.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParameterError {
    #[error("parameter \"{name}\" is not supported here (hint: {known})")]
    Unsupported { name: String, known: String },
    #[error("parameter \"{name}\" is not UTF-8 once percent-decoded")]
    NotText { name: String },
}

impl<'a> Parameters<'a> {
    /// Reads a query string, and refuses parameters that are not among `known`: what is asked for
    /// and not done must not look done.
    pub(crate) fn parse(
        query: &'a str,
        known: impl Iterator<Item = &'static str> + Clone,
    ) -> Result<Self, ParameterError> {
        let mut parameters = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text| {
                percent_decoded(text)
                    .ok_or_else(|| ParameterError::NotText { name: name.to_owned() })
            };
            let (name, value) = (decoded(name)?, decoded(value)?);
            if !known.clone().any(|known| known == name) {
                let names: Vec<&str> = known.collect();
                return Err(ParameterError::Unsupported {
                    name: name.into_owned(),
                    known: if names.is_empty() {
                        "it takes none".to_owned()
                    } else {
                        format!("it takes {}", names.join(", "))
                    },
                });
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The first value of a parameter; empty where it has none.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// All values of a parameter.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// Whether a parameter is given, with any value but a plain no.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| !matches!(value, "0" | "false" | "off" | "no"))
    }
}

fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Parameters<'_>, ParameterError> {
        Parameters::parse(query, ["filter", "usedonly"].into_iter())
    }

    #[test]
    fn values_are_decoded_and_flags_need_none() {
        let parameters = parse("usedonly&filter=%5Ea%2Bb+c%24").unwrap();
        assert_eq!(parameters.value("filter"), Some("^a+b c$"));
        assert!(parameters.flag("usedonly"));
        assert!(!parse("usedonly=false").unwrap().flag("usedonly"));
        assert!(!parse("").unwrap().flag("usedonly"));
    }

    #[test]
    fn what_is_unknown_or_broken_is_refused() {
        assert_eq!(
            parse("type=All").unwrap_err().to_string(),
            "parameter \"type\" is not supported here (hint: it takes filter, usedonly)"
        );
        for broken in ["filter=%", "filter=%f", "filter=%zz", "filter=%ff"] {
            assert!(matches!(parse(broken), Err(ParameterError::NotText { .. })), "{broken}");
        }
    }
}
