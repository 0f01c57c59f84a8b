//! Results of tools that are kept, to be given again for the same arguments.
//!
//! It keeps none: the store does, and each tool says for how long.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::plugin::Digest;

/// The largest result that is kept, in bytes of its JSON: 1 MiB.
pub const RESULT_BYTES_MAX: usize = 1 << 20;

/// How many results of all tools are kept together. When there are more, the oldest go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// How many, from 0 to 1,000,000. With 0, none is kept.
    pub results_max: u64,
    /// How many bytes of them, from 1 MiB to 1 TiB.
    pub bytes_max: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { results_max: 10_000, bytes_max: 64 << 20 }
    }
}

/// A result that is kept, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptResult {
    /// What it is found by: the sha256 of the tool, of what it was given, and of what it may do.
    pub key: Digest,
    /// The tool.
    #[schemars(example = &"minify")]
    pub tool: String,
    /// The size of its JSON, in bytes.
    #[schemars(example = 512)]
    pub bytes: u64,
    /// When the run ended that it comes from.
    pub kept_at: Timestamp,
    /// Until when it is given again.
    pub expires_at: Timestamp,
}

/// Results that are kept: some of them, and how many there are of all tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptResults {
    /// How many are kept of all tools.
    #[schemars(example = 1)]
    pub total: u64,
    /// How many bytes they have together.
    #[schemars(example = 512)]
    pub bytes: u64,
    /// The newest first.
    pub results: Vec<KeptResult>,
}
