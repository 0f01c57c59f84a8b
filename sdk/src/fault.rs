//! The bad end of an attempt. Its variant decides what the host does next; texts are for people.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::bindings::apflow::plugin::types;
use crate::{budget, checkpoint, dial, http, secret};

/// Why an attempt failed, and whether another one may mend it.
///
/// The errors of this crate convert into it, so `?` works on them; [`OrFault`] does the same for
/// every other error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The input is wrong: no retry. The text says what is wrong and where.
    InvalidInput(String),
    /// The world was in the way (a timeout, a 503): retried while attempts are left.
    Retryable {
        /// What went wrong.
        message: String,
        /// The least time to wait before the next attempt. Without it the task's own backoff
        /// decides.
        retry_after: Option<Duration>,
    },
    /// It will never work: no retry.
    Permanent(String),
    /// The plugin saw that the task is cancelled, and stopped.
    Cancelled,
    /// Tokens were refused and the plugin cannot go on without: no retry.
    BudgetExhausted(String),
}

impl Fault {
    /// Faults the input: no retry.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::InvalidInput(message.into())
    }

    /// Faults the world: another attempt may go well.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::Retryable { message: message.into(), retry_after: None }
    }

    /// Faults the world, and asks for a wait, for example from a `Retry-After` header.
    pub fn retryable_after(message: impl Into<String>, wait: Duration) -> Self {
        Self::Retryable { message: message.into(), retry_after: Some(wait) }
    }

    /// Gives up: no other attempt can go better.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent(message.into())
    }

    /// Gives up for lack of tokens.
    pub fn budget_exhausted(message: impl Into<String>) -> Self {
        Self::BudgetExhausted(message.into())
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidInput(message) => write!(f, "invalid input: {message}"),
            Self::Retryable { message, .. } | Self::Permanent(message) => f.write_str(message),
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::BudgetExhausted(message) => write!(f, "budget exhausted: {message}"),
        }
    }
}

impl std::error::Error for Fault {}

/// Turns the error of any `Result`, or the absence in an `Option`, into a [`Fault`].
///
/// The texts say what was tried; the error's own text follows: `reading the page: not UTF-8`.
///
/// # Examples
///
/// ```
/// use apflow_sdk::{Fault, OrFault};
///
/// fn port(text: &str) -> Result<u16, Fault> {
///     text.parse().or_invalid_input("`port`")
/// }
///
/// let fault = Fault::invalid_input("`port`: invalid digit found in string");
/// assert_eq!(port("http"), Err(fault));
/// ```
pub trait OrFault<T> {
    /// Faults the input.
    ///
    /// # Errors
    ///
    /// [`Fault::InvalidInput`] in place of the error.
    fn or_invalid_input(self, what: impl Display) -> Result<T, Fault>;

    /// Asks for another attempt.
    ///
    /// # Errors
    ///
    /// [`Fault::Retryable`] in place of the error.
    fn or_retryable(self, what: impl Display) -> Result<T, Fault>;

    /// Gives up.
    ///
    /// # Errors
    ///
    /// [`Fault::Permanent`] in place of the error.
    fn or_permanent(self, what: impl Display) -> Result<T, Fault>;
}

impl<T, E: Display> OrFault<T> for Result<T, E> {
    fn or_invalid_input(self, what: impl Display) -> Result<T, Fault> {
        self.map_err(|error| Fault::InvalidInput(format!("{what}: {error}")))
    }

    fn or_retryable(self, what: impl Display) -> Result<T, Fault> {
        self.map_err(|error| Fault::retryable(format!("{what}: {error}")))
    }

    fn or_permanent(self, what: impl Display) -> Result<T, Fault> {
        self.map_err(|error| Fault::Permanent(format!("{what}: {error}")))
    }
}

impl<T> OrFault<T> for Option<T> {
    fn or_invalid_input(self, what: impl Display) -> Result<T, Fault> {
        self.ok_or_else(|| Fault::InvalidInput(what.to_string()))
    }

    fn or_retryable(self, what: impl Display) -> Result<T, Fault> {
        self.ok_or_else(|| Fault::retryable(what.to_string()))
    }

    fn or_permanent(self, what: impl Display) -> Result<T, Fault> {
        self.ok_or_else(|| Fault::Permanent(what.to_string()))
    }
}

impl From<checkpoint::Error> for Fault {
    fn from(error: checkpoint::Error) -> Self {
        match error {
            checkpoint::Error::TooLarge { .. }
            | checkpoint::Error::TooMany { .. }
            | checkpoint::Error::NotReadable(_) => Self::Permanent(error.to_string()),
            // Nothing a fenced attempt returns counts, so the gentlest word will do.
            checkpoint::Error::Fenced | checkpoint::Error::Unavailable(_) => {
                Self::retryable(error.to_string())
            }
        }
    }
}

impl From<budget::Error> for Fault {
    fn from(error: budget::Error) -> Self {
        Self::BudgetExhausted(error.to_string())
    }
}

impl From<dial::Error> for Fault {
    fn from(error: dial::Error) -> Self {
        match error {
            dial::Error::Denied(_) | dial::Error::TooMany(_) => Self::Permanent(error.to_string()),
            dial::Error::Dns(_)
            | dial::Error::Refused(_)
            | dial::Error::TimedOut(_)
            | dial::Error::Tls(_) => Self::retryable(error.to_string()),
        }
    }
}

impl From<dial::smtp::Error> for Fault {
    fn from(error: dial::smtp::Error) -> Self {
        use dial::smtp::Error;
        match error {
            Error::Unavailable(_) | Error::Broken(_) | Error::Rejected { code: 400..=499, .. } => {
                Self::retryable(error.to_string())
            }
            Error::Denied(_)
            | Error::Invalid(_)
            | Error::Unsupported(_)
            | Error::Rejected { .. } => Self::Permanent(error.to_string()),
        }
    }
}

impl From<secret::Error> for Fault {
    fn from(error: secret::Error) -> Self {
        match error {
            secret::Error::Denied(_) => Self::Permanent(error.to_string()),
            secret::Error::Unavailable(_) => Self::retryable(error.to_string()),
        }
    }
}

impl From<http::Error> for Fault {
    fn from(error: http::Error) -> Self {
        match error {
            http::Error::Invalid(_) => Self::InvalidInput(error.to_string()),
            http::Error::Timeout(_) | http::Error::Connect(_) | http::Error::Protocol(_) => {
                Self::retryable(error.to_string())
            }
            http::Error::Denied(_) | http::Error::TooLarge(_) => Self::Permanent(error.to_string()),
        }
    }
}

/// Permanent: the same bytes will not read better next time. Where the JSON came with the input,
/// use [`OrFault::or_invalid_input`].
impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Permanent(format!("invalid JSON: {error}"))
    }
}

impl From<Fault> for types::Fault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::InvalidInput(message) => Self::InvalidInput(message),
            Fault::Retryable { message, retry_after } => Self::Retryable(types::RetryableFault {
                message,
                retry_after: retry_after.map(milliseconds),
            }),
            Fault::Permanent(message) => Self::Permanent(message),
            Fault::Cancelled => Self::Cancelled,
            Fault::BudgetExhausted(message) => Self::BudgetExhausted(message),
        }
    }
}

/// Rounds up, so that nobody comes back a moment too early.
fn milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
