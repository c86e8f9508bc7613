//! A share of the requests.

use serde::Serialize;

/// A share of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Share {
    /// Of a hundred.
    Percent(u32),
    /// Of as many as the denominator says.
    Fraction {
        /// At most the denominator.
        numerator: u32,
        /// At least 1.
        denominator: u32,
    },
}

impl Share {
    /// Of a million requests.
    pub fn per_million(self) -> u32 {
        const MILLION: u64 = 1_000_000;
        let (numerator, denominator) = match self {
            Self::Percent(percent) => (percent, 100),
            Self::Fraction { numerator, denominator } => (numerator, denominator),
        };
        let share = u64::from(numerator) * MILLION / u64::from(denominator.max(1));
        u32::try_from(share.min(MILLION)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_a_million() {
        let of = |numerator, denominator| Share::Fraction { numerator, denominator };
        assert_eq!(Share::Percent(5).per_million(), 50_000);
        assert_eq!(of(1, 3).per_million(), 333_333);
        assert_eq!(of(u32::MAX, u32::MAX).per_million(), 1_000_000);
    }
}
