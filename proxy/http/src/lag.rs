//! Whether a worker comes to what is due in time: its event loop is late when it has more to do than
//! it gets done.

use std::time::Duration;

/// How often a worker looks.
pub(crate) const EVERY: Duration = Duration::from_millis(100);
/// It is late when it was so many times in a row: once may be the machine, which stood still.
const IN_A_ROW: u8 = 3;

/// What a worker has seen of how late it is.
#[derive(Debug)]
pub(crate) struct Lag {
    most: Duration,
    late: u8,
}

impl Lag {
    /// Nothing so far; more than `most` is too late.
    pub(crate) fn new(most: Duration) -> Self {
        Self { most, late: 0 }
    }

    /// It was so late now. Whether it has too much to do: until it is in time again, by half of what
    /// is too late.
    pub(crate) fn seen(&mut self, late_by: Duration) -> bool {
        if late_by > self.most {
            self.late = (self.late + 1).min(IN_A_ROW);
        } else if late_by <= self.most / 2 || self.late < IN_A_ROW {
            self.late = 0;
        }
        self.late == IN_A_ROW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_late_when_it_was_in_a_row_and_until_it_is_in_time() {
        let mut lag = Lag::new(Duration::from_millis(100));
        for (millis, expected) in [
            (500, false),
            (500, false),
            (90, false),
            (101, false),
            (101, false),
            (101, true),
            (5_000, true),
            (100, true),
            (51, true),
            (50, false),
            (101, false),
        ] {
            assert_eq!(lag.seen(Duration::from_millis(millis)), expected, "{millis} ms");
        }
    }
}
