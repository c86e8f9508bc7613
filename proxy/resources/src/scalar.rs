//! Values that many messages share: durations, expressions, shares, inline data.

use std::time::Duration;

use bytes::Bytes;
use weft_proto::pb::{
    envoy::{config::core::v3 as core, r#type as kinds},
    google::protobuf,
};
use weft_route::{Denominator, Fraction, Pattern};

use crate::{
    path::At,
    problem::{Notes, Problem},
};

/// Reads a duration; one that is not set is `default`.
pub(crate) fn duration_or(
    message: Option<&protobuf::Duration>,
    default: Duration,
    at: &At<'_>,
    notes: &mut Notes,
) -> Duration {
    message.and_then(|message| duration(message, at, notes)).unwrap_or(default)
}

/// Reads a timeout: not set is `default`, and zero turns it off.
pub(crate) fn timeout_or(
    message: Option<&protobuf::Duration>,
    default: Option<Duration>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Duration> {
    match message {
        None => default,
        Some(message) => duration(message, at, notes).filter(|timeout| !timeout.is_zero()),
    }
}

/// Reads a duration that is set.
pub(crate) fn duration(
    message: &protobuf::Duration,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Duration> {
    let &protobuf::Duration { seconds, nanos } = message;
    // The limits of google.protobuf.Duration: 10,000 years, and nanoseconds below a second.
    const LONGEST: i64 = 315_576_000_000;
    match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(whole), Ok(rest)) if seconds <= LONGEST && rest < 1_000_000_000 => {
            Some(Duration::new(whole, rest))
        }
        _ => notes.refuse(at, Problem::Duration { seconds, nanos }),
    }
}

/// Reads a duration that is set, and no shorter than `least`.
pub(crate) fn duration_from(
    message: &protobuf::Duration,
    least: Duration,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Duration> {
    match duration(message, at, notes)? {
        time if time < least => notes.refuse(at, Problem::TooShort { least }),
        time => Some(time),
    }
}

/// A `google.protobuf.BoolValue` with its default.
pub(crate) fn bool_or(message: Option<&protobuf::BoolValue>, default: bool) -> bool {
    message.map_or(default, |message| message.value)
}

/// A share of which the schema says that it is 0 to 100 percent, in parts of a million.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
pub(crate) fn per_million(percent: f64) -> u32 {
    (percent.clamp(0.0, 100.0) * 10_000.0) as u32
}

/// Reads a `RegexMatcher`. As in Envoy the whole text must match.
pub(crate) fn pattern(
    message: &kinds::matcher::v3::RegexMatcher,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Pattern> {
    match Pattern::new(&message.regex) {
        Ok(pattern) => Some(pattern),
        Err(error) => notes.refuse(&at.field("regex"), Problem::Regex(error)),
    }
}

/// Reads the share of a `RuntimeFractionalPercent`. There is no runtime layer, so its
/// `default_value` always holds.
pub(crate) fn fraction(
    message: &core::RuntimeFractionalPercent,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Fraction> {
    let at = at.field("default_value");
    match &message.default_value {
        Some(share) => fractional_percent(share, &at, notes),
        None => notes.refuse(&at, Problem::Missing),
    }
}

/// Reads a share.
pub(crate) fn fractional_percent(
    share: &kinds::v3::FractionalPercent,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Fraction> {
    use kinds::v3::fractional_percent::DenominatorType;
    let denominator = match DenominatorType::try_from(share.denominator) {
        Ok(DenominatorType::Hundred) => Denominator::Hundred,
        Ok(DenominatorType::TenThousand) => Denominator::TenThousand,
        Ok(DenominatorType::Million) => Denominator::Million,
        Err(_) => {
            let unknown = Problem::UnknownEnum(share.denominator);
            return notes.refuse(&at.field("denominator"), unknown);
        }
    };
    let all = match denominator {
        Denominator::Hundred => 100,
        Denominator::TenThousand => 10_000,
        Denominator::Million => 1_000_000,
    };
    if share.numerator > all {
        let what = format!("{} of {all}", share.numerator);
        return notes.unsupported(&at.field("numerator"), what, "the denominator or less is");
    }
    Some(Fraction { numerator: share.numerator, denominator })
}

/// `core.v3.DataSource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataSource {
    /// `inline_string` or `inline_bytes`.
    Inline(Bytes),
    /// `filename`: a file of the proxy's machine.
    File(Box<str>),
}

/// Reads a `DataSource` that carries its content inline.
pub(crate) fn inline_data(
    message: &core::DataSource,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Bytes> {
    match data(message, at, notes)? {
        DataSource::Inline(content) => Some(content),
        DataSource::File(_) => {
            notes.unsupported(&at.field("filename"), "a file", "inline_string and inline_bytes are")
        }
    }
}

/// Reads a `DataSource`. Variables of the proxy's machine may hold secrets, so no management server
/// gets them to be shown.
pub(crate) fn data(
    message: &core::DataSource,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<DataSource> {
    use core::data_source::Specifier;
    const SUPPORTED: &str = "inline_string, inline_bytes and filename are";
    match &message.specifier {
        None => notes.refuse(at, Problem::Missing),
        Some(Specifier::InlineString(text)) => {
            Some(DataSource::Inline(Bytes::copy_from_slice(text.as_bytes())))
        }
        Some(Specifier::InlineBytes(bytes)) => {
            Some(DataSource::Inline(Bytes::copy_from_slice(bytes)))
        }
        Some(Specifier::Filename(name)) if name.is_empty() => {
            notes.refuse(&at.field("filename"), Problem::Missing)
        }
        Some(Specifier::Filename(name)) => Some(DataSource::File(name.as_str().into())),
        Some(Specifier::EnvironmentVariable(_)) => {
            notes.unsupported(&at.field("environment_variable"), "a variable", SUPPORTED)
        }
    }
}
