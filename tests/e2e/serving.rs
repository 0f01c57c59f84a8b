//! A host that serves, and a client of its HTTP API.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::TestHost;
use crate::server::read_headers;

/// The longest that a test waits for a job.
const PATIENCE: Duration = Duration::from_mins(1);

/// A host that serves on a free port until this is dropped.
pub(crate) struct Serving<'host> {
    child: Child,
    address: String,
    token: String,
    /// Its folders are there as long as it works in them.
    host: &'host TestHost,
}

impl<'host> Serving<'host> {
    /// Starts `serve` and waits until it says where.
    pub(crate) fn start(host: &'host TestHost) -> Self {
        Self::start_with(host, &[])
    }

    /// Starts `serve` with these environment variables.
    pub(crate) fn start_with(host: &'host TestHost, environment: &[(&str, &str)]) -> Self {
        let mut command = host.command();
        command.envs(environment.iter().copied());
        Self::start_as(host, command, &["--port", "0"])
    }

    /// Starts `serve` on the port that an earlier one had.
    pub(crate) fn start_at(host: &'host TestHost, port: u16) -> Self {
        Self::start_as(host, host.command(), &["--port", &port.to_string()])
    }

    /// Starts a host that takes jobs in and leaves them to workers.
    pub(crate) fn start_idle(host: &'host TestHost) -> Self {
        Self::start_as(host, host.command(), &["--port", "0", "--no-dispatch"])
    }

    /// Starts `serve` on a free port with more arguments.
    pub(crate) fn start_by(host: &'host TestHost, more: &[&str]) -> Self {
        Self::start_as(host, host.command(), &[&["--port", "0"], more].concat())
    }

    /// Starts a host that logs as its settings say, to this file.
    pub(crate) fn start_logging(host: &'host TestHost, log: &Path) -> Self {
        let mut command = host.command();
        command.stderr(fs::OpenOptions::new().create(true).append(true).open(log).unwrap());
        Self::launch(host, command, &["--port", "0"])
    }

    fn start_as(host: &'host TestHost, command: Command, more: &[&str]) -> Self {
        Self::launch(host, command, &[&["--log", "warn"], more].concat())
    }

    fn launch(host: &'host TestHost, mut command: Command, more: &[&str]) -> Self {
        command.args(["serve", "--json"]).args(more);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        while !said.ends_with("}\n") {
            assert!(stdout.read_line(&mut said).unwrap() > 0, "the host ended: {said}");
        }
        let said: Value = serde_json::from_str(&said).unwrap();
        let address = said["url"].as_str().unwrap().split_once("://").unwrap().1.to_owned();
        assert_eq!(said["token_file"], host.config_file().to_str().unwrap());
        Self { child, address, token: token(host), host }
    }

    /// Whose folders it works in.
    pub(crate) fn host(&self) -> &TestHost {
        self.host
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Where it answers, such as `http://127.0.0.1:8000`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port that it answers on.
    pub(crate) fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// The operator's token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Asks as the operator.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), Some(&self.token), b"")
    }

    /// Submits a job as the operator. `query` is empty or starts with `?`.
    pub(crate) fn submit(&self, query: &str, job: &Value) -> Answer {
        self.post(query, job.to_string().as_bytes())
    }

    /// Submits a job with an idempotency key, as the operator.
    pub(crate) fn submit_once(&self, key: &str, query: &str, job: &Value) -> Answer {
        let headers = format!("{}\r\nIdempotency-Key: {key}", self.token);
        let body = job.to_string();
        self.ask(&format!("POST /api/v1/jobs{query}"), Some(&headers), body.as_bytes())
    }

    /// Sends these bytes as a job, as the operator.
    pub(crate) fn post(&self, query: &str, body: &[u8]) -> Answer {
        self.ask(&format!("POST /api/v1/jobs{query}"), Some(&self.token), body)
    }

    /// Asks with this token or none. `what` is a method and a path.
    pub(crate) fn ask(&self, what: &str, token: Option<&str>, body: &[u8]) -> Answer {
        self.try_ask(what, token, body).unwrap()
    }

    /// Asks a host that may be killed meanwhile. None when no whole answer came.
    pub(crate) fn try_ask(&self, what: &str, token: Option<&str>, body: &[u8]) -> Option<Answer> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let mut token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        // Events would be a stream to who says nothing.
        if !token.as_ref().is_some_and(|headers| headers.contains("Accept: ")) {
            token.get_or_insert_default().push_str("Accept: application/json\r\n");
        }
        let head = format!(
            "{what} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{}Content-Length: {}\r\n\r\n",
            self.address,
            token.unwrap_or_default(),
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        // A host that refuses the head need not read the body.
        drop(stream.write_all(body));
        Answer::read(stream)
    }

    /// Sends these bytes and leaves the connection open.
    pub(crate) fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    /// Sends these bytes, and reads what comes until the host closes the connection.
    pub(crate) fn exchange(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.exchange_bytes(text)).into_owned()
    }

    /// The same, as the bytes that came.
    pub(crate) fn exchange_bytes(&self, text: &str) -> Vec<u8> {
        let mut stream = self.send(text);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer) {
            // A host that closes before it has read everything resets the connection.
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{text:?}");
        }
        answer
    }

    /// Waits until this holds.
    pub(crate) fn until(&self, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < PATIENCE, "{} did not get so far", self.address);
            std::thread::yield_now();
        }
    }

    /// Looks a job up until it has ended.
    pub(crate) fn ended(&self, id: &str) -> Value {
        self.found(id, |job| !matches!(job["state"].as_str(), Some("pending" | "running")))
    }

    /// Looks a job up until this holds of it.
    pub(crate) fn found(&self, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let job = self.get(&format!("/api/v1/jobs/{id}")).is(200).json();
            if holds(&job) {
                return job;
            }
            assert!(start.elapsed() < PATIENCE, "{id} did not get so far: {job:#}");
            std::thread::yield_now();
        }
    }

    /// Kills it as a power cut would, without a word.
    pub(crate) fn kill(self) {
        self.strike();
        assert_eq!(self.wait(), None);
    }

    /// Kills it under the hands of those who use it.
    pub(crate) fn strike(&self) {
        self.signal("-KILL");
    }

    /// Asks it to take its settings anew.
    pub(crate) fn ask_to_reload(&self) {
        self.signal("-HUP");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Asks it to end, and returns its exit code.
    pub(crate) fn stop(self) -> Option<i32> {
        self.ask_to_end();
        self.wait()
    }

    /// Asks it to end, and waits until it takes no more jobs.
    pub(crate) fn ask_to_end(&self) {
        self.signal("-TERM");
        let is_ready = || self.try_ask("GET /ready", None, b"").is_some_and(|it| it.status == 200);
        self.until(|| !is_ready());
    }

    /// Waits until it has ended, and returns its exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The operator's token, from the host's settings.
fn token(host: &TestHost) -> String {
    let settings = fs::read_to_string(host.config_file()).unwrap();
    let line = settings.lines().find_map(|line| line.strip_prefix("admin_token: "));
    line.unwrap().to_owned()
}

/// What the host answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    /// Reads an answer whose length is known.
    pub(crate) fn read(stream: TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let status = line.split_whitespace().nth(1)?.parse().ok()?;
        let headers = read_headers(&mut reader).ok()?;
        let length: usize = headers.get("content-length")?.parse().ok()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self { status, headers, body })
    }

    /// Fails unless it has this status and the id of its request.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert!(self.headers.get("x-request-id").is_some_and(|id| !id.is_empty()), "{self:?}");
        self
    }

    /// The body as it came.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body as a problem with this status and code.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        let answer = self.is(status);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["code"], code, "{problem:#}");
        assert_eq!(problem["status"], status);
        let page = problem["type"].as_str().unwrap();
        assert!(page.contains(&format!("/errors/{code}")), "{page}");
        assert_eq!(problem["instance"], answer.headers["x-request-id"]);
        problem
    }
}
