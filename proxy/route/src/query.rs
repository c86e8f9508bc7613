//! Matching query parameters.

use crate::string::StringMatch;

/// `route.v3.QueryParameterMatcher`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueryMatch {
    /// The parameter, compared byte by byte and without percent-decoding, as Envoy does.
    pub name: Box<str>,
    /// What it must be.
    pub value: QueryValueMatch,
}

/// What a query parameter must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QueryValueMatch {
    /// There, or not there.
    Present(bool),
    /// Its first value matches.
    String(StringMatch),
}

impl QueryMatch {
    /// Whether the query string (without its `?`) has what is asked for. A parameter without `=`
    /// has the empty value.
    pub fn matches(&self, query: &str) -> bool {
        let first = first_query_value(query, &self.name);
        match &self.value {
            QueryValueMatch::Present(present) => first.is_some() == *present,
            QueryValueMatch::String(matcher) => {
                first.is_some_and(|value| matcher.matches(value.as_bytes()))
            }
        }
    }
}

/// The first value of a parameter, as it stands in the query string (without its `?`).
pub fn first_query_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    if query.is_empty() {
        return None;
    }
    query
        .split('&')
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .find_map(|(key, value)| (key == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(name: &str, present: bool) -> QueryMatch {
        QueryMatch { name: name.into(), value: QueryValueMatch::Present(present) }
    }

    #[test]
    fn the_first_value_counts() {
        let matcher = QueryMatch {
            name: "v".into(),
            value: QueryValueMatch::String(StringMatch::exact("1=2")),
        };
        assert!(matcher.matches("a=b&v=1=2&v=3"));
        assert!(!matcher.matches("v=3&v=1=2"));
        assert!(!matcher.matches(""));
    }

    #[test]
    fn presence_needs_no_value() {
        assert!(present("debug", true).matches("a=1&debug"));
        assert!(present("debug", true).matches("debug="));
        assert!(!present("debug", true).matches("debugger=1"));
        assert!(present("debug", false).matches(""));
        assert!(!present("debug", false).matches("debug"));
    }
}
