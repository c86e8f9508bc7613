//! Who stands out among the endpoints of a cluster, by its share of good outcomes in an interval.

use weft_balance::Tally;
use weft_compile::OutlierDetection;

use crate::ejection::Reason;

/// The share of good outcomes in percent; `None` without any outcome.
pub(crate) fn rate(tally: Tally) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs no more")]
    let rate = tally.good as f64 * 100.0 / tally.total as f64;
    (tally.total > 0).then_some(rate)
}

/// The outliers among some endpoints, as positions, in the order in which they are found: far below
/// the average first, then too many failures.
///
/// `total` is how many endpoints there are, those that are ejected and not listed included.
pub(crate) fn outliers(
    tallies: &[(usize, Tally)],
    total: usize,
    local: bool,
    settings: &OutlierDetection,
) -> Vec<(usize, Reason)> {
    let mut found = by_success_rate(tallies, total, local, settings);
    found.extend(by_failures(tallies, total, local, settings));
    found
}

fn with_volume(
    tallies: &[(usize, Tally)],
    volume: u32,
) -> impl Iterator<Item = (usize, f64)> + Clone {
    let enough = move |tally: &Tally| tally.total >= u64::from(volume);
    tallies
        .iter()
        .filter(move |(_, tally)| enough(tally))
        .filter_map(|(at, tally)| Some((*at, rate(*tally)?)))
}

fn by_success_rate(
    tallies: &[(usize, Tally)],
    total: usize,
    local: bool,
    settings: &OutlierDetection,
) -> Vec<(usize, Reason)> {
    let rates = with_volume(tallies, settings.success_rate_request_volume);
    let count = rates.clone().count();
    let least = settings.success_rate_minimum_hosts as usize;
    if count == 0 || total < least || count < least {
        return Vec::new();
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of endpoints")]
    let count = count as f64;
    let average = rates.clone().map(|(_, rate)| rate).sum::<f64>() / count;
    let variance = rates.clone().map(|(_, rate)| (rate - average).powi(2)).sum::<f64>() / count;
    let factor = f64::from(settings.success_rate_stdev_factor) / 1000.0;
    let threshold = average - factor * variance.sqrt();
    rates
        .filter(|(_, rate)| *rate < threshold)
        .map(|(at, rate)| (at, Reason::SuccessRate { local, rate, average, threshold }))
        .collect()
}

fn by_failures(
    tallies: &[(usize, Tally)],
    total: usize,
    local: bool,
    settings: &OutlierDetection,
) -> Vec<(usize, Reason)> {
    let rates = with_volume(tallies, settings.failure_percentage_request_volume);
    let least = settings.failure_percentage_minimum_hosts as usize;
    if total < least || rates.clone().count() < least {
        return Vec::new();
    }
    let threshold = f64::from(settings.failure_percentage_threshold);
    rates
        .filter(|(_, rate)| 100.0 - rate >= threshold)
        .map(|(at, rate)| (at, Reason::FailurePercentage { local, rate }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies(shares: &[(u64, u64)]) -> Vec<(usize, Tally)> {
        shares
            .iter()
            .map(|(good, total)| Tally { total: *total, good: *good })
            .enumerate()
            .collect()
    }

    /// The example that Envoy documents: rates of 50 and four times 100 have a mean of 90 and a
    /// deviation of 20, and so a threshold of 52.
    #[test]
    fn the_documented_example() {
        let settings = OutlierDetection::default();
        let five = tallies(&[(50, 100), (100, 100), (100, 100), (100, 100), (100, 100)]);
        let found = by_success_rate(&five, 5, false, &settings);
        let Some((0, Reason::SuccessRate { local: false, rate, average, threshold })) =
            found.first()
        else {
            panic!("{found:?}");
        };
        assert_eq!((*rate, *average, *threshold), (50.0, 90.0, 52.0));
        assert_eq!(found.len(), 1);
        assert!(by_success_rate(&five[..4], 4, false, &settings).is_empty());
        let few = tallies(&[(49, 99), (100, 100), (100, 100), (100, 100), (100, 100)]);
        assert!(by_success_rate(&few, 5, false, &settings).is_empty());
    }

    #[test]
    fn failures_are_judged_without_the_others() {
        let settings = OutlierDetection::default();
        let all_bad = tallies(&[(0, 50), (7, 50), (8, 50), (50, 50), (0, 49), (50, 50)]);
        let found = by_failures(&all_bad, 6, true, &settings);
        let at: Vec<usize> = found.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [0, 1]);
        assert_eq!(found[0].1, Reason::FailurePercentage { local: true, rate: 0.0 });
        assert!(by_failures(&all_bad[..4], 4, true, &settings).is_empty());
    }

    #[test]
    fn nothing_has_no_rate() {
        assert_eq!(rate(Tally::default()), None);
        assert_eq!(rate(Tally { total: 8, good: 5 }), Some(62.5));
    }
}
