//! Whose request it is that comes through a proxy: for the audit, for wrong tokens, and for the log.

use std::fs;

use serde_json::Value;

use crate::host::TestHost;
use crate::serving::{Answer, Serving};

/// Asks as the operator, or with another token, with this header more.
fn ask(serving: &Serving<'_>, token: &str, header: &str) -> Answer {
    serving.ask("GET /api/v1/jobs", Some(&format!("{token}\r\n{header}")), b"")
}

/// The address that the audit has for a good request with this header.
fn audited(serving: &Serving<'_>, header: &str) -> String {
    let id = ask(serving, serving.token(), header).is(200).headers["x-request-id"].clone();
    let line = || {
        let audit = serving.get("/api/v1/audit?verb=jobs.list").is(200).json();
        let lines = audit["lines"].as_array().unwrap().clone();
        lines.into_iter().find(|line| line["request"] == *id)
    };
    serving.until(|| line().is_some());
    line().unwrap()["peer"].as_str().unwrap().to_owned()
}

#[test]
fn who_is_no_trusted_proxy_is_not_believed() {
    let host = TestHost::new().with_settings("auth: { guesses_per_minute: 4 }\n");
    for arguments in [&[][..], &["--behind-proxy"]] {
        let serving = Serving::start_by(&host, arguments);
        for header in ["X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.7"] {
            let peer = audited(&serving, header);
            assert!(peer.starts_with("127.0.0.1:"), "{peer}");
        }
        // A made-up address is no way round the count of wrong tokens.
        for guess in 0..4 {
            let header = format!("X-Forwarded-For: 203.0.113.{guess}");
            ask(&serving, "a-guess", &header).problem(401, "unauthorized");
        }
        ask(&serving, "a-guess", "X-Forwarded-For: 203.0.113.99").problem(429, "rate-limited");
    }
}

#[test]
fn behind_a_trusted_proxy_a_client_is_whom_the_proxy_names() {
    let settings = "http: { behind_proxy: true, trusted_proxies: [127.0.0.1, 10.0.0.0/8] }\n";
    let host = TestHost::new().with_settings(settings);
    let serving = Serving::start(&host);
    for (said, client) in [
        ("203.0.113.7", "203.0.113.7"),
        // The client made the first up, and its proxy added the second.
        ("192.0.2.1, 203.0.113.7", "203.0.113.7"),
        // Two proxies that are trusted, and one that is not.
        ("192.0.2.1, 203.0.113.7, 10.1.1.1", "203.0.113.7"),
        ("10.2.2.2, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
        ("2001:db8::7", "2001:db8::7"),
        ("203.0.113.7:4711", "203.0.113.7"),
    ] {
        assert_eq!(audited(&serving, &format!("X-Forwarded-For: {said}")), client, "{said}");
    }
    // Each line counts, in their order.
    let two = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 203.0.113.7";
    assert_eq!(audited(&serving, two), "203.0.113.7");
    // This proxy does not write the other header, so its client did.
    let peer = audited(&serving, "Forwarded: for=203.0.113.7");
    assert!(peer.starts_with("127.0.0.1:"), "{peer}");
}

#[test]
fn the_header_of_the_standard_is_believed_when_it_is_the_one() {
    let settings = "http: { trusted_proxies: [127.0.0.1], proxy_header: forwarded }\n";
    let host = TestHost::new().with_settings(settings);
    let serving = Serving::start(&host);
    let said = "Forwarded: for=192.0.2.1, for=\"[2001:db8::7]:99\";proto=https";
    assert_eq!(audited(&serving, said), "2001:db8::7");
    let peer = audited(&serving, "X-Forwarded-For: 203.0.113.7");
    assert!(peer.starts_with("127.0.0.1:"), "{peer}");
}

#[test]
fn wrong_tokens_are_counted_and_logged_by_whom_the_proxy_names() {
    let settings = "http: { trusted_proxies: [127.0.0.1] }\nauth: { guesses_per_minute: 4 }\n\
                    telemetry: { log: info, log_format: json }\n";
    let host = TestHost::new().with_settings(settings);
    let log = host.data().with_file_name("forwarding.log");
    let serving = Serving::start_logging(&host, &log);
    let guess = |header: &str| ask(&serving, "a-guess", header);
    for made_up in 0..4 {
        let header = format!("X-Forwarded-For: 192.0.2.{made_up}, 203.0.113.7");
        guess(&header).problem(401, "unauthorized");
    }
    guess("X-Forwarded-For: 203.0.113.7").problem(429, "rate-limited");
    // Another client of the same proxy is not held up for that.
    guess("X-Forwarded-For: 203.0.113.8").problem(401, "unauthorized");
    assert_eq!(serving.stop(), Some(0));
    let log = fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let peers = |message: &str| -> Vec<&str> {
        let lines = lines.iter().filter(|line| line["message"] == message);
        lines.map(|line| line["fields"]["peer"].as_str().unwrap()).collect()
    };
    let clients = [&["203.0.113.7"; 5][..], &["203.0.113.8"]].concat();
    assert_eq!(peers("a token was refused"), clients);
    // The end of the host comes after them.
    assert_eq!(peers("answered")[..clients.len()], clients);
}
