//! Chat completions of `OpenAI`, as many others speak them.

use serde_json::{Value, json};

use crate::call::Call;
use crate::input::{Message, ToolCall, ToolChoice};
use crate::refusal;
use crate::reply::{Broken, Finish, Reply, push_text};

/// The origin of `OpenAI` itself, which has another word for `max_tokens` than those who copied it.
const ORIGIN: &str = "https://api.openai.com";

/// Where a call goes, below the base of the provider.
pub const PATH: &str = "/chat/completions";

/// The headers of a call.
pub fn headers(key: Option<&str>) -> Vec<(&'static str, String)> {
    key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect()
}

/// The body of a call.
pub fn body(call: &Call<'_>, model: &str, base_url: &str) -> Value {
    let input = call.input;
    let system = call.system().map(|text| json!({ "role": "system", "content": text }));
    let messages = system.into_iter().chain(call.conversation().map(message));
    let mut body = json!({ "model": model, "messages": messages.collect::<Vec<_>>() });
    let limit = if base_url.starts_with(ORIGIN) { "max_completion_tokens" } else { "max_tokens" };
    body[limit] = input.max_tokens.into();
    if input.stream {
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
    }
    if let Some(temperature) = input.temperature {
        body["temperature"] = temperature.into();
    }
    if let Some(top_p) = input.top_p {
        body["top_p"] = top_p.into();
    }
    if !input.stop.is_empty() {
        body["stop"] = json!(input.stop);
    }
    if !input.tools.is_empty() {
        let tools = input.tools.iter().map(|tool| {
            let (name, about, parameters) = (&tool.name, &tool.description, &tool.parameters);
            let function = json!({ "name": name, "description": about, "parameters": parameters });
            json!({ "type": "function", "function": function })
        });
        body["tools"] = tools.collect();
    }
    if let Some(choice) = &input.tool_choice {
        body["tool_choice"] = match choice {
            ToolChoice::Auto => "auto".into(),
            ToolChoice::None => "none".into(),
            ToolChoice::Required => "required".into(),
            ToolChoice::Tool(name) => json!({ "type": "function", "function": { "name": name } }),
        };
    }
    if let Some(schema) = call.schema {
        let named = json!({ "name": "answer", "schema": schema });
        body["response_format"] = json!({ "type": "json_schema", "json_schema": named });
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
            let calls: Vec<Value> = tool_calls.iter().map(tool_call).collect();
            json!({ "role": "assistant", "content": content, "tool_calls": calls })
        }
        Message::Tool { tool_call_id, content } => {
            json!({ "role": "tool", "tool_call_id": tool_call_id, "content": content })
        }
    }
}

fn tool_call(call: &ToolCall) -> Value {
    let arguments = &call.arguments;
    let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
    let function = json!({ "name": call.name, "arguments": arguments });
    json!({ "id": call.id, "type": "function", "function": function })
}

/// Takes an event of a stream, or a whole answer.
///
/// # Errors
///
/// See [`Broken`].
pub fn take(reply: &mut Reply, event: &Value) -> Result<(), Broken> {
    if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
        return Err(Broken::Failed(refusal::of_event(error)));
    }
    let usage = &event["usage"];
    if usage.is_object() {
        reply.reported.input = usage["prompt_tokens"].as_u64();
        reply.reported.output = usage["completion_tokens"].as_u64();
        reply.reported.cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64();
    }
    let Some(choices) = event["choices"].as_array() else {
        let is_known = usage.is_object();
        return if is_known { Ok(()) } else { Err(Broken::Unknown("it has no `choices`".into())) };
    };
    let Some(choice) = choices.first() else { return Ok(()) };
    let said = choice.get("delta").or_else(|| choice.get("message")).unwrap_or(&Value::Null);
    push_text(&mut reply.text, &said["content"]);
    if let Some(refusal) = said["refusal"].as_str() {
        reply.text.push_str(refusal);
        reply.finish = Some(Finish::Refused);
    }
    for (place, call) in said["tool_calls"].as_array().into_iter().flatten().enumerate() {
        // Some leave the index out, and send each call whole.
        let index = call["index"].as_u64().unwrap_or_else(|| {
            let is_whole = choice.get("delta").is_some();
            if is_whole { reply.calls() } else { place as u64 }
        });
        let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let function = &call["function"];
        let (id, name) = (part(&call["id"]), part(&function["name"]));
        reply.add_call(index, &id, &name, &part(&function["arguments"]));
    }
    if let Some(reason) = choice["finish_reason"].as_str() {
        let finish = match reason {
            "length" => Finish::Length,
            "tool_calls" | "function_call" => Finish::ToolCalls,
            "content_filter" => Finish::Refused,
            // Some say `stop` when tools are called.
            _ if reply.calls() > 0 => Finish::ToolCalls,
            _ => Finish::Stop,
        };
        reply.finish = reply.finish.or(Some(finish));
    }
    Ok(())
}
