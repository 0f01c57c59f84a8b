//! The chat of Ollama.

use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::input::{Message, ToolChoice};
use crate::refusal;
use crate::reply::{Broken, Finish, Reply, push_text};

/// Where a call goes, below the base of the provider.
pub const PATH: &str = "/api/chat";

/// The headers of a call. An Ollama behind a door of its own may want a key.
pub fn headers(key: Option<&str>) -> Vec<(&'static str, String)> {
    key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect()
}

/// The body of a call.
pub fn body(call: &Call<'_>, model: &str) -> Value {
    let input = call.input;
    let mut options = Map::new();
    options.insert("num_predict".to_owned(), input.max_tokens.into());
    if let Some(temperature) = input.temperature {
        options.insert("temperature".to_owned(), temperature.into());
    }
    if let Some(top_p) = input.top_p {
        options.insert("top_p".to_owned(), top_p.into());
    }
    if !input.stop.is_empty() {
        options.insert("stop".to_owned(), json!(input.stop));
    }
    let system = call.system().map(|text| json!({ "role": "system", "content": text }));
    let messages = system.into_iter().chain(call.conversation().map(message));
    let messages: Vec<Value> = messages.collect();
    let mut body = json!({
        "model": model, "messages": messages, "stream": input.stream, "options": options,
    });
    // It knows no choice: without tools none can be called.
    if !input.tools.is_empty() && input.tool_choice != Some(ToolChoice::None) {
        let tools = input.tools.iter().map(|tool| {
            let (name, about, parameters) = (&tool.name, &tool.description, &tool.parameters);
            let function = json!({ "name": name, "description": about, "parameters": parameters });
            json!({ "type": "function", "function": function })
        });
        body["tools"] = tools.collect();
    }
    if let Some(schema) = call.schema {
        body["format"] = schema.clone();
    }
    body
}

fn message(message: &Message) -> Value {
    match message {
        Message::System { content } => json!({ "role": "system", "content": content }),
        Message::User { content } => json!({ "role": "user", "content": content }),
        Message::Assistant { content, tool_calls } if tool_calls.is_empty() => {
            json!({ "role": "assistant", "content": content })
        }
        Message::Assistant { content, tool_calls } => {
            let calls = tool_calls.iter().map(
                |call| json!({ "function": { "name": call.name, "arguments": call.arguments } }),
            );
            let calls: Vec<Value> = calls.collect();
            json!({ "role": "assistant", "content": content, "tool_calls": calls })
        }
        Message::Tool { content, .. } => json!({ "role": "tool", "content": content }),
    }
}

/// Takes a line of a stream, or a whole answer.
///
/// # Errors
///
/// See [`Broken`].
pub fn take(reply: &mut Reply, event: &Value) -> Result<(), Broken> {
    if let Some(error) = event.get("error") {
        return Err(Broken::Failed(refusal::of_event(error)));
    }
    if !event["message"].is_object() && event["done"] != true {
        return Err(Broken::Unknown("it has no `message`".to_owned()));
    }
    let said = &event["message"];
    push_text(&mut reply.text, &said["content"]);
    for call in said["tool_calls"].as_array().into_iter().flatten() {
        let function = &call["function"];
        let name = function["name"].as_str().unwrap_or_default();
        reply.add_call(reply.calls(), "", name, &function["arguments"].to_string());
    }
    if event["done"] == true {
        reply.is_over = true;
        reply.reported.input = event["prompt_eval_count"].as_u64();
        reply.reported.output = event["eval_count"].as_u64();
        reply.finish = Some(match event["done_reason"].as_str() {
            Some("length") => Finish::Length,
            _ if reply.calls() > 0 => Finish::ToolCalls,
            _ => Finish::Stop,
        });
    }
    Ok(())
}
