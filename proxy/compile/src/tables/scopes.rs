//! Routes that are chosen by a scope.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use smallvec::SmallVec;
use weft_resources::ScopeFragment;
use weft_route::HeaderKey;

use crate::routing::RouteConfig;

/// Stands between the parts of a key, as it stands in no header.
const BETWEEN: u8 = 0;

/// Route configurations by a key that requests are asked for.
#[derive(Debug)]
pub struct Scopes {
    fragments: Box<[ScopeFragment]>,
    by_key: HashMap<Box<[u8]>, Arc<RouteConfig>, RandomState>,
}

impl Scopes {
    /// Scopes by keys, each of as many parts as there are fragments.
    pub(crate) fn new(
        fragments: Box<[ScopeFragment]>,
        scopes: impl IntoIterator<Item = (Box<[Box<str>]>, Arc<RouteConfig>)>,
    ) -> Self {
        let by_key = scopes.into_iter().map(|(key, routes)| {
            let parts: Vec<&[u8]> = key.iter().map(|part| part.as_bytes()).collect();
            (parts.join(&BETWEEN).into_boxed_slice(), routes)
        });
        Self { fragments, by_key: by_key.collect() }
    }

    /// The routes of a request; `said` are its headers.
    pub(crate) fn find<'v>(
        &self,
        said: impl Fn(&HeaderKey) -> Option<&'v [u8]>,
    ) -> Option<&Arc<RouteConfig>> {
        let mut key: SmallVec<[u8; 64]> = SmallVec::new();
        for (index, fragment) in self.fragments.iter().enumerate() {
            if index > 0 {
                key.push(BETWEEN);
            }
            key.extend_from_slice(fragment.of(said(&fragment.name)?)?);
        }
        self.by_key.get(&*key)
    }
}

#[cfg(test)]
mod tests {
    use weft_resources::ScopeElement;
    use weft_route::{MatchOptions, RouteTable};

    use super::*;

    #[test]
    fn a_key_has_all_its_parts() {
        let fragment = |name: &str| ScopeFragment {
            name: name.parse().unwrap(),
            separator: "".into(),
            element: ScopeElement::Index(0),
        };
        let key = |parts: [&str; 2]| Box::from(parts.map(Box::from));
        let empty = |name: &str| {
            let table = RouteTable::compile(Vec::new(), MatchOptions::default()).unwrap();
            Arc::new(RouteConfig { name: Arc::from(name), table, internal_only: Box::default() })
        };
        let scopes = Scopes::new(
            Box::new([fragment("x-a"), fragment("x-b")]),
            [(key(["a", "b"]), empty("first")), (key(["ab", ""]), empty("second"))],
        );
        let find = |a: Option<&'static str>, b: Option<&'static str>| {
            let found = scopes.find(|name| match name.to_string().as_str() {
                "x-a" => a.map(str::as_bytes),
                _ => b.map(str::as_bytes),
            });
            found.map(|config| config.name.to_string())
        };
        assert_eq!(find(Some("a"), Some("b")), Some("first".into()));
        assert_eq!(find(Some("ab"), Some("")), Some("second".into()));
        assert_eq!(find(Some("ab"), None), None);
        assert_eq!(find(Some("b"), Some("a")), None);
    }
}
