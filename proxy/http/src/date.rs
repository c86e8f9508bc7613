//! The `date` header, written once per second.

use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

/// An IMF-fixdate (RFC 9110 §5.6.7).
type Text = [u8; 29];

const DAY: u64 = 86_400;
const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The text for the second in which it was last asked for.
#[derive(Debug)]
pub(crate) struct Date {
    second: Cell<u64>,
    text: Cell<Text>,
}

impl Default for Date {
    fn default() -> Self {
        Self { second: Cell::new(0), text: Cell::new(format(0)) }
    }
}

impl Date {
    /// What a message sent now says.
    pub(crate) fn now(&self) -> Text {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if now != self.second.get() {
            self.second.set(now);
            self.text.set(format(now));
        }
        self.text.get()
    }
}

/// Seconds since 1970 as text.
fn format(seconds: u64) -> Text {
    let (days, of_day) = (seconds / DAY, seconds % DAY);
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let mut put = |at: usize, part: &[u8]| {
        if let Some(place) = text.get_mut(at..at + part.len()) {
            place.copy_from_slice(part);
        }
    };
    put(0, name(&DAYS, days % 7));
    put(5, &two_digits(day));
    put(8, name(&MONTHS, month - 1));
    put(12, &two_digits(year / 100 % 100));
    put(14, &two_digits(year % 100));
    put(17, &two_digits(of_day / 3600));
    put(20, &two_digits(of_day / 60 % 60));
    put(23, &two_digits(of_day % 60));
    text
}

fn name(names: &'static [&'static [u8; 3]], at: u64) -> &'static [u8] {
    usize::try_from(at).ok().and_then(|at| names.get(at)).map_or(b"   ", |name| name.as_slice())
}

fn two_digits(number: u64) -> [u8; 2] {
    [number / 10, number % 10].map(|digit| b'0' + u8::try_from(digit % 10).unwrap_or(0))
}

/// Year, month and day of a day since 1970. Counted in eras of 400 years that begin in March, so
/// that a leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    const DAYS_TO_1970: u64 = 719_468;
    let days = days + DAYS_TO_1970;
    let (era, of_era) = (days / ERA, days % ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_164_799, "Wed, 28 Feb 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(std::str::from_utf8(&format(seconds)).unwrap(), text);
        }
    }
}
