//! Messages of Anthropic.

use serde_json::{Value, json};

use crate::call::Call;
use crate::input::{Message, ToolCall, ToolChoice};
use crate::refusal;
use crate::reply::{Broken, Finish, Reply, push_text};

/// Where a call goes, below the base of the provider.
pub const PATH: &str = "/v1/messages";

/// The version of the protocol.
const VERSION: &str = "2023-06-01";

/// The headers of a call.
pub fn headers(key: Option<&str>) -> Vec<(&'static str, String)> {
    let key = key.map(|key| ("x-api-key", key.to_owned()));
    key.into_iter().chain([("anthropic-version", VERSION.to_owned())]).collect()
}

/// The body of a call.
pub fn body(call: &Call<'_>, model: &str) -> Value {
    let input = call.input;
    let mut body =
        json!({ "model": model, "max_tokens": input.max_tokens, "messages": messages(call) });
    if let Some(system) = call.system() {
        body["system"] = system.into();
    }
    if input.stream {
        body["stream"] = true.into();
    }
    if let Some(temperature) = input.temperature {
        body["temperature"] = temperature.into();
    }
    if let Some(top_p) = input.top_p {
        body["top_p"] = top_p.into();
    }
    if !input.stop.is_empty() {
        body["stop_sequences"] = json!(input.stop);
    }
    if !input.tools.is_empty() {
        let tools = input.tools.iter().map(|tool| {
            let (name, about, parameters) = (&tool.name, &tool.description, &tool.parameters);
            json!({ "name": name, "description": about, "input_schema": parameters })
        });
        body["tools"] = tools.collect();
    }
    if let Some(choice) = &input.tool_choice {
        body["tool_choice"] = match choice {
            ToolChoice::Auto => json!({ "type": "auto" }),
            ToolChoice::None => json!({ "type": "none" }),
            ToolChoice::Required => json!({ "type": "any" }),
            ToolChoice::Tool(name) => json!({ "type": "tool", "name": name }),
        };
    }
    body
}

/// The conversation. What tools answered one after the other is one message of the user.
fn messages(call: &Call<'_>) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    for message in call.conversation() {
        let (role, blocks) = blocks(message);
        match messages.last_mut() {
            Some(last) if last["role"] == role => {
                if let Some(content) = last["content"].as_array_mut() {
                    content.extend(blocks);
                }
            }
            Some(_) | None => messages.push(json!({ "role": role, "content": blocks })),
        }
    }
    messages
}

fn blocks(message: &Message) -> (&'static str, Vec<Value>) {
    let text = |text: &str| json!({ "type": "text", "text": text });
    match message {
        Message::System { content } | Message::User { content } => ("user", vec![text(content)]),
        Message::Assistant { content, tool_calls } => {
            // An empty block is refused.
            let said = (!content.is_empty()).then(|| text(content));
            ("assistant", said.into_iter().chain(tool_calls.iter().map(tool_use)).collect())
        }
        Message::Tool { tool_call_id, content } => (
            "user",
            vec![json!({ "type": "tool_result", "tool_use_id": tool_call_id, "content": content })],
        ),
    }
}

fn tool_use(call: &ToolCall) -> Value {
    json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments })
}

/// Takes an event of a stream, or a whole answer.
///
/// # Errors
///
/// See [`Broken`].
pub fn take(reply: &mut Reply, event: &Value) -> Result<(), Broken> {
    let kind = event["type"].as_str();
    match kind.ok_or_else(|| Broken::Unknown("it has no `type`".to_owned()))? {
        "error" => return Err(Broken::Failed(refusal::of_event(&event["error"]))),
        "message_start" => take_usage(reply, &event["message"]["usage"]),
        "message" => {
            for (place, block) in event["content"].as_array().into_iter().flatten().enumerate() {
                take_block(reply, place as u64, block);
            }
            take_usage(reply, &event["usage"]);
            take_finish(reply, &event["stop_reason"]);
        }
        "content_block_start" => {
            take_block(reply, event["index"].as_u64().unwrap_or(0), &event["content_block"]);
        }
        "content_block_delta" => {
            push_text(&mut reply.text, &event["delta"]["text"]);
            if let Some(arguments) = event["delta"]["partial_json"].as_str() {
                reply.add_call(event["index"].as_u64().unwrap_or(0), "", "", arguments);
            }
        }
        "message_delta" => {
            take_usage(reply, &event["usage"]);
            take_finish(reply, &event["delta"]["stop_reason"]);
        }
        "message_stop" => reply.is_over = true,
        // What else there is, such as `ping`, says nothing of the answer.
        _ => {}
    }
    Ok(())
}

fn take_block(reply: &mut Reply, index: u64, block: &Value) {
    match block["type"].as_str() {
        Some("text") => push_text(&mut reply.text, &block["text"]),
        Some("tool_use") => {
            let part = |key: &str| block[key].as_str().unwrap_or_default();
            // In a stream the input is empty here, and follows.
            let input = block["input"].as_object().filter(|input| !input.is_empty());
            let input = input.map(|_| block["input"].to_string()).unwrap_or_default();
            reply.add_call(index, part("id"), part("name"), &input);
        }
        _ => {}
    }
}

/// Those from the cache, and those that were put into it, are not among `input_tokens`.
fn take_usage(reply: &mut Reply, usage: &Value) {
    let reported = &mut reply.reported;
    if let Some(input) = usage["input_tokens"].as_u64() {
        let part = |key: &str| usage[key].as_u64().unwrap_or(0);
        let cached = part("cache_read_input_tokens");
        let kept = part("cache_creation_input_tokens");
        reported.input = Some(input.saturating_add(cached).saturating_add(kept));
        reported.cached = Some(cached);
    }
    // It grows while the answer does.
    reported.output = usage["output_tokens"].as_u64().or(reported.output);
}

fn take_finish(reply: &mut Reply, reason: &Value) {
    let finish = reason.as_str().map(|reason| match reason {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::Refused,
        _ => Finish::Stop,
    });
    reply.finish = finish.or(reply.finish);
}
