//! Uploads: as they are, in forms, against a digest, within a quota, and until they are deleted.

use std::fs;
use std::io::{BufReader, Write};

use serde_json::{Value, json};

use crate::guests::USES_FILES;
use crate::host::TestHost;
use crate::serving::{Answer, Serving};

/// The sha256 of `one` and of `two`, in base64.
const ONE: &str = "dpLDrTVAu4A8Ags67mbNiIcSMjTqDG5xQ8Ct1z/0Me0=";
const TWO: &str = "P8TM/nRYcOLA2Z9x8w/wZWyN7dQcwdfT03aw2+aF4vM=";

/// Asks as the operator, with more headers, each ending its line.
fn send(serving: &Serving<'_>, what: &str, headers: &str, body: &[u8]) -> Answer {
    let token = format!("{}\r\n{}", serving.token(), headers.trim_end());
    serving.ask(what, Some(token.trim_end()), body)
}

fn upload(serving: &Serving<'_>, name: &str, body: &[u8]) -> Answer {
    send(serving, &format!("POST /api/v1/files?name={name}"), "", body)
}

/// Sends a form of files: each with its name, its more headers and its bytes.
fn send_form(serving: &Serving<'_>, files: &[(&str, &str, &str)]) -> Answer {
    let part = |(name, headers, bytes): &(&str, &str, &str)| {
        format!(
            "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             {headers}\r\n{bytes}\r\n"
        )
    };
    let parts: Vec<_> = files.iter().map(part).collect();
    send_body(serving, &format!("{}--edge--\r\n", parts.concat()))
}

fn send_body(serving: &Serving<'_>, body: &str) -> Answer {
    let kind = "Content-Type: multipart/form-data; boundary=edge";
    send(serving, "POST /api/v1/files", kind, body.as_bytes())
}

fn list(serving: &Serving<'_>, query: &str) -> Value {
    serving.get(&format!("/api/v1/files{query}")).is(200).json()
}

/// How many files the folder of uploads has.
fn count(host: &TestHost) -> usize {
    fs::read_dir(host.data().join("uploads")).unwrap().count()
}

#[test]
fn the_files_of_a_form_are_answered_in_their_order() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let one = send_form(&serving, &[("one.txt", "", "one")]).is(201).json();
    assert_eq!((&one["name"], &one["size"]), (&json!("one.txt"), &json!(3)));
    assert_eq!(one["sha256"], "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed");
    let expires = one["expires_at"].as_str().unwrap();
    assert!(expires > one["created_at"].as_str().unwrap(), "{one:#}");
    let both = send_form(
        &serving,
        &[("b.txt", "Content-Type: text/html\r\n", "two\r\n--edg"), ("a.txt", "", "")],
    );
    let both = both.is(201).json();
    let names: Vec<_> =
        both["files"].as_array().unwrap().iter().map(|file| &file["name"]).collect();
    assert_eq!(names, ["b.txt", "a.txt"]);
    assert_eq!((&both["files"][0]["size"], &both["files"][1]["size"]), (&json!(10), &json!(0)));
    let id = both["files"][0]["file_id"].as_str().unwrap();
    assert_eq!(serving.get(&format!("/api/v1/files/{id}")).is(200).body(), b"two\r\n--edg");
}

#[test]
fn what_is_not_what_its_digest_says_leaves_nothing() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let send_raw = |header: &str| send(&serving, "POST /api/v1/files?name=a", header, b"one");
    for name in ["Content-Digest", "Repr-Digest"] {
        let wrong = send_raw(&format!("{name}: sha-256=:{TWO}:"));
        wrong.problem(400, "digest-mismatch");
        send_raw(&format!("{name}: md5=:AQ==:")).problem(400, "invalid-request");
    }
    let digest = |of| format!("Content-Digest: sha-256=:{of}:\r\n");
    let form = send_form(&serving, &[("a", &digest(ONE), "one"), ("b", &digest(ONE), "two")]);
    let problem = form.problem(400, "digest-mismatch");
    assert!(problem["detail"].as_str().unwrap().starts_with("`b` came with"), "{problem:#}");
    assert_eq!((count(&host), list(&serving, "")["files"].clone()), (0, json!([])));
    send_raw(&digest(ONE)).is(201);
    send_form(&serving, &[("a", &digest(ONE), "one"), ("b", &digest(TWO), "two")]).is(201);
    assert_eq!(count(&host), 2, "the same bytes are kept once");
}

#[test]
fn a_form_that_is_wrong_leaves_nothing() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let part = "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx";
    for body in [
        "",
        "no form",
        part,
        "--edge--\r\n",
        &format!("{part}\r\n--edge\r\n"),
        &format!(
            "{part}\r\n--edge\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nx\r\n--edge--\r\n"
        ),
        &format!("{part}\r\n--edge\r\n\r\nx\r\n--edge--\r\n"),
    ] {
        send_body(&serving, body).problem(400, "invalid-request");
        serving.until(|| count(&host) == 0);
    }
    for name in ["..", ".", "", "a/b", "a\\b", "../../apflow.db", "/etc/passwd"] {
        let form = send_form(&serving, &[("good", "", "x"), (name, "", "x")]);
        form.problem(400, "invalid-request");
        serving.until(|| count(&host) == 0);
    }
    let kind = "Content-Type: multipart/form-data";
    send(&serving, "POST /api/v1/files", kind, b"x").problem(400, "invalid-request");
    let kind = format!("{kind}; boundary=edge\r\nContent-Digest: sha-256=:{ONE}:");
    send(&serving, "POST /api/v1/files", &kind, b"x").problem(400, "invalid-request");
    let many: Vec<_> = (0..65).map(|_| ("a", "", "x")).collect();
    send_form(&serving, &many).problem(400, "invalid-request");
    serving.until(|| count(&host) == 0);
    assert_eq!(list(&serving, "")["files"], json!([]));
}

#[test]
fn uploads_that_come_in_together_cannot_overrun_a_quota() {
    for host in TestHost::on_each_database() {
        let settings = fs::read_to_string(host.config_file()).unwrap_or_default();
        let host = host.with_settings(&format!(
            "{settings}files: {{ mib_max_per_principal: 1, files_max_per_principal: 3 }}\n"
        ));
        let serving = Serving::start(&host);
        let large = vec![b'x'; 700_000];
        upload(&serving, "larger", &vec![b'x'; (1 << 20) + 1]).problem(413, "file-quota-exceeded");
        let mut first = serving.send(&format!(
            "POST /api/v1/files?name=a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\nContent-Length: 700000\r\n\r\nthe beginning",
            serving.token()
        ));
        serving.until(|| count(&host) == 1);
        upload(&serving, "b", &large).problem(413, "file-quota-exceeded");
        assert_eq!(count(&host), 1, "nothing of what was refused is there");
        first.write_all(&large[13..]).unwrap();
        Answer::read(first).unwrap().is(201);
        upload(&serving, "b", &large).problem(413, "file-quota-exceeded");
        upload(&serving, "small", b"x").is(201);
        let form = send_form(&serving, &[("c", "", "x"), ("d", "", "x")]);
        let problem = form.problem(413, "file-quota-exceeded");
        assert!(
            problem["detail"].as_str().unwrap().contains("of 3 files and 1 MiB"),
            "{problem:#}"
        );
        // One that is given up gives its room back.
        let beginning = serving.send(&format!(
            "POST /api/v1/files?name=a HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {}\r\nContent-Length: 300000\r\n\r\nthe beginning",
            serving.token()
        ));
        serving.until(|| count(&host) == 3);
        upload(&serving, "c", b"x").problem(413, "file-quota-exceeded");
        drop(beginning);
        serving.until(|| upload(&serving, "c", b"x").status == 201);
        assert_eq!(list(&serving, "")["files"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn a_file_is_listed_until_it_is_deleted_and_stays_while_a_job_needs_it() {
    for host in TestHost::on_each_database() {
        USES_FILES.load(&host, "capabilities: { fs: { in: read } }");
        let serving = Serving::start(&host);
        let ids: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|name| upload(&serving, name, name.as_bytes()).is(201).json()["file_id"].clone())
            .collect();
        let page = list(&serving, "?limit=2");
        let of = |page: &Value, n: usize| page["files"][n]["file_id"].clone();
        assert_eq!((of(&page, 0), of(&page, 1)), (ids[2].clone(), ids[1].clone()));
        let cursor = page["cursor"].as_str().unwrap();
        let rest = list(&serving, &format!("?limit=2&cursor={cursor}&principal=admin"));
        assert_eq!((of(&rest, 0), &rest["cursor"]), (ids[0].clone(), &Value::Null));
        assert_eq!(list(&serving, "?principal=nobody")["files"], json!([]));
        let job = json!({ "executor": USES_FILES.name(), "run_at": "2999-01-01T00:00:00Z",
                          "inputs": { "args": ["read", { "$file": ids[0] }] } });
        let job = serving.submit("", &job).is(202).json();
        let path = format!("/api/v1/files/{}", ids[0].as_str().unwrap());
        let delete = || serving.ask(&format!("DELETE {path}"), Some(serving.token()), b"");
        delete().problem(409, "file-in-use");
        assert_eq!(serving.get(&path).is(200).body(), b"a");
        let cancel = format!("POST /api/v1/jobs/{}/cancel", job["id"].as_str().unwrap());
        serving.ask(&cancel, Some(serving.token()), b"").is(200);
        assert_eq!(delete().is(200).json(), json!({ "deleted": ids[0] }));
        delete().problem(404, "unknown-file");
        serving.get(&path).problem(404, "unknown-file");
        assert_eq!((count(&host), list(&serving, "")["files"].as_array().unwrap().len()), (2, 2));
        for query in ["limit=0", "limit=1001", "cursor=x", "colour=red"] {
            serving.get(&format!("/api/v1/files?{query}")).problem(400, "invalid-request");
        }
    }
}

#[test]
fn a_file_of_unknown_size_is_refused_at_the_limit_and_takes_little_memory() {
    let host = TestHost::new().with_settings("files: { size_mib_max: 64 }\n");
    let serving = Serving::start(&host);
    upload(&serving, "first", b"x").is(201);
    let before = resident(&serving);
    let send_pieces = |count: usize| {
        let mut stream = serving.send(&format!(
            "POST /api/v1/files?name=a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
            serving.token()
        ));
        let piece = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
        // Who is refused is not read to its end.
        let sent = (0..count).try_for_each(|_| stream.write_all(&piece));
        drop(sent.and_then(|()| stream.write_all(b"0\r\n\r\n")));
        stream
    };
    Answer::read(send_pieces(64)).unwrap().is(201);
    let grown = resident(&serving).saturating_sub(before);
    println!("an upload of 64 MiB took up {} KiB more at most", grown >> 10);
    assert!(grown < 32 << 20, "{grown}");
    let mut line = String::new();
    let mut refused = BufReader::new(send_pieces(65));
    std::io::BufRead::read_line(&mut refused, &mut line).unwrap();
    assert!(line.contains("413"), "{line}");
    serving.until(|| count(&host) == 2);
}

/// The most memory that a host had so far, in bytes.
fn resident(serving: &Serving<'_>) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", serving.process())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}
