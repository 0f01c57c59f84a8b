//! What is noted of a mail while it is sent, so that a later attempt does not send it again.

use std::time::{SystemTime, UNIX_EPOCH};

use apflow_sdk::{Fault, JsonSchema, checkpoint, schemars};
use serde::{Deserialize, Serialize};

/// The checkpoint before the last step: from here on, the mail may be taken.
const SENDING: &str = "sending";
/// The checkpoint after it: the mail was taken.
const SENT: &str = "sent";
/// The checkpoint after it: the mail was surely not taken.
const REFUSED: &str = "refused";

/// A mail that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Over SMTP, the `Message-ID` of the mail, without the angle brackets: the same for every
    /// attempt of the task. Over HTTP, the provider's own id of it.
    pub message_id: String,
    /// The addresses that were accepted.
    pub accepted: Vec<String>,
    /// The addresses that were not.
    pub refused: Vec<Refused>,
    /// What the server said when it took the mail.
    pub reply: String,
}

/// An address that a server did not accept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// The address.
    pub address: String,
    /// The code of the server's answer, such as 550.
    pub code: u16,
    /// The server's answer.
    pub reply: String,
}

/// What earlier attempts left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// Nothing was sent.
    Nothing,
    /// Perhaps it was sent, so many seconds ago.
    Unknown(u64),
    /// It was sent.
    Sent(Output),
}

/// Says what earlier attempts of this task left.
///
/// # Errors
///
/// The fault of a host that cannot say it now, or of a checkpoint that is not from here.
pub fn before() -> Result<Before, Fault> {
    let Some(saved) = checkpoint::load_saved()? else { return Ok(Before::Nothing) };
    match saved.step.as_str() {
        SENDING => Ok(Before::Unknown(now_s().saturating_sub(saved.json()?))),
        SENT => Ok(Before::Sent(saved.json()?)),
        _ => Ok(Before::Nothing),
    }
}

/// Notes, durably, that the mail may be taken from now on, or from when an earlier attempt noted it.
///
/// # Errors
///
/// The fault of a host that cannot note it: the mail must not be sent then.
pub fn sending(before: &Before) -> Result<(), Fault> {
    let since_s = match before {
        Before::Unknown(age_s) => *age_s,
        Before::Nothing | Before::Sent(_) => 0,
    };
    Ok(checkpoint::save(SENDING, &now_s().saturating_sub(since_s))?)
}

/// Notes that the mail was taken. Where that cannot be noted, the good end of the attempt says it.
pub fn sent(output: &Output) {
    drop(checkpoint::save(SENT, output));
}

/// Notes that the mail was surely not taken. Where that cannot be noted, the next attempt does not
/// know, and says so.
pub fn refused() {
    drop(checkpoint::save_bytes(REFUSED, b""));
}

#[expect(clippy::disallowed_methods, reason = "a plugin has no other clock")]
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
