//! `/explain`.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::json;
use weft_explain::{Explanation, Question};

use crate::{
    query::Parameters,
    refusal::Refusal,
    reply::{self, Reply},
    source::Source,
};

/// Why a request cannot be explained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoQuestion {
    #[error(
        "says no host (hint: /explain?authority=shop.test&path=/cart; the host is what `host` or \
         `:authority` of the request would say)"
    )]
    NoAuthority,
    #[error("method {0:?} is not a method")]
    Method(String),
    #[error("path {0:?} does not begin with a slash")]
    Path(String),
    #[error("scheme {0:?} is neither http nor https")]
    Scheme(String),
    #[error("client {0:?} is not an address")]
    Client(String),
    #[error("header {0:?} is no field (hint: header=name:value)")]
    Header(String),
    #[error("no listener is called {name:?} (there are: {known})")]
    Listener { name: String, known: String },
}

/// The request that is asked about.
pub(crate) fn question(parameters: &Parameters<'_>) -> Result<Question, Refusal> {
    let said = |name, default| parameters.value(name).unwrap_or(default);
    let authority = parameters.value("authority").filter(|it| !it.is_empty());
    let method = said("method", "GET");
    let method: Method = method.parse().map_err(|_| NoQuestion::Method(method.to_owned()))?;
    let path = said("path", "/").to_owned();
    if !path.starts_with('/') {
        return Err(NoQuestion::Path(path).into());
    }
    let scheme = match said("scheme", "http") {
        "http" => "http",
        "https" => "https",
        other => return Err(NoQuestion::Scheme(other.to_owned()).into()),
    };
    let mut headers = HeaderMap::new();
    for text in parameters.values("header") {
        let (name, value) = field(text).ok_or_else(|| NoQuestion::Header(text.to_owned()))?;
        headers.append(name, value);
    }
    let client = parameters.value("client").map(|it| (it, it.parse().ok()));
    if let Some((text, None)) = client {
        return Err(NoQuestion::Client(text.to_owned()).into());
    }
    Ok(Question {
        client: client.and_then(|(_, client)| client),
        method: method.to_string(),
        authority: authority.ok_or(NoQuestion::NoAuthority)?.to_owned(),
        path,
        scheme,
        headers,
        listener: parameters.value("listener").map(str::to_owned),
    })
}

fn field(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

/// What becomes of it, for each filter chain that it may come by.
pub(crate) fn explain(
    source: &dyn Source,
    question: &Question,
) -> Result<Vec<Explanation>, Refusal> {
    let tables = source.tables();
    if let Some(name) = &question.listener
        && tables.listener(name).is_none()
    {
        let known: Vec<&str> = tables.listeners.iter().map(|it| &*it.name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(NoQuestion::Listener { name: name.clone(), known }.into());
    }
    Ok(weft_explain::explain(&tables, question))
}

/// A paragraph for each.
pub(crate) fn text(question: &Question, found: &[Explanation]) -> Reply {
    let mut out = line(question) + "\n";
    if found.is_empty() {
        out += "there is no listener yet\n";
    }
    for explanation in found {
        let _ = write!(out, "\n{explanation}");
    }
    reply::ok(out)
}

/// The same for programs.
pub(crate) fn as_json(question: &Question, found: &[Explanation]) -> Reply {
    reply::json(&json!({ "request": line(question), "explanations": found }))
}

fn line(question: &Question) -> String {
    let Question { method, authority, path, scheme, .. } = question;
    format!("{method} {scheme}://{authority}{path}")
}
