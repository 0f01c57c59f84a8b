//! Tools: commands and requests with arguments of their own.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::commands::jsonxf;
use crate::guests::{BEHAVES, EXITS_WITH_FAILURE, GOES_ON_FROM_ITS_CHECKPOINT, Guest, PANICS};
use crate::host::{Ended, TestHost};
use crate::server::{Reply, Server};
use crate::serving::Serving;

/// What `behaves` takes as a tool.
const SAYS: &str = "\
category: utility
input_schema:
  arguments:
    - { name: word, type: string, required: true, enum: [hello, good night, --all] }
    - { name: times, type: integer, default: 2 }
    - { name: more, type: array }
  flags:
    - { flag: -v, description: Says more. }
    - { flag: --to, has_argument: true }
run: { command: a.wasm, argv: [\"{flags}\", \"--\", \"{word}\", \"{more}\"], stdin: \"{times} {word}\" }
";

/// A folder with a folder for each tool, which has this component if it has one.
fn tools(each: &[(&str, &str, Option<Vec<u8>>)]) -> TempDir {
    let root = TempDir::new().unwrap();
    for (name, rest, component) in each {
        let folder = root.path().join(name);
        fs::create_dir(&folder).unwrap();
        let text = format!("name: {name}\nversion: 1.0.0\ndescription: A tool.\n{rest}");
        fs::write(folder.join("tool.yaml"), text).unwrap();
        if let Some(component) = component {
            fs::write(folder.join("a.wasm"), component).unwrap();
        }
    }
    root
}

/// Loads all tools of a folder at once.
#[track_caller]
fn load(host: &TestHost, each: &[(&str, &str, Option<Vec<u8>>)], more: &[&str]) -> Ended {
    let root = tools(each);
    host.run(&[&["load", root.path().to_str().unwrap()], more].concat()).succeeds()
}

fn says(host: &TestHost) {
    load(host, &[("says", SAYS, Some(BEHAVES.component()))], &[]);
}

/// A tool that runs a guest, and fails over to another.
fn failing(guest: Guest, fallback: &str) -> (String, Option<Vec<u8>>) {
    let input = "input_schema: { arguments: [{ name: word, type: string }] }";
    let rest = format!(
        "category: utility\n{input}\nfallback_tool: {fallback}\nrun: {{ command: a.wasm }}\n"
    );
    (rest, Some(guest.component()))
}

#[test]
fn a_tool_runs_with_typed_inputs_that_no_shell_sees() {
    let host = TestHost::new();
    says(&host);
    let input = json!({ "word": "good night", "more": ["$(id)", "; a"], "v": true, "to": "you" });
    let ended = host.run(&["run", "says", "--input", &input.to_string()]).succeeds();
    let expected = json!({
        "text": "says -v --to you -- good night $(id) ; a read \"2 good night\"",
        "stderr": "nothing to complain about",
        "exit_code": 0,
    });
    assert_eq!(ended.json(), expected);
    ended.says(&["  err nothing to complain about"]);
}

#[test]
fn a_tool_is_typed_like_the_command_it_is() {
    let host = TestHost::new();
    says(&host);
    let text = |arguments: &[&str]| {
        let output = host.run(arguments).succeeds().json();
        output["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        text(&["run", "says", "hello", "5", "a b", "c"]),
        "says -- hello a b c read \"5 hello\""
    );
    let typed = ["tools", "run", "says", "--", "--to=-x", "-v", "--", "--all"];
    assert_eq!(text(&typed), "says -v --to=-x -- --all read \"2 --all\"");
    host.run(&["run", "says", "--", "--tto", "x"]).exits(2).says(&["did you mean `--to`?"]);
    host.run(&["run", "rest_executor", "x"]).exits(2).says(&["give it with `--input`"]);
}

#[test]
fn what_does_not_suit_a_tool_is_refused_before_anything_is_stored() {
    let host = TestHost::new();
    says(&host);
    for (input, place) in [
        (json!({}), "/inputs"),
        (json!({ "word": "bye" }), "/inputs/word"),
        (json!({ "word": "hello", "v": "yes" }), "/inputs/v"),
        (json!({ "word": "hello", "times": 1.5 }), "/inputs/times"),
        (json!({ "word": "hello", "wrod": 1 }), "/inputs"),
    ] {
        let ended = host.run(&["run", "says", "--json", "--input", &input.to_string()]).exits(1);
        assert_eq!(ended.error()["code"], "invalid-input", "{input}");
        assert_eq!(ended.error()["pointer"], place, "{input}");
    }
    assert_eq!(host.jobs(), [Value::Null; 0]);
}

#[test]
fn a_tool_and_an_executor_are_named_as_what_they_are() {
    let host = TestHost::new();
    says(&host);
    let submit = |task: Value| {
        let tasks = json!([task]).to_string();
        host.run(&["run", "batch", "--json", "--tasks", &tasks]).exits(1).error()
    };
    let inputs = json!({ "word": "hello" });
    let error = submit(json!({ "executor": "says", "inputs": inputs }));
    assert_eq!(
        (&error["code"], &error["pointer"]),
        (&json!("unknown-executor"), &json!("/tasks/0/executor"))
    );
    assert!(error["message"].as_str().unwrap().ends_with("name it as `tool`"), "{error}");
    let error = submit(json!({ "tool": "rest_executor" }));
    assert_eq!(error["pointer"], "/tasks/0/tool");
    assert!(error["message"].as_str().unwrap().ends_with("name it as `executor`"), "{error}");
    let error = submit(json!({ "tool": "sais" }));
    assert!(error["message"].as_str().unwrap().ends_with("did you mean `says`?"), "{error}");
    host.run(&["tools", "show", "sais"]).exits(1).says(&["unknown-tool", "did you mean `says`?"]);
    host.run(&["tools", "run", "rest_executor"]).exits(1).says(&["unknown-tool"]);
}

#[test]
fn the_output_of_a_command_is_the_json_that_it_promises() {
    let host = TestHost::new();
    let tool = "\
category: data
input_schema: { arguments: [{ name: input, type: object, required: true }] }
output_schema: { json_fields: [{ name: rows, type: array, items: { type: integer } }] }
capabilities: { fs: { in: read } }
run: { command: a.wasm, argv: [-m], stdin: \"{input}\" }
";
    load(&host, &[("minify", tool, Some(jsonxf()))], &[]);
    let run = |rows: Value| {
        let input = json!({ "input": { "rows": rows } }).to_string();
        host.run(&["run", "minify", "--input", &input])
    };
    assert_eq!(run(json!([1, 2])).succeeds().json()["json"], json!({ "rows": [1, 2] }));
    run(json!(["x"])).exits(1).says(&[
        "error[permanent]: `rows/0` of the output is no integer; it begins with",
        r#"{\"rows\":[\"x\"]}"#,
    ]);
}

#[test]
fn a_command_that_fails_is_told_with_the_end_of_what_it_said() {
    let host = TestHost::new();
    let (rest, component) = failing(EXITS_WITH_FAILURE, "null");
    load(&host, &[("fails", &rest, component)], &[]);
    host.run(&["run", "fails"])
        .exits(1)
        .says(&["error[permanent]: ", "exit code 1: the disk is made of cheese"]);
}

#[test]
fn a_request_is_made_under_the_name_and_the_grants_of_its_tool() {
    let server = Server::start(|_| Reply::json(&json!({ "city": "Bern", "temp": 7 })));
    let host = TestHost::new();
    let tool = |method: &str| {
        format!(
            "\
category: data
input_schema:
  arguments: [{{ name: city, type: string, required: true }}]
  flags: [{{ flag: --unit, has_argument: true }}]
output_schema: {{ json_fields: [{{ name: temp, type: number }}] }}
run:
  request:
    method: {method}
    url: {}/v1/{{city}}
    query: {{ unit: \"{{unit}}\", lang: en }}
    headers: {{ X-City: \"{{city}}\" }}
    body: '{{\"city\": \"{{city}}\", \"unit\": \"{{unit}}\"}}'
",
            server.origin()
        )
    };
    let root = tools(&[("weather", &tool("POST"), None)]);
    let folder = root.path().join("weather");
    let folder = folder.to_str().unwrap();
    host.run(&["load", folder]).succeeds();
    let refused = host.run(&["run", "weather", "Bern"]).exits(3);
    refused.says(&["error[capability-denied]: ", &format!("--grant http={}", server.origin())]);
    assert_eq!(server.hits().len(), 0);
    let grant = format!("http={}", server.origin());
    let loaded = host.run(&["load", folder, "--grant", &grant]).succeeds();
    assert!(loaded.stdout.contains("weather 1.0.0 (request tool) loaded"), "{}", loaded.stdout);
    let typed = ["tools", "run", "weather", "--json", "--", "Zürich/\"x", "--unit", "C"];
    let task = host.run(&typed).succeeds().json();
    assert_eq!(
        (&task["executor"], &task["output"]["json"]["temp"]),
        (&json!("weather"), &json!(7))
    );
    let hit = server.hits().remove(0);
    assert_eq!(
        (hit.method.as_str(), hit.path.as_str()),
        ("POST", "/v1/Z%C3%BCrich%2F%22x?lang=en&unit=C")
    );
    let body: Value = serde_json::from_slice(&hit.body).unwrap();
    assert_eq!(body, json!({ "city": "Zürich/\"x", "unit": "C" }));
    // Grants are bound to the manifest as well: it says what is done with them.
    let changed = tool("PUT").replace("/v1/", "/v2/");
    let text = format!("name: weather\nversion: 1.0.1\ndescription: A tool.\n{changed}");
    let lock = host.data().join("grants.lock");
    let reviewed = host.data().join("reviewed.lock");
    fs::copy(lock, &reviewed).unwrap();
    fs::write(root.path().join("weather/tool.yaml"), text).unwrap();
    let locked = ["load", folder, "--locked", reviewed.to_str().unwrap()];
    host.run(&locked).exits(3).says(&["does not allow this `weather`"]);
    host.run(&["load", folder]).succeeds();
    let task = host.run(&["run", "weather", "--json", "Bern"]).succeeds().json();
    assert_eq!(task["output"]["status"], 200, "it asks for no more, so it keeps its grants");
    host.run(&["plugins", "remove", "weather"]).succeeds();
    host.run(&["run", "weather", "Bern"]).exits(1).says(&["unknown-executor"]);
}

#[test]
fn a_fallback_goes_on_with_the_same_inputs_and_is_told() {
    let host = TestHost::new();
    let (first, fails) = failing(EXITS_WITH_FAILURE, "second");
    let (second, panics) = failing(PANICS, "says");
    load(
        &host,
        &[
            ("first", &first, fails),
            ("second", &second, panics),
            ("says", SAYS, Some(BEHAVES.component())),
        ],
        &[],
    );
    let ended = host.run(&["run", "first", "hello"]).succeeds();
    assert!(ended.json()["text"].as_str().unwrap().starts_with("says -- hello"), "{ended:?}");
    ended.says(&["first failed: second is tried", "second failed: says is tried"]);
    let task = host.run(&["run", "first", "hello", "--json"]).succeeds().json();
    assert_eq!(task["executor"], "says");
    assert_eq!(task["fallback_from"], json!(["first", "second"]));
    let faults: Vec<_> = task["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["fault"]["code"].clone())
        .collect();
    assert_eq!(faults, [json!("permanent"), json!("trapped"), Value::Null]);
    host.run(&["run", "first", "--input", r#"{"word": 3}"#]).exits(1).says(&["invalid-input"]);
    host.run(&["doctor"]).succeeds();
}

#[test]
fn a_chain_of_fallbacks_ends_with_the_way_it_went() {
    let host = TestHost::new();
    let tools: Vec<_> = [
        ("a", "b"),
        ("b", "c"),
        ("c", "d"),
        ("d", "null"),
        ("p", "q"),
        ("q", "p"),
        ("z", "nowhere"),
    ]
    .into_iter()
    .map(|(name, next)| (name, failing(EXITS_WITH_FAILURE, next)))
    .collect();
    let tools: Vec<_> =
        tools.iter().map(|(name, (rest, own))| (*name, rest.as_str(), own.clone())).collect();
    load(&host, &tools, &[]);
    for (tool, way) in [
        ("a", "at most 2 are, and a → b → c → d is more"),
        ("b", "the tools that were tried: b → c → d"),
        ("p", "its fallback was tried already: p → q → p"),
        ("z", "its fallback `nowhere` is not installed: z → nowhere"),
    ] {
        host.run(&["run", tool]).exits(1).says(&["error[permanent]: ", "exit code 1", way]);
    }
}

#[test]
fn a_tool_that_cannot_run_here_is_refused_with_what_to_add() {
    let host = TestHost::new();
    let refused = |rest: &str, component: Option<Vec<u8>>, says: &[&str]| {
        let root = tools(&[("t", rest, component)]);
        host.run(&["load", root.path().join("t").to_str().unwrap()]).exits(1).says(says);
    };
    refused("category: data\n", None, &["invalid-manifest", "add `run: { command: … }`"]);
    let run = "category: data\nrun: { command: a.wasm }\n";
    let executor = GOES_ON_FROM_ITS_CHECKPOINT.component();
    refused(run, Some(executor), &["component-refused", "it is an executor"]);
    refused(run, Some(jsonxf()), &["it imports more", "fs: { in: read }"]);
    let open = "category: data\ninput_schema: { arguments: [{ name: at, type: string }] }\n\
                run: { request: { url: \"{at}\" } }\n";
    refused(open, None, &["it imports more", "capabilities: { http:"]);
    let root = tools(&[("t", run, Some(BEHAVES.component()))]);
    fs::rename(root.path().join("t"), root.path().join("u")).unwrap();
    let ended = host.run(&["load", root.path().join("u").to_str().unwrap()]).exits(1);
    ended.says(&["must be `u`, the name of its folder"]);
    host.holds_nothing();
}

#[test]
fn tools_are_listed_shown_and_run_over_http() {
    let host = TestHost::new();
    says(&host);
    let serving = Serving::start(&host);
    let tools = serving.get("/api/v1/tools").is(200).json();
    let names: Vec<_> =
        tools["tools"].as_array().unwrap().iter().map(|one| &one["manifest"]["name"]).collect();
    assert!(
        names.contains(&&json!("says")) && !names.contains(&&json!("rest_executor")),
        "{names:?}"
    );
    let shown = serving.get("/api/v1/tools/says").is(200).json();
    assert_eq!(shown["tool"]["arguments"][0]["name"], "word");
    assert_eq!(shown["descriptor"]["input_schema"]["properties"]["v"]["type"], "boolean");
    let problem = serving.get("/api/v1/tools/syas").problem(404, "unknown-tool");
    assert!(problem["detail"].as_str().unwrap().contains("did you mean `says`?"), "{problem}");
    let run = |body: &Value| {
        let body = body.to_string();
        serving.ask("POST /api/v1/tools/says/run", Some(serving.token()), body.as_bytes())
    };
    let ran = run(&json!({ "inputs": { "word": "hello" } })).is(200).json();
    assert_eq!(ran["output"]["text"], "says -- hello read \"2 hello\"");
    run(&json!({ "inputs": {} })).problem(422, "invalid-input");
    run(&json!({ "tool": "other" })).problem(400, "invalid-request");
    let nobody = serving.ask("POST /api/v1/tools/syas/run", Some(serving.token()), b"{}");
    nobody.problem(404, "unknown-tool");
    let job = json!({ "tasks": [
        { "id": "first", "tool": "says", "inputs": { "word": "hello" } },
        { "tool": "says", "dependencies": ["first"],
          "inputs": { "word": "hello", "more": [{ "$from": "first", "pointer": "/exit_code" }],
                      "to": { "$from": "first", "pointer": "/stderr" } } },
    ] });
    let job = serving.submit("?wait=60", &job).is(200).json();
    let text = "says --to nothing to complain about -- hello 0 read \"2 hello\"";
    assert_eq!(job["tasks"][1]["output"]["text"], text);
}
