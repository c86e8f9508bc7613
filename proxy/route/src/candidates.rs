//! Merging sorted lists of route indices, so that routes are tried in their order.

use smallvec::SmallVec;

use crate::pattern::Matched;

/// Lists that can be merged without allocating.
pub(crate) const MAX_LISTS: usize = 16;

/// Route indices, from sorted lists and from matched expressions, in ascending order.
pub(crate) struct Candidates<'a> {
    lists: SmallVec<[&'a [u32]; MAX_LISTS]>,
    /// Which expressions matched, and the route of each expression.
    expressions: Option<(Matched<'a>, &'a [u32])>,
    /// Everything below was shown.
    floor: u32,
}

impl<'a> Candidates<'a> {
    pub(crate) fn new() -> Self {
        Self { lists: SmallVec::new(), expressions: None, floor: 0 }
    }

    #[inline]
    pub(crate) fn add(&mut self, list: &'a [u32]) {
        if !list.is_empty() {
            self.lists.push(list);
        }
    }

    #[inline]
    pub(crate) fn add_expressions(&mut self, matched: Matched<'a>, routes: &'a [u32]) {
        self.expressions = Some((matched, routes));
    }

    #[inline]
    fn next_expression(&self) -> Option<u32> {
        let (matched, routes) = self.expressions?;
        matched
            .patterns()
            .filter_map(|pattern| routes.get(pattern).copied())
            .filter(|index| *index >= self.floor)
            .min()
    }
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let expression = self.next_expression();
        // An emptied list stays where it is: there are few, and removing one moves the others.
        let listed = self
            .lists
            .iter_mut()
            .filter_map(|list| list.first().copied().map(|index| (list, index)))
            .min_by_key(|(_, index)| *index);
        let index = match (listed, expression) {
            (Some((list, index)), expression) if expression.is_none_or(|other| index < other) => {
                *list = list.get(1..).unwrap_or(&[]);
                index
            }
            (_, expression) => expression?,
        };
        self.floor = index + 1;
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::FullMatchDfa;

    #[test]
    fn lists_and_expressions_are_merged_in_order() {
        let dfa = FullMatchDfa::build(&["/a.*", "/b", "/.*", "/ab?"]).unwrap();
        let mut candidates = Candidates::new();
        for list in [&[1, 5, 9][..], &[], &[0, 6], &[7]] {
            candidates.add(list);
        }
        candidates.add_expressions(dfa.run(b"/ab").unwrap(), &[8, 2, 3, 12]);
        assert_eq!(candidates.collect::<Vec<_>>(), [0, 1, 3, 5, 6, 7, 8, 9, 12]);
    }
}
