//! `LocalReplyConfig`: what the proxy's own answers look like.

use http::{HeaderValue, StatusCode};
use weft_format::{Format, JsonFormat};
use weft_proto::pb::{
    envoy::{
        config::{accesslog::v3 as filters, core::v3 as core},
        extensions::filters::network::http_connection_manager::v3 as wire,
    },
    google::protobuf,
};
use weft_route::HeaderMatch;

use crate::{
    cluster::optional,
    headers::{self, HeaderMutations, HeaderProgram},
    matching,
    path::At,
    problem::{Notes, Problem},
    scalar::{self, DataSource},
};

/// How deep a `json_format` may be nested.
const JSON_DEPTH: usize = 32;

/// What the proxy's own answers look like. `B` is a body.
#[derive(Clone, Debug)]
pub struct LocalReplies<B> {
    /// `mappers`, of which the first whose filter matches counts.
    pub mappers: Box<[ReplyMapper<B>]>,
    /// `body_format`, for answers whose mapper has none.
    pub format: Option<BodyFormat>,
}

/// `ResponseMapper`.
#[derive(Clone, Debug)]
pub struct ReplyMapper<B> {
    /// `filter`: which answers it changes.
    pub filter: ReplyFilter,
    /// `status_code`.
    pub status: Option<StatusCode>,
    /// `body`.
    pub body: Option<B>,
    /// `body_format_override`.
    pub format: Option<BodyFormat>,
    /// `headers_to_add`.
    pub headers: HeaderProgram,
}

/// `AccessLogFilter`, of those that say something about an answer of the proxy's own.
#[derive(Clone, Debug)]
pub enum ReplyFilter {
    /// `status_code_filter`.
    Status(Comparison, u32),
    /// `header_filter`: what the request says.
    Header(Box<HeaderMatch>),
    /// `response_flag_filter`; without any flag in it, answers that have one.
    Flags(Box<[Box<str>]>),
    /// `and_filter`.
    All(Box<[Self]>),
    /// `or_filter`.
    Any(Box<[Self]>),
}

/// `ComparisonFilter.op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `EQ`.
    Equal,
    /// `GE`.
    AtLeast,
    /// `LE`.
    AtMost,
    /// `NE`.
    Unequal,
}

impl Comparison {
    /// Whether `left` compares with `right` like this.
    pub fn holds(self, left: u32, right: u32) -> bool {
        match self {
            Self::Equal => left == right,
            Self::AtLeast => left >= right,
            Self::AtMost => left <= right,
            Self::Unequal => left != right,
        }
    }
}

/// `SubstitutionFormatString`.
#[derive(Clone, Debug)]
pub struct BodyFormat {
    /// What is written.
    pub template: BodyTemplate,
    /// `content_type` (by default that of text or of JSON).
    pub content_type: HeaderValue,
    /// `omit_empty_values`: nothing stands for what is not known.
    pub omit_empty: bool,
}

/// The form of a body.
#[derive(Clone, Debug)]
pub enum BodyTemplate {
    /// `text_format` or `text_format_source`.
    Text(Format),
    /// `json_format`.
    Json(JsonFormat),
}

/// Reads the settings.
pub(crate) fn read(
    message: &wire::LocalReplyConfig,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<LocalReplies<DataSource>> {
    let mut mappers = Vec::with_capacity(message.mappers.len());
    for (index, mapper) in message.mappers.iter().enumerate() {
        mappers.push(self::mapper(mapper, &at.item("mappers", index), notes));
    }
    let format = message.body_format.as_ref();
    let format = format.map(|format| body_format(format, &at.field("body_format"), notes));
    let mappers: Option<Box<[_]>> = mappers.into_iter().collect();
    Some(LocalReplies { mappers: mappers?, format: allowed(format)? })
}

/// What was refused, or is not there, or is.
#[expect(clippy::option_option, reason = "refused, or not there, or there")]
pub(crate) fn allowed<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
        None => Some(None),
    }
}

fn mapper(
    message: &wire::ResponseMapper,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ReplyMapper<DataSource>> {
    let filter = message.filter.as_ref();
    let filter = match filter {
        None => notes.refuse(&at.field("filter"), Problem::Missing),
        Some(filter) => self::filter(filter, &at.field("filter"), notes),
    };
    let status = optional(message.status_code.as_ref());
    let status = status.map(|code| status_code(code, &at.field("status_code"), notes));
    let body = message.body.as_ref();
    let body = body.map(|body| scalar::data(body, &at.field("body"), notes));
    let format_at = at.field("body_format_override");
    let format = message.body_format_override.as_ref();
    let format = format.map(|format| body_format(format, &format_at, notes));
    let added = HeaderMutations {
        set: headers::sets(&message.headers_to_add, "headers_to_add", at, notes),
        ..HeaderMutations::default()
    };
    Some(ReplyMapper {
        filter: filter?,
        status: allowed(status)?,
        body: allowed(body)?,
        format: allowed(format)?,
        headers: HeaderProgram::new([&added]),
    })
}

fn status_code(code: u32, at: &At<'_>, notes: &mut Notes) -> Option<StatusCode> {
    let status = u16::try_from(code).ok().filter(|code| (200..600).contains(code));
    match status.and_then(|code| StatusCode::from_u16(code).ok()) {
        Some(status) => Some(status),
        None => notes.unsupported(at, code.to_string(), "200 to 599 are"),
    }
}

fn filter(
    message: &filters::AccessLogFilter,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ReplyFilter> {
    use filters::access_log_filter::FilterSpecifier as Kind;
    match &message.filter_specifier {
        None => notes.refuse(at, Problem::Missing),
        Some(Kind::StatusCodeFilter(filter)) => {
            let at = at.field("status_code_filter");
            let at = at.field("comparison");
            match &filter.comparison {
                None => notes.refuse(&at, Problem::Missing),
                Some(comparison) => self::comparison(comparison, &at, notes),
            }
        }
        Some(Kind::HeaderFilter(filter)) => {
            let at = at.field("header_filter");
            let at = at.field("header");
            let Some(header) = &filter.header else { return notes.refuse(&at, Problem::Missing) };
            matching::header(header, &at, notes).map(|it| ReplyFilter::Header(Box::new(it)))
        }
        Some(Kind::ResponseFlagFilter(filter)) => {
            Some(ReplyFilter::Flags(filter.flags.iter().map(|flag| flag.as_str().into()).collect()))
        }
        Some(Kind::AndFilter(filter)) => {
            several(&filter.filters, &at.field("and_filter"), notes).map(ReplyFilter::All)
        }
        Some(Kind::OrFilter(filter)) => {
            several(&filter.filters, &at.field("or_filter"), notes).map(ReplyFilter::Any)
        }
        Some(_) => notes.unsupported(
            at,
            "this filter",
            "status_code_filter, header_filter, response_flag_filter, and_filter and or_filter are",
        ),
    }
}

fn several(
    messages: &[filters::AccessLogFilter],
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Box<[ReplyFilter]>> {
    let read = |(index, message)| filter(message, &at.item("filters", index), notes);
    messages.iter().enumerate().map(read).collect()
}

fn comparison(
    message: &filters::ComparisonFilter,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ReplyFilter> {
    use filters::comparison_filter::Op;
    let comparison = match Op::try_from(message.op) {
        Ok(Op::Eq) => Comparison::Equal,
        Ok(Op::Ge) => Comparison::AtLeast,
        Ok(Op::Le) => Comparison::AtMost,
        Ok(Op::Ne) => Comparison::Unequal,
        Err(_) => return notes.refuse(&at.field("op"), Problem::UnknownEnum(message.op)),
    };
    match &message.value {
        None => notes.refuse(&at.field("value"), Problem::Missing),
        Some(value) => Some(ReplyFilter::Status(comparison, value.default_value)),
    }
}

/// Reads the form of a body.
pub(crate) fn body_format(
    message: &core::SubstitutionFormatString,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<BodyFormat> {
    use core::substitution_format_string::Format as Kind;
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    let template = match &message.format {
        None => notes.refuse(at, Problem::Missing),
        #[expect(deprecated, reason = "what nearly everybody writes, and Envoy honours it")]
        Some(Kind::TextFormat(text)) => {
            headers::format(text, &at.field("text_format"), notes).map(BodyTemplate::Text)
        }
        Some(Kind::TextFormatSource(source)) => {
            let at = at.field("text_format_source");
            let text = scalar::inline_data(source, &at, notes)?;
            let text = String::from_utf8_lossy(&text);
            headers::format(&text, &at, notes).map(BodyTemplate::Text)
        }
        Some(Kind::JsonFormat(object)) => {
            let at = at.field("json_format");
            json_object(object, JSON_DEPTH, &at, notes).map(BodyTemplate::Json)
        }
    };
    let content_type = match (message.content_type.as_str(), &template) {
        ("", Some(BodyTemplate::Json(_))) => Some(JSON),
        ("", _) => Some(TEXT),
        (text, _) => headers::header_value(text.as_bytes(), &at.field("content_type"), notes),
    };
    Some(BodyFormat {
        template: template?,
        content_type: content_type?,
        omit_empty: message.omit_empty_values,
    })
}

fn json_object(
    object: &protobuf::Struct,
    depth: usize,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<JsonFormat> {
    let members: Option<Vec<_>> = object
        .fields
        .iter()
        .map(|(name, value)| {
            let value = json(value, depth, &at.key("fields", name), notes)?;
            Some((name.as_str().into(), value))
        })
        .collect();
    Some(JsonFormat::object(members?))
}

fn json(
    value: &protobuf::Value,
    depth: usize,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<JsonFormat> {
    use protobuf::value::Kind;
    let Some(depth) = depth.checked_sub(1) else {
        return notes.unsupported(at, "a value nested this deep", "32 levels are");
    };
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Some(JsonFormat::Null),
        Some(Kind::BoolValue(value)) => Some(JsonFormat::Bool(*value)),
        Some(Kind::NumberValue(number)) if number.is_finite() => Some(JsonFormat::Number(*number)),
        Some(Kind::NumberValue(number)) => {
            notes.unsupported(at, number.to_string(), "finite numbers are")
        }
        Some(Kind::StringValue(text)) => headers::format(text, at, notes).map(JsonFormat::Text),
        Some(Kind::StructValue(object)) => json_object(object, depth, at, notes),
        Some(Kind::ListValue(list)) => {
            let values = list.values.iter().enumerate();
            let values =
                values.map(|(index, value)| json(value, depth, &at.item("values", index), notes));
            values.collect::<Option<Box<[_]>>>().map(JsonFormat::List)
        }
    }
}
