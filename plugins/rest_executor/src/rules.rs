//! What the caller accepts: which answers are good, how large they may be, and what is not tried
//! again.

use apflow_sdk::Fault;
use apflow_sdk::http::{self, Incoming};

use crate::answer::{address, describe};
use crate::input::{Format, Input};
use crate::plan::Plan;
use crate::redirect::is_redirect;
use crate::save::is_below;
use crate::success::Statuses;
use crate::verdict::{Verdict, judge};

/// The largest body of an answer if the input does not say, and the largest that it may say.
const BYTES_DEFAULT: u64 = 8 << 20;
const BYTES_MAX: u64 = 16 << 20;
const FILE_BYTES_MAX: u64 = 1 << 30;
/// How much of a body is looked at for a fault.
const EXCERPT_BYTES_MAX: usize = 4 << 10;

/// What the caller accepts.
#[derive(Debug)]
pub struct Rules<'a> {
    success: Option<&'a Statuses>,
    fail_on_status: bool,
    /// What the body becomes.
    pub format: Format,
    /// Where the body of a good answer goes.
    save_as: Option<&'a str>,
    /// The largest body of an answer.
    pub bytes_max: u64,
    /// Whether the request may be sent again.
    is_repeatable: bool,
}

/// The input contradicts itself.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// No status fails, so none is a success.
    #[error("`success` says which statuses fail the task, but `fail_on_status` is false")]
    NoStatusFails,
    /// The file is not below `/out`.
    #[error("`save_as` is `{0}`, but must be the name of a file below /out, such as `report.pdf`")]
    SaveAs(String),
    /// A file is not read.
    #[error("the body is saved by `save_as`, so `{0}` says nothing; leave it out")]
    Saved(&'static str),
    /// Pages are JSON.
    #[error("pages are read as JSON, but `response` says otherwise; leave it out")]
    Pages,
    /// Out of range.
    #[error("`max_bytes` is {given}, but must be from 1 to {most}")]
    MaxBytes {
        /// What is said.
        given: u64,
        /// The most.
        most: u64,
    },
    /// Out of range.
    #[error("`paginate.max_pages` is {0}, but must be from 1 to 1000")]
    MaxPages(u32),
}

impl<'a> Rules<'a> {
    /// Reads the rules of an input.
    ///
    /// # Errors
    ///
    /// A [`RulesError`] when it contradicts itself.
    pub fn new(input: &'a Input, is_repeatable: bool) -> Result<Self, RulesError> {
        let Input { success, fail_on_status, save_as, paginate, response, max_bytes, .. } = input;
        if success.is_some() && !fail_on_status {
            return Err(RulesError::NoStatusFails);
        }
        if let Some(name) = save_as {
            if !is_below(name) {
                return Err(RulesError::SaveAs(name.clone()));
            }
            if *response != Format::Auto {
                return Err(RulesError::Saved("response"));
            }
            if paginate.is_some() {
                return Err(RulesError::Saved("paginate"));
            }
        }
        if let Some(paginate) = paginate {
            if !matches!(response, Format::Auto | Format::Json) {
                return Err(RulesError::Pages);
            }
            if !(1..=1_000).contains(&paginate.max_pages) {
                return Err(RulesError::MaxPages(paginate.max_pages));
            }
        }
        let (most, default) = match save_as {
            Some(_) => (FILE_BYTES_MAX, FILE_BYTES_MAX),
            None => (BYTES_MAX, BYTES_DEFAULT),
        };
        let bytes_max = match *max_bytes {
            None => default,
            Some(given) if (1..=most).contains(&given) => given,
            Some(given) => return Err(RulesError::MaxBytes { given, most }),
        };
        Ok(Self {
            success: success.as_ref(),
            fail_on_status: *fail_on_status,
            format: *response,
            save_as: save_as.as_deref(),
            bytes_max,
            is_repeatable,
        })
    }

    /// Whether a redirect of this status may be followed: not if it is what the caller wants.
    pub fn follows(&self, status: u16) -> bool {
        self.success.is_none_or(|success| !success.contains(status))
    }

    /// The file that the body of an answer of this status is written to. A bad answer that the
    /// caller takes as it is becomes no file.
    pub fn file_of(&self, status: u16) -> Option<&'a str> {
        let is_good = judge(self.success, status, None) == Verdict::Fine;
        self.save_as.filter(|_| is_good)
    }

    /// Refuses an answer that is no success, in the words of its body.
    ///
    /// # Errors
    ///
    /// The fault of the task.
    pub fn check(&self, plan: &Plan, incoming: &mut Incoming) -> Result<(), Fault> {
        let status = incoming.status();
        let verdict = judge(self.success, status, incoming.retry_after());
        if verdict == Verdict::Fine || !self.fail_on_status {
            return Ok(());
        }
        let message = describe(plan, status, &beginning(incoming, EXCERPT_BYTES_MAX));
        Err(match verdict {
            Verdict::Retry(_) if !self.is_repeatable => not_again(&message, plan),
            Verdict::Retry(Some(wait)) => Fault::retryable_after(message, wait),
            Verdict::Retry(None) => Fault::retryable(message),
            Verdict::TooLate => {
                Fault::permanent(format!("{message} (it asks to wait for more than a day)"))
            }
            Verdict::Fail if is_redirect(status) => {
                Fault::permanent(format!("{message} (this redirect is not followed)"))
            }
            Verdict::Fail | Verdict::Fine => Fault::permanent(message),
        })
    }

    /// The fault of a request that was not answered, or not to its end.
    pub fn lost(&self, plan: &Plan, error: http::Error) -> Fault {
        match error {
            http::Error::Timeout(_) | http::Error::Protocol(_) if !self.is_repeatable => {
                not_again(&error.to_string(), plan)
            }
            http::Error::TooLarge(_) => Fault::permanent(format!(
                "{error}; the answer of {} may have {} bytes by `max_bytes`",
                address(&plan.url),
                self.bytes_max
            )),
            http::Error::Denied(_)
            | http::Error::Timeout(_)
            | http::Error::Connect(_)
            | http::Error::Invalid(_)
            | http::Error::Protocol(_) => error.into(),
        }
    }
}

/// Gives up where another try might do the same twice.
fn not_again(message: &str, plan: &Plan) -> Fault {
    Fault::permanent(format!(
        "{message} (it is not sent again: a {} without an `Idempotency-Key` may take effect twice)",
        plan.method
    ))
}

/// Reads the beginning of a body, as far as it comes.
pub(crate) fn beginning(incoming: &mut Incoming, bytes_max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < bytes_max
        && let Ok(Some(piece)) = incoming.chunk()
    {
        bytes.extend(piece);
    }
    bytes
}
