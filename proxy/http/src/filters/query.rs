//! Changes to the query of a path (`query_parameter_mutations`).

use std::borrow::Cow;

use http::{HeaderMap, Uri, uri::PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use weft_compile::{AppendAction, QueryChange};
use weft_format::{Request, View};

/// Everything but what RFC 3986 §2.3 leaves unreserved is escaped.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The target with its query changed; `None` where nothing is to be. Parameters that are left alone
/// stay as they came, byte by byte.
pub(super) fn changed(
    uri: &Uri,
    changes: &[QueryChange],
    headers: &HeaderMap,
    view: &View<'_>,
) -> Option<Uri> {
    if changes.is_empty() {
        return None;
    }
    let path = uri.path_and_query()?;
    let view = View { request: view.request.map(|it| Request { headers, ..it }), ..*view };
    let query = apply(path.query().unwrap_or_default(), changes, &view);
    let text = match query.as_str() {
        "" => path.path().to_owned(),
        query => format!("{}?{query}", path.path()),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

/// The first value of a parameter of a query, decoded.
pub(super) fn first(query: &str, name: &str) -> Option<String> {
    let found = query.split('&').find(|parameter| is(parameter, name))?;
    let value = found.split_once('=').map_or("", |(_, value)| value);
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn apply(query: &str, changes: &[QueryChange], view: &View<'_>) -> String {
    let given = query.split('&').filter(|parameter| !parameter.is_empty());
    let mut parameters: Vec<Cow<'_, str>> = given.map(Cow::Borrowed).collect();
    for change in changes {
        match change {
            QueryChange::Remove(key) => parameters.retain(|it| !is(it, key)),
            QueryChange::Set { key, value, append } => {
                let mut text = Vec::new();
                value.render(view, "", &mut text);
                let first = parameters.iter().position(|it| is(it, key));
                let new = Cow::Owned(format!(
                    "{}={}",
                    percent_encode(key.as_bytes(), RESERVED),
                    percent_encode(&text, RESERVED)
                ));
                match (append, first) {
                    (AppendAction::AppendIfExistsOrAdd, _)
                    | (AppendAction::AddIfAbsent | AppendAction::OverwriteIfExistsOrAdd, None) => {
                        parameters.push(new);
                    }
                    (AppendAction::AddIfAbsent, Some(_))
                    | (AppendAction::OverwriteIfExists, None) => {}
                    (
                        AppendAction::OverwriteIfExists | AppendAction::OverwriteIfExistsOrAdd,
                        Some(first),
                    ) => {
                        let mut at = 0;
                        parameters.retain(|it| {
                            at += 1;
                            at <= first + 1 || !is(it, key)
                        });
                        if let Some(old) = parameters.get_mut(first) {
                            *old = new;
                        }
                    }
                }
            }
        }
    }
    parameters.join("&")
}

/// Whether a parameter has this key.
fn is(parameter: &str, key: &str) -> bool {
    let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
    name == key || (name.contains('%') && percent_decode_str(name).eq(key.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &str, value: &str, append: AppendAction) -> QueryChange {
        QueryChange::Set { key: key.into(), value: value.parse().unwrap(), append }
    }

    fn after(query: &str, change: QueryChange) -> String {
        apply(query, &[change], &View::default())
    }

    #[test]
    fn each_action_does_what_it_says() {
        use AppendAction::*;
        let old = "a=1&b=%20&a=2";
        assert_eq!(after(old, set("a", "x", AppendIfExistsOrAdd)), "a=1&b=%20&a=2&a=x");
        assert_eq!(after(old, set("a", "x", AddIfAbsent)), old);
        assert_eq!(after(old, set("c", "x", AddIfAbsent)), "a=1&b=%20&a=2&c=x");
        assert_eq!(after(old, set("a", "x", OverwriteIfExists)), "a=x&b=%20");
        assert_eq!(after(old, set("c", "x", OverwriteIfExists)), old);
        assert_eq!(after("", set("c", "x", OverwriteIfExistsOrAdd)), "c=x");
        assert_eq!(after(old, QueryChange::Remove("a".into())), "b=%20");
    }

    #[test]
    fn keys_are_compared_decoded_and_values_encoded() {
        assert_eq!(after("%61=1&b", QueryChange::Remove("a".into())), "b");
        assert_eq!(after("%6=1", QueryChange::Remove("a".into())), "%6=1");
        assert_eq!(after("", set("a b", "ü&=", AppendAction::AddIfAbsent)), "a%20b=%C3%BC%26%3D");
    }
}
