//! The command line before a server: which one, and what is said when it does not do its part.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::guests::NEVER_ENDS;
use crate::host::{TestHost, project};
use crate::serving::Serving;

const RUN: [&str; 5] = ["run", "transform_executor", "--json", "--input", r#"{"filter": "1 + 1"}"#];

/// A server that answers each request with the next of these, and the last one for ever.
struct Scripted {
    address: String,
    asked: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, heads) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (count, seen) = (Arc::clone(&asked), Arc::clone(&heads));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let answer = answers[count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)];
                let seen = Arc::clone(&seen);
                thread::spawn(move || answer_once(&stream, answer, &seen));
            }
        });
        Self { address, asked, heads }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Reads a request and answers it; an empty answer never comes.
fn answer_once(stream: &TcpStream, answer: &str, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).unwrap();
    seen.lock().unwrap().push(head);
    if answer.is_empty() {
        // Until the client hangs up.
        drop((&*stream).read(&mut [0]));
        return;
    }
    drop((&*stream).write_all(answer.as_bytes()));
}

/// A host that knows this server.
fn client_of(url: &str, more: &str) -> TestHost {
    TestHost::fresh().with_settings(&format!("api_server_url: {url}\n{more}"))
}

#[test]
fn a_verb_goes_to_the_server_on_its_data_directory_and_stays_the_operators() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let task = host.run(&RUN).succeeds().json();
    assert_eq!(task["output"], 2);
    let id = task["job_id"].as_str().unwrap();
    let job = serving.get(&format!("/api/v1/jobs/{id}")).is(200).json();
    assert_eq!((&job["principal"], &job["tasks"][0]), (&"operator".into(), &task));
    // What only the process that holds the lock can do is still refused.
    host.run(&[&RUN[..], &["--direct"]].concat()).exits(1).says(&["host-locked"]);
    assert_eq!(serving.stop(), Some(0));
    host.run(&RUN).succeeds();
}

#[test]
fn where_verbs_are_done_is_told_with_the_reason() {
    let host = TestHost::new();
    let path = |more: &[&str]| {
        let told = host.run(&[&["config", "path", "--json"], more].concat()).succeeds().json();
        (told["mode"].clone(), told["server"].clone(), told["reason"].to_string())
    };
    let (mode, server, reason) = path(&[]);
    assert_eq!((mode, server), ("direct".into(), Value::Null));
    assert!(reason.contains("none works on the data directory"), "{reason}");
    let serving = Serving::start(&host);
    let (mode, server, reason) = path(&[]);
    assert_eq!((mode, server), ("api".into(), serving.url().into()));
    assert!(reason.contains(&format!("process {}", serving.process())), "{reason}");
    let (mode, _, reason) = path(&["--api-server", "https://far.example"]);
    assert_eq!((mode, reason.contains("--api-server")), ("api".into(), true));
    let (mode, _, reason) = path(&["--direct"]);
    assert_eq!((mode, reason.contains("--direct")), ("direct".into(), true));
}

#[test]
fn a_server_that_was_killed_is_not_asked() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let kill = ["-KILL".to_owned(), serving.process().to_string()];
    assert!(Command::new("kill").args(kill).status().unwrap().success());
    drop(serving);
    host.run(&RUN).succeeds();
}

#[test]
fn a_server_that_is_named_is_asked_from_anywhere() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let (url, token) = (serving.url(), format!("api_token: {}\n", serving.token()));
    for far in [
        client_of(&url, &token),
        TestHost::fresh().with_settings(&token),
        TestHost::fresh().with_settings("api_server_url: http://127.0.0.1:1\n"),
    ] {
        let environment =
            [("APFLOW_API_SERVER", url.as_str()), ("APFLOW_API_AUTH_TOKEN", serving.token())];
        let task = far.run_with(&RUN, "", &environment).succeeds().json();
        let job = host.run(&["jobs", "show", task["job_id"].as_str().unwrap(), "--json"]).json();
        assert_eq!((&job["principal"], &job["tasks"][0]), (&"admin".into(), &task));
        assert!(!far.data().exists(), "nothing is stored before a server");
    }
}

#[test]
fn the_api_and_the_command_line_tell_the_same() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    for _ in 0..3 {
        host.run(&RUN).succeeds();
    }
    for (path, words) in [
        ("/api/v1/jobs", &["jobs", "list", "--limit", "100"][..]),
        ("/api/v1/tasks", &["tasks", "list", "--limit", "100"]),
        ("/api/v1/plugins", &["plugins", "list"]),
        ("/api/v1/tools", &["tools", "list"]),
    ] {
        let asked = serving.get(path).is(200).json();
        assert_eq!(asked, host.run(&[words, &["--json"]].concat()).json(), "{path}");
        let direct = host.run(&[words, &["--json", "--direct"]].concat());
        assert_eq!(asked, direct.json(), "{path}");
    }
}

#[test]
fn ten_processes_at_once_are_served_by_one_server() {
    let host = TestHost::new();
    let _serving = Serving::start(&host);
    let children: Vec<_> = (0..10)
        .map(|_| {
            let mut command = host.command();
            command.args(RUN).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut ids = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let task: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(task["output"], 2);
        ids.push(task["job_id"].clone());
    }
    let mut listed: Vec<Value> = host.jobs().iter().map(|job| job["id"].clone()).collect();
    listed.sort_by_key(Value::to_string);
    ids.sort_by_key(Value::to_string);
    assert_eq!(listed, ids);
}

#[test]
fn interrupting_a_run_cancels_its_job_on_the_server() {
    let host = TestHost::new();
    NEVER_ENDS.load(&host, "limits: { timeout: 1h }");
    let serving = Serving::start(&host);
    let mut run = host.command();
    run.args(["run", "never_ends"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = run.spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    let id = loop {
        assert!(std::time::Instant::now() < deadline, "the job was not taken in");
        if let [job] = &serving.get("/api/v1/jobs").is(200).json()["jobs"].as_array().unwrap()[..] {
            break job["id"].as_str().unwrap().to_owned();
        }
    };
    serving.found(&id, |job| job["tasks"][0]["state"] == "running");
    let kill = ["-INT".to_owned(), child.id().to_string()];
    assert!(Command::new("kill").args(kill).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(serving.ended(&id)["state"], "cancelled");
}

#[test]
fn who_interrupts_a_run_twice_waits_for_no_server() {
    let silent = Scripted::start(&[""]);
    let far = client_of(&silent.url(), "api_timeout: 60\n");
    let mut run = far.command();
    run.args(["run", "transform_executor", "--input", r#"{"filter": "1"}"#]);
    let mut child = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let interrupt = |id: u32| {
        let kill = ["-INT".to_owned(), id.to_string()];
        assert!(Command::new("kill").args(kill).status().unwrap().success());
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(50);
    while silent.asked() == 0 {
        assert!(std::time::Instant::now() < deadline, "the server was not asked");
    }
    interrupt(child.id());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("Ctrl-C leaves at once"), "{line}");
    interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert!(std::time::Instant::now() < deadline, "it waited for the server");
}

#[test]
fn a_port_where_nobody_listens_is_told_and_what_to_do() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let far = client_of(&format!("http://127.0.0.1:{port}"), "api_retry_count: 0\n");
    let error = far.run(&["jobs", "list"]).exits(4);
    error.says(&["error[cannot-connect]: cannot connect to", "apflow-host serve", "--direct"]);
    let error = far.run(&["jobs", "list", "--json"]).exits(4).error();
    assert_eq!(error["code"], "cannot-connect");
    assert!(error["advice"].is_string());
}

#[test]
fn a_server_that_is_away_is_replaced_by_the_data_directory_only_where_that_is_set() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = format!("api_server_url: http://127.0.0.1:{port}\napi_fallback: true\n");
    let host = TestHost::new().with_settings(&settings);
    host.run(&RUN).succeeds().says(&["the data directory is used"]);
    // Somebody works there: what is not reached is not the same as what works there.
    let _serving = Serving::start(&host);
    host.run(&RUN).exits(4).says(&["cannot-connect"]);
}

#[test]
fn a_token_that_opens_nothing_is_told_and_what_to_do() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let wrong = client_of(&serving.url(), "api_token: wrong\n");
    wrong.run(&["jobs", "list"]).exits(3).says(&[
        "error[unauthorized]: the token is not valid",
        "APFLOW_API_AUTH_TOKEN",
        "as request ",
    ]);
    client_of(&serving.url(), "").run(&["jobs", "list"]).exits(3).says(&["api_token"]);
}

#[test]
fn a_server_that_is_silent_is_waited_for_and_asked_again() {
    let silent = Scripted::start(&[""]);
    let far = client_of(&silent.url(), "api_timeout: 1\napi_retry_count: 1\n");
    far.run(&["jobs", "list"]).exits(4).says(&["error[timed-out]: ", "api_timeout"]);
    assert_eq!(silent.asked(), 2);
    // Who made a token may not be told of it: it is not asked for twice.
    far.run(&["tokens", "create", "a", "--role", "user"]).exits(4).says(&["timed-out"]);
    assert_eq!(silent.asked(), 3);
}

const TOO_MANY: &str = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/problem+json\r\n\
    retry-after: 1\r\ncontent-length: 62\r\nconnection: close\r\n\r\n\
    {\"status\":429,\"code\":\"rate-limited\",\"detail\":\"too many calls\"}";
const TOO_LONG: &str = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/problem+json\r\n\
    retry-after: 900\r\ncontent-length: 62\r\nconnection: close\r\n\r\n\
    {\"status\":429,\"code\":\"rate-limited\",\"detail\":\"too many calls\"}";
const NO_JOBS: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    content-length: 25\r\nconnection: close\r\n\r\n{\"jobs\":[],\"cursor\":null}";
const A_PAGE: &str = "HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\n\
    content-length: 2\r\nconnection: close\r\n\r\nhi";

#[test]
fn who_is_told_to_wait_waits_and_asks_again() {
    let busy = Scripted::start(&[TOO_MANY, NO_JOBS]);
    client_of(&busy.url(), "").run(&["jobs", "list"]).succeeds();
    assert_eq!(busy.asked(), 2);
    let busier = Scripted::start(&[TOO_LONG]);
    let far = client_of(&busier.url(), "");
    far.run(&["jobs", "list"]).exits(1).says(&["error[rate-limited]: ", "try again in 900 s"]);
    assert_eq!(busier.asked(), 1);
}

#[test]
fn what_is_no_host_is_told_so() {
    let page = Scripted::start(&[A_PAGE]);
    let far = client_of(&page.url(), "");
    far.run(&["jobs", "list"]).exits(4).says(&["error[foreign-server]: ", "404"]);
    assert_eq!(page.asked(), 1);
}

#[test]
fn a_submission_that_is_sent_again_has_one_key() {
    let flaky = Scripted::start(&[NO_JOBS, TOO_MANY, TOO_MANY, A_PAGE]);
    let far = client_of(&flaky.url(), "api_retry_count: 2\n");
    let tasks = r#"[{"id": "a", "executor": "transform_executor"}]"#;
    far.run(&["jobs", "list"]).succeeds();
    far.run(&["run", "batch", "--tasks", tasks]).exits(4);
    let heads = flaky.heads.lock().unwrap();
    let keys: Vec<&str> = heads
        .iter()
        .flat_map(|head| head.lines())
        .filter(|line| line.starts_with("idempotency-key: "))
        .collect();
    assert_eq!((keys.len(), keys[0], keys[0]), (3, keys[1], keys[2]));
}

#[test]
fn a_certificate_must_be_of_an_authority_that_is_known() {
    let file =
        |name: &str| project().join("tests/certificates").join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("server.pem"), file("server.key.pem"));
    let host = TestHost::new();
    let by = ["--tls-cert", &certificate, "--tls-key", &key];
    let serving = Serving::start_by(&host, &by);
    let url = format!("https://localhost:{}", serving.port());
    let token = format!("api_token: {}\n", serving.token());
    let trusting =
        |authority: &str| client_of(&url, &format!("{token}api_ca_file: {}\n", file(authority)));
    trusting("authority.pem").run(&["jobs", "list"]).succeeds();
    for wrong in [trusting("renewed.authority.pem"), client_of(&url, &token)] {
        wrong.run(&["jobs", "list"]).exits(4).says(&["error[untrusted-server]: ", "api_ca_file"]);
    }
    client_of(&url, "api_ca_file: /no/such.pem\n").run(&["jobs", "list"]).exits(70);
    // On its own data directory, its very certificate is known.
    assert_eq!(host.run(&RUN).succeeds().json()["output"], 2);
}

#[test]
fn a_proxy_of_the_environment_is_used_and_may_be_excepted() {
    let proxy = Scripted::start(&[NO_JOBS]);
    let far = client_of("http://apflow.example.test:8000", "api_retry_count: 0\n");
    let at = proxy.url().replace("http://", "http://me:pw@");
    let through = ("HTTP_PROXY", at.as_str());
    far.run_with(&["jobs", "list"], "", &[through]).succeeds();
    {
        let heads = proxy.heads.lock().unwrap();
        let line = "GET http://apflow.example.test:8000/api/v1/jobs?limit=20 HTTP/1.1\r\n";
        assert!(heads[0].starts_with(line), "{}", heads[0]);
        assert!(heads[0].contains("proxy-authorization: Basic bWU6cHc="), "{}", heads[0]);
    }
    let excepted = [through, ("NO_PROXY", "example.test")];
    far.run_with(&["jobs", "list"], "", &excepted).exits(4).says(&["cannot-connect"]);
    assert_eq!(proxy.asked(), 1);
}

#[test]
fn what_is_no_url_of_a_server_is_refused() {
    let host = TestHost::fresh();
    host.run(&["jobs", "list", "--api-server", "ftp://here"]).exits(2).says(&["http://HOST:PORT"]);
    let wrong = [("APFLOW_API_SERVER", "here:8000")];
    host.run_with(&["jobs", "list"], "", &wrong).exits(70).says(&["APFLOW_API_SERVER"]);
    for settings in ["api_server_url: nowhere\n", "api_timeout: 0\n", "api_retry_count: 11\n"] {
        let host = TestHost::fresh().with_settings(settings);
        host.run(&["jobs", "list"]).exits(70).says(&["config.yaml"]);
    }
}

#[test]
fn a_token_that_is_saved_opens_the_server_to_the_command_line() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let far = client_of(&serving.url(), "");
    let secrets = std::fs::read_to_string(host.config_file()).unwrap();
    let auth = secrets.split_once("auth:").unwrap().1;
    let settings = format!("api_server_url: {}\nauth:{auth}", serving.url());
    let far = far.with_settings(&settings);
    far.run(&["jobs", "list"]).exits(3);
    for role in ["readonly", "admin"] {
        far.run(&["config", "gen-token", "--role", role, "--save"]).succeeds();
        far.run(&["jobs", "list"]).succeeds();
    }
    let saved = std::fs::read_to_string(far.config_file()).unwrap();
    assert_eq!(saved.matches("api_token:").count(), 1, "{saved}");
    far.run(&RUN).succeeds();
}
