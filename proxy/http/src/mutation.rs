//! Header changes of routes, applied.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;
use weft_compile::{
    AppendAction, HeaderChange, HeaderMutations, HeaderProgram, HeaderSet, HeaderText,
    TrailerChange,
};
use weft_format::{Request, View};
use weft_route::StringMatch;

/// Whose headers are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Those that the upstream gets.
    Request,
    /// Those that the client gets.
    Response,
}

/// Changes headers level by level. Of what `view` says, the headers that are changed are not used:
/// formats see them as they are at their level.
pub(crate) fn apply(program: &HeaderProgram, headers: &mut HeaderMap, side: Side, view: &View<'_>) {
    for level in program.levels() {
        apply_level(level, headers, side, view);
    }
}

fn apply_level(level: &HeaderMutations, headers: &mut HeaderMap, side: Side, view: &View<'_>) {
    for name in &level.remove {
        headers.remove(name);
    }
    // All values are made before any is set, so that none of them sees another.
    let mut added: SmallVec<[(&HeaderName, HeaderValue); 4]> = SmallVec::new();
    let mut replaced: SmallVec<[(&HeaderName, HeaderValue); 4]> = SmallVec::new();
    for set in &level.set {
        let is_wanted = match set.append {
            AppendAction::AddIfAbsent => !headers.contains_key(&set.name),
            AppendAction::OverwriteIfExists => headers.contains_key(&set.name),
            AppendAction::AppendIfExistsOrAdd | AppendAction::OverwriteIfExistsOrAdd => true,
        };
        if !is_wanted {
            continue;
        }
        let Some(value) = value(set, headers, side, view) else { continue };
        match set.append {
            AppendAction::OverwriteIfExistsOrAdd | AppendAction::OverwriteIfExists => {
                replaced.push((&set.name, value));
            }
            AppendAction::AppendIfExistsOrAdd | AppendAction::AddIfAbsent => {
                added.push((&set.name, value));
            }
        }
    }
    for (name, value) in replaced {
        headers.insert(name, value);
    }
    for (name, value) in added {
        headers.append(name, value);
    }
}

/// Changes headers one by one: each change sees what those before it did. Of what `view` says, the
/// headers that are changed are not used.
pub(crate) fn apply_each(
    changes: &[HeaderChange],
    headers: &mut HeaderMap,
    side: Side,
    view: &View<'_>,
) {
    for change in changes {
        match change {
            HeaderChange::Remove(name) => {
                headers.remove(name);
            }
            HeaderChange::RemoveMatching(names) => remove_matching(names, headers),
            HeaderChange::Set(set) => {
                if let Some(value) = value(set, headers, side, view) {
                    put(set.append, &set.name, value, headers);
                }
            }
        }
    }
}

/// Changes trailers one by one.
pub(crate) fn apply_to_trailers(changes: &[TrailerChange], trailers: &mut HeaderMap) {
    for change in changes {
        match change {
            TrailerChange::Remove(name) => {
                trailers.remove(name);
            }
            TrailerChange::RemoveMatching(names) => remove_matching(names, trailers),
            TrailerChange::Set { name, value, append } => {
                put(*append, name, value.clone(), trailers);
            }
        }
    }
}

fn put(append: AppendAction, name: &HeaderName, value: HeaderValue, headers: &mut HeaderMap) {
    match (append, headers.contains_key(name)) {
        (AppendAction::AddIfAbsent, true) | (AppendAction::OverwriteIfExists, false) => {}
        (AppendAction::AppendIfExistsOrAdd | AppendAction::AddIfAbsent, _) => {
            headers.append(name, value);
        }
        (AppendAction::OverwriteIfExists | AppendAction::OverwriteIfExistsOrAdd, _) => {
            headers.insert(name, value);
        }
    }
}

fn remove_matching(names: &StringMatch, headers: &mut HeaderMap) {
    let is_meant = |name: &&HeaderName| names.matches(name.as_str().as_bytes());
    let gone: Vec<HeaderName> = headers.keys().filter(is_meant).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// `None` where there is nothing to set.
fn value(set: &HeaderSet, headers: &HeaderMap, side: Side, view: &View<'_>) -> Option<HeaderValue> {
    let format = match &set.value {
        HeaderText::Literal(value) => return Some(value.clone()),
        HeaderText::Format(format) => format,
    };
    let view = match side {
        Side::Request => {
            View { request: view.request.map(|it| Request { headers, ..it }), ..*view }
        }
        Side::Response => View { response: Some(headers), ..*view },
    };
    let mut text = Vec::new();
    format.render(&view, "", &mut text);
    if text.is_empty() && !set.keep_empty {
        return None;
    }
    // What a header cannot hold was in no header: a variable or a name of the configuration.
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &'static str, value: &str, append: AppendAction) -> HeaderSet {
        let format: weft_format::Format = value.parse().unwrap();
        let value = match format.as_literal() {
            Some(literal) => HeaderText::Literal(HeaderValue::from_str(literal).unwrap()),
            None => HeaderText::Format(format),
        };
        HeaderSet { name: HeaderName::from_static(name), value, append, keep_empty: false }
    }

    fn level(remove: &[&'static str], set: Vec<HeaderSet>) -> HeaderMutations {
        let remove = remove.iter().map(|name| HeaderName::from_static(name)).collect();
        HeaderMutations { remove, set: set.into() }
    }

    fn after(before: &[(&'static str, &'static str)], levels: &[HeaderMutations]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in before {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let program = HeaderProgram::new(levels);
        apply(&program, &mut headers, Side::Response, &View::default());
        headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn each_append_action_does_what_it_says() {
        let one = |append| [level(&[], vec![set("x", "new", append)])];
        let old = &[("x", "old")];
        assert_eq!(after(old, &one(AppendAction::AppendIfExistsOrAdd)), ["x=old", "x=new"]);
        assert_eq!(after(old, &one(AppendAction::AddIfAbsent)), ["x=old"]);
        assert_eq!(after(&[], &one(AppendAction::AddIfAbsent)), ["x=new"]);
        assert_eq!(after(old, &one(AppendAction::OverwriteIfExistsOrAdd)), ["x=new"]);
        assert_eq!(after(old, &one(AppendAction::OverwriteIfExists)), ["x=new"]);
        assert!(after(&[], &one(AppendAction::OverwriteIfExists)).is_empty());
    }

    #[test]
    fn within_a_level_values_are_made_first_and_replacements_come_before_additions() {
        use AppendAction::{AppendIfExistsOrAdd as Append, OverwriteIfExistsOrAdd as Overwrite};
        let both = [level(&[], vec![set("x", "added", Append), set("x", "replaced", Overwrite)])];
        assert_eq!(after(&[("x", "old")], &both), ["x=replaced", "x=added"]);
        let swapped =
            [level(&[], vec![set("a", "%RESP(b)%", Overwrite), set("b", "%RESP(a)%", Overwrite)])];
        assert_eq!(after(&[("a", "1"), ("b", "2")], &swapped), ["a=2", "b=1"]);
        let removed = [level(&["x"], vec![set("y", "%RESP(x)%", Append)])];
        assert!(after(&[("x", "1")], &removed).is_empty(), "an empty value adds nothing");
    }

    #[test]
    fn levels_see_what_those_before_them_did() {
        use AppendAction::AppendIfExistsOrAdd as Append;
        let levels = [
            level(&[], vec![set("x", "1", Append)]),
            level(&[], vec![set("y", "%RESP(x)%2", Append)]),
            level(&["x"], vec![]),
        ];
        assert_eq!(after(&[], &levels), ["y=12"]);
    }
}
