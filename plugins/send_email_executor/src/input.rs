//! From the input of a task to a mail that can be written, and to who takes it.
//!
//! It sends and reads nothing.

use apflow_sdk::{JsonSchema, schemars};
use serde::Deserialize;

use crate::address::Mailbox;

/// The most people that one mail goes to: what every server must take (RFC 5321, section 4.5.3.1.8).
const RECIPIENTS_MAX: usize = 100;
/// The longest subject, in bytes.
const SUBJECT_BYTES_MAX: usize = 4096;

/// A mail, and who takes it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Who sends it: `shop@example.com`, or `The Shop <shop@example.com>`.
    pub from: String,
    /// Who gets it: an address or a list of them.
    pub to: Addresses,
    /// Who gets a copy.
    #[serde(default)]
    pub cc: Addresses,
    /// Who gets a copy that the others do not see.
    #[serde(default)]
    pub bcc: Addresses,
    /// Where answers go. To `from` if left out.
    #[serde(default)]
    pub reply_to: Addresses,
    /// The subject, one line of at most 4096 bytes.
    #[schemars(length(max = 4096))]
    pub subject: String,
    /// The text. With `html` it is what programs without HTML show.
    #[serde(default)]
    pub text: Option<String>,
    /// The text as HTML. One of `text` and `html` is needed.
    #[serde(default)]
    pub html: Option<String>,
    /// Files that go with it, 20 MiB together at most.
    #[serde(default)]
    pub attachments: Vec<AttachmentInput>,
    /// The mail server that takes it. Either this or `http`.
    #[serde(default)]
    pub smtp: Option<SmtpInput>,
    /// The provider that takes it over HTTP, in the manner of Resend. Either this or `smtp`.
    #[serde(default)]
    pub http: Option<HttpInput>,
    /// Whether to send again when it is not known whether an earlier attempt sent it: it may then
    /// arrive twice. If left out, the task fails, and says so.
    #[serde(default)]
    pub resend_unknown: bool,
}

/// No address, one, or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Addresses {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Default for Addresses {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// A file that goes with a mail.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentInput {
    /// The file below `/in`: what `{ "$file": ID }` stands for, or a path there.
    pub path: String,
    /// The name that those who get it see. That of the file if left out.
    #[serde(default)]
    pub name: Option<String>,
    /// Its type, such as `application/pdf`. `application/octet-stream` if left out.
    #[serde(rename = "type", default = "bytes")]
    pub kind: String,
}

fn bytes() -> String {
    "application/octet-stream".to_owned()
}

/// A mail server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmtpInput {
    /// Its name or address.
    pub host: String,
    /// Its port. If left out: 587 for `starttls`, 465 for `tls`, 25 for `none`.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// How it is spoken to. `starttls` if left out.
    #[serde(default)]
    pub security: Security,
    /// Who logs in. Nobody if left out.
    #[serde(default)]
    pub username: Option<String>,
    /// The secret that is the password of `username`. `smtp_password` if left out. The host fills it
    /// in; it is never here.
    #[serde(default = "smtp_password")]
    pub password_secret: String,
    /// How to log in. The best that the server offers if left out.
    #[serde(default)]
    pub mechanism: Option<Mechanism>,
}

fn smtp_password() -> String {
    "smtp_password".to_owned()
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// In the clear at first, and then in TLS. A server that does not offer that gets nothing.
    #[default]
    StartTls,
    /// In TLS from the beginning.
    Tls,
    /// In the clear. Logging in works then on the host's own machine only.
    None,
}

impl Security {
    /// The port that such a server usually has.
    const fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// How a mail server is shown a name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// `AUTH PLAIN`.
    Plain,
    /// `AUTH LOGIN`.
    Login,
}

/// A provider that takes mails over HTTP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpInput {
    /// Its address, to which `/emails` is added. `https://api.resend.com` if left out.
    #[serde(default = "resend")]
    pub base_url: String,
    /// The secret that is its key. `email_api_key` if left out. The host fills it in; it is never
    /// here.
    #[serde(default = "email_api_key")]
    pub key_secret: String,
}

fn resend() -> String {
    "https://api.resend.com".to_owned()
}

fn email_api_key() -> String {
    "email_api_key".to_owned()
}

/// The input does not describe a mail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// An address is none.
    #[error("`{field}`: `{text}` {reason}")]
    Address {
        /// Where it stands.
        field: &'static str,
        /// What stands there.
        text: String,
        /// Why it is none.
        reason: String,
    },
    /// Nobody gets it.
    #[error("`to` names nobody")]
    NoRecipient,
    /// Too many get it.
    #[error("`to`, `cc` and `bcc` name {0} people, but at most {RECIPIENTS_MAX} may get one mail")]
    TooManyRecipients(usize),
    /// The subject cannot be written.
    #[error("`subject` must be one line of at most {SUBJECT_BYTES_MAX} bytes")]
    Subject,
    /// There is nothing to read.
    #[error("either `text` or `html` is needed")]
    NoText,
    /// Nobody takes it, or two do.
    #[error("exactly one of `smtp` and `http` is needed")]
    OneCarrier,
    /// A part of an attachment cannot be written.
    #[error("`attachments`: {0}")]
    Attachment(String),
    /// The provider's address is none.
    #[error("`http.base_url` is no address like `https://api.resend.com`")]
    BaseUrl,
}

/// A mail that can be written, but for its files.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Who sends it.
    pub from: Mailbox,
    /// Who gets it.
    pub to: Vec<Mailbox>,
    /// Who gets a copy.
    pub cc: Vec<Mailbox>,
    /// Who gets a copy unseen.
    pub bcc: Vec<Mailbox>,
    /// Where answers go.
    pub reply_to: Vec<Mailbox>,
    /// One line.
    pub subject: String,
    /// The text.
    pub text: Option<String>,
    /// The text as HTML.
    pub html: Option<String>,
    /// What goes with it.
    pub attachments: Vec<AttachmentInput>,
    /// What makes it known, without the angle brackets. The same for every attempt of its task.
    pub message_id: String,
    /// Who takes it.
    pub carrier: Carrier,
    /// Whether it may be sent again when nobody knows whether it was.
    pub may_repeat: bool,
}

/// Who takes a mail.
#[derive(Debug, Clone)]
pub enum Carrier {
    /// A mail server, at this port.
    Smtp(SmtpInput, u16),
    /// A provider, at this address.
    Http(HttpInput, String),
}

impl Mail {
    /// Reads an input. `key` is the same for every attempt of a task.
    ///
    /// # Errors
    ///
    /// An [`InputError`] that says what is wrong and where.
    pub fn new(input: Input, key: &str) -> Result<Self, InputError> {
        let from = mailbox("from", &input.from)?;
        let to = mailboxes("to", input.to)?;
        let cc = mailboxes("cc", input.cc)?;
        let bcc = mailboxes("bcc", input.bcc)?;
        let recipients = to.len() + cc.len() + bcc.len();
        if to.is_empty() {
            return Err(InputError::NoRecipient);
        }
        if recipients > RECIPIENTS_MAX {
            return Err(InputError::TooManyRecipients(recipients));
        }
        if input.subject.len() > SUBJECT_BYTES_MAX || input.subject.chars().any(char::is_control) {
            return Err(InputError::Subject);
        }
        if input.text.is_none() && input.html.is_none() {
            return Err(InputError::NoText);
        }
        input.attachments.iter().try_for_each(check)?;
        let carrier = match (input.smtp, input.http) {
            (Some(smtp), None) => {
                let port = smtp.port.unwrap_or(smtp.security.port());
                Carrier::Smtp(smtp, port)
            }
            (None, Some(http)) => {
                let url = address(&http.base_url)?;
                Carrier::Http(http, url)
            }
            _ => return Err(InputError::OneCarrier),
        };
        let is_kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let key: String = key.chars().filter(is_kept).collect();
        Ok(Self {
            message_id: format!("{key}@{}", from.domain()),
            reply_to: mailboxes("reply_to", input.reply_to)?,
            subject: input.subject,
            text: input.text,
            html: input.html,
            attachments: input.attachments,
            may_repeat: input.resend_unknown,
            from,
            to,
            cc,
            bcc,
            carrier,
        })
    }

    /// The addresses of all who get it, none twice.
    pub fn recipients(&self) -> Vec<&str> {
        let mut addresses: Vec<&str> = Vec::new();
        for mailbox in self.to.iter().chain(&self.cc).chain(&self.bcc) {
            if !addresses.contains(&mailbox.address.as_str()) {
                addresses.push(&mailbox.address);
            }
        }
        addresses
    }
}

fn mailboxes(field: &'static str, addresses: Addresses) -> Result<Vec<Mailbox>, InputError> {
    let texts = match addresses {
        Addresses::One(text) => vec![text],
        Addresses::Many(texts) => texts,
    };
    texts.iter().map(|text| mailbox(field, text)).collect()
}

fn mailbox(field: &'static str, text: &str) -> Result<Mailbox, InputError> {
    text.parse().map_err(|reason| InputError::Address { field, text: text.to_owned(), reason })
}

/// Refuses what would end a line of a header, or is no type.
fn check(attachment: &AttachmentInput) -> Result<(), InputError> {
    let AttachmentInput { path, name, kind } = attachment;
    if path.is_empty() || name.as_ref().is_some_and(|name| name.chars().any(char::is_control)) {
        return Err(InputError::Attachment(format!("`{path}` or its name is no name of a file")));
    }
    let is_token = |part: &str| {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b);
        !part.is_empty() && part.bytes().all(is_allowed)
    };
    if kind.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub)) {
        return Ok(());
    }
    Err(InputError::Attachment(format!("`{kind}` is no type like `application/pdf`")))
}

/// The address that a provider takes mails at.
fn address(base: &str) -> Result<String, InputError> {
    let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    let is_right = |rest: &str| {
        !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
            && !rest.contains(['?', '#', '@'])
    };
    if rest.is_some_and(is_right) {
        return Ok(format!("{}/emails", base.trim_end_matches('/')));
    }
    Err(InputError::BaseUrl)
}

#[cfg(test)]
mod tests {
    use apflow_sdk::testing::input_schema;
    use serde_json::{Value, json};

    use super::*;

    fn read(changes: Value) -> Result<Mail, String> {
        let mut input = json!({
            "from": "Shop <shop@example.com>", "to": "a@example.org", "subject": "Hello",
            "text": "Hello.", "smtp": { "host": "mail.example" },
        });
        let Value::Object(changes) = changes else { panic!() };
        input.as_object_mut().unwrap().extend(changes);
        let input: Input = serde_json::from_value(input).map_err(|error| error.to_string())?;
        Mail::new(input, "t_01").map_err(|error| error.to_string())
    }

    #[test]
    fn the_message_id_is_that_of_the_task_at_the_senders_domain() {
        assert_eq!(read(json!({})).unwrap().message_id, "t_01@example.com");
    }

    #[test]
    fn nobody_gets_a_mail_twice() {
        let mail = read(json!({ "cc": ["B <b@example.org>", "a@example.org"],
                                "bcc": "c@example.org" }));
        let mail = mail.unwrap();
        assert_eq!(mail.recipients(), ["a@example.org", "b@example.org", "c@example.org"]);
    }

    #[test]
    fn the_port_follows_how_a_server_is_spoken_to() {
        for (security, expected) in [("starttls", 587), ("tls", 465), ("none", 25)] {
            let smtp = json!({ "host": "mail.example", "security": security });
            let mail = read(json!({ "smtp": smtp })).unwrap();
            assert!(matches!(mail.carrier, Carrier::Smtp(_, port) if port == expected));
        }
    }

    #[test]
    fn what_is_no_mail_is_refused_with_its_place() {
        let many: Vec<String> = (0..101).map(|n| format!("a{n}@example.org")).collect();
        for (changes, expected) in [
            (json!({ "from": "shop" }), "`from`: `shop` is no address"),
            (json!({ "to": [] }), "`to` names nobody"),
            (json!({ "bcc": ["x"] }), "`bcc`: `x` is no address"),
            (json!({ "to": many }), "name 101 people"),
            (json!({ "reply_to": "a@example.org\r\nBcc: b@example.org" }), "`reply_to`: "),
            (json!({ "subject": "a\r\nBcc: b@example.org" }), "`subject` must be one line"),
            (json!({ "text": null }), "either `text` or `html`"),
            (json!({ "smtp": null }), "exactly one of"),
            (json!({ "http": {} }), "exactly one of"),
            (json!({ "smtp": null, "http": { "base_url": "resend.com" } }), "`http.base_url`"),
            (json!({ "attachments": [{ "path": "" }] }), "`attachments`: "),
            (json!({ "attachments": [{ "path": "a", "name": "a\nb" }] }), "`attachments`: "),
            (json!({ "attachments": [{ "path": "a", "type": "pdf" }] }), "`pdf` is no type"),
            (json!({ "attachments": [{ "path": "a", "type": "a/b\r\nX: y" }] }), "is no type"),
            (json!({ "body": "x" }), "unknown field"),
        ] {
            let refused = read(changes.clone()).unwrap_err();
            assert!(refused.contains(expected), "{changes}: {refused}");
        }
    }

    #[test]
    fn the_schema_describes_every_field() {
        let schema = input_schema::<Input>();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), 12);
        for (name, property) in properties {
            assert!(property["description"].is_string(), "{name}: {property}");
        }
    }
}
