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
