//! Sends a mail over SMTP: connects, logs in, hands it over, and notes what came of it.

use apflow_sdk::dial::{self, Connection, smtp};
use apflow_sdk::{Fault, control, secret};

use crate::attachment::Attachment;
use crate::input::{Mail, Mechanism, Security, SmtpInput};
use crate::message;
use crate::progress::{self, Before, Output, Refused};
use crate::smtp::{Session, SmtpError};

/// Sends a mail, unless an earlier attempt may have done so.
///
/// # Errors
///
/// [`Fault::Permanent`] when nobody knows whether it was sent, and when the server refuses for good;
/// [`Fault::Retryable`] when it surely was not, and may be later.
pub fn send(
    mail: &Mail,
    attachments: &[Attachment],
    server: &SmtpInput,
    port: u16,
    before: &Before,
) -> Result<Output, Fault> {
    if matches!(before, Before::Unknown(_)) && !mail.may_repeat {
        let reason = "an earlier attempt ended before it could note what the server said";
        return Err(unknown(mail, server, port, reason));
    }
    let mut session = connect(mail, server, port)?;
    let recipients = mail.recipients();
    let refusals = session.envelope(&mail.from.address, &recipients)?;
    session.data(|output| message::write(mail, attachments, output))?;
    // The server has all but the dot, and takes nothing without it.
    control::check()?;
    progress::sending(before)?;
    let reply = match session.end_data() {
        Ok(reply) => reply,
        Err(refused @ SmtpError::Refused { .. }) => {
            progress::refused();
            return Err(refused.into());
        }
        Err(SmtpError::Broken(reason)) if mail.may_repeat => return Err(Fault::retryable(reason)),
        Err(SmtpError::Broken(reason)) => return Err(unknown(mail, server, port, &reason)),
    };
    let is_refused = |address: &str| refusals.iter().any(|refusal| refusal.address == address);
    let accepted = recipients.into_iter().filter(|address| !is_refused(address));
    let output = Output {
        message_id: mail.message_id.clone(),
        accepted: accepted.map(str::to_owned).collect(),
        refused: refusals
            .iter()
            .map(|refusal| Refused {
                address: refusal.address.clone(),
                code: refusal.reply.code,
                reply: refusal.reply.to_string(),
            })
            .collect(),
        reply: reply.to_string(),
    };
    progress::sent(&output);
    session.quit();
    Ok(output)
}

/// Connects to a server, as far as `MAIL`.
fn connect(mail: &Mail, server: &SmtpInput, port: u16) -> Result<Session<Connection>, Fault> {
    let client = mail.from.domain();
    let login = server.username.as_ref().map(|user| login(client, user, server)).transpose()?;
    let connection = dial::connect(&server.host, port)?;
    let connection = match server.security {
        Security::None => connection,
        Security::Tls => connection.tls()?,
        Security::StartTls => {
            let mut session = Session::new(connection);
            session.greeting()?;
            let offered = session.hello(client)?;
            if !offered.lines.iter().any(|line| line.eq_ignore_ascii_case("STARTTLS")) {
                let advice = "set `security` to `tls` if it speaks TLS from the beginning";
                return Err(Fault::permanent(format!(
                    "the server does not offer STARTTLS, and nothing was sent to it; {advice}"
                )));
            }
            session.start_tls()?;
            session.into_inner().tls()?
        }
    };
    let Some(login) = login else {
        let mut session = Session::new(connection);
        if server.security != Security::StartTls {
            session.greeting()?;
        }
        session.hello(client)?;
        return Ok(session);
    };
    Ok(Session::new(connection.authenticate_smtp(&login)?))
}

fn login(client: &str, user: &str, server: &SmtpInput) -> Result<smtp::Login, Fault> {
    let password = secret::get(&server.password_secret)?;
    let mechanism = server.mechanism.map(|mechanism| match mechanism {
        Mechanism::Plain => smtp::Mechanism::Plain,
        Mechanism::Login => smtp::Mechanism::Login,
    });
    let (client, user) = (client.to_owned(), user.to_owned());
    Ok(smtp::Login { client, mechanism, user, password })
}

/// Says that nobody knows whether a mail was sent, and what to do.
fn unknown(mail: &Mail, server: &SmtpInput, port: u16, reason: &str) -> Fault {
    let (id, host) = (&mail.message_id, &server.host);
    Fault::permanent(format!(
        "unknown: the mail <{id}> was handed over to {host}:{port}, and it is not known whether it \
         was taken ({reason}). It is not sent again by itself. Look for this Message-ID at the server \
         or at a recipient; if it is not there, submit the task anew, and set `resend_unknown` where \
         two mails do less harm than none"
    ))
}
