//! Whether a tool can do its work, and what stands in its way.
//!
//! It looks at nothing: the engine does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// How well a tool is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Nothing is known against it.
    Healthy,
    /// It may work, or only in part.
    Degraded,
    /// Its tasks fail, or are not started.
    Unhealthy,
}

impl HealthStatus {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// Something that stands in the way of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthIssue {
    /// What was looked at: `component`, `quarantine`, `breaker`, `grants`, `api` or `fallback`.
    pub check: String,
    /// How bad it is: never healthy.
    pub status: HealthStatus,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl HealthIssue {
    /// An issue with which it may work, or only in part.
    pub fn degraded(check: &str, message: impl Into<String>) -> Self {
        Self { check: check.to_owned(), status: HealthStatus::Degraded, message: message.into() }
    }

    /// An issue with which it does not work.
    pub fn unhealthy(check: &str, message: impl Into<String>) -> Self {
        Self { status: HealthStatus::Unhealthy, ..Self::degraded(check, message) }
    }
}

/// How well a tool was at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolHealth {
    /// Its name.
    #[schemars(example = &"minify")]
    pub tool: String,
    /// As bad as the worst issue.
    pub status: HealthStatus,
    /// What stands in its way.
    pub issues: Vec<HealthIssue>,
    /// When it was looked at.
    pub checked_at: Timestamp,
}

impl ToolHealth {
    /// What these issues come to.
    pub fn of(tool: String, issues: Vec<HealthIssue>, checked_at: Timestamp) -> Self {
        let worst = issues.iter().map(|issue| issue.status).max();
        Self { tool, status: worst.unwrap_or(HealthStatus::Healthy), issues, checked_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_as_well_as_its_worst_issue() {
        let of = |issues| ToolHealth::of(String::new(), issues, Timestamp::from_unix_ms(0)).status;
        let (bad, worse) =
            (HealthIssue::degraded("api", ""), HealthIssue::unhealthy("breaker", ""));
        assert_eq!(of(vec![]), HealthStatus::Healthy);
        assert_eq!(of(vec![bad.clone()]), HealthStatus::Degraded);
        assert_eq!(of(vec![bad.clone(), worse, bad]), HealthStatus::Unhealthy);
    }
}
