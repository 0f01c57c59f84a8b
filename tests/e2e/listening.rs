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
use crate::serving::Serving;

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
        ("http: { idle_seconds: 0 }", "from 1 to 3600"),
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
fn a_port_that_is_taken_is_said() {
    let host = TestHost::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    host.run(&["serve", "--port", &port]).exits(1).says(&["address 127.0.0.1"]);
}
