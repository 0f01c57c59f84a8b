//! Requests whose end two readers could see in different places: each is refused and its connection
//! closed, or read in the one way that RFC 9112 knows. What follows is never taken for a request.

use crate::host::TestHost;
use crate::serving::Serving;

/// What would be answered if what is smuggled were taken for a request.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The statuses of the answers in what came over a connection.
fn statuses(answers: &str) -> Vec<u16> {
    let starts = answers.match_indices("HTTP/1.1 ");
    starts.map(|(at, start)| answers[at + start.len()..][..3].parse().unwrap()).collect()
}

/// Sends a head and a body as the operator's submission.
fn submission(serving: &Serving<'_>, framing: &str, body: &str) -> String {
    let token = serving.token();
    format!(
        "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         {framing}\r\n\r\n{body}"
    )
}

#[test]
fn a_body_of_two_lengths_is_refused_and_nothing_follows() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let length = SMUGGLED.len();
    for framing in [
        format!("Content-Length: 0\r\nContent-Length: {length}"),
        format!("Content-Length: {length}\r\nContent-Length: 0"),
        format!("Content-Length: 0, {length}"),
        "Content-Length: +0".to_owned(),
        "Content-Length: -1".to_owned(),
        "Content-Length: 0x10".to_owned(),
        "Content-Length: 99999999999999999999".to_owned(),
        "Content-Length:".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding: gzip".to_owned(),
        "Transfer-Encoding:\u{b}chunked".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Content-Length : 4".to_owned(),
        " Content-Length: 4".to_owned(),
    ] {
        let answers = serving.exchange(&submission(&serving, &framing, SMUGGLED));
        assert_eq!(statuses(&answers), [400], "{framing:?}: {answers}");
    }
    host.holds_nothing();
}

#[test]
fn of_a_length_and_chunks_the_chunks_count_and_the_connection_is_closed() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ] {
        let body = format!("0\r\n\r\n{SMUGGLED}");
        let answers = serving.exchange(&submission(&serving, framing, &body));
        assert_eq!(statuses(&answers), [400], "{framing:?}: {answers}");
        assert!(answers.contains("a job is expected as the body"), "{answers}");
    }
    host.holds_nothing();
}

#[test]
fn a_head_that_is_no_head_is_refused() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    for head in [
        "GET /health HTTP/1.1\r\nHost: localhost\r\n folded: yes\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nA: b\r\n\tc\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nA: b\0c\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nA\0: b\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nA: b\rc\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nA b: c\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\n: c\r\n\r\n",
        "GET /he\0alth HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /health /more HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /health HTTP/3.7\r\nHost: localhost\r\n\r\n",
        "G\u{e9}T /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\r\n\r\n",
    ] {
        let answers = serving.exchange(&format!("{head}{SMUGGLED}"));
        assert_eq!(statuses(&answers), [400], "{head:?}: {answers}");
    }
}

#[test]
fn a_bare_line_feed_ends_a_line_for_every_reader_or_none() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    // RFC 9112, section 2.2: it may end a line of a head.
    let head = "GET /health HTTP/1.1\nHost: localhost\nConnection: close\n\n";
    assert_eq!(statuses(&serving.exchange(head)), [200]);
    // Section 7.1: never one of a chunk.
    for body in ["0\n\n", "2\n{}\n0\n\n", "2\r\n{}\n0\r\n\r\n"] {
        let chunked =
            submission(&serving, "Transfer-Encoding: chunked", &format!("{body}{SMUGGLED}"));
        let answers = serving.exchange(&chunked);
        assert_eq!(statuses(&answers), [400], "{body:?}: {answers}");
    }
    host.holds_nothing();
}

#[test]
fn chunks_that_are_no_chunks_are_refused() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let long = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(64 << 10));
    for body in [
        "FFFFFFFFFFFFFFFFF\r\n",
        "10000000000000000\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        " 2\r\n{}\r\n0\r\n\r\n",
        "\r\n2\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}more\r\n0\r\n\r\n",
        "g\r\n{}\r\n0\r\n\r\n",
        &long,
    ] {
        let chunked =
            submission(&serving, "Transfer-Encoding: chunked", &format!("{body}{SMUGGLED}"));
        let answers = serving.exchange(&chunked);
        assert_eq!(statuses(&answers), [400], "{body:.40?}: {answers}");
    }
    host.holds_nothing();
}

#[test]
fn an_extension_of_a_chunk_and_a_trailer_change_nothing() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let framing = "Transfer-Encoding: chunked\r\nConnection: close";
    let body = "2;a=b;c=\"d\"\r\n{}\r\n0\r\nContent-Length: 5\r\nHost: evil.example\r\n\r\n";
    let answers = serving.exchange(&submission(&serving, framing, body));
    assert_eq!(statuses(&answers), [422], "{answers}");
    host.holds_nothing();
}

#[test]
fn what_should_end_the_trailers_and_does_not_is_one_of_them() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let framing = "Transfer-Encoding: chunked\r\nConnection: close";
    let answers = serving.exchange(&submission(&serving, framing, &format!("0\r\n\n{SMUGGLED}")));
    assert_eq!(statuses(&answers), [400], "{answers}");
    host.holds_nothing();
}

#[test]
fn what_follows_a_refused_body_is_not_taken_for_a_request() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let length = SMUGGLED.len() + (1 << 20);
    // Without a token it is refused before its body is read; the body looks like a request.
    let refused = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"
    );
    assert_eq!(statuses(&serving.exchange(&refused)), [401]);
    // One that is all there is skipped, and what comes after it is a request.
    let length = SMUGGLED.len();
    let whole = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}\
         GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    let answers = statuses(&serving.exchange(&whole));
    assert!(answers == [401, 200] || answers == [401], "{answers:?}");
}

#[test]
fn each_of_many_requests_gets_its_own_answer() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let token = serving.token();
    let requests = (0..50).map(|n| {
        let body = format!("{{\"colour\": {n}}}");
        let length = body.len();
        format!(
            "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             x-request-id: own-{n}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    });
    let mut requests: String = requests.collect();
    requests += "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answers = serving.exchange(&requests);
    assert_eq!(statuses(&answers), [vec![422; 50], vec![200]].concat());
    let mut rest = answers.as_str();
    for n in 0..50 {
        let (_, after) = rest.split_once("x-request-id: own-").unwrap();
        assert!(after.starts_with(&format!("{n}\r\n")), "{n}: {after:.20}");
        rest = after;
    }
}

#[test]
fn the_request_line_names_the_host_when_it_names_one() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let ask = |target: &str, named: &str| {
        statuses(&serving.exchange(&format!(
            "GET {target} HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\n\r\n"
        )))
    };
    assert_eq!(ask("http://localhost/health", "evil.example"), [200]);
    assert_eq!(ask("http://evil.example/health", "localhost"), [421]);
    assert_eq!(ask("http://evil.example/health", "evil.example"), [421]);
    let without = "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&serving.exchange(without)), [421]);
    let twice = "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\
                 Connection: close\r\n\r\n";
    assert_eq!(statuses(&serving.exchange(twice)), [421]);
    for line in ["CONNECT localhost:80", "GET localhost", "OPTIONS *"] {
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answers = serving.exchange(&head);
        assert_eq!(statuses(&answers), [400], "{line}: {answers}");
    }
}
