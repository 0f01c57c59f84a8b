//! Whole conversations with scripted servers, and what is sent to each kind of provider.

use std::time::Duration;

use apflow_sdk::budget::Tokens;
use apflow_sdk::testing::{Answer, Host, input_schema};
use apflow_sdk::{Fault, Task, Usage, http};
use serde_json::{Value, json};

use super::*;

const OPENAI: &str = "https://openai.example/v1/chat/completions";
const ANTHROPIC: &str = "https://anthropic.example/v1/messages";
const OLLAMA: &str = "http://ollama.example:11434/api/chat";

fn models() -> Models {
    let told = json!({
        "openai": { "kind": "openai", "base_url": "https://openai.example/v1", "secret": "KEY" },
        "anthropic": { "kind": "anthropic", "base_url": "https://anthropic.example", "secret": "KEY",
                       "models": ["claude"] },
        "ollama": { "kind": "ollama", "base_url": "http://ollama.example:11434" },
    });
    Models::read(Some(&told.to_string())).unwrap()
}

fn host() -> Host {
    Host::new().secret("KEY", "placeholder")
}

fn run(host: &Host, input: Value) -> Result<Value, Fault> {
    let models = models();
    let ask = move |task: Task, input: Input| {
        let models = models.clone();
        async move { converse(&models, &task, &input).await }
    };
    host.run(ask, input).map(|outcome| outcome.output)
}

fn events(events: &[Value]) -> Answer {
    let text = events.iter().fold(String::new(), |text, event| format!("{text}data: {event}\n\n"));
    Answer::bytes(200, text).header("content-type", "text/event-stream")
}

/// A stream of `OpenAI` that says this, for so many tokens.
fn says(text: &str, input: u64, output: u64) -> Answer {
    let usage = json!({ "prompt_tokens": input, "completion_tokens": output,
                        "prompt_tokens_details": { "cached_tokens": 1 } });
    events(&[
        json!({ "choices": [{ "delta": { "role": "assistant", "content": "" } }] }),
        json!({ "choices": [{ "delta": { "content": text } }] }),
        json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] }),
        json!({ "choices": [], "usage": usage }),
    ])
}

fn body(host: &Host, place: usize) -> Value {
    serde_json::from_slice(&host.requests()[place].body).unwrap()
}

#[test]
fn a_stream_of_openai_is_read_and_charged() {
    let host = host().budget(5_000).expect("POST", OPENAI, says("Hello.", 20, 3));
    let output = run(&host, json!({ "model": "openai/gpt-5", "prompt": "Hi" })).unwrap();
    assert_eq!(output["text"], "Hello.");
    assert_eq!((&output["model"], &output["finish"]), (&json!("openai/gpt-5"), &json!("stop")));
    let usage = json!({ "calls": 1, "input_tokens": 20, "output_tokens": 3, "cached_tokens": 1,
                        "is_counted": false });
    assert_eq!(output["usage"], usage);
    assert_eq!(host.spent(), Usage::new(20, 3).with_cached(1));
    assert_eq!(host.remaining(), Some(Tokens(5_000 - 23)));
    let sent = &host.requests()[0];
    assert_eq!(sent.header("authorization"), Some("Bearer placeholder"));
    let expected = json!({
        "model": "gpt-5", "max_tokens": 1024, "stream": true,
        "stream_options": { "include_usage": true },
        "messages": [{ "role": "user", "content": "Hi" }],
    });
    assert_eq!(body(&host, 0), expected);
    assert_eq!(host.progress().last().unwrap().1, "Hello.");
}

#[test]
fn a_stream_of_anthropic_is_read_and_charged() {
    let answer = events(&[
        json!({ "type": "message_start", "message": { "usage": {
            "input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2,
            "output_tokens": 1 } } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "ping" }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "Look:" } }),
        json!({ "type": "content_block_start", "index": 1, "content_block": {
            "type": "tool_use", "id": "t1", "name": "look", "input": {} } }),
        json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "input_json_delta", "partial_json": "{\"at\":" } }),
        json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "input_json_delta", "partial_json": "\"sky\"}" } }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 25 } }),
        json!({ "type": "message_stop" }),
    ]);
    let host = host().expect("POST", ANTHROPIC, answer);
    let input = json!({
        "model": "claude", "system": "Be brief.", "prompt": "Look.", "stop": ["."], "temperature": 0.5,
        "tools": [{ "name": "look", "description": "Looks.", "parameters": { "type": "object" } }],
        "tool_choice": { "tool": "look" },
        "messages": [
            { "role": "user", "content": "a" },
            { "role": "assistant", "tool_calls": [{ "id": "t0", "name": "look", "arguments": {} }] },
            { "role": "tool", "tool_call_id": "t0", "content": "blue" },
            { "role": "assistant", "content": "Blue." },
        ],
    });
    let output = run(&host, input).unwrap();
    let calls = json!([{ "id": "t1", "name": "look", "arguments": { "at": "sky" } }]);
    assert_eq!((&output["tool_calls"], &output["finish"]), (&calls, &json!("tool_calls")));
    assert_eq!(output["text"], "Look:");
    assert_eq!(host.spent(), Usage::new(17, 25).with_cached(5));
    let sent = &host.requests()[0];
    assert_eq!(sent.header("x-api-key"), Some("placeholder"));
    assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
    let sent = body(&host, 0);
    assert_eq!((&sent["model"], &sent["system"]), (&json!("claude"), &json!("Be brief.")));
    assert_eq!(sent["tool_choice"], json!({ "type": "tool", "name": "look" }));
    let messages = json!([
        { "role": "user", "content": [{ "type": "text", "text": "a" }] },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": "t0", "name": "look", "input": {} }] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t0", "content": "blue" }] },
        { "role": "assistant", "content": [{ "type": "text", "text": "Blue." }] },
        { "role": "user", "content": [{ "type": "text", "text": "Look." }] },
    ]);
    assert_eq!(sent["messages"], messages);
}

#[test]
fn a_stream_of_ollama_is_read_and_charged() {
    let lines = [
        json!({ "message": { "role": "assistant", "content": "Hel" }, "done": false }),
        json!({ "message": { "content": "lo" }, "done": false }),
        json!({ "message": { "content": "" }, "done": true, "done_reason": "length",
                "prompt_eval_count": 11, "eval_count": 2 }),
    ];
    let text = lines.iter().fold(String::new(), |text, line| format!("{text}{line}\n"));
    let answer = Answer::bytes(200, text).header("content-type", "application/x-ndjson");
    let host = host().expect("POST", OLLAMA, answer);
    let input =
        json!({ "model": "ollama/llama3:8b", "prompt": "Hi", "max_tokens": 2, "top_p": 0.5 });
    let output = run(&host, input).unwrap();
    assert_eq!((&output["text"], &output["finish"]), (&json!("Hello"), &json!("length")));
    assert_eq!(host.spent(), Usage::new(11, 2));
    let options = json!({ "num_predict": 2, "top_p": 0.5 });
    assert_eq!(
        (&body(&host, 0)["options"], &body(&host, 0)["model"]),
        (&options, &json!("llama3:8b"))
    );
}

#[test]
fn a_whole_answer_is_read_as_well() {
    let usage = json!({ "prompt_tokens": 9, "completion_tokens": 4 });
    let call = json!({ "id": "c", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let message = json!({ "content": null, "tool_calls": [call] });
    let openai =
        json!({ "choices": [{ "message": message, "finish_reason": "stop" }], "usage": usage });
    let anthropic = json!({
        "type": "message", "stop_reason": "end_turn", "usage": { "input_tokens": 9, "output_tokens": 4 },
        "content": [{ "type": "text", "text": "Hi" }],
    });
    let ollama = json!({ "message": { "content": "Hi" }, "done": true, "prompt_eval_count": 9, "eval_count": 4 });
    for (model, url, answer) in [
        ("openai/a", OPENAI, openai),
        ("anthropic/a", ANTHROPIC, anthropic),
        ("ollama/a", OLLAMA, ollama),
    ] {
        let host = host().expect("POST", url, Answer::json(200, &answer));
        let output =
            run(&host, json!({ "model": model, "prompt": "Hi", "stream": false })).unwrap();
        assert_eq!(host.spent(), Usage::new(9, 4), "{model}");
        assert_ne!(body(&host, 0)["stream"], true, "{model}");
        let is_said = output["text"] == "Hi" || output["tool_calls"][0]["arguments"]["a"] == 1;
        assert!(is_said, "{output:#}");
    }
}

#[test]
fn each_turn_is_answered_and_kept() {
    let host = host()
        .expect("POST", OPENAI, says("One.", 20, 3))
        .expect("POST", OPENAI, says("Two.", 30, 3))
        .expect("POST", OPENAI, says("Three.", 40, 3));
    let input = json!({ "model": "openai/a", "prompt": "1", "turns": ["2", "3"] });
    let output = run(&host, input).unwrap();
    assert_eq!((&output["text"], &output["usage"]["input_tokens"]), (&json!("Three."), &json!(90)));
    assert_eq!(output["messages"].as_array().unwrap().len(), 6);
    assert_eq!(body(&host, 2)["messages"][1]["content"], "One.");
    let steps: Vec<String> = host.checkpoints().into_iter().map(|saved| saved.step).collect();
    assert_eq!(steps, ["turn 1", "turn 2"], "the last is the output");
}

#[test]
fn a_retry_goes_on_behind_the_last_answer() {
    let first = host().expect("POST", OPENAI, says("One.", 20, 3)).expect(
        "POST",
        OPENAI,
        Answer::status(503).header("Retry-After", "7"),
    );
    let input = json!({ "model": "openai/a", "turns": ["1", "2"] });
    let fault = run(&first, input.clone()).unwrap_err();
    assert!(
        matches!(&fault, Fault::Retryable { retry_after: Some(wait), .. } if *wait == Duration::from_secs(7))
    );
    let saved = first.checkpoints().pop().unwrap();
    let second = host().checkpoint_bytes(&saved.step, saved.value).expect(
        "POST",
        OPENAI,
        says("Two.", 30, 3),
    );
    let output = run(&second, input).unwrap();
    assert_eq!((second.requests().len(), second.spent().input), (1, Tokens(30)));
    assert_eq!(output["usage"]["input_tokens"], 50, "those of the first attempt with them");
}

#[test]
fn an_answer_that_does_not_fit_is_asked_for_again() {
    let schema = json!({ "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } });
    let input = json!({ "model": "openai/a", "prompt": "Who?", "schema": schema });
    let host_of = |texts: &[&str]| {
        texts.iter().fold(host(), |host, text| host.expect("POST", OPENAI, says(text, 20, 10)))
    };
    let host = host_of(&["Ada", "{\"name\": 7}", "```json\n{\"name\": \"Ada\"}\n```"]);
    let output = run(&host, input.clone()).unwrap();
    assert_eq!(
        (&output["json"], &output["usage"]["calls"]),
        (&json!({ "name": "Ada" }), &json!(3))
    );
    assert_eq!(output["messages"].as_array().unwrap().len(), 2, "only what fits is kept");
    assert_eq!(body(&host, 0)["response_format"]["json_schema"]["schema"], schema);
    let told = body(&host, 2)["messages"].clone();
    assert!(told[5]["content"].as_str().unwrap().contains("/name"), "{told:#}");

    let host = host_of(&["a", "b", "c"]);
    let fault = run(&host, input.clone()).unwrap_err();
    assert!(
        matches!(&fault, Fault::Permanent(text) if text.contains("after 2 corrections")),
        "{fault}"
    );
    assert_eq!(host.spent(), Usage::new(60, 30).with_cached(3), "what was said was charged");
    let once = json!({ "model": "openai/a", "prompt": "Who?", "schema": schema, "repairs_max": 0 });
    assert!(run(&host_of(&["a"]), once).is_err());
}

#[test]
fn what_ends_too_early_is_charged_and_tried_again() {
    let begun = json!({ "choices": [{ "delta": { "content": "The sky is blue becau" } }] });
    let host = host().expect("POST", OPENAI, events(&[begun]));
    let fault = run(&host, json!({ "model": "openai/a", "prompt": "Why?" })).unwrap_err();
    assert!(
        matches!(&fault, Fault::Retryable { message, .. } if message.contains("broke its answer off"))
    );
    assert_eq!(host.spent().output, Tokens(7), "a third of its bytes");
    assert!(host.spent().input > Tokens(0));
}

#[test]
fn what_was_never_answered_is_not_charged() {
    for answer in [
        Answer::status(429),
        Answer::status(401),
        Answer::error(http::Error::Connect("refused".to_owned())),
    ] {
        let host = host().budget(5_000).expect("POST", OPENAI, answer);
        assert!(run(&host, json!({ "model": "openai/a", "prompt": "Why?" })).is_err());
        assert_eq!((host.spent(), host.remaining()), (Usage::default(), Some(Tokens(5_000))));
    }
}

#[test]
fn a_server_that_does_not_keep_to_its_limit_is_left() {
    let endless = "x".repeat(100_000);
    let host = host().expect("POST", OPENAI, says(&endless, 20, 3));
    let fault =
        run(&host, json!({ "model": "openai/a", "prompt": "Why?", "max_tokens": 10 })).unwrap_err();
    assert!(matches!(&fault, Fault::Permanent(text) if text.contains("does not end")), "{fault}");
    assert_eq!(host.spent().output, Tokens(10), "no more than it was asked for");
}

#[test]
fn another_protocol_says_so() {
    let page = Answer::text(200, "<html>Welcome</html>").header("content-type", "text/html");
    let other = Answer::json(200, &json!({ "hello": 1 }));
    for answer in [page, other] {
        let host = host().expect("POST", OPENAI, answer);
        let fault = run(&host, json!({ "model": "openai/a", "prompt": "Why?" })).unwrap_err();
        assert!(fault.to_string().contains("`openai/a` at https://openai.example/v1"), "{fault}");
    }
}

#[test]
fn without_tokens_nothing_is_sent() {
    let host = host().budget(1_000);
    let fault = run(&host, json!({ "model": "openai/a", "prompt": "Why?" })).unwrap_err();
    assert!(matches!(fault, Fault::BudgetExhausted(_)), "{fault}");
    assert_eq!((host.requests().len(), host.remaining()), (0, Some(Tokens(1_000))));
}

#[test]
fn a_policy_names_another_model_of_another_provider() {
    let line = json!({ "message": { "content": "Hi" }, "done": true, "prompt_eval_count": 9, "eval_count": 1 });
    let host =
        host().downgraded_to("ollama/llama3").expect("POST", OLLAMA, Answer::json(200, &line));
    let output = run(&host, json!({ "model": "openai/a", "prompt": "Hi" })).unwrap();
    assert_eq!(output["model"], "ollama/llama3");
    assert_eq!(host.lines()[0].message, "another model is called");
}

#[test]
fn what_asks_nothing_or_no_model_is_refused() {
    for (input, expected) in [
        (json!({ "model": "openai/a" }), "nothing to answer"),
        (json!({ "prompt": "Hi" }), "no model is named"),
        (json!({ "prompt": "Hi", "model": "a" }), "one of `anthropic`, `ollama`, `openai`"),
        (json!({ "prompt": "Hi", "model": "google/a" }), "`google` is not set up"),
        (json!({ "prompt": "Hi", "model": "openai/a", "schema": { "type": 1 } }), "`schema`: "),
        (json!({ "prompt": "Hi", "modle": "openai/a" }), "modle"),
    ] {
        let host = host();
        let fault = run(&host, input).unwrap_err().to_string();
        assert!(fault.contains(expected), "{fault}");
        assert!(host.requests().is_empty());
    }
    let task = Task { model: Some("openai/a".to_owned()), ..Task::default() };
    let host = host().task(task).expect("POST", OPENAI, says("Hello.", 20, 3));
    assert!(run(&host, json!({ "prompt": "Hi" })).is_ok());
}

#[test]
fn a_cancelled_task_stops_while_it_waits() {
    let answer = says("Hello.", 20, 3).after(Duration::from_mins(1));
    let host = host().cancelled_after(Duration::from_secs(1)).expect("POST", OPENAI, answer);
    assert_eq!(run(&host, json!({ "model": "openai/a", "prompt": "Hi" })), Err(Fault::Cancelled));
    assert!(host.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_schema_of_the_input_bounds_what_is_asked() {
    let schema = input_schema::<Input>();
    assert_eq!(schema["properties"]["max_tokens"]["maximum"], 1_000_000);
    assert_eq!(schema["additionalProperties"], false);
}
