//! Which of several servers to talk to (gRFC A71).

/// Servers in the order of preference, by their index.
///
/// The first is talked to whenever it can be. A later one is tried only while the ones before it
/// cannot be reached and something wanted is not held; once it has answered it is kept until one
/// before it answers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preference {
    servers: usize,
    current: usize,
    /// The last one that was worth trying since an earlier one answered.
    reach: usize,
}

/// When to try [`Preference::current`] after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It is another server, which did nothing wrong yet.
    AtOnce,
    /// All that are worth trying have failed.
    AfterBackoff,
}

impl Preference {
    /// So many servers, none of which was tried.
    pub fn among(servers: usize) -> Self {
        Self { servers, current: 0, reach: 0 }
    }

    /// The one to talk to.
    pub fn current(&self) -> usize {
        self.current
    }

    /// Those to try beside the current one: they are preferred to it.
    pub fn preferred(&self) -> std::ops::Range<usize> {
        0..self.current
    }

    /// A server answered on a stream. Those after it are not needed any more.
    pub fn answered(&mut self, server: usize) {
        self.current = server;
        self.reach = server;
    }

    /// The stream to the current server ended, or could not be opened. `answered` says whether it
    /// had brought anything, `lacking` whether something wanted is not held.
    pub fn failed(&mut self, answered: bool, lacking: bool) -> Retry {
        let is_last = self.current + 1 >= self.servers;
        let go_on = self.current < self.reach || (lacking && !is_last);
        if !answered && go_on {
            self.current += 1;
            self.reach = self.reach.max(self.current);
            Retry::AtOnce
        } else {
            self.current = 0;
            Retry::AfterBackoff
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_worked_is_not_left_for_another_while_nothing_is_lacking() {
        let mut servers = Preference::among(3);
        servers.answered(0);
        assert_eq!(servers.failed(true, false), Retry::AfterBackoff);
        for _ in 0..5 {
            assert_eq!((servers.failed(false, false), servers.current()), (Retry::AfterBackoff, 0));
        }
    }

    #[test]
    fn each_in_turn_is_tried_for_what_is_lacking() {
        let mut servers = Preference::among(3);
        let mut tried = vec![];
        for _ in 0..6 {
            tried.push((servers.current(), servers.failed(false, true)));
        }
        use Retry::{AfterBackoff, AtOnce};
        let round = [(0, AtOnce), (1, AtOnce), (2, AfterBackoff)];
        assert_eq!(tried, [round, round].concat());
        let mut one = Preference::among(1);
        assert_eq!((one.failed(false, true), one.current()), (AfterBackoff, 0));
    }

    #[test]
    fn one_that_broke_while_it_served_is_tried_again_first() {
        let mut servers = Preference::among(2);
        assert_eq!(servers.failed(true, true), Retry::AfterBackoff);
        assert_eq!(servers.current(), 0);
    }

    #[test]
    fn a_fallback_that_answered_is_kept_until_a_preferred_one_answers() {
        let mut servers = Preference::among(3);
        servers.failed(false, true);
        servers.answered(1);
        assert_eq!(servers.preferred(), 0..1);
        // It breaks, while nothing is lacking any more: both are tried.
        assert_eq!((servers.failed(true, false), servers.current()), (Retry::AfterBackoff, 0));
        assert_eq!((servers.failed(false, false), servers.current()), (Retry::AtOnce, 1));
        assert_eq!((servers.failed(false, false), servers.current()), (Retry::AfterBackoff, 0));
        servers.answered(0);
        assert_eq!(servers.failed(true, false), Retry::AfterBackoff);
        assert_eq!((servers.failed(false, false), servers.current()), (Retry::AfterBackoff, 0));
    }
}
