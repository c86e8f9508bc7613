//! A share of requests.

/// The unit of a [`Fraction`] (`type.v3.FractionalPercent.DenominatorType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Denominator {
    /// Percent.
    #[default]
    Hundred,
    /// Hundredths of a percent.
    TenThousand,
    /// Parts per million.
    Million,
}

impl Denominator {
    /// The number below the line.
    pub fn value(self) -> u32 {
        match self {
            Self::Hundred => 100,
            Self::TenThousand => 10_000,
            Self::Million => 1_000_000,
        }
    }
}

/// `type.v3.FractionalPercent`: a share of all requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fraction {
    /// The number above the line; at or above the denominator means always.
    pub numerator: u32,
    /// The unit.
    pub denominator: Denominator,
}

impl Fraction {
    /// Whether a uniformly random number falls into the share.
    #[inline]
    pub fn includes(self, random: u64) -> bool {
        random % u64::from(self.denominator.value()) < u64::from(self.numerator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_a_share() {
        let percent = |numerator| Fraction { numerator, denominator: Denominator::Hundred };
        assert!(!percent(0).includes(0));
        assert!(percent(1).includes(100));
        assert!(!percent(1).includes(101));
        assert!(percent(100).includes(99));
        let million = Fraction { numerator: 250_000, denominator: Denominator::Million };
        let hits = (0..1_000_000u64).filter(|random| million.includes(*random)).count();
        assert_eq!(hits, 250_000);
    }
}
