//! `llm_executor` in a host: every protocol, what is charged, and who sees the key.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::host::TestHost;
use crate::providers::{KEYS, answer, ask, ask_often, events, host, money, tokens};
use crate::secrets::{VALUE, is_clean, walk};
use crate::server::{Reply, Server};
use crate::serving::Serving;
use crate::stream::EventStream;

#[test]
fn each_provider_is_asked_in_its_own_words_and_its_key_is_seen_nowhere() {
    // It repeats the key, as a server may.
    let server = Server::start(|hit| {
        let key = hit.headers.get("x-api-key").or(hit.headers.get("authorization"));
        let text = format!("You are {}", key.map_or("nobody", String::as_str));
        answer(&hit.path, &text, 40, 20)
    });
    let host = host(&server.origin());
    // Of 40 tokens sent and 20 received at their prices; one was cached, where the provider says so.
    for (model, path, key, cached, micro_usd) in [
        ("anthropic/claude-sonnet-4-5", "/v1/messages", Some("x-api-key"), 0, 420),
        (
            "google/gemini-2.5-flash",
            "/v1beta/openai/chat/completions",
            Some("authorization"),
            1,
            62,
        ),
        ("ollama/llama3", "/api/chat", None, 0, 0),
        ("gpt-5", "/v1/chat/completions", Some("authorization"), 1, 249),
    ] {
        let ended = ask(&host, &json!({ "model": model, "prompt": "Who am I?" })).succeeds();
        is_clean("standard output", ended.stdout.as_bytes());
        is_clean("standard error", ended.stderr.as_bytes());
        let task = ended.json();
        let output = &task["output"];
        assert!(output["text"].as_str().unwrap().starts_with("You are "), "{task:#}");
        assert!(output["model"].as_str().unwrap().ends_with(model), "{task:#}");
        assert_eq!(tokens(&task), [40, 20, cached], "{model}");
        assert_eq!(money(&task), (micro_usd, 0), "{model}");
        let hit = server.hits().pop().unwrap();
        assert_eq!((hit.method.as_str(), hit.path.as_str()), ("POST", path));
        let told = key.map(|name| hit.headers[name].trim_start_matches("Bearer ").to_owned());
        assert_eq!(told, key.map(|_| VALUE.to_owned()));
        let sent: Value = serde_json::from_slice(&hit.body).unwrap();
        assert_eq!(sent["model"], model.rsplit('/').next().unwrap());
    }
    for job in host.jobs() {
        let id = job["id"].as_str().unwrap();
        is_clean("the job", host.run(&["jobs", "show", id, "--json"]).succeeds().stdout.as_bytes());
        is_clean("its events", host.run(&["jobs", "watch", id, "--json"]).stdout.as_bytes());
    }
    assert!(walk(&host.data()) > 5, "files were looked through");
}

#[test]
fn what_the_model_says_is_seen_while_it_says_it() {
    let server = Server::start(|hit| answer(&hit.path, "The sky is blue.", 20, 5));
    let host = host(&server.origin());
    let serving = Serving::start_with(&host, &KEYS);
    let task = json!({ "executor": "llm_executor", "model": "openai/gpt-5",
                       "inputs": { "prompt": "Why?", "max_tokens": 10 } });
    let job = serving.submit("?wait=30", &task).is(200).json();
    assert_eq!(job["tasks"][0]["output"]["text"], "The sky is blue.", "{job:#}");
    let (messages, _) = EventStream::open(&serving, job["id"].as_str().unwrap(), "", None).all();
    let progress = messages.iter().rfind(|message| message.event == "progress").unwrap();
    let progress = &progress.data["data"];
    assert_eq!(progress["message"], "The sky is blue.");
    assert_eq!(progress["fraction"], 0.6, "six tokens of ten, by a count of its bytes");
}

#[test]
fn calls_of_tools_are_given_back_and_their_answers_taken() {
    let server = Server::start(|hit| {
        let sent: Value = serde_json::from_slice(&hit.body).unwrap();
        let last = sent["messages"].as_array().unwrap().last().unwrap().clone();
        if last["role"] == "tool" {
            return answer(&hit.path, last["content"].as_str().unwrap(), 50, 5);
        }
        let call = |arguments: &str| {
            json!({ "choices": [{ "delta": { "tool_calls": [
            { "index": 0, "id": "", "function": { "name": "", "arguments": arguments } }] } }] })
        };
        let mut begun = call("{\"city\":");
        begun["choices"][0]["delta"]["tool_calls"][0]["id"] = "call_1".into();
        begun["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] = "weather".into();
        let end = json!({ "choices": [{ "delta": {}, "finish_reason": "tool_calls" }],
                          "usage": { "prompt_tokens": 40, "completion_tokens": 9 } });
        events([begun, call("\"Oslo\"}"), end].into_iter(), "data: [DONE]\n\n")
    });
    let host = host(&server.origin());
    let tool = json!({ "name": "weather", "description": "The weather of a city.",
                       "parameters": { "type": "object", "properties": { "city": { "type": "string" } } } });
    let mut input = json!({ "model": "openai/gpt-5", "tools": [tool],
                            "messages": [{ "role": "user", "content": "Rain in Oslo?" }] });
    let task = ask(&host, &input).succeeds().json();
    let output = &task["output"];
    assert_eq!(output["finish"], "tool_calls");
    let call = json!({ "id": "call_1", "name": "weather", "arguments": { "city": "Oslo" } });
    assert_eq!(output["tool_calls"], json!([call]));
    let mut messages = input["messages"].as_array().unwrap().clone();
    messages.extend(output["messages"].as_array().unwrap().iter().cloned());
    messages.push(json!({ "role": "tool", "tool_call_id": "call_1", "content": "It rains." }));
    input["messages"] = messages.into();
    let task = ask(&host, &input).succeeds().json();
    assert_eq!(task["output"]["text"], "It rains.");
}

#[test]
fn an_answer_fits_its_schema_or_is_asked_for_again() {
    let server = Server::start(|hit| {
        let sent: Value = serde_json::from_slice(&hit.body).unwrap();
        let text = match sent["messages"].as_array().unwrap().len() {
            1 => "It is Oslo.",
            3 => "{\"city\": 7}",
            _ => "{\"city\": \"Oslo\"}",
        };
        answer(&hit.path, text, 40, 6)
    });
    let host = host(&server.origin());
    let schema = json!({ "type": "object", "required": ["city"], "additionalProperties": false,
                         "properties": { "city": { "type": "string" } } });
    let mut input =
        json!({ "model": "anthropic/claude-sonnet-4-5", "prompt": "Where?", "schema": schema });
    let task = ask(&host, &input).succeeds().json();
    assert_eq!(task["output"]["json"], json!({ "city": "Oslo" }));
    assert_eq!((tokens(&task), server.hits().len()), ([120, 18, 0], 3));
    input["repairs_max"] = 1.into();
    let task = ask(&host, &input).exits(1).json();
    let message = task["fault"]["message"].as_str().unwrap();
    assert!(message.contains("does not fit `schema`, after 1 corrections"), "{message}");
    assert!(message.contains("/city"), "{message}");
    assert_eq!((tokens(&task), server.hits().len()), ([80, 12, 0], 5));
}

#[test]
fn a_retry_goes_on_behind_the_turn_that_was_answered() {
    let failing = AtomicBool::new(true);
    let server = Server::start(move |hit| {
        let sent: Value = serde_json::from_slice(&hit.body).unwrap();
        let said = sent["messages"].as_array().unwrap().len();
        if said == 3 && failing.swap(false, Ordering::SeqCst) {
            return Reply::status(503);
        }
        answer(&hit.path, &format!("answer {said}"), 20, 4)
    });
    let host = host(&server.origin());
    let input = json!({ "model": "ollama/llama3", "turns": ["one", "two", "three"] });
    let task = ask_often(&host, &input, 2);
    assert_eq!(task["output"]["text"], "answer 5", "{task:#}");
    assert_eq!(server.hits().len(), 4, "the first turn was not asked again");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 2);
    assert_eq!((tokens(&task), task["output"]["usage"]["calls"].clone()), ([60, 12, 0], json!(3)));
}

#[test]
fn without_a_provider_or_a_key_it_says_what_to_do() {
    let asked = json!({ "model": "gpt-5", "prompt": "Hi" }).to_string();
    let arguments = ["run", "llm_executor", "--json", "--input", &asked];
    let task = TestHost::new().run(&arguments).exits(1).json();
    let message = task["fault"]["message"].as_str().unwrap();
    assert!(message.contains("OPENAI_API_KEY"), "{message}");
    let host = TestHost::new();
    let task = host.run_with(&arguments, "", &[("OPENAI_API_KEY", "short")]).exits(1).json();
    let message = task["fault"]["message"].as_str().unwrap();
    assert!(message.contains("its value has 5 bytes"), "{message}");
}

#[test]
fn what_the_settings_name_is_granted_and_nothing_else() {
    let server = Server::start(|hit| answer(&hit.path, "Hi.", 20, 2));
    let host = host(&server.origin());
    let shown = host.run_with(&["plugins", "show", "llm_executor", "--json"], "", &KEYS);
    let shown = shown.succeeds().json();
    let grants: Vec<&str> =
        shown["grants"].as_array().unwrap().iter().map(|grant| grant.as_str().unwrap()).collect();
    assert!(grants.contains(&&*format!("http=POST {}/v1", server.origin())), "{grants:?}");
    assert!(grants.contains(&"secret=OPENAI_API_KEY"), "{grants:?}");
    // Another executor has nothing of it.
    let input = json!({ "url": server.url("/v1/chat/completions"), "method": "POST",
                        "auth": { "bearer": { "secret": "OPENAI_API_KEY" } } });
    let input = input.to_string();
    let task = host.run_with(&["run", "rest_executor", "--json", "--input", &input], "", &KEYS);
    assert_eq!(task.exits(3).json()["fault"]["code"], "capability-denied");
    assert_eq!(server.hits().len(), 0);
}

#[test]
fn a_model_without_a_price_is_told_and_one_of_ones_own_is_counted() {
    let server = Server::start(|hit| answer(&hit.path, "Hi.", 1_000, 2));
    let host = host(&server.origin());
    let asked = |model: &str| {
        let input = json!({ "model": model, "prompt": "Hi. ".repeat(100) });
        money(&ask(&host, &input).succeeds().json())
    };
    assert_eq!(asked("openai/gpt-0"), (0, 1), "no price is known");
    let own =
        "{ as_of: 2026-11-01, source: a contract, models: { gpt-0: { input: 5000, output: 1 } } }";
    let prices = host.config_file().with_file_name("prices.yaml");
    fs::write(&prices, format!("providers: {{ openai: {own} }}\n")).unwrap();
    assert_eq!(asked("openai/gpt-0"), (6, 0), "five and a little, rounded up");
    assert_eq!(asked("openai/gpt-5").1, 0, "the rest is as it was");
    host.run(&["validate", prices.to_str().unwrap()]).succeeds();
}

#[test]
fn settings_and_prices_with_faults_stop_the_host_with_their_place() {
    let host =
        TestHost::fresh().with_settings("models: { providers: { own: { kind: openai } } }\n");
    host.run(&["plugins", "list"]).says(&["`models.providers.own` needs a `base_url`"]);
    let host = TestHost::fresh().with_settings("");
    let prices = host.config_file().with_file_name("prices.yaml");
    fs::write(
        &prices,
        "providers:\n  own:\n    as_of: today\n    source: a bill\n    models: {}\n",
    )
    .unwrap();
    host.run(&["plugins", "list"]).says(&["prices.yaml", "3:12", "must be a day"]);
    assert!(!host.data().exists(), "nothing was begun");
}
