//! What the other host's refusals mean for the task.

use std::time::Duration;

use apflow_sdk::Fault;
use apflow_sdk::http::Response;
use serde::Deserialize;

/// How much of an answer that is no problem of apflow-host is shown, in characters.
const SHOWN_CHARACTERS_MAX: usize = 200;
/// The longest wait that is kept of a `Retry-After`.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the other host answered {status}{}: {detail}", code_after_space(code.as_deref()))]
pub struct Refusal {
    /// Its status.
    pub status: u16,
    /// The stable code, when it is a problem of apflow-host.
    pub code: Option<String>,
    /// What it says.
    pub detail: String,
    /// How long to wait before the same is tried again.
    pub retry_after: Option<Duration>,
}

/// The problem details of apflow-host (RFC 9457), as far as they are read.
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

impl Refusal {
    /// Reads an answer that is no success.
    pub fn read(response: &Response) -> Self {
        let wait = response.header("retry-after").and_then(|text| text.trim().parse().ok());
        let retry_after = wait.map(Duration::from_secs).map(|wait| wait.min(WAIT_MAX));
        let (code, detail) = match response.json::<Problem>() {
            Ok(Problem { code, detail }) => (Some(code), detail),
            Err(_) => (None, response.text().chars().take(SHOWN_CHARACTERS_MAX).collect()),
        };
        Self { status: response.status, code, detail, retry_after }
    }

    /// Whether the same may be answered better another time.
    pub fn may_pass(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..=599)
    }
}

fn code_after_space(code: Option<&str>) -> String {
    code.map(|code| format!(" {code}")).unwrap_or_default()
}

/// A job that is refused for what it is faults the input, whatever may pass is tried again, and the
/// rest fails for good.
impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let is_job = matches!(
            refusal.code.as_deref(),
            Some("invalid-job" | "invalid-input" | "unknown-executor")
        );
        match refusal.retry_after {
            Some(wait) if refusal.may_pass() => Self::retryable_after(message, wait),
            None if refusal.may_pass() => Self::retryable(message),
            Some(_) | None if is_job => Self::invalid_input(message),
            Some(_) | None => Self::permanent(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u16, retry_after: &str, body: &str) -> Fault {
        let headers = vec![("Retry-After".to_owned(), retry_after.to_owned())];
        let response = Response { status, headers, body: body.into() };
        Refusal::read(&response).into()
    }

    #[test]
    fn what_may_pass_is_tried_again_after_the_wait_that_it_names() {
        let busy = fault(429, "7", r#"{"code":"busy","detail":"not now"}"#);
        let message = "the other host answered 429 busy: not now";
        assert_eq!(busy, Fault::retryable_after(message, Duration::from_secs(7)));
        assert_eq!(fault(502, "", "bad"), Fault::retryable("the other host answered 502: bad"));
    }

    #[test]
    fn a_wrong_job_faults_the_input_and_a_ring_fails_for_good() {
        let wrong = fault(422, "", r#"{"code":"unknown-executor","detail":"no `x`"}"#);
        assert!(matches!(wrong, Fault::InvalidInput(text) if text.contains("no `x`")));
        let ring = fault(422, "", r#"{"code":"job-loop","detail":"ring"}"#);
        assert!(matches!(ring, Fault::Permanent(text) if text.contains("job-loop: ring")));
        assert!(matches!(fault(401, "", "who?"), Fault::Permanent(_)));
    }
}
