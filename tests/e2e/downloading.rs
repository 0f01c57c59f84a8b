//! Downloads: whole files and parts of them, and only what a caller may have.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use serde_json::json;

use crate::guests::USES_FILES;
use crate::host::TestHost;
use crate::server::read_headers;
use crate::serving::{Answer, Serving};

fn upload(serving: &Serving<'_>, name: &str, body: &[u8]) -> String {
    let what = format!("POST /api/v1/files?name={name}");
    let upload = serving.ask(&what, Some(serving.token()), body).is(201).json();
    format!("/api/v1/files/{}", upload["file_id"].as_str().unwrap())
}

/// Gets a file with one more header.
fn get(serving: &Serving<'_>, path: &str, header: &str) -> Answer {
    let headers = format!("{}\r\n{header}", serving.token());
    serving.ask(&format!("GET {path}"), Some(&headers), b"")
}

/// Asks for what has no body, and returns its status and headers.
fn ask(serving: &Serving<'_>, what: &str, header: &str) -> (u16, BTreeMap<String, String>) {
    let token = serving.token();
    let mut stream = BufReader::new(serving.send(&format!(
        "{what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         {header}\r\n\r\n"
    )));
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    let headers = read_headers(&mut stream).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"", "there is a body");
    (status, headers)
}

#[test]
fn a_file_is_had_in_parts() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let body: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let path = upload(&serving, "data.bin", &body);
    let whole = serving.get(&path).is(200);
    assert_eq!(whole.headers["accept-ranges"], "bytes");
    let tag = whole.headers["etag"].clone();
    let mut parts = Vec::new();
    for (range, content_range) in [
        ("bytes=0-99999", "bytes 0-99999/300000"),
        ("bytes=100000-299998", "bytes 100000-299998/300000"),
        ("bytes=-1", "bytes 299999-299999/300000"),
    ] {
        let part = get(&serving, &path, &format!("Range: {range}\r\nIf-Range: {tag}")).is(206);
        assert_eq!(part.headers["content-range"], content_range);
        assert_eq!(part.headers["etag"], tag);
        parts.extend_from_slice(part.body());
    }
    assert!(parts == body && whole.body() == body);
    for header in ["Range: bytes=1-\r\nIf-Range: \"other\"", "Range: bytes=1-2,5-6", "Range: x"] {
        assert_eq!(get(&serving, &path, header).is(200).body().len(), 300_000, "{header}");
    }
    let beyond = get(&serving, &path, "Range: bytes=300000-");
    assert_eq!(beyond.headers["content-range"], "bytes */300000");
    beyond.problem(416, "range-not-satisfiable");
    get(&serving, &path, "If-Match: \"other\"").problem(412, "precondition-failed");
    let empty = upload(&serving, "empty", b"");
    assert_eq!(serving.get(&empty).is(200).body(), b"");
    get(&serving, &empty, "Range: bytes=0-").problem(416, "range-not-satisfiable");
}

#[test]
fn who_has_a_file_or_only_asks_about_it_gets_no_bytes() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let path = upload(&serving, "notes%20%C3%A9.txt", b"hello");
    let (status, headers) = ask(&serving, &format!("HEAD {path}"), "Range: bytes=1-2");
    assert_eq!((status, headers["content-length"].as_str()), (200, "5"));
    assert_eq!(headers["content-type"], "text/plain");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["content-disposition"], "attachment; filename*=UTF-8''notes%20%C3%A9.txt");
    let sha256 = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    assert_eq!(headers["repr-digest"], sha256);
    for header in [
        format!("If-None-Match: {}", headers["etag"]),
        format!("If-Modified-Since: {}", headers["last-modified"]),
    ] {
        let (status, again) = ask(&serving, &format!("GET {path}"), &header);
        assert_eq!((status, &again["etag"]), (304, &headers["etag"]), "{header}");
    }
    let (status, _) = ask(&serving, "HEAD /api/v1/files/f_0000000000000", "");
    assert_eq!(status, 404);
}

#[test]
fn what_a_task_left_is_had_in_parts_and_by_its_kind() {
    let host = TestHost::new();
    USES_FILES.load(&host, "capabilities: { fs: { out: write } }");
    let serving = Serving::start(&host);
    let words = ["folder", "/out/b", "write", "/out/b/a.html", "hello", "write", "/out/c.csv", "1"];
    let job = json!({ "tasks": [{ "id": "t", "executor": USES_FILES.name(),
                                  "inputs": { "args": words } }] });
    let job = serving.submit("?wait=30", &job).is(200).json();
    assert_eq!(job["state"], "completed", "{job:#}");
    let files = format!("/api/v1/jobs/{}/files/t", job["id"].as_str().unwrap());
    let page = serving.get(&format!("{files}/b/a.html")).is(200);
    assert_eq!(page.headers["content-type"], "application/octet-stream");
    let part = get(&serving, &format!("{files}/b/a.html"), "Range: bytes=1-3").is(206);
    assert_eq!((part.body(), part.headers["content-range"].as_str()), (&b"ell"[..], "bytes 1-3/5"));
    assert_eq!(part.headers["etag"], page.headers["etag"]);
    let table = serving.get(&format!("{files}/c.csv")).is(200);
    assert_eq!(table.headers["content-type"], "text/csv");
    assert_ne!(table.headers["etag"], page.headers["etag"]);
    let of_job = files.strip_suffix("/t").unwrap();
    let only = serving.get(&format!("{of_job}/c.csv")).is(200);
    assert_eq!((only.body(), &only.headers["etag"]), (&b"1"[..], &table.headers["etag"]));
    for name in ["a.html", "..", "%2Fetc%2Fpasswd", "t"] {
        serving.get(&format!("{of_job}/{name}")).problem(404, "unknown-file");
    }
    for name in [
        "..",
        "../t/c.csv",
        "..%2f..%2f..%2fapflow.db",
        "%2e%2e/%2e%2e/apflow.db",
        "b/../c.csv",
        "%2Fetc%2Fpasswd",
        "b//a.html",
        ".",
        "b/",
        "c.csv/",
        "b\\a.html",
        "%E2%80%AEc.csv",
        "C.CSV",
    ] {
        serving.get(&format!("{files}/{name}")).problem(404, "unknown-file");
    }
    for name in ["b%2Fa.html%00", "%00"] {
        serving.get(&format!("{files}/{name}")).problem(400, "invalid-request");
    }
}

#[test]
fn an_id_is_all_that_leads_to_an_upload() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let path = upload(&serving, "a", b"hello");
    for name in ["..%2f..%2fapflow.db", "%00", "a", "f_0", "j_0000000000000", "%2e%2e"] {
        let refused = serving.get(&format!("/api/v1/files/{name}"));
        refused.problem(400, "invalid-request");
    }
    serving.get("/api/v1/files/f_0000000000000").problem(404, "unknown-file");
    serving.get(&format!("{path}?name=b")).problem(400, "invalid-request");
    serving.ask(&format!("GET {path}"), None, b"").problem(401, "unauthorized");
}

#[test]
fn a_file_is_read_to_its_end_although_it_is_deleted_meanwhile() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    // More than the system keeps between the two.
    let body = vec![b'y'; 32 << 20];
    let path = upload(&serving, "large", &body);
    let stream = serving.send(&format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        serving.token()
    ));
    let mut first = [0; 1];
    let mut begun = &stream;
    assert_eq!(begun.read(&mut first).unwrap(), 1);
    serving.ask(&format!("DELETE {path}"), Some(serving.token()), b"").is(200);
    let mut rest = Vec::new();
    begun.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(&body) && rest.len() > body.len(), "{}", rest.len());
    serving.get(&path).problem(404, "unknown-file");
}
