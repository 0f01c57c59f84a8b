//! What an examination of a host finds.
//!
//! It examines nothing: the floors do, each what it keeps.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The most rows of one finding that are named.
pub const EXAMPLES_MAX: usize = 10;

/// Something that should be true, and is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The check that found it, kebab-case.
    pub check: Cow<'static, str>,
    /// How many rows or files it is about.
    pub count: u64,
    /// Which, at most [`EXAMPLES_MAX`] of them.
    pub examples: Vec<String>,
    /// What is true when all is well, and why it matters.
    pub why: Cow<'static, str>,
    /// What the repair does; for what cannot be repaired, what somebody can do.
    pub remedy: Cow<'static, str>,
    /// Whether the host can repair it.
    pub is_repairable: bool,
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Repair {
    /// The check whose findings it repaired.
    pub check: Cow<'static, str>,
    /// How many rows or files it changed.
    pub count: u64,
    /// What it did to them.
    pub what: Cow<'static, str>,
}

/// What a host keeps, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// Where the database is, without a password.
    pub database: String,
    /// The number of the last step of its schema.
    pub schema: i64,
    /// How many bytes it has.
    pub bytes: u64,
    /// How many of them are unused, of a file.
    pub unused_bytes: u64,
    /// Whether unused bytes can go back to the file system.
    pub gives_space_back: bool,
    /// How many jobs are in each state.
    pub jobs: BTreeMap<String, u64>,
    /// How many tasks are in each state.
    pub tasks: BTreeMap<String, u64>,
    /// How many jobs are marked as removed, and their rows not gone yet.
    pub jobs_going: u64,
    /// Since when the task has been due that has waited longest for a place to run.
    pub oldest_ready: Option<Timestamp>,
}
