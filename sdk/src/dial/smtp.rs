//! Logging in to a mail server with a password that never comes here.
//!
//! ```
//! use apflow_sdk::testing::{Host, Peer};
//! use apflow_sdk::{Fault, dial, secret};
//!
//! fn connect() -> Result<dial::Connection, Fault> {
//!     let login = dial::smtp::Login {
//!         client: "me.example".to_owned(),
//!         mechanism: None,
//!         user: "me".to_owned(),
//!         password: secret::get("smtp_password")?,
//!     };
//!     // What follows is `MAIL`: the host has read the greeting, and said EHLO and AUTH.
//!     Ok(dial::connect("mail.example", 465)?.tls()?.authenticate_smtp(&login)?)
//! }
//!
//! let peer = Peer::new().starts_tls().authenticates("me", "a placeholder");
//! let host = Host::new()
//!     .secret("smtp_password", "a placeholder")
//!     .expect_dial("mail.example", 465, peer);
//! assert!(host.within(connect).is_ok());
//! ```

use std::fmt;

use crate::backend::dial as raw;

/// Who logs in to a mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name that the server is greeted with, such as `mail.example.com`: 1 to 255 visible ASCII
    /// characters.
    pub client: String,
    /// None for `PLAIN` where the server offers it, and `LOGIN` else.
    pub mechanism: Option<Mechanism>,
    /// The name of the user. It may hold the placeholder of a secret.
    pub user: String,
    /// The password. It may hold the placeholder of a secret.
    pub password: String,
}

/// How a server is shown a name and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Both at once (RFC 4616).
    Plain,
    /// One after the other, as older servers want it.
    Login,
}

/// Why a server does not take a login. The connection is closed then.
///
/// As a [`Fault`](crate::Fault), `Unavailable`, `Broken` and an answer from 400 to 499 may be
/// retried; the others are permanent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The host does not show the secret to this server. The text says why, and what would allow it.
    Denied(String),
    /// A secret cannot be read now.
    Unavailable(String),
    /// There is no such login, or the connection was spoken through before.
    Invalid(String),
    /// The server offers no mechanism that is wanted. Those that it offers.
    Unsupported(String),
    /// The server refuses.
    Rejected {
        /// The code of its answer, such as 535.
        code: u16,
        /// Its words.
        text: String,
    },
    /// The connection was lost, or what came is not SMTP.
    Broken(String),
}

impl From<raw::SmtpError> for Error {
    fn from(error: raw::SmtpError) -> Self {
        use raw::SmtpError as Raw;
        match error {
            Raw::Denied(text) => Self::Denied(text),
            Raw::Unavailable(text) => Self::Unavailable(text),
            Raw::Invalid(text) => Self::Invalid(text),
            Raw::Unsupported(text) => Self::Unsupported(text),
            Raw::Rejected(raw::SmtpReply { code, text }) => Self::Rejected { code, text },
            Raw::Broken(text) => Self::Broken(text),
        }
    }
}

impl From<&Login> for raw::SmtpLogin {
    fn from(login: &Login) -> Self {
        let Login { client, mechanism, user, password } = login.clone();
        let mechanism = mechanism.map(|mechanism| match mechanism {
            Mechanism::Plain => raw::Mechanism::Plain,
            Mechanism::Login => raw::Mechanism::Login,
        });
        Self { client, mechanism, user, password }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text) | Self::Unavailable(text) => write!(f, "no login: {text}"),
            Self::Invalid(text) => write!(f, "this is no login: {text}"),
            Self::Unsupported(offered) if offered.is_empty() => {
                f.write_str("no login: the server offers none")
            }
            Self::Unsupported(offered) => {
                write!(f, "no login: the server offers `{offered}` only")
            }
            Self::Rejected { code, text } => write!(f, "the login was refused: `{code} {text}`"),
            Self::Broken(text) => write!(f, "the login was cut short: {text}"),
        }
    }
}

impl std::error::Error for Error {}
