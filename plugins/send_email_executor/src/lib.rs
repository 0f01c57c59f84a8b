//! First-party plugin `send_email_executor`: sends mails over SMTP or an HTTP provider, and none
//! twice.
//!
//! This file only joins the others: [`input`] reads the task, [`message`] writes the mail, [`server`]
//! and [`provider`] send it, and [`progress`] notes how far that came.

pub mod address;
pub mod attachment;
pub mod input;
pub mod message;
pub mod progress;
pub mod provider;
pub mod server;
pub mod smtp;
pub mod stuffing;

use std::path::Path;

use apflow_sdk::log::{self, Level};
use apflow_sdk::{Fault, OrFault, Task};

use crate::input::{Carrier, Input, InputError, Mail};
use crate::progress::{Before, Output};

/// Sends an email over SMTP or an HTTP provider, and never twice.
///
/// # Errors
///
/// [`Fault::InvalidInput`] when the input is no mail, [`Fault::Retryable`] when it was surely not
/// taken and may be later, and [`Fault::Permanent`] when it was refused for good, or when it is not
/// known whether it was taken: the message begins with `unknown:` then.
#[apflow_sdk::executor(id = "send_email_executor", name = "Email", tags = ["email", "mail", "smtp"])]
pub fn send_email(task: Task, input: Input) -> Result<Output, Fault> {
    let mut mail = Mail::new(input, &task.idempotency_key)?;
    let before = progress::before()?;
    if let Before::Sent(output) = before {
        log::write(Level::Info, "an earlier attempt sent it", &[("id", &output.message_id)]);
        return Ok(output);
    }
    let listed = std::mem::take(&mut mail.attachments);
    let attachments = attachment::read(listed, Path::new("/in")).or_permanent("`attachments`")?;
    let output = match &mail.carrier {
        Carrier::Smtp(server, port) => server::send(&mail, &attachments, server, *port, &before)?,
        Carrier::Http(provider, url) => {
            let key = &task.idempotency_key;
            provider::send(&mail, &attachments, (provider, url), key, &before)?
        }
    };
    log::write(Level::Info, "sent", &[("id", &output.message_id), ("reply", &output.reply)]);
    Ok(output)
}

impl From<InputError> for Fault {
    fn from(error: InputError) -> Self {
        Self::invalid_input(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use apflow_sdk::testing::{Answer, Host, Peer};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "a placeholder";
    const ID: &str = "t_test@example.com";
    const URL: &str = "https://api.resend.com/emails";

    fn input(security: &str, username: Option<&str>) -> Value {
        json!({
            "from": "Shop <shop@example.com>", "to": "a@example.org", "bcc": ["b@example.org"],
            "subject": "Hello", "text": "Hello.\n.\n",
            "smtp": { "host": "mail.example", "security": security, "username": username },
        })
    }

    fn by_http() -> Value {
        json!({
            "from": "\"The Shop\" <shop@example.com>", "to": "a@example.org", "subject": "Hello",
            "html": "<p>Hello.</p>", "http": {},
        })
    }

    fn run(host: &Host, input: Value) -> Result<Value, Fault> {
        host.run(send_email, input).map(|outcome| outcome.output)
    }

    fn steps(host: &Host) -> Vec<String> {
        host.checkpoints().into_iter().map(|saved| saved.step).collect()
    }

    /// What a server hears and says once it was greeted and logged in to, up to its answer to the
    /// dot.
    fn takes(peer: Peer, answer: &str) -> Peer {
        let peer = until(peer, "Hello.\r\n..\r\n.\r\n");
        if answer.is_empty() { peer } else { peer.sends(format!("{answer}\r\n")) }
    }

    fn until(peer: Peer, end: &str) -> Peer {
        peer.expects("MAIL FROM:<shop@example.com>\r\n")
            .sends("250 ok\r\n")
            .expects("RCPT TO:<a@example.org>\r\n")
            .sends("250 ok\r\n")
            .expects("RCPT TO:<b@example.org>\r\n")
            .sends("250 ok\r\n")
            .expects("DATA\r\n")
            .sends("354 go on\r\n")
            .hears_until(end)
    }

    fn greeted() -> Peer {
        Peer::new().sends("220 hello\r\n").expects("EHLO example.com\r\n")
    }

    fn plain() -> Peer {
        greeted().sends("250-mail.example\r\n250 STARTTLS\r\n")
    }

    #[test]
    fn a_mail_is_sent_in_the_clear_when_that_is_wanted() {
        let peer = takes(plain(), "250 taken as 7").expects("QUIT\r\n");
        let host = Host::new().expect_dial("mail.example", 25, peer);
        let expected = json!({ "message_id": ID, "accepted": ["a@example.org", "b@example.org"],
                               "refused": [], "reply": "250 taken as 7" });
        assert_eq!(run(&host, input("none", None)), Ok(expected));
        assert_eq!(steps(&host), ["sending", "sent"]);
        assert_eq!(host.not_finished(), [""; 0]);
    }

    #[test]
    fn a_mail_is_sent_in_tls_by_whoever_logged_in() {
        let starttls = plain().expects("STARTTLS\r\n").sends("220 go on\r\n").starts_tls();
        let cases = [("starttls", 587, starttls), ("tls", 465, Peer::new().starts_tls())];
        for (security, port, peer) in cases {
            let peer = takes(peer.authenticates("me", SECRET), "250 ok").expects("QUIT\r\n");
            let host =
                Host::new().secret("smtp_password", SECRET).expect_dial("mail.example", port, peer);
            assert_eq!(run(&host, input(security, Some("me"))).unwrap()["message_id"], json!(ID));
            assert_eq!(host.not_finished(), [""; 0]);
        }
    }

    #[test]
    fn a_server_without_starttls_hears_nothing_of_the_mail() {
        let peer = greeted().sends("250 mail.example\r\n");
        let host = Host::new().expect_dial("mail.example", 587, peer);
        let refused = run(&host, input("starttls", None)).unwrap_err();
        assert!(matches!(&refused, Fault::Permanent(text) if text.contains("STARTTLS")));
        assert!(steps(&host).is_empty());
    }

    #[test]
    fn a_login_that_is_refused_fails_for_good_and_a_busy_server_does_not() {
        for (code, is_retried) in [(535, false), (454, true)] {
            let peer = Peer::new().starts_tls().refuses_login(code, "no");
            let host =
                Host::new().secret("smtp_password", SECRET).expect_dial("mail.example", 465, peer);
            let refused = run(&host, input("tls", Some("me"))).unwrap_err();
            assert_eq!(matches!(refused, Fault::Retryable { .. }), is_retried, "{refused}");
        }
        let refused = run(&Host::new(), input("tls", Some("me"))).unwrap_err();
        assert!(matches!(refused, Fault::Permanent(text) if text.contains("smtp_password")));
    }

    #[test]
    fn a_connection_that_is_cut_after_the_dot_leaves_it_unknown() {
        let host = Host::new().expect_dial("mail.example", 25, takes(plain(), ""));
        let Fault::Permanent(text) = run(&host, input("none", None)).unwrap_err() else { panic!() };
        assert!(text.starts_with(&format!("unknown: the mail <{ID}>")), "{text}");
        assert_eq!(steps(&host), ["sending"]);
        let again = run(&host, input("none", None)).unwrap_err();
        assert!(matches!(again, Fault::Permanent(text) if text.starts_with("unknown: ")));
    }

    #[test]
    fn an_unknown_mail_is_sent_again_only_when_the_input_says_so() {
        let peer = takes(plain(), "250 ok").expects("QUIT\r\n");
        let host = Host::new().expect_dial("mail.example", 25, peer).checkpoint("sending", &1);
        let mut input = input("none", None);
        assert!(matches!(run(&host, input.clone()), Err(Fault::Permanent(_))));
        input["resend_unknown"] = json!(true);
        assert_eq!(run(&host, input.clone()).unwrap()["message_id"], json!(ID));
        let cut = Host::new().expect_dial("mail.example", 25, takes(plain(), ""));
        assert!(matches!(run(&cut, input), Err(Fault::Retryable { .. })));
    }

    #[test]
    fn a_mail_that_was_sent_is_not_sent_again() {
        let output = json!({ "message_id": ID, "accepted": [], "refused": [], "reply": "250 ok" });
        let host = Host::new().checkpoint("sent", &output);
        assert_eq!(run(&host, input("none", None)), Ok(output));
    }

    #[test]
    fn a_mail_that_the_server_did_not_take_may_be_sent_again() {
        for (answer, is_retried) in [("451 later", true), ("554 no", false)] {
            let host = Host::new()
                .expect_dial("mail.example", 25, takes(plain(), answer))
                .expect_dial("mail.example", 25, takes(plain(), "250 ok").expects("QUIT\r\n"));
            let refused = run(&host, input("none", None)).unwrap_err();
            assert_eq!(matches!(refused, Fault::Retryable { .. }), is_retried, "{refused}");
            assert!(refused.to_string().contains(answer), "{refused}");
            assert_eq!(steps(&host), ["sending", "refused"]);
            assert!(run(&host, input("none", None)).is_ok());
        }
    }

    #[test]
    fn a_mail_that_is_cancelled_before_the_dot_is_not_taken() {
        let peer = until(plain(), "Hello.\r\n..\r\n");
        let host = Host::new().expect_dial("mail.example", 25, peer).cancelled();
        assert_eq!(run(&host, input("none", None)), Err(Fault::Cancelled));
        assert!(steps(&host).is_empty());
        assert_eq!(host.not_finished(), [""; 0]);
    }

    #[test]
    fn a_provider_gets_the_mail_with_the_key_of_the_task() {
        let host = Host::new().secret("email_api_key", SECRET).expect(
            "POST",
            URL,
            Answer::json(200, &json!({ "id": "re_7" })),
        );
        let output = run(&host, by_http()).unwrap();
        let expected = json!({ "message_id": "re_7", "accepted": ["a@example.org"], "refused": [],
                               "reply": "200" });
        assert_eq!(output, expected);
        let sent = &host.requests()[0];
        assert_eq!(sent.header("authorization"), Some("Bearer a placeholder"));
        assert_eq!(sent.header("idempotency-key"), Some("t_test"));
        let expected = json!({ "from": "\"The Shop\" <shop@example.com>", "to": ["a@example.org"],
                               "subject": "Hello", "html": "<p>Hello.</p>" });
        assert_eq!(serde_json::from_slice::<Value>(&sent.body).unwrap(), expected);
        assert_eq!(steps(&host), ["sending", "sent"]);
    }

    #[test]
    fn a_provider_is_asked_again_as_long_as_it_remembers_the_key() {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        for (age, is_asked) in [(10, true), (23 * 3600, true), (25 * 3600, false)] {
            let host = Host::new()
                .secret("email_api_key", SECRET)
                .checkpoint("sending", &(now - age))
                .expect("POST", URL, Answer::json(200, &json!({ "id": "re_7" })));
            let sent = run(&host, by_http());
            assert_eq!((sent.is_ok(), host.requests().len()), (is_asked, usize::from(is_asked)));
        }
    }

    #[test]
    fn the_age_of_a_key_is_counted_from_its_first_use() {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let host = Host::new()
            .secret("email_api_key", SECRET)
            .checkpoint("sending", &(now - 1000))
            .expect("POST", URL, Answer::status(503));
        assert!(matches!(run(&host, by_http()), Err(Fault::Retryable { .. })));
        let noted: u64 = host.checkpoints().pop().unwrap().json().unwrap();
        assert!((now - 1001..=now - 999).contains(&noted), "{noted} of {now}");
    }

    #[test]
    fn an_answer_of_a_provider_decides_what_follows() {
        let concurrent = json!({ "name": "concurrent_idempotent_requests" });
        for (answer, is_retried, step) in [
            (Answer::status(503), true, "sending"),
            (Answer::status(429).header("Retry-After", "7"), true, "refused"),
            (Answer::json(409, &concurrent), true, "sending"),
            (Answer::status(409), false, "refused"),
            (Answer::status(422), false, "refused"),
        ] {
            let host = Host::new().secret("email_api_key", SECRET).expect("POST", URL, answer);
            let refused = run(&host, by_http()).unwrap_err();
            assert_eq!(matches!(refused, Fault::Retryable { .. }), is_retried, "{refused}");
            assert_eq!(steps(&host).last().unwrap(), step, "{refused}");
        }
    }

    #[test]
    fn an_input_that_is_no_mail_is_sent_nowhere() {
        let mut input = input("none", None);
        input["to"] = json!("a@example.org\r\nDATA");
        assert!(matches!(run(&Host::new(), input), Err(Fault::InvalidInput(_))));
    }
}
