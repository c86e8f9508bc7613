//! `local_reply_config`: answers of our own get the form that is configured.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use weft_compile::{BodyFormat, BodyTemplate, LocalReplies, ReplyFilter};
use weft_format::{Request, View};
use weft_route::RequestView;

use crate::{
    local_reply::Answer,
    mutation::{self, Side},
};

/// Gives an answer its form. `view` is what is known of the request it answers.
pub(crate) fn shape(
    answer: &mut Answer,
    replies: &LocalReplies<Bytes>,
    view: &View<'_>,
    is_grpc: bool,
) {
    let view = View { details: Some(answer.details), flags: answer.flags, ..*view };
    let status = u32::from(answer.status.as_u16());
    let matching = |filter| matches(filter, status, answer.flags, view.request.as_ref());
    let mapper = replies.mappers.iter().find(|mapper| matching(&mapper.filter));
    let said = answer.body.clone();
    let typed = answer.headers.get(CONTENT_TYPE).cloned();
    if let Some(mapper) = mapper {
        if let Some(body) = &mapper.body {
            answer.body = body.clone();
        }
        let view = View { status: Some(answer.status.as_u16()), ..view };
        mutation::apply(&mapper.headers, &mut answer.headers, Side::Response, &view);
        answer.status = mapper.status.unwrap_or(answer.status);
    }
    let own = mapper.and_then(|mapper| mapper.format.as_ref());
    let format = own.or(replies.format.as_ref());
    if let Some(format) = format {
        let status = Some(answer.status.as_u16());
        answer.body = write(format, answer, status, &view, is_grpc);
    }
    // A type that was meant for another content says nothing about this one.
    let is_other = answer.body != said && answer.headers.get(CONTENT_TYPE) == typed.as_ref();
    if answer.body.is_empty() || is_other {
        answer.headers.remove(CONTENT_TYPE);
    }
    if let Some(format) = format.filter(|_| !answer.body.is_empty()) {
        answer.headers.entry(CONTENT_TYPE).or_insert_with(|| format.content_type.clone());
    }
}

/// What a format makes of an answer's body. That is before the answer has a status.
pub(crate) fn body(format: &BodyFormat, answer: &Answer, view: &View<'_>) -> Bytes {
    write(format, answer, None, view, false)
}

/// The type of what a format has made holds, whatever the route says.
pub(crate) fn set_type(format: &BodyFormat, answer: &mut Answer) {
    if !answer.body.is_empty() {
        answer.headers.insert(CONTENT_TYPE, format.content_type.clone());
    }
}

fn write(
    format: &BodyFormat,
    answer: &Answer,
    status: Option<u16>,
    view: &View<'_>,
    is_grpc: bool,
) -> Bytes {
    let view =
        View { status, response: Some(&answer.headers), local_reply: Some(&answer.body), ..*view };
    let mut body = Vec::new();
    match &format.template {
        BodyTemplate::Text(text) => {
            text.render(&view, if format.omit_empty { "" } else { "-" }, &mut body);
        }
        BodyTemplate::Json(json) => {
            json.render(&view, format.omit_empty, &mut body);
            // A `grpc-message` of plain JSON is no line.
            if !is_grpc || format.content_type != "application/json" {
                body.push(b'\n');
            }
        }
    }
    Bytes::from(body)
}

fn matches(filter: &ReplyFilter, status: u32, flags: &str, request: Option<&Request<'_>>) -> bool {
    match filter {
        ReplyFilter::Status(comparison, with) => comparison.holds(status, *with),
        ReplyFilter::Flags(wanted) if wanted.is_empty() => !flags.is_empty(),
        ReplyFilter::Flags(wanted) => wanted.iter().any(|flag| **flag == *flags),
        ReplyFilter::Header(header) => request.is_some_and(|request| {
            header.matches(&RequestView {
                authority: std::str::from_utf8(request.authority).unwrap_or_default(),
                path_and_query: request.path,
                method: request.method,
                scheme: request.scheme,
                is_internal: false,
                headers: request.headers,
                random: 0,
            })
        }),
        ReplyFilter::All(filters) => {
            filters.iter().all(|filter| matches(filter, status, flags, request))
        }
        ReplyFilter::Any(filters) => {
            filters.iter().any(|filter| matches(filter, status, flags, request))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};
    use weft_compile::{Comparison, HeaderProgram, ReplyMapper};

    use super::*;
    use crate::fault::Fault;

    fn mapper(filter: ReplyFilter) -> ReplyMapper<Bytes> {
        let headers = HeaderProgram::default();
        ReplyMapper { filter, status: None, body: None, format: None, headers }
    }

    fn text(format: &str, content_type: &'static str) -> BodyFormat {
        let template = BodyTemplate::Text(format.parse().unwrap());
        let content_type = HeaderValue::from_static(content_type);
        BodyFormat { template, content_type, omit_empty: false }
    }

    fn shaped(mut answer: Answer, replies: &LocalReplies<Bytes>) -> (u16, String, Option<String>) {
        shape(&mut answer, replies, &View::default(), false);
        let kind = answer.headers.get(CONTENT_TYPE).map(|it| it.to_str().unwrap().to_owned());
        (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap(), kind)
    }

    #[test]
    fn the_first_mapper_that_matches_counts() {
        let first = ReplyMapper {
            status: Some(StatusCode::IM_A_TEAPOT),
            body: Some(Bytes::from_static(b"gone")),
            ..mapper(ReplyFilter::Flags(Box::new(["UH".into()])))
        };
        let second = mapper(ReplyFilter::Status(Comparison::AtLeast, 500));
        let format = Some(text("%RESPONSE_CODE% %RESPONSE_FLAGS% %LOCAL_REPLY_BODY%", "text/x"));
        let replies = LocalReplies { mappers: Box::new([first, second]), format };
        let kind = Some("text/x".to_owned());
        let unhealthy = shaped(Answer::fault(Fault::NoHealthyUpstream), &replies);
        assert_eq!(unhealthy, (418, "418 UH gone".into(), kind.clone()));
        let other = shaped(Answer::fault(Fault::DropOverload), &replies);
        assert_eq!(other, (503, "503 DO drop overload".into(), kind));
    }

    #[test]
    fn a_type_that_was_given_stays_with_its_content() {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("a/b"))]);
        let direct = || Answer::direct(StatusCode::OK, "{}".into(), headers.clone());
        let none = LocalReplies { mappers: Box::default(), format: None };
        assert_eq!(shaped(direct(), &none), (200, "{}".into(), Some("a/b".into())));
        let format = Some(text("<%LOCAL_REPLY_BODY%>", "c/d"));
        let other = LocalReplies { mappers: Box::default(), format };
        assert_eq!(shaped(direct(), &other), (200, "<{}>".into(), Some("c/d".into())));
    }

    #[test]
    fn filters_combine() {
        let at = |comparison, code| ReplyFilter::Status(comparison, code);
        let both = [at(Comparison::AtLeast, 400), at(Comparison::AtMost, 499)];
        let is = |filter: &ReplyFilter, status| matches(filter, status, "", None);
        let client = ReplyFilter::All(Box::new(both));
        assert!(is(&client, 404) && !is(&client, 500) && !is(&client, 200));
        let odd = [at(Comparison::Equal, 200), at(Comparison::Unequal, 503)];
        let any = ReplyFilter::Any(Box::new(odd));
        assert!(is(&any, 200) && is(&any, 404) && !is(&any, 503));
        assert!(!matches(&ReplyFilter::Flags(Box::default()), 500, "", None));
        assert!(matches(&ReplyFilter::Flags(Box::default()), 500, "UF", None));
    }
}
