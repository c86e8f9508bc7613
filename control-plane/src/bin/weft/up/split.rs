//! Whether counts agree with the weights that were asked for.

/// How far a count may be from what its weight lets expect, in standard deviations. A correct
/// split is outside of it about once in 1.7 million counts.
const DEVIATIONS: f64 = 5.0;

/// The least and the most of `total` requests that a share of `weight` in `weights` may get.
///
/// Requests choose independently of each other, so a count is binomial: its variance is
/// `n·p·(1 − p)`.
pub(crate) fn bounds(total: u64, weight: u32, weights: u32) -> (u64, u64) {
    if weights == 0 {
        return (0, 0);
    }
    let share = f64::from(weight) / f64::from(weights);
    let total = total as f64;
    let expected = total * share;
    let slack = DEVIATIONS * (total * share * (1.0 - share)).sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "clamped to 0..=total")]
    let whole = |value: f64| value.clamp(0.0, total) as u64;
    (whole((expected - slack).ceil()), whole((expected + slack).floor()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_the_expectation_and_exclude_a_wrong_split() {
        let (least, most) = bounds(1000, 10, 100);
        assert!(least <= 100 && 100 <= most);
        assert_eq!((least, most), (53, 147));
        // An even split instead of 90/10 is caught.
        assert!(most < 500);
    }

    #[test]
    fn certainty_leaves_no_slack() {
        assert_eq!(bounds(1000, 0, 100), (0, 0));
        assert_eq!(bounds(1000, 100, 100), (1000, 1000));
        assert_eq!(bounds(1000, 5, 0), (0, 0));
    }
}
