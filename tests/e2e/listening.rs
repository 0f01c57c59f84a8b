//! The listener: where it listens, whom it answers, and how long it waits for them.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use tempfile::TempDir;

use crate::host::{TestHost, project};
use crate::serving::{Answer, Serving};

/// Much longer than the limits that tests set, and much shorter than those that they do not.
const SOON: Duration = Duration::from_secs(8);

/// A file of `tests/certificates`.
fn certificates(name: &str) -> PathBuf {
    project().join("tests/certificates").join(name)
}

/// Reads what comes over a connection until the host closes it.
fn rest(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the host keeps the connection: {error}"),
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Sends a byte now and then until the host closes the connection, and reads what it said.
fn trickle(mut stream: TcpStream, bytes: impl Iterator<Item = u8>) -> String {
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let start = Instant::now();
    let mut said = Vec::new();
    for byte in bytes {
        assert!(start.elapsed() < SOON, "the host waits for ever");
        let mut buffer = [0; 4_096];
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn an_open_address_needs_tls_or_a_proxy() {
    let host = TestHost::new();
    for open in ["0.0.0.0", "::", "192.0.2.1"] {
        host.run(&["serve", "--host", open, "--port", "0"]).exits(2).says(&[
            open,
            "--tls-cert",
            "--behind-proxy",
        ]);
    }
    let serving = Serving::start_by(&host, &["--host", "0.0.0.0", "--behind-proxy"]);
    serving.get("/api/v1/jobs").is(200);
    assert_eq!(serving.stop(), Some(0));
    let host = host.with_settings("http: { behind_proxy: true }\n");
    Serving::start_by(&host, &["--host", "0.0.0.0"]).get("/api/v1/jobs").is(200);
}

#[test]
fn a_setting_out_of_its_range_is_refused_with_its_place() {
    let host = TestHost::new();
    for (setting, said) in [
        ("http: { idle_seconds: 0 }", "0 is not from 1 to 3600"),
        ("http: { origins: ['*'] }", "`*` is no origin"),
        ("http: { hosts: ['https://a.example'] }", "is no name of a host"),
        ("http: { trusted_proxies: [10.1.2.3/8] }", "10.0.0.0/8"),
        ("http: { colour: red }", "colour"),
    ] {
        let host = TestHost::fresh().with_settings(&format!("{setting}\n"));
        let ended = host.run(&["serve", "--port", "0"]);
        assert_ne!(ended.code, Some(0));
        ended.says(&[said, "config.yaml"]);
    }
    host.run(&["serve", "--tls-cert", "a.pem"]).exits(2).says(&["--tls-key"]);
}

/// Asks over TLS, trusting this authority alone.
fn ask_tls(serving: &Serving<'_>, authority: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(certificates(authority)).unwrap();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, serving.send(""));
    let request = format!(
        "GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Connection: close\r\n\r\n",
        serving.token()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A folder with a certificate and its key, and the arguments that name them.
fn shown(folder: &TempDir) -> [String; 4] {
    fs::copy(certificates("server.pem"), folder.path().join("cert.pem")).unwrap();
    fs::copy(certificates("server.key.pem"), folder.path().join("key.pem")).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    ["--tls-cert".to_owned(), path("cert.pem"), "--tls-key".to_owned(), path("key.pem")]
}

#[test]
fn tls_is_spoken_and_nothing_else() {
    let (host, folder) = (TestHost::new(), TempDir::new().unwrap());
    let arguments = shown(&folder);
    let arguments = arguments.each_ref().map(String::as_str);
    let serving = Serving::start_by(&host, &[&arguments[..], &["--host", "0.0.0.0"]].concat());
    let answer = ask_tls(&serving, "authority.pem").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\r\nstrict-transport-security: max-age=31536000\r\n"), "{answer}");
    ask_tls(&serving, "renewed.authority.pem").unwrap_err();
    let plain = rest(serving.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert!(!plain.contains("HTTP"), "{plain}");
}

#[test]
fn a_renewed_certificate_is_shown_and_a_bad_one_is_not() {
    let (host, folder) = (TestHost::new(), TempDir::new().unwrap());
    let arguments = shown(&folder);
    let serving = Serving::start_by(&host, &arguments.each_ref().map(String::as_str));
    let put = |from: &str, to: &str| {
        // As what renews certificates does it: whole, under another name first.
        let beside = folder.path().join("beside");
        fs::copy(certificates(from), &beside).unwrap();
        fs::rename(beside, folder.path().join(to)).unwrap();
    };
    put("renewed.pem", "cert.pem");
    serving.signal("-HUP");
    // The key is still the old one: they are no pair.
    ask_tls(&serving, "authority.pem").unwrap();
    put("README.md", "key.pem");
    serving.signal("-HUP");
    ask_tls(&serving, "authority.pem").unwrap();
    put("renewed.key.pem", "key.pem");
    // Without a signal too.
    serving.until(|| ask_tls(&serving, "renewed.authority.pem").is_ok());
    ask_tls(&serving, "authority.pem").unwrap_err();
    put("server.pem", "cert.pem");
    put("server.key.pem", "key.pem");
    serving.signal("-HUP");
    serving.until(|| ask_tls(&serving, "authority.pem").is_ok());
}

#[test]
fn what_cannot_be_shown_is_refused_at_the_start() {
    let host = TestHost::new();
    let path = |name: &str| certificates(name).to_str().unwrap().to_owned();
    for (certificate, key, said) in [
        ("server.pem", "renewed.key.pem", "the key in `"),
        ("README.md", "server.key.pem", "holds no certificate"),
        ("server.pem", "README.md", "holds no private key"),
        ("server.pem", "server.pem", "holds no private key"),
        ("nothing.pem", "server.key.pem", "cannot be read"),
    ] {
        let (certificate, key) = (path(certificate), path(key));
        host.run(&["serve", "--port", "0", "--tls-cert", &certificate, "--tls-key", &key])
            .exits(2)
            .says(&[said]);
    }
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    let host = TestHost::new().with_settings("http: { head_seconds: 1 }\n");
    let folder = TempDir::new().unwrap();
    let arguments = shown(&folder);
    let serving = Serving::start_by(&host, &arguments.each_ref().map(String::as_str));
    assert_eq!(rest(serving.send("")), "");
    ask_tls(&serving, "authority.pem").unwrap();
}

#[test]
fn a_head_that_comes_byte_by_byte_is_cut_off() {
    let host = TestHost::new().with_settings("http: { head_seconds: 1 }\n");
    let serving = Serving::start(&host);
    let slow = (0..100).map(|_| serving.send("GET /health HTTP/1.1\r\nHost: local"));
    let slow: Vec<_> = slow.collect();
    serving.get("/api/v1/jobs").is(200);
    let said = trickle(serving.send("GET /health HTTP/1.1\r\nX: "), std::iter::repeat(b'a'));
    assert_eq!(said, "");
    for stream in slow {
        assert_eq!(rest(stream), "");
    }
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let host = TestHost::new().with_settings("http: { idle_seconds: 1 }\n");
    let serving = Serving::start(&host);
    assert_eq!(rest(serving.send("")), "");
    let said = rest(serving.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let host = TestHost::new().with_settings("http: { head_bytes_max: 8192, headers_max: 20 }\n");
    let serving = Serving::start(&host);
    let ask = |headers: &str| {
        let head = format!(
            "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        );
        serving.exchange(&head)
    };
    assert!(ask(&format!("A: {}\r\n", "a".repeat(7_000))).starts_with("HTTP/1.1 200 "));
    let large = ask(&format!("A: {}\r\n", "a".repeat(9_000)));
    assert!(large.starts_with("HTTP/1.1 431 "), "{large}");
    assert!(ask(&"A: b\r\n".repeat(18)).starts_with("HTTP/1.1 200 "));
    let many = ask(&"A: b\r\n".repeat(30));
    assert!(many.starts_with("HTTP/1.1 431 "), "{many}");
}

const IMPATIENT: &str = "http: { patience_seconds: 1, bytes_per_second_min: 1000 }\n";

#[test]
fn a_body_that_comes_byte_by_byte_is_refused() {
    let host = TestHost::new().with_settings(IMPATIENT);
    let serving = Serving::start(&host);
    let token = serving.token();
    let head = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 1000000\r\n\r\n"
    );
    let said = trickle(serving.send(&head), std::iter::repeat(b' '));
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("\"too-slow\""), "{said}");
    host.holds_nothing();
}

#[test]
fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let host = TestHost::new().with_settings(IMPATIENT);
    let serving = Serving::start(&host);
    let sockets = || {
        let files = fs::read_dir(format!("/proc/{}/fd", serving.process())).unwrap();
        let links = files.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    };
    let before = sockets();
    // More than the buffers of both sides hold.
    let request = format!(
        "GET /api/v1/plugins HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        serving.token()
    );
    let stream = serving.send("");
    let mut writing = stream.try_clone().unwrap();
    writing.set_write_timeout(Some(SOON)).unwrap();
    let requests = request.repeat(2_000);
    // The host stops to read when it cannot write.
    drop(writing.write_all(requests.as_bytes()));
    serving.until(|| sockets() <= before);
    serving.get("/api/v1/jobs").is(200);
    drop(stream);
}

#[test]
fn ten_thousand_idle_connections_keep_nobody_out() {
    let host = TestHost::new().with_settings("http: { connections_max: 500 }\n");
    let serving = Serving::start(&host);
    let all: usize = 10_000;
    let mut open = std::collections::VecDeque::new();
    let mut slowest = Duration::ZERO;
    for n in 0..all {
        // This process may have fewer files than there are connections in all.
        if open.len() >= 700 {
            open.pop_front();
        }
        open.push_back(serving.send(if n % 2 == 0 { "" } else { "GET / HTTP/1.1\r\n" }));
        if n % 100 == 0 {
            let start = Instant::now();
            serving.get("/api/v1/jobs?limit=1").is(200);
            slowest = slowest.max(start.elapsed());
        }
    }
    println!("the slowest answer beside {all} idle connections took {slowest:?}");
    let files = fs::read_dir(format!("/proc/{}/fd", serving.process())).unwrap().count();
    assert!(files < 700, "{files} files are open");
    // Those that came first made way.
    let first = open.pop_front().unwrap();
    assert_eq!(rest(first), "");
    assert!(slowest < SOON, "{slowest:?}");
}

#[test]
fn requests_that_are_answered_do_not_make_way() {
    let host = TestHost::new().with_settings("http: { connections_max: 4 }\n");
    let serving = Serving::start(&host);
    let job = json!({ "executor": "transform_executor", "inputs": { "filter": "1" },
                      "run_at": "2099-01-01T00:00:00Z" });
    let job = serving.submit("", &job).is(202).json();
    let watch = format!(
        "GET /api/v1/jobs/{}/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\
         Authorization: Bearer {}\r\n\r\n",
        job["id"].as_str().unwrap(),
        serving.token()
    );
    let mut watching: Vec<_> = (0..3).map(|_| serving.send(&watch)).collect();
    for stream in &mut watching {
        let mut start = [0; 15];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
    }
    // Of four places, one address has three: whoever comes now is sent away.
    for _ in 0..50 {
        serving.try_ask("GET /health", None, b"");
    }
    for mut stream in watching {
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut all = Vec::new();
        let error = stream.read_to_end(&mut all).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "a stream was closed");
    }
}

#[test]
fn only_names_of_the_host_and_pages_of_its_own_are_answered() {
    let settings = "http: { hosts: [api.example.com], origins: ['https://app.example.com'] }\n";
    let host = TestHost::new().with_settings(settings);
    let serving = Serving::start(&host);
    let ask = |method: &str, headers: &str| {
        let token = serving.token();
        let text = format!(
            "{method} /api/v1/jobs HTTP/1.1\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Length: 0\r\n{headers}\r\n"
        );
        Answer::read(serving.send(&text)).unwrap()
    };
    ask("GET", "Host: api.example.com\r\n").is(200);
    ask("GET", "Host: evil.example\r\n").problem(421, "unknown-host");
    let foreign = "Host: localhost\r\nOrigin: https://evil.example\r\n";
    ask("POST", foreign).problem(403, "foreign-origin");
    let read = ask("GET", foreign).is(200);
    assert!(!read.headers.contains_key("access-control-allow-origin"), "{read:?}");
    let known = "Host: localhost\r\nOrigin: https://app.example.com\r\n";
    for (method, status) in [("GET", 200), ("POST", 400)] {
        let answer = ask(method, known).is(status);
        assert_eq!(answer.headers["access-control-allow-origin"], "https://app.example.com");
        assert!(answer.headers["access-control-expose-headers"].contains("x-request-id"));
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    }
    let preflight = format!(
        "OPTIONS /api/v1/jobs HTTP/1.1\r\n{known}Connection: close\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
    );
    let allowed = Answer::read(serving.send(&preflight)).unwrap().is(200);
    assert!(allowed.headers["access-control-allow-methods"].contains("POST"));
    assert!(allowed.headers["access-control-allow-headers"].contains("authorization"));
    host.holds_nothing();
}

#[test]
fn pages_may_not_use_a_host_that_names_none() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let preflight = "OPTIONS /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                     Origin: https://app.example.com\r\nAccess-Control-Request-Method: POST\r\n\r\n";
    let refused = Answer::read(serving.send(preflight)).unwrap();
    assert!(!refused.headers.keys().any(|name| name.starts_with("access-control")), "{refused:?}");
    refused.problem(404, "unknown-route");
}

#[test]
fn every_answer_keeps_browsers_and_caches_away() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let wrong_host = Answer::read(
        serving.send("GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
    );
    for answer in [
        serving.get("/api/v1/jobs").is(200),
        serving.ask("GET /api/v1/jobs", None, b"").is(401),
        serving.ask("GET /nowhere", None, b"").is(404),
        wrong_host.unwrap().is(421),
    ] {
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        assert_eq!(answer.headers["cross-origin-resource-policy"], "same-origin");
        let policy = "default-src 'none'; frame-ancestors 'none'";
        assert_eq!(answer.headers["content-security-policy"], policy);
        assert!(!answer.headers.contains_key("strict-transport-security"));
    }
}

#[test]
fn a_request_keeps_the_id_that_its_client_gave_it() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let ask = |id: &str| {
        let text = format!(
            "GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{id}\r\n"
        );
        let answer = Answer::read(serving.send(&text)).unwrap();
        answer.problem(401, "unauthorized")["instance"].as_str().unwrap().to_owned()
    };
    assert_eq!(ask("X-Request-Id: from-afar.7\r\n"), "from-afar.7");
    for other in ["", "X-Request-Id: a b\r\n", "X-Request-Id: a\r\nX-Request-Id: b\r\n"] {
        let id = ask(other);
        assert!(!id.is_empty() && id != "a b" && id != "a", "{id}");
    }
}

/// As [`whole`], in bytes.
fn whole_bytes(serving: &Serving<'_>, path: &str, headers: &str) -> Vec<u8> {
    serving.exchange_bytes(&format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         {headers}\r\n",
        serving.token()
    ))
}

/// Asks as the operator with more headers, and reads to the end.
fn whole(serving: &Serving<'_>, path: &str, headers: &str) -> String {
    String::from_utf8_lossy(&whole_bytes(serving, path, headers)).into_owned()
}

#[test]
fn long_answers_are_compressed_for_those_who_accept_it() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let plain = whole(&serving, "/api/v1/plugins", "");
    assert!(!plain.contains("\r\ncontent-encoding:"));
    let small = whole_bytes(&serving, "/api/v1/plugins", "Accept-Encoding: br, gzip\r\n");
    assert!(small.len() < plain.len() / 3, "{} of {}", small.len(), plain.len());
    let small = String::from_utf8_lossy(&small).to_lowercase();
    assert!(small.contains("\r\ncontent-encoding: gzip\r\n"), "{small:.400}");
    assert!(small.contains("\r\nvary: accept-encoding\r\n"), "{small:.400}");
    for refused in ["Accept-Encoding: gzip;q=0\r\n", "Accept-Encoding: br\r\n"] {
        assert!(!whole(&serving, "/api/v1/plugins", refused).contains("\r\ncontent-encoding:"));
    }
    let short = whole(&serving, "/health", "Accept-Encoding: gzip\r\n");
    assert!(!short.contains("\r\ncontent-encoding:"), "{short}");
    let job = json!({ "executor": "transform_executor", "inputs": { "filter": "1" } });
    let job = serving.submit("?wait=30", &job).is(200).json();
    let events = format!("/api/v1/jobs/{}/events", job["id"].as_str().unwrap());
    let stream = whole(&serving, &events, "Accept: text/event-stream\r\nAccept-Encoding: gzip\r\n");
    assert!(
        stream.contains("event: end\n") && !stream.contains("\r\ncontent-encoding:"),
        "{stream}"
    );
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let job = json!({ "executor": "transform_executor", "inputs": { "filter": "1" } });
    let job = serving.submit("?wait=30", &job).is(200).json();
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    for path in [path.as_str(), "/api/v1/plugins/rest_executor", "/api/v1/tools/jq"] {
        let first = serving.get(path).is(200);
        let tag = &first.headers["etag"];
        assert!(tag.starts_with("W/\""), "{tag}");
        for accept in ["", "Accept-Encoding: gzip\r\n"] {
            let seen = format!("If-None-Match: \"other\", {tag}\r\n{accept}");
            let again = whole(&serving, path, &seen);
            assert!(again.starts_with("HTTP/1.1 304 "), "{again}");
            assert!(again.contains(&format!("\r\netag: {tag}\r\n")) && again.ends_with("\r\n\r\n"));
        }
        let other = whole(&serving, path, "If-None-Match: W/\"other\"\r\n");
        assert!(other.starts_with("HTTP/1.1 200 "), "{other}");
    }
    let list = serving.get("/api/v1/jobs").is(200);
    serving.submit(
        "?wait=30",
        &json!({ "executor": "transform_executor", "inputs": { "filter": "1" } }),
    );
    let changed =
        whole(&serving, "/api/v1/jobs", &format!("If-None-Match: {}\r\n", list.headers["etag"]));
    assert!(changed.starts_with("HTTP/1.1 200 "), "{changed}");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let host = TestHost::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    host.run(&["serve", "--port", &port]).exits(1).says(&["address 127.0.0.1"]);
}
