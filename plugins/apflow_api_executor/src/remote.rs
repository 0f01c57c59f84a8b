//! The other host, as its HTTP API shows it.

use std::time::Duration;

use apflow_sdk::Fault;
use apflow_sdk::http::{self, Request, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::refusal::Refusal;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How many events are asked for at once.
const EVENTS_PER_PAGE: u32 = 1_000;
/// How long the other host may wait for an event before it answers that there is none.
const NEWS_SECONDS: u64 = 20;
/// How long an answer may take, beyond what the other host was asked to wait.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long the answer to a cancellation may take: less than the grace of this task.
const CANCEL_ANSWER_MAX: Duration = Duration::from_secs(6);

/// Why the other host did not do what it was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RemoteError {
    /// It was not reached, or its answer is none.
    #[error(transparent)]
    Exchange(#[from] http::Error),
    /// It refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl RemoteError {
    /// Whether the same may go well another time.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Exchange(
                http::Error::Timeout(_) | http::Error::Connect(_) | http::Error::Protocol(_),
            ) => true,
            Self::Exchange(
                http::Error::Denied(_) | http::Error::TooLarge(_) | http::Error::Invalid(_),
            ) => false,
            Self::Refused(refusal) => refusal.may_pass(),
        }
    }
}

impl From<RemoteError> for Fault {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Exchange(error) => error.into(),
            RemoteError::Refused(refusal) => refusal.into(),
        }
    }
}

/// A job of the other host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Job {
    /// Its id there.
    pub id: String,
    /// Where it stands.
    pub state: String,
    /// Its tasks.
    #[serde(default)]
    pub tasks: Vec<RemoteTask>,
}

/// A task of the other host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RemoteTask {
    /// Its id there.
    pub id: String,
    /// The caller's reference to it.
    pub reference: String,
    /// Where it stands.
    pub state: String,
    /// What it returned.
    #[serde(default)]
    pub output: Option<Value>,
    /// Why it did not end well.
    #[serde(default)]
    pub fault: Option<RemoteFault>,
    /// What it used.
    #[serde(default)]
    pub usage: RemoteUsage,
}

/// Why a task of the other host did not end well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RemoteFault {
    /// Its kind.
    pub code: String,
    /// What went wrong.
    pub message: String,
}

/// The model tokens that a task of the other host used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct RemoteUsage {
    /// Those sent.
    pub tokens_input: u64,
    /// Those received.
    pub tokens_output: u64,
}

/// A part of a job's history.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Page {
    /// What happened.
    pub events: Vec<Event>,
    /// The number to go on after. None when no more will come.
    pub next: Option<u64>,
}

/// A fact of a job's history.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// The task that it is about.
    #[serde(default)]
    pub task_id: Option<String>,
    /// Its kind.
    pub kind: String,
    /// What there is to say of it.
    #[serde(default)]
    pub data: Value,
}

/// The other host.
#[derive(Debug, Clone)]
pub struct Remote {
    base: String,
    /// The placeholder of its token.
    token: String,
}

impl Remote {
    /// The host at `base`, which lets in who has this token.
    pub fn new(base: String, token: String) -> Self {
        Self { base, token }
    }

    /// Submits a job. The same key is answered with the same job.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn submit(&self, job: &Map<String, Value>, key: &str) -> Result<Job, RemoteError> {
        let request = self.request("POST", "").header("idempotency-key", key).json(job);
        self.send(request).await
    }

    /// Waits for what happened after the event with the number `after`; for a while, if nothing did.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn events(&self, job: &str, after: u64) -> Result<Page, RemoteError> {
        let request = self
            .request("GET", &format!("/{job}/events"))
            .query("after", after)
            .query("limit", EVENTS_PER_PAGE)
            .query("wait", NEWS_SECONDS)
            .timeout(ANSWER_MAX + Duration::from_secs(NEWS_SECONDS));
        self.send(request).await
    }

    /// Finds a job with its tasks.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn find(&self, job: &str) -> Result<Job, RemoteError> {
        self.send(self.request("GET", &format!("/{job}"))).await
    }

    /// Lets the tasks of a job that did not end well run again.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn retry(&self, job: &str) -> Result<Job, RemoteError> {
        let request = self.request("POST", &format!("/{job}/retry"));
        self.send(request.json(&json!({ "cancelled": true }))).await
    }

    /// Cancels a job. One that has ended stays as it is.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn cancel(&self, job: &str) -> Result<Job, RemoteError> {
        let request = self.request("POST", &format!("/{job}/cancel"));
        self.send(request.timeout(CANCEL_ANSWER_MAX)).await
    }

    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, format!("{}/api/v1/jobs{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .header("accept", "application/json")
            .timeout(ANSWER_MAX)
            .body_bytes_max(ANSWER_BYTES_MAX)
    }

    async fn send<T: DeserializeOwned>(&self, request: Request) -> Result<T, RemoteError> {
        let response = request.send_async().await?;
        if !response.is_success() {
            return Err(Refusal::read(&response).into());
        }
        let unreadable = |error| http::Error::Protocol(format!("`{}`: {error}", self.base));
        Response::json(&response).map_err(unreadable).map_err(RemoteError::Exchange)
    }
}
