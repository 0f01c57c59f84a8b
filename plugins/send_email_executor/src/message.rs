//! A mail as its bytes: headers and MIME parts, in ASCII lines that every server takes.

use std::io::{self, Write};

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;

use crate::address::Mailbox;
use crate::attachment::Attachment;
use crate::input::Mail;

/// Writes a mail while it is encoded. Who gets a copy unseen is not in it.
///
/// # Errors
///
/// Those of `output`.
pub fn write(mail: &Mail, attachments: &[Attachment], output: impl Write) -> io::Result<()> {
    let mut message = MessageBuilder::new()
        .from(address(&mail.from))
        .to(addresses(&mail.to))
        .subject(mail.subject.as_str())
        .message_id(mail.message_id.as_str());
    if !mail.cc.is_empty() {
        message = message.cc(addresses(&mail.cc));
    }
    if !mail.reply_to.is_empty() {
        message = message.reply_to(addresses(&mail.reply_to));
    }
    if let Some(text) = &mail.text {
        message = message.text_body(text);
    }
    if let Some(html) = &mail.html {
        message = message.html_body(html);
    }
    for Attachment { name, kind, bytes } in attachments {
        message = message.attachment(kind, name, bytes.as_slice());
    }
    message.write_to(output)
}

fn addresses(mailboxes: &[Mailbox]) -> Address<'_> {
    Address::new_list(mailboxes.iter().map(address).collect())
}

fn address(mailbox: &Mailbox) -> Address<'_> {
    Address::new_address(mailbox.name.as_deref(), mailbox.address.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(changes: Value, attachments: &[Attachment]) -> String {
        let mut input = json!({
            "from": "Der Löwe <shop@example.com>", "to": ["a@example.org", "\"B, the\" <b@example.org>"],
            "cc": "c@example.org", "bcc": "unseen@example.org", "reply_to": "r@example.org",
            "subject": "Grüße", "text": "Hello.", "smtp": { "host": "mail.example" },
        });
        let Value::Object(changes) = changes else { panic!() };
        input.as_object_mut().unwrap().extend(changes);
        let mail = Mail::new(serde_json::from_value(input).unwrap(), "t_01").unwrap();
        let mut bytes = Vec::new();
        write(&mail, attachments, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// The header of this name, its lines joined.
    fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        let head = &text[..text.find("\r\n\r\n").unwrap()];
        head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    #[test]
    fn headers_are_written_and_who_is_unseen_is_not() {
        let text = written(json!({}), &[]);
        assert_eq!(header(&text, "To"), Some("<a@example.org>, \"B, the\" <b@example.org>"));
        assert_eq!(header(&text, "Cc"), Some("<c@example.org>"));
        assert_eq!(header(&text, "Reply-To"), Some("<r@example.org>"));
        assert_eq!(header(&text, "Message-ID"), Some("<t_01@example.com>"));
        assert_eq!(header(&text, "MIME-Version"), Some("1.0"));
        assert!(header(&text, "Date").is_some());
        for (name, part) in [("From", "<shop@example.com>"), ("Subject", "=?utf-8?")] {
            let value = header(&text, name).unwrap();
            assert!(value.to_ascii_lowercase().contains(part), "{value}");
        }
        assert!(!text.contains("unseen") && !text.contains("Bcc"), "{text}");
    }

    #[test]
    fn text_html_and_files_are_parts_of_one_mail() {
        let file = Attachment {
            name: "größe.bin".to_owned(),
            kind: "application/pdf".to_owned(),
            bytes: vec![0xff; 200],
        };
        let text = written(json!({ "html": "<p>Hello.</p>" }), &[file]);
        assert!(header(&text, "Content-Type").unwrap().starts_with("multipart/mixed"), "{text}");
        for part in [
            "Content-Type: multipart/alternative",
            "Content-Type: text/plain; charset=\"utf-8\"",
            "Content-Type: text/html; charset=\"utf-8\"",
            "Content-Type: application/pdf",
            "Content-Disposition: attachment;",
            "Content-Transfer-Encoding: base64",
            "/////",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }

    #[test]
    fn every_line_is_ascii_and_short_whatever_is_written() {
        let long = "ä\u{1f600} ".repeat(500);
        let words = "word ".repeat(500);
        for text in [&long, &words, "a\nb\r\nc\rd", ".\r\n..\r\n", ""] {
            let subject = text.replace(['\r', '\n'], " ");
            let names: Vec<String> =
                (0..40).map(|n| format!("Nürn Berg {n} <a{n}@e.example>")).collect();
            let written = written(
                json!({ "text": text, "html": text, "subject": subject, "to": names }),
                &[],
            );
            for line in written.split("\r\n") {
                let is_fine = line.len() <= 998 && line.is_ascii() && !line.contains('\n');
                assert!(is_fine, "{line:?}");
            }
        }
    }
}
