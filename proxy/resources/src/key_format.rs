//! `Http1ProtocolOptions.header_key_format`: how names of fields are written in HTTP/1.

use weft_proto::pb::envoy::{
    config::core::v3::{
        Http1ProtocolOptions,
        http1_protocol_options::{HeaderKeyFormat, header_key_format::HeaderFormat},
    },
    extensions::http::header_formatters::preserve_case::v3::{
        PreserveCaseFormatterConfig, preserve_case_formatter_config::FormatterTypeOnEnvoyHeaders,
    },
};

use crate::{
    extension,
    path::At,
    problem::{Notes, Problem},
};

/// How names of fields are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFormat {
    /// As the other side spelled them, as long as their values are the same; others in lower case.
    #[default]
    AsReceived,
    /// `proper_case_words`: each word of every name with a capital.
    Proper,
    /// `preserve_case`: as they were received from here, whatever became of their values; others in
    /// lower case.
    Preserve,
    /// The same, with others like [`Self::Proper`].
    PreserveOrProper,
}

/// Reads the format.
pub(crate) fn read(
    message: Option<&Http1ProtocolOptions>,
    at: &At<'_>,
    notes: &mut Notes,
) -> KeyFormat {
    let format = message.and_then(|message| message.header_key_format.as_ref());
    format
        .and_then(|format| self::format(format, &at.field("header_key_format"), notes))
        .unwrap_or_default()
}

fn format(message: &HeaderKeyFormat, at: &At<'_>, notes: &mut Notes) -> Option<KeyFormat> {
    match &message.header_format {
        None => notes.refuse(&at.field("header_format"), Problem::Missing),
        Some(HeaderFormat::ProperCaseWords(_)) => Some(KeyFormat::Proper),
        Some(HeaderFormat::StatefulFormatter(extension)) => {
            let at = at.field("stateful_formatter");
            let at = at.field("typed_config");
            let Some(any) = &extension.typed_config else {
                return notes.refuse(&at, Problem::Missing);
            };
            if !extension::holds::<PreserveCaseFormatterConfig>(any) {
                let held = extension::type_name(any).to_owned();
                return notes.refuse(&at, Problem::UnknownType(held));
            }
            let config = extension::unpack::<PreserveCaseFormatterConfig>(any, &at, notes)?;
            let others = config.formatter_type_on_envoy_headers;
            match FormatterTypeOnEnvoyHeaders::try_from(others) {
                Ok(FormatterTypeOnEnvoyHeaders::Default) => Some(KeyFormat::Preserve),
                Ok(FormatterTypeOnEnvoyHeaders::ProperCase) => Some(KeyFormat::PreserveOrProper),
                Err(_) => {
                    let at = at.field("formatter_type_on_envoy_headers");
                    notes.refuse(&at, Problem::UnknownEnum(others))
                }
            }
        }
    }
}
