//! Plugins and tools that are loaded over HTTP.

use serde_json::{Value, json};

use crate::guests::{BEHAVES, CALLS_UNLISTED_HOSTS};
use crate::host::TestHost;
use crate::serving::{Answer, Serving};

const BOUNDARY: &str = "of-the-form";
const MANIFEST: &str =
    "name: own\nversion: 1.0.0\ndescription: A guest.\ncomponent: behaves.wasm\n";

#[test]
fn a_plugin_that_comes_in_a_form_is_installed_and_runs() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let component = BEHAVES.component();
    let loaded =
        load(&serving, &[("component", &component), ("plugin.yaml", MANIFEST.as_bytes())]).is(201);
    assert_eq!(loaded.headers["location"], "/api/v1/plugins/own");
    let loaded = loaded.json();
    assert_eq!(
        (&loaded["plugin"]["manifest"]["name"], &loaded["plugin"]["grants"]),
        (&json!("own"), &json!([]))
    );
    let shown = serving.get("/api/v1/plugins/own").is(200).json();
    assert_eq!(shown["digest"], loaded["plugin"]["digest"]);
    let ran = run(&serving, &json!({ "executor": "own" }));
    assert_eq!(ran["stderr"], "nothing to complain about");
    assert_eq!(host.loaded(), ["own"]);
}

#[test]
fn tools_come_in_a_form_as_well() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let tool = |run: &str| {
        format!("name: t\nversion: 1.0.0\ndescription: A tool.\ncategory: data\n{run}\n")
    };
    let (command, component) = (tool("run: { command: a.wasm }"), BEHAVES.component());
    load(&serving, &[("tool.yaml", command.as_bytes()), ("component", &component)]).is(201);
    assert_eq!(run(&serving, &json!({ "tool": "t" }))["exit_code"], 0);
    let request = tool(
        "capabilities: { http: [\"https://a.test\"] }\nrun: { request: { url: \"https://a.test/\" } }",
    );
    let loaded =
        load(&serving, &[("tool.yaml", request.as_bytes()), ("grant", b"http=https://a.test")]);
    assert_eq!(loaded.is(201).json()["plugin"]["grants"], json!(["http=https://a.test"]));
    load(&serving, &[("tool.yaml", command.as_bytes())]).problem(400, "invalid-request");
}

#[test]
fn a_plugin_that_asks_for_more_needs_consent() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let component = CALLS_UNLISTED_HOSTS.component();
    let manifest = |version: u32, hosts: &str| {
        format!(
            "name: own\nversion: {version}.0.0\ndescription: A guest.\ncomponent: a.wasm\n\
             capabilities: {{ http: [{hosts}] }}\n"
        )
    };
    let load = |manifest: &str, more: &[(&str, &[u8])]| {
        let form = [("component", &*component), ("plugin.yaml", manifest.as_bytes())];
        load(&serving, &[&form, more].concat())
    };
    let grants = || serving.get("/api/v1/plugins/own").is(200).json()["grants"].clone();
    let first = manifest(1, "\"https://a.test\"");
    let loaded = load(&first, &[]).is(201).json();
    assert_eq!(loaded["plugin"]["grants"], json!([]));
    assert_eq!(loaded["plugin"]["asks"][0]["needs_grant"], true);
    load(&first, &[("yes", b"true")]).is(201);
    assert_eq!(grants(), json!(["http=https://a.test"]));

    let more = manifest(2, "\"https://a.test\", \"https://b.test\"");
    let problem = load(&more, &[]).problem(409, "consent-needed");
    let detail = problem["detail"].as_str().unwrap();
    for said in
        ["https://b.test", "yes=true", "grant=http=https://a.test grant=http=https://b.test"]
    {
        assert!(detail.contains(said), "{detail}");
    }
    assert_eq!(serving.get("/api/v1/plugins/own").json()["manifest"]["version"], "1.0.0");
    assert_eq!(grants(), json!(["http=https://a.test"]));
    load(&more, &[("grant", b"http=https://c.test")]).problem(403, "grant-not-asked");
    load(&more, &[("grant", b"http=https://b.test")]).is(201);
    assert_eq!(grants(), json!(["http=https://b.test"]));
    load(&more, &[("grant", b"none")]).is(201);
    assert_eq!(grants(), json!([]));
}

#[test]
fn a_form_with_a_fault_leaves_nothing() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let (component, manifest) = (BEHAVES.component(), MANIFEST.as_bytes());
    let whole: [(&str, &[u8]); 2] = [("component", &component), ("plugin.yaml", manifest)];
    let with = |more: &[(&str, &[u8])]| load(&serving, &[&whole, more].concat());
    with(&[("plugin.yaml", manifest)]).problem(400, "invalid-request");
    with(&[("grants", b"none")]).problem(400, "invalid-request");
    with(&[("grant", b"fs.in=here")]).problem(422, "invalid-grant");
    with(&[("yes", b"perhaps")]).problem(400, "invalid-request");
    with(&[("grant", b"http=https://a.test")]).problem(403, "grant-not-asked");
    load(&serving, &[("plugin.yaml", manifest)]).problem(400, "invalid-request");
    let alone = load(&serving, &whole[..1]).problem(422, "missing-manifest");
    assert!(alone["detail"].as_str().unwrap().contains("name: f"), "{alone}");
    let broken = [("component", &b"\0asm"[..]), whole[1]];
    load(&serving, &broken).problem(422, "component-refused");
    let faults = load(&serving, &[whole[0], ("plugin.yaml", b"name: own\nversion: 1\n")]);
    let faults = faults.problem(422, "invalid-manifest");
    assert!(faults["faults"].as_array().unwrap().len() > 1, "{faults}");
    let builtin = MANIFEST.replace("own", "rest_executor");
    load(&serving, &[whole[0], ("plugin.yaml", builtin.as_bytes())]).problem(409, "builtin-plugin");
    let large = vec![0; 67 << 20];
    load(&serving, &[("component", &large), whole[1]]).problem(413, "payload-too-large");
    let token = Some(serving.token());
    serving.ask("POST /api/v1/plugins", token, b"{}").problem(400, "invalid-request");
    serving.ask("POST /api/v1/plugins", None, b"{}").problem(401, "unauthorized");
    let cut = form(&whole);
    send(&serving, &cut[..cut.len() / 2]).problem(400, "invalid-request");
    host.holds_nothing();
}

/// Sends a form, as the operator.
fn load(serving: &Serving<'_>, fields: &[(&str, &[u8])]) -> Answer {
    send(serving, &form(fields))
}

fn send(serving: &Serving<'_>, body: &[u8]) -> Answer {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let headers = format!("{}\r\nContent-Type: {kind}", serving.token());
    serving.ask("POST /api/v1/plugins", Some(&headers), body)
}

fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, value) in fields {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n"
        );
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(value);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    form
}

fn run(serving: &Serving<'_>, task: &Value) -> Value {
    let body = task.to_string();
    serving.ask("POST /api/v1/run", Some(serving.token()), body.as_bytes()).is(200).json()
}
