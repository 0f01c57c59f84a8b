//! An answer of a model, put together from what comes of it.

use apflow_sdk::{Fault, JsonSchema, schemars};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::input::ToolCall;
use crate::usage::Reported;

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model had said all.
    Stop,
    /// It had said as much as `max_tokens` allows.
    Length,
    /// It calls tools.
    ToolCalls,
    /// It, or its provider, refuses to answer.
    Refused,
}

/// An answer, as far as it has come.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// What the model says.
    pub text: String,
    /// The tools that it calls.
    calls: Vec<Begun>,
    /// Why it ended. None as long as that is not known.
    pub finish: Option<Finish>,
    /// What the provider says that it used.
    pub reported: Reported,
    /// Whether the provider has said that nothing follows.
    pub is_over: bool,
}

/// A call of a tool, as far as it has come.
#[derive(Debug, Clone, PartialEq, Default)]
struct Begun {
    /// What tells it apart in the protocol.
    index: u64,
    id: String,
    name: String,
    arguments: String,
}

/// Why an answer does not go on.
#[derive(Debug, Clone, PartialEq)]
pub enum Broken {
    /// The provider says that it failed.
    Failed(Fault),
    /// What came is not of its protocol. Carries what.
    Unknown(String),
}

impl Reply {
    /// How many bytes the model has written.
    pub fn bytes(&self) -> u64 {
        let call = |call: &Begun| call.name.len() + call.arguments.len();
        (self.text.len() + self.calls.iter().map(call).sum::<usize>()) as u64
    }

    /// Adds a part of a call of a tool. Parts of one call have one `index`, and not two ids: some
    /// give every call the same index, and others say id and name with every part.
    pub fn add_call(&mut self, index: u64, id: &str, name: &str, arguments: &str) {
        let is_same = |call: &Begun| {
            call.index == index && (id.is_empty() || call.id.is_empty() || call.id == id)
        };
        let at = self.calls.iter().rposition(is_same).unwrap_or_else(|| {
            self.calls.push(Begun { index, ..Begun::default() });
            self.calls.len() - 1
        });
        let Some(call) = self.calls.get_mut(at) else { return };
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        if call.name.is_empty() {
            name.clone_into(&mut call.name);
        }
        call.arguments.push_str(arguments);
    }

    /// How many tools are called so far.
    pub fn calls(&self) -> u64 {
        self.calls.len() as u64
    }

    /// The calls of tools. One whose protocol gives none an id has one of its place.
    pub fn tool_calls(&self) -> Vec<ToolCall> {
        let calls = self.calls.iter().enumerate().map(|(place, call)| {
            let id = if call.id.is_empty() { format!("call_{place}") } else { call.id.clone() };
            let arguments = match call.arguments.trim() {
                "" => Value::Object(Map::new()),
                text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
            };
            ToolCall { id, name: call.name.clone(), arguments }
        });
        calls.collect()
    }
}

/// Adds the text at a place, if there is one.
pub fn push_text(text: &mut String, value: &Value) {
    if let Some(more) = value.as_str() {
        text.push_str(more);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn calls(parts: &[(u64, &str, &str, &str)]) -> Value {
        let mut reply = Reply::default();
        for (index, id, name, arguments) in parts {
            reply.add_call(*index, id, name, arguments);
        }
        json!(reply.tool_calls())
    }

    #[test]
    fn a_call_is_put_together_however_its_parts_are_told_apart() {
        let both = json!([
            { "id": "a", "name": "f", "arguments": { "x": 1 } },
            { "id": "b", "name": "g", "arguments": {} },
        ]);
        let by_index = [(0, "a", "f", "{\"x\""), (1, "b", "g", ""), (0, "", "", ":1}")];
        assert_eq!(calls(&by_index), both);
        let by_id = [(0, "a", "f", "{\"x\""), (0, "a", "f", ":1}"), (0, "b", "g", "")];
        assert_eq!(calls(&by_id), both);
        let without_id = [(0, "", "f", "{\"x\":1}"), (1, "", "g", "none")];
        assert_eq!(
            calls(&without_id)[1],
            json!({ "id": "call_1", "name": "g", "arguments": "none" })
        );
    }
}
