//! An automaton that reads a value once and then knows every expression that matches all of it.

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start, syntax},
};

/// Bytes an automaton may take before a slower but smaller way of matching is chosen.
const SIZE_LIMIT: usize = 1 << 20;

/// Expressions compiled together, each matching whole values only.
///
/// All matches are kept (not leftmost-first), so the state after the last byte lists exactly the
/// expressions that match from the first byte to the last.
pub(crate) struct FullMatchDfa {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

/// A state in which a value ended: the expressions that matched it.
#[derive(Clone, Copy)]
pub(crate) struct Matched<'a> {
    dfa: &'a dense::DFA<Vec<u32>>,
    state: StateID,
}

impl FullMatchDfa {
    /// `None` when the automaton would be too large, or an expression has no automaton.
    pub(crate) fn build(patterns: &[&str]) -> Option<Self> {
        let dfa = dense::Builder::new()
            .syntax(syntax::Config::new().utf8(false))
            .thompson(
                thompson::Config::new()
                    .utf8(false)
                    .nfa_size_limit(Some(SIZE_LIMIT))
                    .which_captures(thompson::WhichCaptures::None),
            )
            .configure(
                dense::Config::new()
                    .match_kind(MatchKind::All)
                    .start_kind(StartKind::Anchored)
                    .dfa_size_limit(Some(SIZE_LIMIT))
                    .determinize_size_limit(Some(SIZE_LIMIT)),
            )
            .build_many(patterns)
            .ok()?;
        let start = dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        Some(Self { dfa, start })
    }

    /// Reads a value; `None` when no expression matches all of it.
    #[inline]
    pub(crate) fn run(&self, value: &[u8]) -> Option<Matched<'_>> {
        let mut state = self.start;
        for byte in value {
            state = self.dfa.next_state(state, *byte);
            if self.dfa.is_special_state(state) && self.dfa.is_dead_state(state) {
                return None;
            }
        }
        state = self.dfa.next_eoi_state(state);
        self.dfa.is_match_state(state).then_some(Matched { dfa: &self.dfa, state })
    }
}

impl Matched<'_> {
    /// Indices of the matching expressions, in no particular order.
    pub(crate) fn patterns(self) -> impl Iterator<Item = usize> {
        let count = self.dfa.match_len(self.state);
        (0..count).map(move |nth| self.dfa.match_pattern(self.state, nth).as_usize())
    }
}
