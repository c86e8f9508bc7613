//! Why a request is not answered with what it asks for.

use http::{Method, StatusCode};

use crate::{
    command::UnknownLogLevel,
    explain::NoQuestion,
    guard::Forbidden,
    help,
    query::ParameterError,
    reply::{self, Reply},
};

/// Everything the interface can have against a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("invalid path. {}", help::text())]
    UnknownPath,
    #[error("{0}\n")]
    Forbidden(#[from] Forbidden),
    #[error("Method {method} not allowed, {required} required.")]
    Method { method: Method, required: &'static str },
    #[error("{0}\n")]
    Parameter(#[from] ParameterError),
    #[error("{0}\n")]
    Question(#[from] NoQuestion),
    #[error("usage: {path}?format=({formats})\n")]
    Format { path: &'static str, formats: &'static str },
    #[error("Invalid regex: {0}\n")]
    Regex(#[from] regex::Error),
    #[error("error: {0}\n")]
    LogLevel(#[from] UnknownLogLevel),
    #[error("this path takes gRPC calls: POST with content-type application/grpc\n")]
    NoCall,
    #[error("the proxy is shutting down\n")]
    ShuttingDown,
}

impl Refusal {
    /// The answer that says so.
    pub(crate) fn reply(&self) -> Reply {
        let status = match self {
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Question(_)
            | Self::Parameter(_)
            | Self::Format { .. }
            | Self::Regex(_)
            | Self::LogLevel(_) => StatusCode::BAD_REQUEST,
            Self::NoCall => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        };
        reply::text(status, self.to_string())
    }
}
