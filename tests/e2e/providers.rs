//! Servers that speak the protocols of model providers, and hosts that know them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::host::{Ended, TestHost};
use crate::secrets::VALUE;
use crate::server::{Reply, read_headers};

/// The variables of a host that has a key for each provider that wants one.
pub(crate) const KEYS: [(&str, &str); 3] =
    [("ANTHROPIC_API_KEY", VALUE), ("GOOGLE_API_KEY", VALUE), ("OPENAI_API_KEY", VALUE)];

/// A host whose providers are all at this origin.
pub(crate) fn host(origin: &str) -> TestHost {
    with_providers(TestHost::new(), origin)
}

/// The same host, whose providers are all at this origin.
pub(crate) fn with_providers(host: TestHost, origin: &str) -> TestHost {
    host.with_settings(&format!(
        "models:\n  providers:\n    anthropic: {{ base_url: \"{origin}\" }}\n    \
         google: {{ base_url: \"{origin}/v1beta/openai\" }}\n    \
         ollama: {{ base_url: \"{origin}\" }}\n    openai: {{ base_url: \"{origin}/v1\" }}\n"
    ))
}

/// Asks a model once.
pub(crate) fn ask(host: &TestHost, input: &Value) -> Ended {
    let input = input.to_string();
    host.run_with(&["run", "llm_executor", "--json", "--input", &input], "", &KEYS)
}

/// Asks a model in a task that is tried so often, at once. The task.
pub(crate) fn ask_often(host: &TestHost, input: &Value, attempts_max: u32) -> Value {
    let backoff = json!({ "strategy": "fixed", "base_seconds": 0, "max_seconds": 0 });
    let tasks = json!([{ "executor": "llm_executor", "inputs": input,
                         "max_attempts": attempts_max, "backoff": backoff }]);
    let tasks = tasks.to_string();
    let ended = host.run_with(&["run", "batch", "--json", "--tasks", &tasks], "", &KEYS);
    ended.json()["tasks"][0].clone()
}

/// The tokens of a task's receipt: sent, received, and sent from the provider's cache.
pub(crate) fn tokens(task: &Value) -> [u64; 3] {
    ["tokens_input", "tokens_output", "tokens_cached"]
        .map(|field| task["usage"][field].as_u64().unwrap_or_else(|| panic!("{field}: {task:#}")))
}

/// The money of a task's receipt, in micro-USD, and how many of its calls have no price.
pub(crate) fn money(task: &Value) -> (u64, u64) {
    let field = |name: &str| task["usage"][name].as_u64().unwrap_or_else(|| panic!("{task:#}"));
    (field("micro_usd"), field("calls_unpriced"))
}

/// An answer in the protocol that a path belongs to, as a stream.
pub(crate) fn answer(path: &str, text: &str, input: u64, output: u64) -> Reply {
    let parts: Vec<&str> = text.split_inclusive(' ').collect();
    match path {
        "/v1/messages" => {
            let usage = json!({ "input_tokens": input, "output_tokens": 1 });
            let start = json!({ "type": "message_start", "message": { "usage": usage } });
            let delta = |part: &&str| {
                json!({ "type": "content_block_delta", "index": 0,
                        "delta": { "type": "text_delta", "text": part } })
            };
            let end = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" },
                              "usage": { "output_tokens": output } });
            let stop = json!({ "type": "message_stop" });
            let all = [start].into_iter().chain(parts.iter().map(delta)).chain([end, stop]);
            events(all, "")
        }
        "/api/chat" => {
            let line = |part: &&str| json!({ "message": { "content": part }, "done": false });
            let end = json!({ "message": { "content": "" }, "done": true, "done_reason": "stop",
                              "prompt_eval_count": input, "eval_count": output });
            let all = parts.iter().map(line).chain([end]);
            let text = all.fold(String::new(), |text, line| format!("{text}{line}\n"));
            // Its type is that of Ollama or none, as behind a proxy.
            Reply::text(200, text)
        }
        _ => {
            let end = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
            let usage = json!({ "prompt_tokens": input, "completion_tokens": output,
                                "prompt_tokens_details": { "cached_tokens": 1 } });
            let usage = json!({ "choices": [], "usage": usage });
            events(parts.iter().map(|part| said(part)).chain([end, usage]), "data: [DONE]\n\n")
        }
    }
}

/// A piece of a stream of `OpenAI`.
pub(crate) fn said(text: &str) -> Value {
    json!({ "choices": [{ "delta": { "content": text } }] })
}

/// Server-sent events.
pub(crate) fn events(all: impl Iterator<Item = Value>, end: &str) -> Reply {
    let text = all.fold(String::new(), |text, event| format!("{text}data: {event}\n\n"));
    Reply::event_stream(text + end)
}

/// A server that begins an answer of `OpenAI` and never ends it: a piece of it follows another after
/// this long. Its origin.
pub(crate) fn endless(pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Until the client goes away.
            thread::spawn(move || drop(babble(stream, pause)));
        }
    });
    origin
}

fn babble(stream: TcpStream, pause: Duration) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    reader.read_line(&mut String::new())?;
    let headers = read_headers(&mut reader)?;
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    reader.take(length).read_to_end(&mut Vec::new())?;
    write!(
        writer,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    )?;
    loop {
        write!(writer, "data: {}\n\n", said("and so on and so on "))?;
        writer.flush()?;
        thread::sleep(pause);
    }
}
