//! Refusals as HTTP answers.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use weft_store::StoreError;

use crate::DocumentsError;
use crate::api::{PROBLEM, Problem, Refusal, RefusalKind};

impl From<DocumentsError> for Refusal {
    fn from(error: DocumentsError) -> Self {
        let kind = match &error {
            DocumentsError::Invalid(problems) => {
                let problems = problems.iter().map(Problem::from).collect();
                let refusal = Self::new(RefusalKind::InvalidDocuments, "nothing was applied");
                return Self { problems, ..refusal };
            }
            DocumentsError::Stale { actual, .. } => {
                let refusal = Self::new(RefusalKind::StaleRevision, &error.to_string());
                return Self { revision: Some(actual.0), ..refusal };
            }
            DocumentsError::KeptInFile(_) | DocumentsError::KeptInFolder(_) => {
                RefusalKind::KeptInFiles
            }
            DocumentsError::NotFound(_) => RefusalKind::NotFound,
            DocumentsError::Store(StoreError::Conflict { .. }) => RefusalKind::StaleRevision,
            DocumentsError::Unreadable { .. } | DocumentsError::Store(_) => {
                RefusalKind::StoreFailed
            }
            DocumentsError::Stopping => RefusalKind::Unavailable,
        };
        Self::new(kind, &error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let media_type = HeaderValue::from_static(PROBLEM);
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        response
    }
}
