//! Errors as RFC 9457 problem details.

use apflow_api::{ApiError, Code, chain};
use apflow_model::reader::FileFault;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// The body of every error.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Problem {
    /// The page that explains the code.
    #[serde(rename = "type")]
    kind: String,
    /// The code in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The stable code.
    #[schemars(with = "String")]
    pub(super) code: Code,
    /// What went wrong this time, for people.
    detail: String,
    /// The place in the caller's JSON, as a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// Every fault of a manifest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<FileFault>,
    /// How many seconds to wait before the same is tried again, as in the header `retry-after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    /// What is well of a host that is not ready, and what is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Value>,
    /// The id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// Whether it is about a token that was shown.
    #[serde(skip)]
    is_of_token: bool,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let title = code.name().replace('-', " ");
        Self {
            kind: format!("{REPOSITORY}/blob/main/docs/errors/{}.md", code.name()),
            title,
            status: code.status(),
            code,
            detail: detail.into(),
            pointer: None,
            faults: Vec::new(),
            retry_after: None,
            parts: None,
            instance: None,
            is_of_token: false,
        }
    }

    pub(crate) fn of(error: &ApiError, request: &str) -> Self {
        // One that is about to end does not fail.
        if error.code().status() >= 500 && error.code() != Code::Draining {
            tracing::error!(request, error = chain(error), "the host failed");
        }
        Self::quietly(error)
    }

    /// The same for what was logged already.
    pub(crate) fn quietly(error: &ApiError) -> Self {
        Self {
            pointer: error.pointer().map(str::to_owned),
            faults: error.faults().to_vec(),
            retry_after: error.retry_after(),
            ..Self::new(error.code(), error.detail())
        }
    }

    /// The same about a token that was shown.
    pub(crate) fn of_token(self) -> Self {
        Self { is_of_token: true, ..self }
    }

    /// The same for whom waits so many seconds.
    pub(crate) fn retrying_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub(super) fn with_parts(self, parts: Value) -> Self {
        Self { parts: Some(parts), ..self }
    }

    pub(crate) fn in_request(self, id: String) -> Self {
        Self { instance: Some(id), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (retry_after, is_of_token) = (self.retry_after, self.is_of_token);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6750, section 3: who showed nothing is not told what is wrong with it.
            let challenge = if is_of_token {
                "Bearer realm=\"apflow-host\", error=\"invalid_token\""
            } else {
                "Bearer realm=\"apflow-host\""
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_host_says_when_to_submit_again() {
        let busy = Problem { retry_after: Some(1), ..Problem::new(Code::Busy, "not now") };
        assert_eq!(serde_json::to_value(&busy).unwrap()["retry_after"], 1);
        let response = busy.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn what_will_fail_again_names_no_time() {
        let unknown = Problem::of(&ApiError::InvalidRequest("no".to_owned()), "1-1");
        assert!(!unknown.into_response().headers().contains_key(header::RETRY_AFTER));
    }
}
