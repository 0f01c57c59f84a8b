//! What a task gives back.

use apflow_sdk::{JsonSchema, schemars};
use serde::Serialize;
use serde_json::Value;

use crate::input::{Message, ToolCall};
use crate::reply::Finish;
use crate::usage::Used;

/// The last answer, and what led to it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Output {
    /// The model that answered last, as `PROVIDER/MODEL`. A cost policy may have put it in the place
    /// of the one that was wanted.
    pub model: String,
    /// What it said.
    pub text: String,
    /// What it said as JSON, when it had to fit a `schema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// The tools that it calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Why it ended.
    pub finish: Finish,
    /// What was said since the `messages` of the input: behind them, they are the conversation.
    pub messages: Vec<Message>,
    /// What all calls of the task used, those of earlier attempts that it goes on from with them.
    pub usage: Used,
}
