//! Whether an installed plugin still is what was checked and consented to.
//!
//! It looks at nothing: the engine does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plugin::Digest;

/// What there is of the compiled code of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeptCode {
    /// It is kept, and is what this host compiled.
    Whole,
    /// None is kept: it is compiled when it is next needed.
    Missing,
    /// What is in its place was not made by this host, or was changed since.
    Altered,
}

impl KeptCode {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Missing => "missing",
            Self::Altered => "altered",
        }
    }
}

/// Something about a plugin that is not as it was checked and consented to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alteration {
    /// What was looked at: `component`, `imports`, `code` or `grants`.
    pub check: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

/// What a look at an installed plugin found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginVerification {
    /// Its name.
    #[schemars(example = &"count_executor")]
    pub plugin: String,
    /// Its version.
    #[schemars(example = &"1.0.0")]
    pub version: String,
    /// What the bytes of its component should be.
    pub digest: Digest,
    /// Whether nothing is wrong.
    pub intact: bool,
    /// What there is of its compiled code.
    pub code: KeptCode,
    /// What is wrong.
    pub alterations: Vec<Alteration>,
}
