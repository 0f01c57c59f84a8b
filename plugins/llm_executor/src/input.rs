//! What a task may say.
//!
//! [`crate::conversation`] says what is asked when, and [`crate::call`] what is sent.

use apflow_sdk::{JsonSchema, schemars};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a model is asked.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The model, as `PROVIDER/MODEL` or by a name that one provider has. The task's `model` if left
    /// out.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200), example = &"anthropic/claude-sonnet-4-5")]
    pub model: Option<String>,
    /// What the model is told before the conversation.
    #[serde(default)]
    pub system: Option<String>,
    /// The conversation so far. When a user or a tool said the last of it, it is answered.
    #[serde(default)]
    #[schemars(length(max = 10_000))]
    pub messages: Vec<Message>,
    /// What the user asks next.
    #[serde(default)]
    #[schemars(example = &"Why is the sky blue?")]
    pub prompt: Option<String>,
    /// What the user asks after that, one after the other, each when the one before was answered.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub turns: Vec<String>,
    /// How many tokens an answer may have.
    #[serde(default = "max_tokens")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_tokens: u32,
    /// How freely the model chooses its words. The provider's own value if left out.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
    /// From which share of the likely words the model chooses. The provider's own if left out.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f64>,
    /// Texts that end an answer.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub stop: Vec<String>,
    /// The tools that the model may call. They are not called here: a call is the output.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub tools: Vec<Tool>,
    /// Whether it must call one. As the model likes if left out.
    #[serde(default)]
    pub tool_choice: Option<ToolChoice>,
    /// The JSON Schema of the last answer, which is JSON then.
    #[serde(default)]
    pub schema: Option<Value>,
    /// How often the model is asked again for an answer that does not fit `schema`.
    #[serde(default = "repairs_max")]
    #[schemars(range(max = 5))]
    pub repairs_max: u32,
    /// Whether the answer is read while it is written.
    #[serde(default = "stream")]
    pub stream: bool,
    /// How long one answer may take.
    #[serde(default = "timeout_seconds")]
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub timeout_seconds: f64,
}

const fn max_tokens() -> u32 {
    1_024
}

const fn repairs_max() -> u32 {
    2
}

const fn stream() -> bool {
    true
}

const fn timeout_seconds() -> f64 {
    300.0
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "role", rename_all = "snake_case", deny_unknown_fields)]
pub enum Message {
    /// By whoever set the model its task.
    System {
        /// What.
        content: String,
    },
    /// By the user.
    User {
        /// What.
        content: String,
    },
    /// By the model.
    Assistant {
        /// What.
        #[serde(default)]
        content: String,
        /// The tools that it called.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// By a tool.
    Tool {
        /// The `id` of its call.
        tool_call_id: String,
        /// What it answered.
        content: String,
    },
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// What its answer refers to.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments; a text when the model wrote no JSON.
    pub arguments: Value,
}

/// A tool that a model may call.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// What it does, for the model.
    #[serde(default)]
    pub description: String,
    /// The JSON Schema of its arguments.
    pub parameters: Value,
}

/// Whether a model calls a tool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// It may not.
    None,
    /// It must call some.
    Required,
    /// It must call this one.
    Tool(String),
}

impl Message {
    /// How many bytes of text it has.
    pub fn bytes(&self) -> usize {
        match self {
            Self::System { content } | Self::User { content } | Self::Tool { content, .. } => {
                content.len()
            }
            Self::Assistant { content, tool_calls } => {
                let call = |call: &ToolCall| call.name.len() + call.arguments.to_string().len();
                content.len() + tool_calls.iter().map(call).sum::<usize>()
            }
        }
    }
}
