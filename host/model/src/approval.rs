//! Approvals: somebody says whether a task may run a tool that asks for it.
//!
//! It does not say which tools ask for it: their `tool.yaml` does.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::id::{JobId, TaskId};

/// The longest reason of a decision, in characters.
pub const REASON_CHARACTERS_MAX: usize = 1_000;

/// What somebody says of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It may go on.
    Approved,
    /// It may not: its task fails.
    Denied,
}

impl Decision {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Why somebody decided as they did: at most [`REASON_CHARACTERS_MAX`] characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend(
    "minLength" = 1, "maxLength" = REASON_CHARACTERS_MAX, "pattern" = r"^[^\x00]*$",
    "examples" = ["seen by the owner"],
))]
pub struct Reason(String);

impl Reason {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let characters = text.chars().count();
        if !(1..=REASON_CHARACTERS_MAX).contains(&characters) {
            return Err(format!(
                "a reason has 1 to {REASON_CHARACTERS_MAX} characters, but this has {characters}"
            ));
        }
        if text.contains('\0') {
            return Err("a reason holds no NUL character".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Reason {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A decision, with who made it, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    /// What was said.
    pub decision: Decision,
    /// Who said it.
    #[schemars(example = &"admin")]
    pub principal: String,
    /// Why, if they told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// When.
    pub at: Timestamp,
}

/// That somebody was asked whether a task may run a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// The tool.
    #[schemars(example = &"minify")]
    pub tool: String,
    /// Since when the task waits, or waited, for it.
    pub asked_at: Timestamp,
    /// What became of it. None while the task waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
}

/// A task that waits for somebody's approval, as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PendingApproval {
    /// The task.
    pub task_id: TaskId,
    /// Its job.
    pub job_id: JobId,
    /// The caller's reference to the task.
    #[schemars(example = &"fetch")]
    pub reference: String,
    /// The caller's name for it.
    pub name: Option<String>,
    /// Who submitted it.
    #[schemars(example = &"admin")]
    pub principal: String,
    /// The tool that it would run.
    #[schemars(example = &"minify")]
    pub tool: String,
    /// What it would be given, with references to the outputs of other tasks still in it.
    #[schemars(extend("examples" = [{"input": {"a": 1}}]))]
    pub inputs: Value,
    /// Since when it waits.
    pub asked_at: Timestamp,
    /// It fails unless it has ended before this moment.
    pub deadline: Option<Timestamp>,
}

/// What a parked task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParkedFor {
    /// Somebody's approval.
    Approval,
    /// A budget that has something left.
    Budget,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something_and_not_too_much() {
        let is_right = |text: &str| text.parse::<Reason>().is_ok();
        assert!(is_right("é") && is_right(&"é".repeat(REASON_CHARACTERS_MAX)));
        assert!(!is_right("") && !is_right("a\0"));
        assert!(!is_right(&"é".repeat(REASON_CHARACTERS_MAX + 1)));
    }
}
