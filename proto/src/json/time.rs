//! Durations and points in time, in the forms that protobuf JSON gives them.

/// The bound on seconds that `duration.proto` sets: ±10,000 years.
pub(crate) const MAX_SECONDS: i64 = 315_576_000_000;

const NANOS: i32 = 1_000_000_000;

/// Reads `-1.5s` as seconds and nanoseconds, which have the same sign.
pub(super) fn parse_duration(text: &str) -> Option<(i64, i32)> {
    let number = text.strip_suffix('s')?;
    let (negative, number) = match number.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanos = if number.contains('.') { parse_fraction(fraction)? } else { 0 };
    if seconds > MAX_SECONDS {
        return None;
    }
    Some(if negative { (-seconds, -nanos) } else { (seconds, nanos) })
}

/// Reads the digits after the point as nanoseconds.
fn parse_fraction(digits: &str) -> Option<i32> {
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = 10_i32.checked_pow(u32::try_from(9 - digits.len()).ok()?)?;
    digits.parse::<i32>().ok()?.checked_mul(scale)
}

/// Writes a duration, or `None` when it is none.
pub(crate) fn print_duration(seconds: i64, nanos: i32) -> Option<String> {
    if !is_duration(seconds, nanos) {
        return None;
    }
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    Some(format!("{sign}{}{}s", seconds.unsigned_abs(), fraction(nanos.unsigned_abs())))
}

/// Whether the parts are within bounds and agree about the sign.
pub(crate) fn is_duration(seconds: i64, nanos: i32) -> bool {
    seconds.unsigned_abs() <= MAX_SECONDS.unsigned_abs()
        && nanos > -NANOS
        && nanos < NANOS
        && !(seconds > 0 && nanos < 0)
        && !(seconds < 0 && nanos > 0)
}

/// Nanoseconds as 0, 3, 6 or 9 digits, like every protobuf implementation.
fn fraction(nanos: u32) -> String {
    match nanos {
        0 => String::new(),
        _ if nanos.is_multiple_of(1_000_000) => format!(".{:03}", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000) => format!(".{:06}", nanos / 1_000),
        _ => format!(".{nanos:09}"),
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date that [`days_of`] maps to `days`.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Reads an RFC 3339 timestamp as seconds and nanoseconds since 1970.
pub(super) fn parse_timestamp(text: &str) -> Option<(i64, i32)> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let separator = |at: usize, allowed: &str| {
        text.get(at..at + 1).is_some_and(|found| allowed.contains(found))
    };
    let shaped = separator(4, "-") && separator(7, "-") && separator(10, "Tt");
    if !(shaped && separator(13, ":") && separator(16, ":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let days = days_of(year, month, day);
    if year < 1 || date_of(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = text.get(19..)?;
    let (nanos, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
            (parse_fraction(rest.get(..end)?)?, rest.get(end..)?)
        }
        None => (0, rest),
    };
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - parse_zone(zone)?;
    Some((seconds, nanos))
}

/// Reads `Z`, `+01:00` or `-01:00` as seconds east of Greenwich.
fn parse_zone(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 23 && minutes <= 59)
        .then(|| sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60))
}

/// Writes a timestamp, or `None` when it is none.
pub(super) fn print_timestamp(seconds: i64, nanos: i32) -> Option<String> {
    let nanos = u32::try_from(nanos).ok().filter(|nanos| nanos.cast_signed() < NANOS)?;
    let (year, month, day) = date_of(seconds.div_euclid(86_400));
    if !(1..=9_999).contains(&year) {
        return None;
    }
    let time = seconds.rem_euclid(86_400);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{}Z",
        time / 3_600,
        time / 60 % 60,
        time % 60,
        fraction(nanos),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, parts) in [
            ("0s", (0, 0)),
            ("1.500s", (1, 500_000_000)),
            ("-1.500s", (-1, -500_000_000)),
            ("-0.000001s", (0, -1_000)),
            ("3.000000001s", (3, 1)),
            ("315576000000s", (MAX_SECONDS, 0)),
        ] {
            assert_eq!(parse_duration(text), Some(parts), "{text}");
            assert_eq!(print_duration(parts.0, parts.1).as_deref(), Some(text));
        }
        assert_eq!(parse_duration("0.25s"), Some((0, 250_000_000)));
        for wrong in
            ["", "s", "1", "1m", ".5s", "1.s", "+1s", "1.0000000001s", "315576000001s", "--1s"]
        {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        assert_eq!(print_duration(1, -1), None);
        assert_eq!(print_duration(0, 1_000_000_000), None);
        assert_eq!(print_duration(i64::MIN, 0), None);
    }

    #[test]
    fn timestamps_are_read_and_written() {
        for (text, parts) in [
            ("1970-01-01T00:00:00Z", (0, 0)),
            ("2000-02-29T12:30:15.250Z", (951_827_415, 250_000_000)),
            ("1969-12-31T23:59:59.999999999Z", (-1, 999_999_999)),
            ("0001-01-01T00:00:00Z", (-62_135_596_800, 0)),
            ("9999-12-31T23:59:59Z", (253_402_300_799, 0)),
        ] {
            assert_eq!(parse_timestamp(text), Some(parts), "{text}");
            assert_eq!(print_timestamp(parts.0, parts.1).as_deref(), Some(text));
        }
        assert_eq!(parse_timestamp("1970-01-01T01:00:00+01:00"), Some((0, 0)));
        for wrong in [
            "1970-01-01",
            "1970-02-30T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+1:00",
            "1970-01-01T00:00:00+é",
        ] {
            assert_eq!(parse_timestamp(wrong), None, "{wrong}");
        }
        assert_eq!(print_timestamp(i64::MAX, 0), None);
        assert_eq!(print_timestamp(0, -1), None);
    }
}
