//! Sends a mail over the HTTP API of a provider, in the manner of Resend: `POST /emails`.
//!
//! The key of the task makes a repeat safe as long as the provider remembers it.

use std::time::Duration;

use apflow_sdk::http::{Request, Response};
use apflow_sdk::{Fault, control, secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::address::Mailbox;
use crate::attachment::Attachment;
use crate::input::{HttpInput, Mail};
use crate::progress::{self, Before, Output};

/// How long a provider has to answer.
const TIMEOUT: Duration = Duration::from_mins(1);
/// How long a provider remembers a key: what Resend says.
const KEY_LIFETIME_S: u64 = 24 * 60 * 60;
/// How much of an answer a message repeats.
const SHOWN_CHARACTERS_MAX: usize = 300;

/// A mail as the API wants it. It holds nothing that another attempt would write in another way.
#[derive(Serialize)]
struct Body<'a> {
    from: String,
    to: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cc: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bcc: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reply_to: Vec<String>,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    filename: &'a str,
    content_type: &'a str,
    content: String,
}

/// What the API answers.
#[derive(Deserialize)]
struct Taken {
    id: String,
}

/// Sends a mail. Another attempt sends it again under the same key, as long as that is known.
///
/// # Errors
///
/// [`Fault::Permanent`] when the provider refuses it for good, or when an earlier attempt may have
/// sent it so long ago that the key is forgotten; [`Fault::Retryable`] otherwise.
pub fn send(
    mail: &Mail,
    attachments: &[Attachment],
    (provider, url): (&HttpInput, &str),
    key: &str,
    before: &Before,
) -> Result<Output, Fault> {
    if let Before::Unknown(age_s) = before
        && *age_s >= KEY_LIFETIME_S
        && !mail.may_repeat
    {
        return Err(Fault::permanent(format!(
            "unknown: an earlier attempt handed the mail over to {url} more than a day ago, and it is \
             not known whether it was taken: the provider may have forgotten its key. It is not sent \
             again by itself. Look for it at the provider; if it is not there, submit the task anew, \
             and set `resend_unknown` where two mails do less harm than none"
        )));
    }
    let secret = secret::get(&provider.key_secret)?;
    let request = Request::post(url)
        .header("authorization", format!("Bearer {secret}"))
        .header("idempotency-key", key)
        .timeout(TIMEOUT)
        .json(&body(mail, attachments));
    control::check()?;
    progress::sending(before)?;
    let response = request.send()?;
    if !(200..300).contains(&response.status) {
        return Err(refusal(url, &response));
    }
    let taken: Taken = response.json()?;
    let accepted = mail.recipients().into_iter().map(str::to_owned).collect();
    let reply = response.status.to_string();
    let output = Output { message_id: taken.id, accepted, refused: Vec::new(), reply };
    progress::sent(&output);
    Ok(output)
}

fn body<'a>(mail: &'a Mail, attachments: &'a [Attachment]) -> Body<'a> {
    let file = |attachment: &'a Attachment| File {
        filename: &attachment.name,
        content_type: &attachment.kind,
        content: STANDARD.encode(&attachment.bytes),
    };
    Body {
        from: text(&mail.from),
        to: mail.to.iter().map(text).collect(),
        cc: mail.cc.iter().map(text).collect(),
        bcc: mail.bcc.iter().map(text).collect(),
        reply_to: mail.reply_to.iter().map(text).collect(),
        subject: &mail.subject,
        text: mail.text.as_deref(),
        html: mail.html.as_deref(),
        attachments: attachments.iter().map(file).collect(),
    }
}

fn text(mailbox: &Mailbox) -> String {
    let Some(name) = &mailbox.name else { return mailbox.address.clone() };
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{name}\" <{}>", mailbox.address)
}

/// Judges an answer that is no success.
fn refusal(url: &str, response: &Response) -> Fault {
    let said: String = response.text().chars().take(SHOWN_CHARACTERS_MAX).collect();
    let message = format!("{url} answered with status {}: {said}", response.status);
    // Two requests of one key at once: the other is still under way.
    let is_concurrent = response.status == 409 && said.contains("concurrent");
    let may_get_better = matches!(response.status, 408 | 425 | 429 | 500..) || is_concurrent;
    let is_surely_not_taken = (400..500).contains(&response.status) && response.status != 408;
    if is_surely_not_taken && !is_concurrent {
        progress::refused();
    }
    if !may_get_better {
        return Fault::permanent(message);
    }
    let wait_s = response.header("retry-after").and_then(|wait| wait.parse().ok());
    match wait_s {
        Some(wait_s) => Fault::retryable_after(message, Duration::from_secs(wait_s)),
        None => Fault::retryable(message),
    }
}
