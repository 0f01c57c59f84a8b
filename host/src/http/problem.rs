//! Errors as RFC 9457 problem details.

use apflow_api::{ApiError, Code, chain};
use apflow_model::reader::FileFault;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// When to try again what cannot be done at present: as often as the store looks.
const RETRY_AFTER_SECONDS: &str = "1";

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// The body of every error.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    code: &'static str,
    detail: String,
    /// The place in the caller's JSON, as a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// Every fault of a manifest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<FileFault>,
    /// The id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let title = code.name().replace('-', " ");
        Self {
            kind: format!("{REPOSITORY}/blob/main/docs/errors/{}.md", code.name()),
            title,
            status: code.status(),
            code: code.name(),
            detail: detail.into(),
            pointer: None,
            faults: Vec::new(),
            instance: None,
        }
    }

    pub(crate) fn of(error: &ApiError, request: &str) -> Self {
        if error.code().status() >= 500 {
            tracing::error!(request, error = chain(error), "the host failed");
        }
        Self {
            pointer: error.pointer().map(str::to_owned),
            faults: error.faults().to_vec(),
            ..Self::new(error.code(), error.detail())
        }
    }

    pub(crate) fn in_request(self, id: String) -> Self {
        Self { instance: Some(id), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
