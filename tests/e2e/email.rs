//! Mails to a server that others wrote: what arrives, who may send it, and what its password is
//! found in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::host::{Ended, TestHost, project};
use crate::mail_server::{MailServer, Mode, USER};
use crate::secrets::{VALUE, is_clean, walk};

#[test]
fn a_mail_arrives_as_it_was_written() {
    let Some(mut server) = MailServer::start(Mode::Clear, None) else { return };
    let host = TestHost::new();
    let folder = tempfile::TempDir::new().unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    fs::write(folder.path().join("Größe.bin"), &bytes).unwrap();
    let input = json!({
        "from": "Der Löwe <shop@example.com>", "to": ["\"Beta, B\" <b@example.org>"],
        "cc": "c@example.org", "bcc": ["unseen@example.org"], "reply_to": "answers@example.com",
        "subject": "Grüße aus dem Laden, und noch viele Wörter mehr als in eine Zeile passen 🦁",
        "text": ".\n..\nDein Löwe\nFrom here\n", "html": "<p>Dein Löwe</p>",
        "attachments": [{ "path": "Größe.bin", "type": "application/zip" }],
        "smtp": { "host": "127.0.0.1", "port": server.port(), "security": "none" },
    });
    let (tcp, files) =
        (format!("tcp={}", server.at("127.0.0.1")), format!("fs.in={}", folder.path().display()));
    let task = send(&host, &input, &[&tcp, &files]).succeeds().json();
    let (output, mail) = (&task["output"], server.next());
    assert_eq!(mail["defects"], json!([]));
    assert_eq!(mail["from"], "shop@example.com");
    assert_eq!(mail["recipients"], json!(["b@example.org", "c@example.org", "unseen@example.org"]));
    assert_eq!(output["accepted"], mail["recipients"]);
    assert_eq!(output["reply"], "250 2.0.0 taken");
    let headers = &mail["headers"];
    assert_eq!(headers["subject"], input["subject"]);
    assert_eq!(headers["from"], "Der Löwe <shop@example.com>");
    assert_eq!(headers["to"], "\"Beta, B\" <b@example.org>");
    assert_eq!((&headers["cc"], &headers["reply-to"]), (&input["cc"], &input["reply_to"]));
    assert_eq!(headers["bcc"], Value::Null);
    let id = task["id"].as_str().unwrap();
    let message_id = output["message_id"].as_str().unwrap();
    assert!(message_id.ends_with(&format!("-{id}@example.com")), "{message_id}");
    assert_eq!(headers["message-id"], format!("<{message_id}>"));
    assert_eq!(mail["text"], ".\r\n..\r\nDein Löwe\r\nFrom here\r\n");
    assert_eq!(mail["html"].as_str().unwrap().trim_end(), input["html"]);
    let file = &mail["files"][0];
    assert_eq!((&file[0], &file[1]), (&json!("Größe.bin"), &json!("application/zip")));
    // The SHA-256 of the bytes.
    assert_eq!(file[2], "db8f1d69251d95e2c88268d3c540533cc5182e0e33065a6f3f322f606a574489");
    server.took_no_more();
}

#[test]
fn who_logs_in_does_so_in_every_mode_and_by_every_mechanism() {
    for mode in [Mode::Clear, Mode::StartTls, Mode::Tls] {
        let Some(mut server) = MailServer::start(mode, Some(VALUE)) else { return };
        let host = host(&server.at("localhost"));
        for mechanism in [json!("plain"), json!("login"), Value::Null] {
            let mut input = login(&server, mode);
            input["smtp"]["mechanism"] = mechanism.clone();
            let task = send(&host, &input, &grants(&server)).succeeds();
            is_clean("the task", task.stdout.as_bytes());
            let mail = server.next();
            let expected = mechanism.as_str().unwrap_or("plain").to_ascii_uppercase();
            assert_eq!(mail["login"], expected);
            assert_eq!(mail["is_secured"], mode != Mode::Clear);
            assert_eq!(mail["client"], "example.com");
        }
        assert!(walk(&host.data()) > 3);
        server.took_no_more();
    }
}

#[test]
fn a_password_that_is_wrong_fails_for_good_and_is_told_nowhere() {
    let Some(server) = MailServer::start(Mode::StartTls, Some("another password")) else { return };
    let host = host(&server.at("localhost"));
    let task = send(&host, &login(&server, Mode::StartTls), &grants(&server)).exits(1);
    is_clean("the task", task.stdout.as_bytes());
    let task = task.json();
    assert_eq!(task["fault"]["code"], "permanent", "{task:#}");
    assert!(says(&task, "the login was refused: `535 "), "{task:#}");
    assert_eq!(task["attempts"].as_array().map(Vec::len), Some(1), "{task:#}");
    assert!(walk(&host.data()) > 3);
    server.took_no_more();
}

#[test]
fn a_password_is_shown_to_no_server_that_it_does_not_belong_to() {
    let Some(server) = MailServer::start(Mode::Tls, Some(VALUE)) else { return };
    let host = host("mail.example:465");
    let input = login(&server, Mode::Tls);
    let task = send(&host, &input, &grants(&server)).exits(3).json();
    assert_eq!(task["fault"]["code"], "capability-denied", "{task:#}");
    let to = format!("was not sent to tcp://{}: it belongs to", server.at("localhost"));
    assert!(says(&task, &to), "{task:#}");
    let tcp = format!("tcp={}", server.at("localhost"));
    let task = send(&host, &input, &[&tcp]).exits(3).json();
    assert!(says(&task, "--grant secret=smtp_password"), "{task:#}");
    let task = send(&host, &input, &["secret=smtp_password"]).exits(3).json();
    assert!(says(&task, &format!("--grant {tcp}")), "{task:#}");
    server.took_no_more();
}

#[test]
fn a_server_that_nobody_vouches_for_gets_nothing() {
    let Some(server) = MailServer::start(Mode::Tls, Some(VALUE)) else { return };
    let host = host(&server.at("localhost"));
    let input = login(&server, Mode::Tls).to_string();
    let [tcp, secret] = grants(&server);
    let arguments = ["run", "send_email_executor", "--json", "--input", &input];
    let task = host.run(&[&arguments[..], &["--grant", tcp, "--grant", secret]].concat());
    let task = task.exits(1).json();
    assert!(says(&task, "no TLS: ") && says(&task, "UnknownIssuer"), "{task:#}");
    server.took_no_more();
}

#[test]
fn recipients_that_are_refused_are_told_with_the_servers_words() {
    let Some(mut server) = MailServer::start(Mode::Clear, None) else { return };
    let host = TestHost::new();
    let tcp = format!("tcp={}", server.at("127.0.0.1"));
    let mut input = json!({
        "from": "shop@example.com", "to": ["a@example.org", "nobody@example.org"],
        "subject": "Hello", "text": "Hello.",
        "smtp": { "host": "127.0.0.1", "port": server.port(), "security": "none" },
    });
    let task = send(&host, &input, &[&tcp]).succeeds().json();
    let refused = json!([{ "address": "nobody@example.org", "code": 550,
                           "reply": "550 5.1.1 there is no such mailbox" }]);
    assert_eq!(
        (&task["output"]["refused"], &server.next()["recipients"]),
        (&refused, &json!(["a@example.org"]))
    );
    input["to"] = json!("nobody@example.org");
    let task = send(&host, &input, &[&tcp]).exits(1).json();
    assert_eq!(task["fault"]["code"], "permanent");
    assert!(says(&task, "550 5.1.1 there is no such mailbox"), "{task:#}");
    input["to"] = json!(["nobody@example.org", "full@example.org"]);
    let task = send(&host, &input, &[&tcp]).exits(1).json();
    assert_eq!(task["fault"]["code"], "retryable");
    assert!(says(&task, "452 4.2.2 that mailbox is full"), "{task:#}");
    server.took_no_more();
}

/// A host with a secret that belongs to this server.
fn host(to: &str) -> TestHost {
    let host = TestHost::new();
    let config = host.config_file();
    let folder = config.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("password"), format!("{VALUE}\n")).unwrap();
    let password = folder.join("password").display().to_string();
    let file = folder.join("secrets.yaml");
    fs::write(
        &file,
        format!("smtp_password: {{ from: {{ file: {password} }}, tcp: [\"{to}\"] }}\n"),
    )
    .unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    host
}

/// A mail by somebody who logs in.
fn login(server: &MailServer, mode: Mode) -> Value {
    json!({
        "from": "shop@example.com", "to": "a@example.org", "subject": "Hello", "text": "Hello.",
        "smtp": { "host": "localhost", "port": server.port(), "security": mode.security(),
                  "username": USER },
    })
}

fn grants(server: &MailServer) -> [&'static str; 2] {
    [format!("tcp={}", server.at("localhost")).leak(), "secret=smtp_password"]
}

/// Runs a task to its end, on a host that trusts the authority of the tests.
fn send(host: &TestHost, input: &Value, grants: &[&str]) -> Ended {
    let input = input.to_string();
    let mut arguments = vec!["run", "send_email_executor", "--json", "--input", &input];
    for grant in grants {
        arguments.extend(["--grant", grant]);
    }
    let authority: PathBuf = project().join("tests/certificates/authority.pem");
    let trusts = [("SSL_CERT_FILE", authority.to_str().unwrap()), ("APFLOW_LOG", "trace")];
    host.run_with(&arguments, "", &trusts)
}

fn says(task: &Value, part: &str) -> bool {
    task["fault"]["message"].as_str().unwrap().contains(part)
}
