//! Finding the routes of a virtual host whose path matches, without trying each.

use std::fmt;

use crate::{
    candidates::{Candidates, MAX_LISTS},
    path::PathMatch,
    pattern::FullMatchDfa,
    request::RequestView,
    table::Route,
    trie::{Anchor, Entry, Lowercase, Plain, Trie},
};

/// Below this many routes, trying each in turn is faster and smaller than an index.
const WORTH_AN_INDEX: usize = 9;

/// The paths of a virtual host's routes.
pub(crate) struct PathIndex {
    plain: Trie,
    folded: Trie,
    expressions: Expressions,
}

enum Expressions {
    /// All of them at once, with the route of each.
    Joint(Box<FullMatchDfa>, Box<[u32]>),
    /// Too large together: tried one by one.
    Single(Box<[u32]>),
}

impl PathIndex {
    /// `None` where trying the routes in turn is better.
    pub(crate) fn build<A>(routes: &[Route<A>]) -> Option<Box<Self>> {
        if routes.len() < WORTH_AN_INDEX {
            return None;
        }
        let mut plain = Vec::new();
        let mut folded = Vec::new();
        let mut expressions = Vec::new();
        let mut patterns = Vec::new();
        for (index, route) in (0u32..).zip(routes) {
            let (value, case_sensitive, anchor) = match &route.rule.path {
                PathMatch::Prefix { value, case_sensitive } => {
                    (value, *case_sensitive, Anchor::Prefix)
                }
                PathMatch::Segments { value, case_sensitive } => {
                    (value, *case_sensitive, Anchor::Segment)
                }
                PathMatch::Exact { value, case_sensitive } => (value, *case_sensitive, Anchor::End),
                PathMatch::Connect => continue,
                PathMatch::Regex(pattern) => {
                    expressions.push(index);
                    patterns.push(pattern.translated());
                    continue;
                }
            };
            if case_sensitive {
                plain.push(Entry { key: value.as_bytes().to_vec(), anchor, index });
            } else {
                folded.push(Entry { key: value.to_ascii_lowercase().into_bytes(), anchor, index });
            }
        }
        let plain = Trie::build(plain);
        let folded = Trie::build(folded);
        if plain.deepest() + folded.deepest() + 1 > MAX_LISTS {
            return None;
        }
        let joint = if patterns.is_empty() { None } else { FullMatchDfa::build(&patterns) };
        let expressions = expressions.into_boxed_slice();
        let expressions = match joint {
            Some(dfa) => Expressions::Joint(Box::new(dfa), expressions),
            None => Expressions::Single(expressions),
        };
        Some(Box::new(Self { plain, folded, expressions }))
    }

    /// The first of `routes`, which are those the index was built from, that matches.
    #[inline]
    pub(crate) fn find<'a, A>(
        &self,
        routes: &'a [Route<A>],
        request: &RequestView<'_>,
        path: &str,
    ) -> Option<&'a Route<A>> {
        let mut candidates = Candidates::new();
        self.plain.walk(&Plain(path.as_bytes()), |_, list| candidates.add(list));
        if !self.folded.is_empty() {
            self.folded.walk(&Lowercase(path.as_bytes()), |_, list| candidates.add(list));
        }
        let single = match &self.expressions {
            Expressions::Joint(dfa, owners) => {
                if let Some(matched) = dfa.run(path.as_bytes()) {
                    candidates.add_expressions(matched, owners);
                }
                false
            }
            Expressions::Single(owners) => {
                candidates.add(owners);
                true
            }
        };
        candidates.filter_map(|index| routes.get(index as usize)).find(|route| {
            let unproven = single && matches!(route.rule.path, PathMatch::Regex(_));
            route.rule.conditions_hold(request) && (!unproven || route.rule.path.matches(path))
        })
    }
}

impl fmt::Debug for PathIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathIndex").finish_non_exhaustive()
    }
}
