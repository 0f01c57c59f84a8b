//! MCP on standard input and output: what a client of it sends, line by line.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::guests::{FLOODS_PROGRESS, NEVER_ENDS, TALKS_AND_WAITS};
use crate::host::{TestHost, project};
use crate::serving::Serving;

/// A client that started the host.
struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    asked: u64,
    /// What came beside answers.
    told: Vec<Value>,
}

impl Client {
    /// Starts `mcp` and says hello.
    fn start(host: &TestHost, arguments: &[&str]) -> Self {
        let mut command = host.command();
        command.arg("mcp").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let stdin = child.stdin.take();
        let mut client = Self { child, stdin, lines, asked: 0, told: Vec::new() };
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        });
        let hello = client.ask("initialize", &hello);
        assert_eq!(hello["protocolVersion"], "2025-11-25");
        assert_eq!(hello["serverInfo"]["name"], "apflow-host");
        assert!(hello["capabilities"]["tools"].is_object(), "{hello:#}");
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.stdin.as_ref().unwrap(), "{message}").unwrap();
    }

    /// Sends a request, and answers its number.
    fn request(&mut self, method: &str, params: &Value) -> u64 {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// The next message, which is one of JSON-RPC as everything on standard output is.
    fn next(&mut self) -> Value {
        let message: Value = serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(message["jsonrpc"], "2.0", "{message}");
        message
    }

    /// What a request is answered; an error as well.
    fn respond(&mut self, id: u64) -> Value {
        loop {
            let message = self.next();
            if message["id"] == id {
                return message;
            }
            self.told.push(message);
        }
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params);
        let answer = self.respond(id);
        assert!(answer["error"].is_null(), "{answer:#}");
        answer["result"].clone()
    }

    fn list(&mut self) -> Vec<Value> {
        self.ask("tools/list", &json!({}))["tools"].as_array().unwrap().clone()
    }

    fn call(&mut self, name: &str, arguments: &Value) -> Value {
        self.ask("tools/call", &json!({ "name": name, "arguments": arguments }))
    }

    /// Begins a call that is told of its progress, and waits until its guest says something.
    fn begin_talking(&mut self) -> u64 {
        let call = json!({
            "name": TALKS_AND_WAITS.name(), "arguments": {}, "_meta": { "progressToken": "p" },
        });
        let id = self.request("tools/call", &call);
        while self.next()["params"]["data"].as_str().is_none_or(|said| !said.contains("second")) {}
        id
    }

    /// Ends its input, and returns the exit code of the host.
    fn end(&mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The states of all jobs of a host.
fn states(host: &TestHost) -> Vec<String> {
    host.jobs().iter().map(|job| job["state"].as_str().unwrap().to_owned()).collect()
}

fn talks(host: &TestHost) {
    TALKS_AND_WAITS.load(host, "capabilities: { clocks: true }\nlimits: { timeout: 1h }");
}

fn named<'a>(listed: &'a [Value], name: &str) -> Option<&'a Value> {
    listed.iter().find(|tool| tool["name"] == name)
}

#[test]
fn every_executor_and_tool_can_be_called_by_its_name() {
    let host = TestHost::new();
    let mut client = Client::start(&host, &[]);
    let listed = client.list();
    let transform = named(&listed, "transform_executor").unwrap();
    assert_eq!(transform["inputSchema"]["type"], "object");
    assert!(transform["inputSchema"]["properties"]["filter"].is_object(), "{transform:#}");
    assert_eq!(named(&listed, "base64").unwrap()["annotations"]["openWorldHint"], false);
    assert_eq!(named(&listed, "rest_executor").unwrap()["annotations"]["openWorldHint"], true);
    let two = client.call("transform_executor", &json!({ "filter": "1 + 1" }));
    assert_eq!((&two["content"][0]["text"], &two["isError"]), (&json!("2"), &json!(false)));
    let object = client.call("transform_executor", &json!({ "filter": "{a: 1}" }));
    assert_eq!(object["structuredContent"], json!({ "a": 1 }));
    let found = client.call("jobsFind", &json!({ "id": object["_meta"]["job_id"] }));
    let job = &found["structuredContent"];
    assert_eq!((&job["state"], &job["principal"]), (&json!("completed"), &json!("operator")));
    let sorted = client.call("sort", &json!({ "text": "b\na\n" }));
    assert_eq!(sorted["isError"], false, "{sorted:#}");
    assert_eq!(client.end(), Some(0));
}

#[test]
fn every_tool_has_a_sound_name_and_schema() {
    let host = TestHost::new();
    let usual = Client::start(&host, &[]).list();
    let all = Client::start(&host, &["--all"]).list();
    for tool in &all {
        let name = tool["name"].as_str().unwrap();
        let is_sound = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        assert!((1..=64).contains(&name.len()) && name.chars().all(is_sound), "{name}");
        assert!(!tool["description"].as_str().unwrap().is_empty(), "{name}");
        for schema in [&tool["inputSchema"], &tool["outputSchema"]] {
            if !schema.is_null() {
                assert_eq!(schema["type"], "object", "{name}");
                jsonschema::meta::validate(schema)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }
    assert!(named(&all, "tokensCreate").is_some() && named(&usual, "tokensCreate").is_none());
    assert!(usual.iter().all(|tool| all.contains(tool)));
}

#[test]
fn the_verbs_for_models_are_as_they_were_reviewed() {
    let host = TestHost::new();
    let listed = Client::start(&host, &[]).list();
    let is_verb = |tool: &&Value| tool["name"].as_str().unwrap().contains(char::is_uppercase);
    let line = |tool: &Value| {
        let hints = &tool["annotations"];
        let says = |key: &str, text| if hints[key] == true { text } else { "" };
        let (reads, destroys) =
            (says("readOnlyHint", " reads"), says("destructiveHint", " destroys"));
        let again = says("idempotentHint", " repeatable");
        let (name, what) = (tool["name"].as_str().unwrap(), tool["description"].as_str().unwrap());
        format!("{name}:{reads}{destroys}{again}\n  {what}\n")
    };
    let text: String = listed.iter().filter(is_verb).map(line).collect();
    let file = project().join("tests/e2e/mcp_verbs.txt");
    if std::env::var("APFLOW_RENEW_HELP").is_ok() {
        fs::write(&file, &text).unwrap();
    }
    let reviewed = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, reviewed, "{} is not reviewed: see this file", file.display());
}

#[test]
fn what_is_wrong_with_a_call_is_told_with_its_place_and_what_to_do() {
    let host = TestHost::new();
    let mut client = Client::start(&host, &[]);
    let wrong = client.call("transform_executor", &json!({ "filter": 7 }));
    assert_eq!(wrong["isError"], true);
    let told = &wrong["structuredContent"];
    assert_eq!((&told["code"], &told["pointer"]), (&json!("invalid-input"), &json!("/filter")));
    let text = wrong["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("error[invalid-input]: /filter"), "{text}");
    assert!(text.contains("\nwhat to do: "), "{text}");
    let refused = |client: &mut Client, name: &str, arguments: Value| {
        let result = client.call(name, &arguments);
        assert_eq!(result["isError"], true, "{result:#}");
        result["structuredContent"]["code"].as_str().unwrap().to_owned()
    };
    let fault = refused(&mut client, "transform_executor", json!({ "filter": "error(\"no\")" }));
    assert_eq!(fault, "invalid-input");
    assert_eq!(refused(&mut client, "jobsFind", json!({ "id": "x" })), "invalid-request");
    assert_eq!(refused(&mut client, "jobsList", json!({ "no_such": 1 })), "invalid-request");
    let unknown = json!({ "id": "j_0000000000000" });
    assert_eq!(refused(&mut client, "jobsCancel", unknown), "unknown-job");
    let id = client.request("tools/call", &json!({ "name": "no_such", "arguments": {} }));
    let error = client.respond(id)["error"].clone();
    assert_eq!(error["code"], -32602);
    assert!(error["message"].as_str().unwrap().contains("`no_such`"), "{error}");
    let id = client.request("no/such", &json!({}));
    assert_eq!(client.respond(id)["error"]["code"], -32601);
    assert_eq!(client.end(), Some(0));
}

#[test]
fn progress_comes_while_a_tool_runs_and_its_fault_at_the_end() {
    let host = TestHost::new();
    FLOODS_PROGRESS.load(&host, "limits: { timeout: 500ms }");
    let mut client = Client::start(&host, &[]);
    let call = json!({
        "name": FLOODS_PROGRESS.name(), "arguments": {}, "_meta": { "progressToken": 7 },
    });
    let result = client.ask("tools/call", &call);
    assert_eq!(result["structuredContent"]["code"], "limit-exceeded", "{result:#}");
    let is_progress = |told: &&Value| told["method"] == "notifications/progress";
    let progress: Vec<_> = client.told.iter().filter(is_progress).collect();
    // It says the same for ever, and progress is only told when there is some.
    assert_eq!(progress.len(), 1, "{progress:#?}");
    let said =
        json!({ "progressToken": 7, "progress": 0.0, "total": 1.0, "message": "nearly there" });
    assert_eq!(progress[0]["params"], said);
}

#[test]
fn log_lines_come_when_they_are_asked_for() {
    let host = TestHost::new();
    let mut client = Client::start(&host, &[]);
    let logs = json!({ "text": "hello" });
    client.call("base64", &logs);
    assert!(client.told.is_empty(), "nobody asked: {:?}", client.told);
    client.ask("logging/setLevel", &json!({ "level": "info" }));
    client.call("base64", &logs);
    let told = &client.told[0];
    assert_eq!(told["method"], "notifications/message");
    assert_eq!(
        (&told["params"]["logger"], &told["params"]["level"]),
        (&json!("stdout"), &json!("info"))
    );
    let heard = client.told.len();
    client.ask("logging/setLevel", &json!({ "level": "error" }));
    client.call("base64", &logs);
    assert_eq!(client.told.len(), heard);
}

#[test]
fn a_call_that_is_cancelled_cancels_its_job() {
    let host = TestHost::new();
    talks(&host);
    let mut client = Client::start(&host, &[]);
    let id = client.begin_talking();
    let cancelled = json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": { "requestId": id, "reason": "enough" },
    });
    client.send(&cancelled);
    let mut state = String::new();
    while state != "cancelled" {
        let listed = client.call("jobsList", &json!({}));
        listed["structuredContent"]["jobs"][0]["state"].as_str().unwrap().clone_into(&mut state);
    }
    assert_eq!(client.end(), Some(0));
}

#[test]
fn a_client_that_leaves_leaves_nothing_running() {
    let host = TestHost::new();
    talks(&host);
    let mut client = Client::start(&host, &[]);
    client.begin_talking();
    assert_eq!(client.end(), Some(0));
    assert_eq!(states(&host), ["cancelled"]);
    // One that said nothing at all.
    host.run(&["mcp"]).succeeds();
}

#[test]
fn what_was_submitted_outlives_its_client() {
    let host = TestHost::new();
    NEVER_ENDS.load(&host, "limits: { timeout: 1h }");
    let mut client = Client::start(&host, &[]);
    let job = json!({ "job": { "executor": NEVER_ENDS.name() }, "idempotency-key": "once" });
    let first = client.call("jobsSubmit", &job)["structuredContent"]["id"].clone();
    assert_eq!(client.call("jobsSubmit", &job)["structuredContent"]["id"], first);
    assert_eq!(client.end(), Some(0));
    assert_eq!(states(&host).len(), 1);
    assert_ne!(states(&host), ["cancelled"]);
}

#[test]
fn a_call_with_a_key_runs_once() {
    let host = TestHost::new();
    let mut client = Client::start(&host, &[]);
    let call = json!({
        "name": "transform_executor", "arguments": { "filter": "1" },
        "_meta": { "idempotency-key": "k" },
    });
    let first = client.ask("tools/call", &call);
    assert_eq!(client.ask("tools/call", &call), first);
    assert_eq!(client.end(), Some(0));
    assert_eq!(states(&host), ["completed"]);
}

#[test]
fn a_server_that_works_on_the_data_directory_does_it() {
    let host = TestHost::new();
    talks(&host);
    let serving = Serving::start(&host);
    let mut client = Client::start(&host, &[]);
    let two = client.call("transform_executor", &json!({ "filter": "1 + 1" }));
    let job = two["_meta"]["job_id"].as_str().unwrap();
    let job = serving.get(&format!("/api/v1/jobs/{job}")).is(200).json();
    assert_eq!((&job["principal"], &job["tasks"][0]["output"]), (&json!("operator"), &json!(2)));
    let wrong = client.call("transform_executor", &json!({ "filter": 7 }));
    assert_eq!(wrong["structuredContent"]["pointer"], "/filter");
    let found = client.call("jobsFind", &json!({ "id": job["id"] }));
    assert_eq!(found["structuredContent"], job);
    client.begin_talking();
    assert_eq!(client.end(), Some(0));
    assert_eq!(states(&host), ["cancelled", "completed"]);
}
