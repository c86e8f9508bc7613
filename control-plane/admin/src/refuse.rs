//! Refusals as HTTP answers.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weft_store::StoreError;

use crate::DocumentsError;
use crate::api::{Problem, Refusal};

/// A refusal and its status.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    refusal: Refusal,
}

impl Refused {
    /// `text` may have its hint on a second line, as the errors of all our crates do.
    pub(crate) fn new(status: StatusCode, text: &str) -> Self {
        let (error, hint) = match text.split_once("\n  hint: ") {
            Some((error, hint)) => (error, Some(hint.to_owned())),
            None => (text, None),
        };
        Self { status, refusal: Refusal { error: error.to_owned(), hint, problems: Vec::new() } }
    }
}

impl From<DocumentsError> for Refused {
    fn from(error: DocumentsError) -> Self {
        let status = match &error {
            DocumentsError::Invalid(problems) => {
                let problems = problems.iter().map(Problem::from).collect();
                let error = "nothing was applied".to_owned();
                let refusal = Refusal { error, hint: None, problems };
                return Self { status: StatusCode::UNPROCESSABLE_ENTITY, refusal };
            }
            DocumentsError::KeptInFile(_) | DocumentsError::Store(StoreError::Conflict { .. }) => {
                StatusCode::CONFLICT
            }
            DocumentsError::NotFound(_) => StatusCode::NOT_FOUND,
            DocumentsError::Unreadable { .. } | DocumentsError::Store(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            DocumentsError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, &error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(self.refusal)).into_response()
    }
}
